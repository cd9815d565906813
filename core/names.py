"""Names that people type: what they may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, options: Iterable[str]) -> str | None:
    """The option most like `name`, whatever its case, or None when none is much like it."""
    folded = {option.lower(): option for option in options}
    matches = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: the nearest option when one is close,
    else all of them."""
    options = list(options)
    guess = nearest(name, options)
    if guess is not None:
        return f"did you mean {guess!r}?"
    return f"there is {', '.join(sorted(options))}" if options else "there are none"
