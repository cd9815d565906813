"""One progress bar for everything that takes time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tqdm import tqdm

Progress: TypeAlias = "Callable[[int], Any] | bool | None"


@contextlib.contextmanager
def bar(
    progress: Progress, total: int, title: str, unit: str = "pulls"
) -> Iterator[Callable[[int], Any]]:
    """The function to call with the number of rounds (or other units) newly done."""
    if callable(progress):
        yield progress
        return
    disable = not progress if isinstance(progress, bool) else None  # None: only on a terminal
    with tqdm(
        total=total, desc=title, unit=f" {unit}", unit_scale=True, delay=2, disable=disable
    ) as shown:
        yield shown.update
