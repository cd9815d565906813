"""Best-arm identification with a fixed budget: pull by pull, or phase by phase.

A learner may pull T times and then names an arm; what counts is how often that is the wrong one.
A round is one pull when the action is an arm, and one phase when it is `Pulls`: then the rewards
of a phase are drawn as their sums, in a time that hardly depends on the number of pulls. A learner
written in phases plays pull by pull through `learners.ByRound`, and meets the same law.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import whole
from ..core.noise import pairs
from ..core.protocol import BanditFeedback, Key, Pulls, RewardSums, concrete
from .rewards import Law, check_law, one, total


@flax.struct.dataclass
class Arms:
    """Arms of given means, with or without features.

    Attributes:
      means: [K], float32. In [0, 1] for Bernoulli rewards; in [0, 1/2] for uniform ones, which lie
        in [0, 2 mean]; any for normal ones.
      features: [K, d], what the learner is shown, or None.
      law: "bernoulli", "uniform" or "gaussian".
      scale: standard deviation of normal rewards.

    Raises:
      ValueError: no arms, means that the law does not allow, features that are not as many as the
        means, an unknown law.
    """

    means: Any
    features: Any = None
    law: Law = flax.struct.field(pytree_node=False, default="bernoulli")
    scale: Any = 1.0

    def __post_init__(self):
        check_law(self.law)
        means, features, scale = (concrete(x) for x in (self.means, self.features, self.scale))
        if means is None or means.ndim > 1:
            return  # traced, or stacked: checked before
        _check_means(means, self.law)
        object.__setattr__(self, "means", means.astype(np.float32))
        if features is not None:
            _check_features(features, len(means))
            object.__setattr__(self, "features", features.astype(np.float32))
        if scale is not None and not (np.ndim(scale) == 0 and 0 <= scale < np.inf):
            raise ValueError(f"the scale of rewards is a number, zero or more: got {self.scale!r}")

    @property
    def num_arms(self) -> int:
        return np.shape(self.means)[-1]

    @property
    def dimension(self) -> int | None:
        return None if self.features is None else np.shape(self.features)[-1]

    def draw(self, key: Key) -> tuple[Any, Any]:
        """Features and means, the same for every seed."""
        return (() if self.features is None else self.features), self.means


def linear_arms(features: Any, theta: Any, law: Law = "gaussian", scale: float = 1.0) -> Arms:
    """Arms whose mean reward is <features[i], theta>.

    Raises:
      ValueError: shapes other than [K, d] and [d], and what `Arms` raises.
    """
    x, parameter = np.asarray(features, np.float64), np.asarray(theta, np.float64)
    if x.ndim != 2 or parameter.shape != x.shape[1:]:
        raise ValueError(
            f"linear arms have features [K, d] and a parameter [d]: got shapes {list(x.shape)} "
            f"and {list(parameter.shape)}"
        )
    return Arms(x @ parameter, x, law, scale)


class BestArmState(NamedTuple):
    drawn: Any  # features and means, where a seed draws its own
    pulls: jax.Array  # [K] int32


@flax.struct.dataclass
class BestArm:
    """A fixed-budget identification problem; see the head of this file.

    Attributes:
      instance: the arms: `Arms`, or an object with `num_arms`, `dimension`, `law`, `scale` and
        `draw(key) -> (features, means)`, for problems that differ from seed to seed.
      budget: number of pulls allowed, T. The environment counts pulls and does not refuse them.

    A learner observes the features, [K, d], or (). Metrics: "error" (1 where the arm that is
    recommended is worse than the best), "recommended" (that arm), "simple_regret" (how much worse
    it is), "regret" (sum of pulls times gap, to a relative 1e-6), "pulls" [K], "budget_used".

    Raises:
      ValueError: a budget that is not a positive whole number.
    """

    instance: Any
    budget: Any

    def __post_init__(self):
        given = concrete(self.budget)
        if given is not None and given.ndim == 0:
            object.__setattr__(self, "budget", np.int32(whole("budget", given.item())))

    @property
    def num_arms(self) -> int:
        return self.instance.num_arms

    @property
    def dimension(self) -> int | None:
        return self.instance.dimension

    def init(self, key: Key) -> BestArmState:
        drawn = () if isinstance(self.instance, Arms) else self.instance.draw(key)
        return BestArmState(drawn, jnp.zeros(self.num_arms, jnp.int32))

    def noise(self, key: Key, num_rounds: int) -> jax.Array:
        """Two words a round: bits for one reward, or a key for the sums of a phase."""
        return jnp.stack(pairs(key, (num_rounds,)), axis=-1)

    def observe(self, state, noise):
        return self._problem(state)[0]

    def step(self, state, action, noise):
        means = jnp.asarray(self._problem(state)[1])
        law, scale = self.instance.law, self.instance.scale
        if isinstance(action, Pulls):
            key = jax.random.wrap_key_data(noise, impl="threefry2x32")
            sums = total(law, key, means[action.arms], scale, action.counts)
            feedback = RewardSums(jnp.where(action.counts > 0, sums, 0))
            pulls = state.pulls.at[action.arms].add(action.counts)
        else:
            feedback = BanditFeedback(one(law, noise[0], means[action], scale))
            pulls = state.pulls.at[action].add(1)
        return state._replace(pulls=pulls), feedback, {}

    def evaluate(self, state, arm):
        return outcome(jnp.asarray(self._problem(state)[1]), state.pulls, arm)

    def _problem(self, state):
        fixed = isinstance(self.instance, Arms)
        return self.instance.draw(None) if fixed else state.drawn


@flax.struct.dataclass
class RewardTable:
    """Rewards written down beforehand: the n-th pull of arm i brings table[i, n], from n = 0.

    The table, [K, T], is the data set of a privacy statement, and its length the budget. Two runs
    on one table differ by the learner's own noise alone. The best arm is that of the largest row.
    Metrics as in `BestArm`.

    Raises:
      ValueError: not a table of finite numbers with an arm and a pull at least.
    """

    table: Any
    features: Any = None

    def __post_init__(self):
        table, features = concrete(self.table), concrete(self.features)
        if table is None or table.ndim > 2:
            return
        if table.ndim != 2 or not table.size or not np.all(np.isfinite(table)):
            raise ValueError(
                f"a table of rewards is [arms, pulls] of finite numbers, one of each at least: "
                f"got shape {list(table.shape)}"
            )
        object.__setattr__(self, "table", table.astype(np.float32))
        if features is not None:
            _check_features(features, len(table))
            object.__setattr__(self, "features", features.astype(np.float32))

    @property
    def num_arms(self) -> int:
        return np.shape(self.table)[-2]

    @property
    def budget(self) -> int:
        return np.shape(self.table)[-1]

    @property
    def dimension(self) -> int | None:
        return None if self.features is None else np.shape(self.features)[-1]

    def init(self, key: Key) -> jax.Array:
        return jnp.zeros(self.num_arms, jnp.int32)

    def noise(self, key: Key, num_rounds: int) -> tuple:
        return ()

    def observe(self, pulls, noise):
        return () if self.features is None else self.features

    def step(self, pulls, action, noise):
        table = jnp.asarray(self.table)
        if isinstance(action, Pulls):
            start = pulls[action.arms][:, None]
            n = jnp.arange(self.budget)
            taken = (n >= start) & (n < start + action.counts[:, None])
            sums = jnp.sum(jnp.where(taken, table[action.arms], 0), axis=-1)
            return pulls.at[action.arms].add(action.counts), RewardSums(sums), {}
        feedback = BanditFeedback(table[action, pulls[action]])
        return pulls.at[action].add(1), feedback, {}

    def evaluate(self, pulls, arm):
        return outcome(jnp.mean(jnp.asarray(self.table), axis=-1), pulls, arm)


def outcome(means: jax.Array, pulls: jax.Array, arm: jax.Array) -> dict[str, jax.Array]:
    """The metrics of a run that pulled so often and recommends `arm`."""
    gaps = jnp.max(means) - means
    return {
        "error": (gaps[arm] > 0).astype(jnp.float32),
        "recommended": arm,
        "simple_regret": gaps[arm],
        "regret": jnp.sum(gaps * pulls.astype(jnp.float32)),
        "pulls": pulls,
        "budget_used": jnp.sum(pulls),
    }


def _check_means(means: np.ndarray, law: Law) -> None:
    if means.dtype.kind not in "fiub" or means.ndim != 1 or not means.size:
        raise ValueError(f"arms have means [K], one at least: got shape {list(means.shape)}")
    high = {"bernoulli": 1.0, "uniform": 0.5, "gaussian": np.inf}[law]
    low = -np.inf if law == "gaussian" else 0.0
    bad = np.flatnonzero(~(np.isfinite(means) & (means >= low) & (means <= high)))
    if len(bad):
        raise ValueError(
            f"the means of {law} rewards lie in [{low:g}, {high:g}]: got means[{bad[0]}] = "
            f"{means[bad[0]]}"
        )


def _check_features(features: np.ndarray, num_arms: int) -> None:
    fits = features.ndim == 2 and len(features) == num_arms and features.shape[1] > 0
    if not fits or features.dtype.kind not in "fiub" or not np.all(np.isfinite(features)):
        raise ValueError(
            f"features are finite numbers [{num_arms}, d], a row for each arm: got shape "
            f"{list(features.shape)}"
        )
