"""Follow the perturbed leader: online linear optimisation with one call of an oracle a round."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.struct
import jax.numpy as jnp

from ... import noise as tapes
from ...exact import Pair, plus, single, value
from ..parameters import filled, require


class FTPLState(NamedTuple):
    costs: Pair  # [d], cumulative


@flax.struct.dataclass
class FTPL:
    """Plays the point that would have cost least so far, had each coordinate cost some noise more.

    Kalai and Vempala, "Efficient algorithms for online decision problems", Journal of Computer and
    System Sciences 71, 2005, Theorem 1.1. For linear losses (or their gradients) and any `domain`
    with `least`: paths of a `Dag`, experts (`Simplex`), a `Ball`, a `Box`. Let D be the L1 diameter
    of the domain, A the largest L1 norm of the costs of a round, and R the most that two points
    differ in cost in a round. The expected regret at horizon T is (derived here, by their proof)
      perturbation="uniform", on (0, 1 / epsilon): at most epsilon R A T + D / epsilon. Left blank,
        epsilon is sqrt(D / (R A T)), for 2 sqrt(D R A T).
      perturbation="laplace", of scale 1 / epsilon: at most epsilon R A T / 2 + L / epsilon with
        L = D (1 + ln d). Left blank, epsilon is sqrt(2 L / (R A T)), for sqrt(2 L R A T). Where
        costs of points are never negative it is also at most 2 epsilon A C + 3 L / epsilon, for
        epsilon <= 1 / A and the cost C of the best point: less than the other where C is small.

    Noise is fresh in every round: against a table fixed beforehand a single draw has the same
    expected regret, but an adversary that adapts would find it out. Recommends the leader without
    noise. Ties: as in the domain. Costs are summed with compensation.

    Args:
      domain: taken from the environment, and so are
      cost_norm, cost_range: A and R. Where an environment does not say, coefficients are taken to
        lie in [-1, 1]: A = d and R = D.

    Raises:
      ValueError: another perturbation; an epsilon, a norm or a range that is not positive.
    """

    domain: Any = None
    horizon: Any = None
    epsilon: Any = None
    cost_norm: Any = None
    cost_range: Any = None
    perturbation: str = flax.struct.field(pytree_node=False, default="uniform")

    def __post_init__(self):
        if self.perturbation not in ("uniform", "laplace"):
            raise ValueError(
                f'FTPL: perturbation is "uniform" or "laplace", got {self.perturbation!r}'
            )
        require(self, "horizon", lambda x: x >= 1, "one or more")
        for name in ("epsilon", "cost_norm", "cost_range"):
            require(self, name, lambda x: x > 0, "positive")

    def init(self, key):
        zeros = jnp.zeros(self._domain().dimension, jnp.float32)
        return FTPLState(Pair(zeros, zeros))

    def noise(self, key, num_rounds):
        draw = tapes.uniform if self.perturbation == "uniform" else tapes.laplace
        return draw(key, (num_rounds, self._domain().dimension))

    def act(self, state, observation, noise):
        return self._domain().least(value(state.costs) + noise / self._epsilon())

    def update(self, state, observation, point, feedback):
        return FTPLState(plus(state.costs, single(feedback.gradient(point))))

    def recommend(self, state):
        return self._domain().least(value(state.costs))

    def _domain(self):
        domain = filled(self, "domain")
        if not hasattr(domain, "least") or isinstance(domain, type):
            raise ValueError(
                f"FTPL: domain is a set with an oracle, such as graphs.grid(3, 3) or Simplex(5), "
                f"got {domain!r}"
            )
        return domain

    def _epsilon(self):
        if self.epsilon is not None:
            return self.epsilon
        domain, horizon = self._domain(), jnp.asarray(filled(self, "horizon"), jnp.float32)
        apart = jnp.maximum(domain.l1_diameter, 1e-6)  # 0 for a single point, and no NaN
        norm = domain.dimension if self.cost_norm is None else self.cost_norm
        spread = apart if self.cost_range is None else self.cost_range
        factor = 1.0 if self.perturbation == "uniform" else 2 * (1 + math.log(domain.dimension))
        return jnp.sqrt(factor * apart / (spread * norm * horizon))
