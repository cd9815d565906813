"""Playing given points against an environment, and best fixed points by SciPy."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.domains import Ball, Box, Domain, Simplex


class Played(NamedTuple):
    """What happened in the rounds 0, 1, ... of one seed."""

    feedback: Any  # [rounds, ...]
    metrics: Any  # [rounds]
    reports: dict  # [rounds + 1], what `evaluate` says before each round and after the last
    tape: Any  # [rounds, ...]


@jit
def _play(env, actions, seed):
    rounds = len(jax.tree.leaves(actions)[0])
    key = noise.stream(noise.root(5), seed)
    state = env.init(noise.stream(key, "init"))
    tape = env.noise(noise.stream(key, "noise"), rounds)

    def play_round(state, now):
        report = env.evaluate(state, ())
        state, feedback, metrics = env.step(state, *now)
        return state, (feedback, metrics, report)

    last, history = jax.lax.scan(play_round, state, (actions, tape))
    return history, env.evaluate(last, ()), tape


def play(env: Any, actions: Any, seed: int = 0) -> Played:
    """Play these actions, whatever comes back."""
    (feedback, metrics, reports), end, tape = jax.device_get(_play(env, actions, np.uint32(seed)))
    reports = {name: np.append(x, end[name]) for name, x in reports.items()}
    return Played(feedback, metrics, reports, tape)


def points_of(domain: Domain, count: int, seed: int = 0) -> np.ndarray:
    """Points of the domain, some of them on its edge, [count, d] float32."""
    rng, d = np.random.default_rng(seed), domain.dimension
    if isinstance(domain, Simplex):
        return rng.dirichlet(np.full(d, 0.5), count).astype(np.float32)
    if isinstance(domain, Box):
        wide = rng.uniform(-0.3, 1.3, (count, d))
        return (domain.low + (domain.high - domain.low) * np.clip(wide, 0, 1)).astype(np.float32)
    assert isinstance(domain, Ball)
    x = rng.normal(size=(count, d))
    x *= domain.radius / np.linalg.norm(x, axis=1, keepdims=True)
    return (x * np.minimum(rng.uniform(0, 1.5, (count, 1)), 1)).astype(np.float32)


def least(domain: Domain, paid: Any, slope: Any) -> tuple[float, np.ndarray]:
    """The least value of a convex function on the domain and where it is, by SciPy's SLSQP from
    several points."""
    d = domain.dimension
    constraints, bounds = (), None
    if isinstance(domain, Simplex):
        constraints = {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(d)}
        bounds = [(0, 1)] * d
    elif isinstance(domain, Box):
        bounds = list(zip(domain.low.astype(float), domain.high.astype(float), strict=True))
    else:
        assert isinstance(domain, Ball)
        radius = float(domain.radius)
        constraints = {"type": "ineq", "fun": lambda x: radius**2 - x @ x, "jac": lambda x: -2 * x}
    options = {"maxiter": 500, "ftol": 1e-14}
    found = [
        minimize(paid, x, jac=slope, bounds=bounds, constraints=constraints, options=options)
        for x in points_of(domain, 4, seed=9).astype(float)
    ]
    best = min(found, key=lambda one: one.fun)
    return float(best.fun), best.x


@dataclasses.dataclass(frozen=True)
class Repeats:
    """Plays the same points again and again: a stand-in for a learner."""

    points: tuple

    def init(self, key):
        return jnp.int32(0)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.asarray(np.array(self.points, np.float32))[state % len(self.points)]

    def update(self, state, observation, action, feedback):
        return state + 1

    def recommend(self, state):
        return jnp.zeros(())


jax.tree_util.register_static(Repeats)
