"""The papers that are reproduced here. A new one: write its module, add a line to `PAPERS`."""

from __future__ import annotations

import importlib.util

from .paper import Paper


def _papers() -> tuple[Paper, ...]:
    if importlib.util.find_spec(".introduction_to_bandits", __package__) is None:
        return ()
    from .introduction_to_bandits import PAPER

    return (PAPER,)


PAPERS: dict[str, Paper] = {paper.name: paper for paper in _papers()}
