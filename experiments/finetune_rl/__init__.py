"""Fine-tuning: what offline data save of online reinforcement learning, and what they cannot.

`trees` has the closed form on a tree, and what FTPedel needs there; `separation` trees on which
offline and online data together beat either alone; `coverage` problems with dynamics.
"""

from ..paper import Paper
from . import coverage, separation, trees

PAPER = Paper(
    "finetune_rl",
    "Leveraging Offline Data in Online Reinforcement Learning",
    "Wagenmaker and Pacchiano, ICML 2023",
    "The paper has theorems and no experiments: here its minimal number of online episodes in "
    "closed form on a tree, FTPedel beside it, an instance of ours on which offline and online "
    "data beat either alone, and what they save where there are dynamics.",
    (*trees.FIGURES, *separation.FIGURES, *coverage.FIGURES),
    (*trees.CLAIMS, *separation.CLAIMS, *coverage.CLAIMS),
)
