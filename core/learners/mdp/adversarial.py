"""Policy optimisation with adversarial losses, a perfect simulator and bandit feedback."""

from __future__ import annotations

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ...kernels.softmax import softmax
from ...mdp import Stochastic, occupancy
from ..parameters import filled, nonnegative, require
from .loss_estimates import (
    dilated,
    inverse,
    losses_to_go,
    magnitude_reduced,
    moments,
    negative_means,
    plain,
    products,
    squared_norms,
)

REGULARISERS = ("log-barrier", "entropy")
ESTIMATORS = ("plain", "reduced")
SCHEDULES = ("root", "two-thirds")
_STEPS, _EXACT = 60, 1e-12  # of Newton's method, which takes five to ten


def log_barrier(losses: jax.Array) -> jax.Array:
    """The p on the simplex of least <p, losses> + sum ln(1 / p): p = 1 / (losses + nu).

    Along the last axis; float64. nu solves sum 1 / (losses + nu) = 1. One over that sum is concave
    and rising in nu, so Newton's method from below stays below and converges; where all losses are
    equal, in one step.
    """
    losses = losses - jnp.min(losses, axis=-1, keepdims=True)

    def off(loop):
        step, _, total, _ = loop
        return (step < _STEPS) & jnp.any(total > 1 + _EXACT)

    def improve(loop):
        step, nu, total, squares = loop
        return step + 1, *sums(nu + (total - 1) * total / squares)

    def sums(nu):
        shares = 1 / (losses + nu)
        squares = jnp.sum(shares * shares, axis=-1, keepdims=True)
        return nu, jnp.sum(shares, axis=-1, keepdims=True), squares

    _, nu, total, _ = jax.lax.while_loop(off, improve, (0, *sums(jnp.ones_like(losses[..., :1]))))
    return 1 / (losses + nu) / total


@flax.struct.dataclass
class DilatedPO:
    """Follow the regularised leader in every state, on estimates of Q less dilated bonuses.

    With transitions known, an episode gives an estimate of Q^pi at every state and action, by
    importance weighting with G_h = (gamma I + E phi phi^T)^-1 under the policy that was played.
    From it comes off the dilated bonus of b = beta (|phi(s, a)|_G^2 + E_pi |phi(s, .)|_G^2), which
    pays for gamma and for the variance. In every state the policy of the next episode minimises eta
    times the sum of all that, plus a regulariser.

    Three algorithms: `LogBarrierPO` and `ReducedPO` (Dai, Luo, Wei and Zimmert, "Refined regret for
    adversarial MDPs with linear function approximation", ICML 2023), regret of order sqrt(K), and
    `PlainPO` (Luo, Wei and Lee, NeurIPS 2021), of order K^(2/3). They are from memory, in the
    theory with a simulator to be sampled; ours is perfect, so occupancies and expectations are
    exact. Q has to be linear in the features for every policy, and losses to be in [0, 1].

    Parameters follow the theory in K, the constants are ours. Let C = ln A, or A ln K for the log
    barrier. With r = sqrt(C / (d K)), the schedule "root" has eta = rate r / H, gamma = ridge r^2
    and beta = bonus H r. With r = (C / (d K))^(1/3), "two-thirds" has eta = rate r^2 / H, gamma and
    beta as before. Exponential weights need eta times an estimate to be -1 or more: plain estimates
    are -H / gamma or more, so that rate <= ridge does it in the second schedule; reduced ones are
    -H / sqrt(gamma) or more, so that rate^2 <= ridge does it in the first.

    Costs H (S^2 A + (S A)^2 + d^3) operations an episode. No noise of its own.

    Args:
      regulariser: "log-barrier" or "entropy".
      estimator: "plain" or "reduced".
      schedule: "root" or "two-thirds".
      rate, bonus: zero or more; ridge: positive.
      features, transitions, start: [S, A, d], [H, S, A, S] and [S]; taken from the environment.
      horizon: K, number of episodes.

    Raises:
      ValueError: an unknown choice, a parameter out of range; an environment without losses.
    """

    regulariser: str = flax.struct.field(pytree_node=False, default="entropy")
    estimator: str = flax.struct.field(pytree_node=False, default="reduced")
    schedule: str = flax.struct.field(pytree_node=False, default="root")
    rate: Any = 1.0
    ridge: Any = 1.0
    bonus: Any = 1.0
    features: Any = flax.struct.field(default=None, repr=False)
    transitions: Any = flax.struct.field(default=None, repr=False)
    start: Any = flax.struct.field(default=None, repr=False)
    horizon: Any = None

    def __post_init__(self):
        choices = {"regulariser": REGULARISERS, "estimator": ESTIMATORS, "schedule": SCHEDULES}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"DilatedPO: {name} is one of {list(known)}, got {getattr(self, name)!r}"
                )
        require(self, "rate", nonnegative, "zero or more")
        require(self, "bonus", nonnegative, "zero or more")
        require(self, "ridge", lambda x: x > 0, "positive")
        require(self, "horizon", lambda x: x >= 1, "one or more")

    def init(self, key) -> jax.Array:
        """The sum of estimates less bonuses, [H, S, A] float64."""
        with jax.enable_x64(True):
            return jnp.zeros(jnp.shape(filled(self, "transitions"))[:3], jnp.float64)

    def noise(self, key, num_rounds):
        return ()

    def act(self, sums, observation, noise):
        with jax.enable_x64(True):
            losses = self._parameters()[0] * sums
            barrier = self.regulariser == "log-barrier"
            chances = log_barrier(losses) if barrier else softmax(-losses)
            return Stochastic(chances.astype(jnp.float32))

    def update(self, sums, observation, policy, feedback):
        states, actions, losses = self._trajectory(feedback)
        with jax.enable_x64(True):
            _, gamma, beta = self._parameters()
            features, moves, start = (
                jnp.asarray(filled(self, name)).astype(jnp.float64)
                for name in ("features", "transitions", "start")
            )
            chances = policy.probabilities().astype(jnp.float64)
            chances = chances / jnp.sum(chances, axis=-1, keepdims=True)
            visits = occupancy(moves, start, Stochastic(chances))
            identity = jnp.eye(features.shape[-1], dtype=jnp.float64)
            inverses = inverse(moments(features, visits) + gamma * identity)
            shares = products(features, inverses, features[states[:-1], actions])
            to_go = losses_to_go(losses.astype(jnp.float64))
            if self.estimator == "reduced":
                means = len(losses) * negative_means(features, inverses, visits)
                estimates = magnitude_reduced(shares, to_go, means)
            else:
                estimates = plain(shares, to_go)
            norms = squared_norms(features, inverses)
            bonuses = beta * (norms + jnp.sum(chances * norms, axis=-1, keepdims=True))
            return sums + estimates - dilated(moves, chances, bonuses)

    def recommend(self, sums):
        """The policy of the next episode."""
        return self.act(sums, (), ())

    def _parameters(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """eta, gamma and beta, float64."""
        stages, _, actions = jnp.shape(filled(self, "transitions"))[:3]
        d = jnp.shape(filled(self, "features"))[-1]
        episodes = jnp.asarray(filled(self, "horizon")).astype(jnp.float64)
        barrier = self.regulariser == "log-barrier"
        size = actions * jnp.log(jnp.maximum(episodes, 2)) if barrier else math.log(max(actions, 2))
        square = size / (d * episodes)
        power, first = (0.5, 0.5) if self.schedule == "root" else (1 / 3, 2 / 3)
        rate, ridge, bonus = (
            jnp.asarray(x).astype(jnp.float64) for x in (self.rate, self.ridge, self.bonus)
        )
        eta, gamma = rate * square**first / stages, ridge * square ** (2 * power)
        return eta, gamma, bonus * stages * square**power

    def _trajectory(self, feedback):
        trajectory = getattr(feedback, "trajectory", None)
        if trajectory is None or not hasattr(trajectory, "losses"):
            raise ValueError(
                "DilatedPO learns from losses: play envs.AdversarialMDP, whose feedback has a "
                "trajectory with them"
            )
        return trajectory


def LogBarrierPO(rate: Any = 1.0, ridge: Any = 1.0, bonus: Any = 1.0) -> DilatedPO:
    """Plain estimates, however negative, and the log barrier, whose policies change too little to
    mind. Regret of order H^3 sqrt(A d K) up to logarithms, from memory. See `DilatedPO`."""
    return DilatedPO("log-barrier", "plain", "root", rate, ridge, bonus)


def ReducedPO(rate: Any = 1.0, ridge: Any = 1.0, bonus: Any = 1.0) -> DilatedPO:
    """Magnitude-reduced estimates and exponential weights. Regret of order H^3 sqrt(d K) up to
    logarithms, from memory: the number of actions counts as ln A only. See `DilatedPO`."""
    return DilatedPO("entropy", "reduced", "root", rate, ridge, bonus)


def PlainPO(
    rate: Any = 1.0, ridge: Any = 1.0, bonus: Any = 1.0, schedule: str = "two-thirds"
) -> DilatedPO:
    """Plain estimates and exponential weights, which bear no very negative estimate, so that rates
    have to be small: regret of order K^(2/3). See `DilatedPO`."""
    return DilatedPO("entropy", "plain", schedule, rate, ridge, bonus)
