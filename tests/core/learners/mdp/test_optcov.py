"""OptCov's steps against derivatives and histories; its designs against SciPy and closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.learners.mdp import optcov
from regrax.core.learners.mdp.statistics import from_counts
from regrax.core.mdp import Counts

from . import offline_models as models
from . import reference_offline as reference

STAGES = 3
GAPS = (0.1, 0.0, 0.3, 0.3)  # of the four paths of a tree
TREE = [
    ((0, 0, 0, 0), 222.2222),
    ((100, 0, 50, 0), 111.1111),
    ((100, 100, 0, 0), 22.2222),
    ((200, 200, 200, 200), 0.0),
]


# ---- one step ------------------------------------------------------------------------------


def covariances(seed=0, stages=2, d=3, targets=4):
    """Lambda [H, d, d], roots of their inverses, and targets [H, M, d]."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(stages, d, d))
    grams = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(d)
    roots = np.linalg.inv(np.linalg.cholesky(grams))
    return grams, roots, rng.normal(size=(stages, targets, d))


def in_float64(function, *arguments):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(function)(*(jnp.asarray(x, jnp.float64) for x in arguments)))


def test_norms_of_targets():
    grams, roots, targets = covariances()
    expected = [
        [t @ np.linalg.solve(g, t) for t in row] for g, row in zip(grams, targets, strict=True)
    ]
    np.testing.assert_allclose(
        in_float64(optcov.target_norms, roots, targets), expected, rtol=1e-12
    )


def test_rewards_are_the_slope_of_the_weighted_norms():
    """g(s, a) is how fast sum_m p_m |t_m|^2 falls as Lambda grows along phi phi^T: by central
    differences, whose error is of the order of the square of the step."""
    grams, roots, targets = covariances()
    phi = np.random.default_rng(1).normal(size=(2, 2, 3))
    weights = np.random.default_rng(2).uniform(size=targets.shape[:2])
    found = in_float64(optcov.design_rewards, roots, phi, targets, weights)
    for h, s, a in np.ndindex(found.shape):

        def norm(x, h=h, f=phi[s, a]):
            inverse = np.linalg.inv(grams[h] + x * np.outer(f, f))
            return weights[h] @ np.einsum("mi,ij,mj->m", targets[h], inverse, targets[h])

        slope = (norm(1e-4) - norm(-1e-4)) / 2e-4
        assert found[h, s, a] == pytest.approx(-slope, rel=1e-5)


def test_soft_max_has_optcovs_sharpness():
    """Batch i: N = 4^i episodes, norms N |t|^2 and sharpness 2^(2 i / 5)."""
    norms = np.array([[0.5, 0.2], [-np.inf, 0.45]])
    for i in (0, 1, 3):
        expected = np.exp(2 ** (2 * i / 5) * 4**i * norms)
        found = in_float64(optcov.soft_max, norms, 4**i)
        np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)
    assert in_float64(optcov.soft_max, norms, 0)[1, 0] == 0
    np.testing.assert_allclose(in_float64(optcov.soft_max, norms, 1e5)[0, 0], 1)


@pytest.mark.parametrize(("bonus", "scale"), [(0.0, 1.0), (0.5, 7.0)])
def test_values_for_the_design_are_those_of_lsvi_ucb(bonus, scale):
    """For known rewards of any scale, from a history in NumPy."""
    model = models.linear_model(4)
    played = models.play(model, 30)
    counts, history = models.counts_of(model, played), reference.history_of(played)
    rewards = np.random.default_rng(0).uniform(size=model.rewards.shape)
    rewards *= scale / rewards.max()

    def values(features, visits, sums, rewards):
        state = from_counts(features, 0.5, Counts(visits, sums))
        return optcov.exploring_values(state, features, rewards, bonus)

    found = in_float64(values, model.features, *counts, rewards)
    expected = reference.value_iteration(
        model.features, history, STAGES, 0.5, bonus, rewards / rewards.max()
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_known_models_are_planned_exactly():
    model = models.linear_model(5)
    rewards = 1e-9 * model.rewards  # a design's can be tiny
    found = in_float64(optcov.planned_values, model.transitions, rewards)
    after = np.zeros(4)
    for h in reversed(range(STAGES)):
        expected = model.rewards[h] / model.rewards.max() + model.transitions[h] @ after
        np.testing.assert_allclose(found[h], expected, rtol=1e-12)
        after = expected.max(axis=-1)


def test_nothing_left_to_learn_is_no_reason_to_fail():
    model = models.linear_model(5)
    nothing = np.zeros_like(model.rewards)
    assert not in_float64(optcov.planned_values, model.transitions, nothing).any()


def test_batches_are_those_of_optcov():
    """From 4^i episodes to 4^(i + 1) it plays a policy for 2^i to 2^(i + 1) episodes each."""
    batch = jax.jit(optcov.batch)
    episodes, policies = 0, []
    while episodes < 4**6:
        policies.append(episodes)
        length = int(batch(jnp.int32(episodes)))
        assert length == 1 + math.isqrt(episodes)
        episodes += length
    for i in range(3, 6):
        count = sum(4**i <= n < 4 ** (i + 1) for n in policies)
        assert 0.75 * 2**i <= count <= 3 * 2**i


# ---- designs for known models --------------------------------------------------------------


def tree():
    """A root with two children of two actions each, one-hot features: transitions, start, phi."""
    moves = np.zeros((2, 3, 2, 3))
    moves[0, 0, 0, 1] = moves[0, 0, 1, 2] = 1
    moves[0, 1:, :, 0] = moves[1, :, :, 0] = 1
    return moves, np.array([1.0, 0, 0]), np.eye(6).reshape(3, 2, 6)


def leaves(visits):
    """Targets of the four paths, for epsilon = 0.1 and b = 1, and offline data, at the leaves."""
    targets, prior = np.zeros((2, 4, 6)), np.tile(1e-6 * np.eye(6), (2, 1, 1))
    for i, (gap, n) in enumerate(zip(GAPS, visits, strict=True)):
        targets[1, i, 2 + i] = 1 / max(gap, 0.1)
        prior[1, 2 + i, 2 + i] += n
    return targets, prior


@pytest.mark.parametrize(("visits", "episodes"), TREE)
def test_a_tree_in_closed_form_and_by_design(visits, episodes):
    found = optcov.tree_episodes(GAPS, visits, 0.1)
    assert round(found, 4) == episodes
    # The design's mixture is one that can be played: it never needs less, but for the 1e-6 of the
    # prior; conditional gradients leave an error of the order 1 / steps, here 1 / 500.
    designed = optcov.episodes_needed(*tree(), *leaves(visits), steps=500, precision=1e-3)
    assert found * (1 - 1e-6) <= designed <= found * (1 + 0.02)


@pytest.mark.parametrize("episodes", [3.0, 40.0])
def test_a_design_is_as_good_as_scipys(episodes):
    model = models.linear_model(6, stages=2, states=2, actions=2, d=3)
    policies = reference.every_policy(2, 2, 2)
    visits = reference.occupancies(model.transitions, model.start, policies)
    targets = np.einsum("phsa,sad->hpd", visits, model.features)
    rng = np.random.default_rng(0)
    prior = np.stack([np.diag(rng.uniform(0.1, 3, 3)) for _ in range(2)])
    arguments = model.transitions, model.start, model.features, targets, prior, episodes
    best = reference.least_norm(*arguments)
    found = optcov.least_norm(*arguments, steps=500)
    assert best * (1 - 1e-6) <= found <= best * 1.01
    uniform = np.full((1, 2, 2, 2), 0.5)  # to do as well is not for free
    visits = reference.occupancies(model.transitions, model.start, uniform)[0]
    gram = np.einsum("hsa,sai,saj->hij", visits, model.features, model.features)
    inverse = np.linalg.inv(episodes * gram + prior)
    assert np.einsum("hmi,hij,hmj->m", targets, inverse, targets).max() > best * 1.02


@given(st.lists(st.integers(0, 150), min_size=4, max_size=4), st.integers(0, 3))
@settings(max_examples=20)
def test_data_never_cost_episodes(visits, path):
    more = list(visits)
    more[path] += 25
    before, after = (optcov.tree_episodes(GAPS, n, 0.1) for n in (visits, more))
    assert 0 <= before - after <= 25
    assert before <= optcov.tree_episodes(GAPS, visits, 0.05)


def test_a_budget_is_a_unit():
    visits = np.array([100, 0, 50, 0])
    found = optcov.tree_episodes(GAPS, 7 * visits, 0.1, budget=7.0)
    assert found == pytest.approx(7 * optcov.tree_episodes(GAPS, visits, 0.1))


# ---- errors --------------------------------------------------------------------------------


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match=r"same paths and a positive epsilon.*\[4\] and \[2\]"):
        optcov.tree_episodes(GAPS, (1, 2), 0.1)
    with pytest.raises(ValueError, match="positive epsilon"):
        optcov.tree_episodes(GAPS, GAPS, 0)
    targets, prior = leaves((0, 0, 0, 0))
    targets[1, 0, 0] = 1  # the root's action, at the second stage
    with pytest.raises(ValueError, match="some target stays unknown after"):
        optcov.episodes_needed(*tree(), targets, prior, steps=50)
