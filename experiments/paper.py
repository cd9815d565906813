"""A paper as data: its figures as studies, and its claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ..core.claims import Claim

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Drawing

    from ..core.study import Study

Scale = Literal["smoke", "quick", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_RESERVED = {"store", "report", "runs"}  # folders beside the papers in the results


@dataclass(frozen=True)
class Figure:
    """One picture of a paper.

    Attributes:
      name: of its files; letters, digits, "-" and "_".
      title: one line, for people.
      studies: scale -> what to run, each study under its own name.
      plot: results by the name of the study -> a matplotlib figure. It is called in the house
        style (`plotting.style`) and must not go through pyplot.
      caption: what is to be seen, and how it was measured.
    """

    name: str
    title: str
    studies: Callable[[Scale], list[Study]]
    plot: Callable[[dict[str, xr.Dataset]], Drawing]
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name("figure", self.name)


@dataclass(frozen=True)
class Paper:
    """A publication that is reproduced here.

    Attributes:
      name: of its module and its folder of results.
      title, reference: as the publication has them; reference says authors, year, where.
      summary: what is reproduced, in a sentence or two.
      figures: in the order of the report.
      claims: each names the figure whose results decide it.

    Raises:
      ValueError: names that are taken twice or cannot be file names, a claim about a figure that
        there is not.
    """

    name: str
    title: str
    reference: str
    summary: str
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]

    def __post_init__(self) -> None:
        _check_name("paper", self.name)
        if self.name in _RESERVED:
            raise ValueError(f"a paper cannot be called {self.name!r}: results keep that folder")
        figures = [figure.name for figure in self.figures]
        for kind, names in (("figures", figures), ("claims", [c.name for c in self.claims])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"paper {self.name!r} has several {kind} called {twice}")
        for claim in self.claims:
            if claim.figure not in figures:
                raise ValueError(
                    f"claim {claim.name!r} of paper {self.name!r} is about figure "
                    f"{claim.figure!r}, but its figures are {figures}"
                )

    def claims_of(self, figure: Figure) -> tuple[Claim, ...]:
        """The claims that the results of one figure decide."""
        return tuple(claim for claim in self.claims if claim.figure == figure.name)


Papers = Mapping[str, Paper]


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name of a {kind} is also a file name: letters, digits, '-' and '_', got {name!r}"
        )
