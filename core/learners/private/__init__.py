"""Learners that keep the rewards of their users private."""

from .adaptive import AdaCUCB, AdaPKLUCB, AdaPUCB
from .dp_bai import DPBAI, DPBAIGauss
from .dp_od import DPOD
from .elimination import DPSE
from .top_two import AdaPTT, AdaPTTStar
from .tree import DPUCB

__all__ = [
    "AdaCUCB",
    "AdaPKLUCB",
    "AdaPTT",
    "AdaPTTStar",
    "AdaPUCB",
    "DPBAI",
    "DPBAIGauss",
    "DPOD",
    "DPSE",
    "DPUCB",
]
