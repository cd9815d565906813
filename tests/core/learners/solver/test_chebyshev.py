"""ChebCB against fits of the whole history from scratch, round by round, and on a model of SOR."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.learners.solver.box import RIDGE
from regrax.core.learners.solver.chebyshev import ChebCB, inverse_gap, position

from . import games
from .reference_chebyshev import ChebCB as Reference

K, GAMES, ROUNDS, CHECKED = 20, 24, 1200, 600
CONTEXTS, COUNTS = games.sequences(GAMES, ROUNDS)


def watch(learner, state, context):
    return games.chances(learner, state, context), state.rate


play = games.player(watch)


def forced_arms():
    """All arms, five of them more often."""
    rng = np.random.default_rng(3)
    few = rng.random((GAMES, ROUNDS)) < 0.5
    arms = np.where(few, rng.integers(10, 15, few.shape), rng.integers(0, K, few.shape))
    return arms.astype(np.int32)


def differences(seen, game, arms, reference):
    """How far probabilities and relative rates are from the reference, before every round."""
    apart, rates = [], []
    for t in range(CHECKED):
        apart.append(np.max(np.abs(seen[0][game, t] - reference.probabilities(CONTEXTS[game, t]))))
        rates.append(abs(seen[1][game, t] - reference.eta) / max(reference.eta, 1))
        arm = arms[game, t]
        reference.update(CONTEXTS[game, t], arm, COUNTS[game, t, arm])
    assert reference.boxed > 50 and np.max(seen[0][game]) > 0.9  # there was something to check
    return np.array(apart), np.array(rates)


@pytest.mark.parametrize(("degree", "quirk"), [(5, True), (2, False)])
def test_probabilities_are_those_of_fits_from_scratch(degree, quirk):
    learner, arms = ChebCB(K, games.INTERVAL, degree, quirk), forced_arms()
    _, seen, _ = play(learner, CONTEXTS, COUNTS, arms)
    for game in (0, GAMES - 1):
        reference = Reference(K, games.INTERVAL, degree + 1, quirk, RIDGE)
        apart, rates = differences(seen, game, arms, reference)
        assert np.max(apart) < 1e-6 and np.max(rates) < 1e-9


def test_the_ridge_decides_only_where_the_data_do_not():
    """Without it `lstsq` and `lsq_linear` agree, too, but where fewer rounds than coefficients
    leave the fit in the box open."""
    learner, arms = ChebCB(K, games.INTERVAL), forced_arms()
    _, seen, _ = play(learner, CONTEXTS, COUNTS, arms)
    for game in (0, GAMES - 1):
        apart, rates = differences(seen, game, arms, Reference(K, games.INTERVAL))
        assert np.mean(apart > 1e-5) < 0.05 and np.max(apart) < 0.01 and np.max(rates) < 1e-6


def test_it_beats_every_fixed_parameter_and_comes_near_the_best_of_every_system():
    arms, seen, state = play(ChebCB(K, games.INTERVAL), CONTEXTS, COUNTS)
    cost, fixed, optimal = games.late_costs(arms, COUNTS)
    assert games.below((cost - optimal) / (fixed - optimal), 0.5)
    assert np.all(np.abs(seen[0].sum(axis=2) - 1) < 1e-6) and np.all(seen[0] > 0)
    worst = COUNTS.mean(axis=(0, 1)).argmax()
    recommended = jax.vmap(ChebCB(K, games.INTERVAL).recommend)(state)
    assert recommended.dtype == jnp.int32 and np.all(recommended != worst)


def test_counts_that_say_nothing_do_no_harm():
    """All counts 1, all counts 0 (as for a system solved before), and one large one."""
    counts = np.ones_like(COUNTS)
    counts[GAMES // 2 :] = 0
    counts[::3, 50] = 10_000
    arms, seen, _ = play(ChebCB(K, games.INTERVAL), CONTEXTS, counts)
    assert np.all(np.isfinite(seen[0])) and np.all(np.isfinite(seen[1])) and np.all(seen[0] >= 0)
    assert np.all(np.abs(seen[0].sum(axis=2) - 1) < 1e-6)
    assert np.all((arms >= 0) & (arms < K))


def test_inverse_gaps():
    shares = inverse_gap(jnp.asarray([3.0, 1.0, 2.0, 1.0]), jnp.float32(4))
    np.testing.assert_allclose(
        shares, [1 / 12, 1 - 1 / 12 - 1 / 8 - 1 / 4, 1 / 8, 1 / 4], rtol=1e-6
    )


def test_positions_end_at_the_ends():
    ends = np.array([-1, 3], np.float32)
    found = [position(jnp.float32(c), ends) for c in (-7, -1, 0, 3, 4)]
    np.testing.assert_allclose(found, [-1, -1, -0.5, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"degree": -1}, "degree is a whole number"),
        ({"degree": 2.0}, "degree is a whole number"),
        ({"interval": (1, 1)}, "a pair a < b"),
        ({"interval": (0, 1, 2)}, "a pair a < b"),
        ({"interval": (0, np.inf)}, "a pair a < b"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        ChebCB(K, **arguments)


def test_a_learner_of_contexts_wants_one():
    learner = ChebCB(3, (0, 1))
    state = learner.init(None)
    with pytest.raises(ValueError, match="one number"):
        learner.act(state, (), jnp.float32(0.5))
    with pytest.raises(ValueError, match="interval"):
        ChebCB(3).act(state, jnp.float32(0), jnp.float32(0.5))
