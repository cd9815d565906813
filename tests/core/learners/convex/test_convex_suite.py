"""What every convex learner must do in `simulate`, whatever it computes."""

from __future__ import annotations

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from regrax.core import noise as tapes
from regrax.core import simulate as engine
from regrax.core.domains import Ball, Simplex
from regrax.core.learners import convex
from regrax.core.losses import QuadraticLoss
from regrax.core.protocol import complete
from regrax.core.simulate import simulate, stack

T = 40
LEARNERS = {
    name: convex.FromOptax(optax.adam(0.1)) if name == "FromOptax" else getattr(convex, name)()
    for name in convex.__all__
}
every_learner = pytest.mark.parametrize("name", LEARNERS)
NEEDS_A_NORM = "MetaGrad", "OnlineNewton", "OptimisticNewton", "AdaGrad"


@flax.struct.dataclass
class Scattered:
    """Losses |x - z|^2 / 2 with z uniform on [-1, 1]^2."""

    domain: Any = Ball(2)
    gradient_bound: Any = 2.5
    smoothness: Any = 1.0
    strong_convexity: Any = 1.0

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return 2 * tapes.uniform(key, (num_rounds, 2)) - 1

    def observe(self, state, noise):
        return ()

    def step(self, state, point, noise):
        loss = QuadraticLoss(noise)
        inside = jnp.max(jnp.abs(self.domain.project(point) - point))
        return state, loss, {"loss": loss.value(point), "outside": inside}

    def evaluate(self, state, point):
        return {"recommended": point}


@functools.cache
def run(name, seeds=range(8)):
    learner = LEARNERS[name]
    return simulate(Scattered(), learner, T, seeds, checkpoints=[T], progress=False).metrics


@pytest.mark.parametrize("name", ["OptimisticMirrorDescent", "OnlineNewton"])
def test_a_seed_is_the_same_in_any_batch(name):
    """Of the kinds that treat seeds as lanes too."""
    few, many = run(name), run(name, range(20))
    np.testing.assert_allclose(few["loss"], many["loss"][:, :8], rtol=1e-5)
    assert len(np.unique(many["loss"][-1])) == 20


@every_learner
def test_it_plays_and_recommends_points_of_the_domain(name):
    metrics = run(name)
    assert np.max(metrics["outside"]) <= T * 1e-6
    recommended = metrics["recommended"]
    assert recommended.dtype == np.float32 and recommended.shape == (1, 8, 2)
    assert 0.01 < np.max(np.linalg.norm(recommended, axis=-1)) <= 1 + 1e-6


@every_learner
def test_a_domain_that_it_cannot_play_on_is_refused(name):
    env = Scattered(Simplex(2))
    if name in NEEDS_A_NORM:
        with pytest.raises(ValueError, match="Ball|Box"):
            complete(LEARNERS[name], env, T)
    else:
        whole = complete(LEARNERS[name], env, T)
        assert whole.domain == Simplex(2)
        np.testing.assert_allclose(whole.recommend(whole.init(None)), [0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("name", ["OGD", "OptimisticFTRL", "AdaGrad", "OnlineNewton", "TwoLayer"])
def test_learners_stack_and_their_parameters_are_data(name):
    """A stack plays as its members do alone, and other numbers need no other program."""
    whole = complete(LEARNERS[name], Scattered(), T)
    members = [whole, jax.tree.map(lambda x: 1.1 * x, whole)]
    first = run(name)["loss"]
    before = engine._advance._cache_size()
    arguments = {"checkpoints": [T], "progress": False}
    alone = [simulate(Scattered(), x, T, 8, **arguments).metrics["loss"] for x in members]
    assert engine._advance._cache_size() == before
    np.testing.assert_array_equal(alone[0], first)
    together = simulate(Scattered(), stack(members), T, 8, **arguments).metrics["loss"]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
