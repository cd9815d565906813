"""Learning algorithms, grouped by what they learn from."""

from . import (
    bandits,
    best_arm,
    combinatorial,
    convex,
    experts,
    groups,
    in_context,
    linear,
    mdp,
    neural,
    private,
    reductions,
    solver,
    tallying,
)
from .bandits import *  # noqa: F403
from .best_arm import *  # noqa: F403
from .combinatorial import *  # noqa: F403
from .convex import *  # noqa: F403
from .experts import *  # noqa: F403
from .groups import *  # noqa: F403
from .in_context import *  # noqa: F403
from .linear import *  # noqa: F403
from .mdp import *  # noqa: F403
from .neural import *  # noqa: F403
from .private import *  # noqa: F403
from .reductions import *  # noqa: F403
from .rounds import ByRound
from .solver import *  # noqa: F403
from .tallying import *  # noqa: F403

__all__ = [
    "ByRound",
    "bandits",
    "best_arm",
    "combinatorial",
    "convex",
    "experts",
    "groups",
    "in_context",
    "linear",
    "mdp",
    "neural",
    "private",
    "reductions",
    "solver",
    "tallying",
]
__all__ += bandits.__all__
__all__ += best_arm.__all__
__all__ += combinatorial.__all__
__all__ += convex.__all__
__all__ += experts.__all__
__all__ += groups.__all__
__all__ += in_context.__all__
__all__ += linear.__all__
__all__ += mdp.__all__
__all__ += neural.__all__
__all__ += private.__all__
__all__ += reductions.__all__
__all__ += solver.__all__
__all__ += tallying.__all__
