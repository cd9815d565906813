"""GPTuner against posteriors of a linear regression solved from scratch, and on a model of SOR."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.learners.solver.bayes import GPTuner, _draw, cosines

from . import games

K, GAMES, ROUNDS, CHECKED = 20, 12, 700, 80
J, C = 8, 8
CONTEXTS, COUNTS = games.sequences(GAMES, ROUNDS)
play = games.player(lambda learner, state, context: ())


def build(**options):
    return GPTuner(K, games.OMEGAS, games.INTERVAL, **options)


def waves(x, number, length):
    """Written once more: square roots of a Gaussian spectrum, of variance 1 without mirrors."""
    rows = []
    for j in range(number):
        height = np.exp(-((np.pi * j * length) ** 2) / 2)
        rows.append(np.sqrt(height) * np.cos(np.pi * j * x) * (1 if j == 0 else np.sqrt(2)))
    total = sum(np.exp(-((np.pi * j * length) ** 2) / 2) for j in range(1 - number, number))
    return np.stack(rows, axis=-1) / np.sqrt(total / 2)


GAPS = np.log(2 - games.OMEGAS.astype(np.float64))
GRID = waves((GAPS.max() - GAPS) / (GAPS.max() - GAPS.min()), J, 0.15)
LOW, HIGH = games.INTERVAL.astype(np.float64)


def along(context, contextual):
    x = (np.float64(context) - LOW) / (HIGH - LOW)
    return waves(np.clip(x, 0, 1), C, 0.1) if contextual else np.ones(1)


def posterior(contexts, arms, counts, contextual, prior=1.5):
    """Mean and covariance of all weights, by one solve."""
    rows = [
        np.outer(GRID[a], along(c, contextual)).ravel() for c, a in zip(contexts, arms, strict=True)
    ]
    size, scatter = (J * C, 0.15) if contextual else (J, 0.5)
    features = np.reshape(rows, (-1, size))
    y = np.log(counts / counts[0]) if len(counts) else np.zeros(0)
    covariance = np.linalg.inv(features.T @ features / scatter**2 + np.eye(size) / prior**2)
    return covariance @ features.T @ y / scatter**2, covariance


CASES = [("ucb", True), ("thompson", True), ("ucb", False)]


@pytest.mark.parametrize(("explore", "contextual"), CASES)
def test_arms_are_those_of_a_posterior_from_scratch(explore, contextual):
    learner = build(explore=explore, contextual=contextual)
    arms, _, _ = play(learner, CONTEXTS, COUNTS)
    game, sure = 3, 0
    tape = learner.noise(noise.stream(noise.root(6), jnp.uint32(game)), ROUNDS)
    counts = np.take_along_axis(COUNTS[game], arms[game][:, None], 1)[:, 0]
    for t in range(CHECKED):
        past = CONTEXTS[game, :t], arms[game, :t], counts[:t]
        mean, covariance = posterior(*past, contextual)
        here = along(CONTEXTS[game, t], contextual)
        mean = mean.reshape(J, -1) @ here
        covariance = np.einsum("jckd,c,d->jk", covariance.reshape(J, len(here), J, -1), here, here)
        if explore == "ucb":
            sds = np.sqrt(np.einsum("ij,jk,ik->i", GRID, covariance, GRID))
            costs = GRID @ mean - 2 * sds
        else:
            draw = np.linalg.cholesky(covariance) @ np.asarray(tape[t], np.float64)
            costs = GRID @ (mean + draw)
        first, second = np.sort(costs)[:2]
        if second - first > 1e-6:
            sure += 1
            assert arms[game, t] == np.argmin(costs), f"round {t}"
    assert sure > 0.9 * CHECKED and len(set(arms[game, :CHECKED])) > 3


def test_hundreds_of_updates_keep_the_posterior():
    learner = build()
    arms, _, state = play(learner, CONTEXTS, COUNTS)
    counts = np.take_along_axis(COUNTS[0], arms[0][:, None], 1)[:, 0]
    mean, covariance = posterior(CONTEXTS[0], arms[0], counts, True)
    np.testing.assert_allclose(np.asarray(state.mean)[0].ravel(), mean, atol=1e-7)
    kept = np.asarray(state.covariance)[0].reshape(J * C, J * C)
    np.testing.assert_allclose(kept, covariance, atol=1e-9)
    averages = GRID @ mean.reshape(J, C) @ sum(along(c, True) for c in CONTEXTS[0])
    first = jax.tree.map(lambda x: x[0], state)
    assert learner.recommend(first) == np.argmin(averages)


@pytest.mark.parametrize("explore", ["ucb", "thompson"])
def test_it_beats_every_fixed_parameter_and_comes_near_the_best_of_every_system(explore):
    arms, _, _ = play(build(explore=explore), CONTEXTS, COUNTS)
    cost, fixed, optimal = games.late_costs(arms, COUNTS)
    assert games.below((cost - optimal) / (fixed - optimal), 0.5)


def test_without_contexts_it_finds_good_fixed_parameters():
    """Late costs are closer to the best fixed one than a quarter of the way to uniform play."""
    arms, _, _ = play(build(contextual=False), CONTEXTS, COUNTS)
    cost, fixed, _ = games.late_costs(arms, COUNTS)
    assert games.below(cost, fixed + 0.25 * (COUNTS.mean(axis=(1, 2)) - fixed))


def test_cosines_make_the_kernel():
    """Away from the ends, where mirror images add to it."""
    x = jnp.linspace(0.4, 0.6, 9)
    features = np.asarray(cosines(x, 40, 0.1), np.float64)
    expected = np.exp(-((x[:, None] - x) ** 2) / (2 * 0.1**2))
    np.testing.assert_allclose(features @ features.T, expected, atol=1e-5)


def test_draws_have_their_covariance():
    root = np.random.default_rng(0).normal(size=(5, 5))
    covariance = (root @ root.T).astype(np.float32)
    factor = jax.vmap(lambda z: _draw(jnp.asarray(covariance), z), out_axes=1)(jnp.eye(5))
    np.testing.assert_allclose(factor, np.linalg.cholesky(covariance), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"explore": "greedy"}, '"ucb" or "thompson"'),
        ({"omegas": [1.0, 2.0]}, "a grid of parameters below 2"),
        ({"omegas": [1.5, 1.5]}, "not all equal"),
        ({"noise_scale": 0}, "noise_scale is positive"),
        ({"width": -1}, "width is zero or more"),
        ({"interval": (2, 1)}, "a pair a < b"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        GPTuner(K, **arguments)
