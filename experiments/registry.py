"""The papers that are reproduced here. A new one: write its module, add it to the line below."""

from __future__ import annotations

from . import introduction_to_bandits
from .paper import Paper

PAPERS: dict[str, Paper] = {paper.name: paper for paper in (introduction_to_bandits.PAPER,)}
