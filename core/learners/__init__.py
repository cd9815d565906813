"""Learning algorithms, grouped by what they learn from."""

from . import bandits, best_arm, experts, private, solver, tallying
from .bandits import *  # noqa: F403
from .best_arm import *  # noqa: F403
from .experts import Hedge
from .private import *  # noqa: F403
from .rounds import ByRound
from .solver import *  # noqa: F403
from .tallying import *  # noqa: F403

__all__ = [
    "ByRound",
    "Hedge",
    "bandits",
    "best_arm",
    "experts",
    "private",
    "solver",
    "tallying",
]
__all__ += bandits.__all__
__all__ += best_arm.__all__
__all__ += private.__all__
__all__ += solver.__all__
__all__ += tallying.__all__
