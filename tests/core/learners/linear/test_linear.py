"""LinUCB, OFUL, LinTS and RegCB against plain NumPy, and what their papers promise."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.linear import OFUL, LinTS, LinUCB, RegCB
from regrax.core.protocol import BanditFeedback, Context, complete

from . import problems
from . import reference_linear as reference
from .problems import KEY, D, K

layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
ROUNDS = 300
CASES = {
    "LinUCB": (LinUCB(), reference.lin_ucb(), {}),
    "LinUCB square": (
        LinUCB(exploration=0.5, regularisation=0.25, width="square"),
        reference.lin_ucb(0.5, "square"),
        {"regularisation": 0.25},
    ),
    "OFUL": (OFUL(), reference.oful(), {}),
    "OFUL other": (
        OFUL(noise_scale=0.25, norm=0.5, delta=0.5, regularisation=2.0),
        reference.oful(0.25, 0.5, 0.5),
        {"regularisation": 2.0},
    ),
    "RegCB": (RegCB(), reference.reg_cb(), {"of": "losses"}),
    "RegCB range": (
        RegCB(scale=0.0625, range=0.5),
        reference.reg_cb("optimistic", 0.0625, 0.5),
        {"of": "losses"},
    ),
    "RegCB elimination": (
        RegCB(mode="elimination", scale=0.015625),
        reference.reg_cb("elimination", 0.015625),
        {"of": "losses"},
    ),
    "LinTS": (
        LinTS(exploration=0.25, regularisation=0.5),
        reference.lin_ts_of_arms(0.25),
        {"regularisation": 0.5},
    ),
}


@layouts
@pytest.mark.parametrize("name", CASES)
def test_plays_the_arms_of_its_reference(name, disjoint):
    learner, rule, model = CASES[name]
    contexts, rewards = problems.table(ROUNDS, disjoint)
    arms, tape, states = problems.play(problems.fitted(learner, disjoint), contexts, rewards)
    model = reference.Ridge(K, D, disjoint, **model)
    if name == "LinTS" and not disjoint:
        rule = joint_draws(jax.tree.map(np.asarray, states.roots), 0.25)
    tape = tape if isinstance(tape, tuple) else np.asarray(tape, float)
    numbers = contexts.astype(float), rewards.astype(float)
    np.testing.assert_array_equal(arms, reference.play(rule, model, *numbers, tape))
    assert len(np.unique(arms)) == K
    assert np.asarray(arms).dtype == np.int32


def joint_draws(roots, exploration):
    """LinTS where a model is shared. Any root gives the posterior: which one is checked to be a
    root of A^-1, and then used."""

    def rule(model, context, t, tape):
        root, inverse = roots[t, 0], np.linalg.inv(model.matrices[0])
        np.testing.assert_allclose(root.T @ root, inverse, rtol=1e-9, atol=1e-12)
        theta = inverse @ model.vectors[0]
        draw = theta + np.sqrt(model.regularisation * exploration) * root.T @ tape
        return reference.best(context @ draw)

    return rule


DETERMINISTIC = [LinUCB(), LinUCB(width="square"), OFUL(noise_scale=0.25)]
DETERMINISTIC += [RegCB(), RegCB(mode="elimination", scale=0.015625)]


@pytest.mark.parametrize("learner", DETERMINISTIC, ids=repr)
def test_disjoint_is_shared_with_blocks(learner):
    contexts, rewards = problems.table(ROUNDS, True)
    apart, _, _ = problems.play(problems.fitted(learner, True), contexts, rewards)
    wide = problems.fitted(learner, False, K * D)
    dense, _, _ = problems.play(wide, problems.blocks(contexts), rewards)
    np.testing.assert_array_equal(apart, dense)


def test_thompson_of_blocks_is_thompson_of_arms_in_law():
    """Scores of the shared layout have the mean and the covariance of the disjoint one, whose
    arms are independent."""
    contexts, rewards = problems.table(50, True)
    apart = problems.fitted(LinTS(exploration=0.3), True)
    wide = problems.fitted(LinTS(exploration=0.3), False, K * D)
    arms, _, states = problems.play(apart, contexts, rewards)
    played = jax.tree.map(lambda x: np.asarray(x)[-1], states)
    x = np.kron(np.eye(K), contexts[-1].astype(float))
    variances = 0.3 * np.array(
        [contexts[-1] @ root.T @ root @ contexts[-1] for root in played.roots.astype(float)]
    )
    state = wide.init(KEY)
    for context, arm, reward in zip(problems.blocks(contexts)[:-1], arms, rewards, strict=False):
        state = wide.update(state, Context(context), arm, BanditFeedback(reward[arm]))
    root = np.asarray(state.roots)[0]
    np.testing.assert_allclose(0.3 * x @ root.T @ root @ x.T, np.diag(variances), atol=1e-12)
    np.testing.assert_allclose(
        x @ np.asarray(state.solutions)[0], played.solutions @ contexts[-1], atol=1e-12
    )


def test_thompson_draws_are_normal_with_its_covariance():
    """How often a shared model plays each arm, against scores drawn by NumPy's own sampler."""
    contexts, rewards = problems.table(40, False)
    learner = problems.fitted(LinTS(exploration=4.0), False)
    *_, states = problems.play(learner, contexts, rewards)
    state = jax.tree.map(lambda x: np.asarray(x)[-1], states)
    seen, size = Context(jnp.asarray(contexts[-1])), 200_000
    with jax.enable_x64(True):
        state = jax.tree.map(jnp.asarray, state)
    ours = jax.vmap(lambda z: learner.act(state, seen, z))(noise.normal(KEY, (size, D)))
    root, x = np.asarray(state.roots)[0], contexts[-1].astype(float)
    rng = np.random.default_rng(0)
    theirs = rng.multivariate_normal(np.asarray(state.solutions)[0], 4 * root.T @ root, size)
    table = [np.bincount(arms, minlength=K) for arms in (ours, np.argmax(theirs @ x.T, axis=1))]
    assert np.all(np.array(table) > 1000)
    assert stats.chi2_contingency(table).pvalue > 1e-6


# ---- OFUL's confidence set -----------------------------------------------------------------------


@functools.cache
def distances(runs=2000, horizon=300):
    """Of every run: the largest over the rounds of |theta* - solution|_A / radius. Rewards are
    x^T theta* plus normal noise of deviation 1/2, |theta*| = 1."""
    learner = complete(
        OFUL(noise_scale=0.5, norm=1.0, delta=0.05),
        SimpleNamespace(num_arms=3, dimension=3, disjoint=False),
        horizon,
    )
    truth = np.array([0.6, -0.64, 0.48])

    def run(learner, key):
        features = noise.normal(noise.stream(key, "features"), (horizon, 3, 3))
        features /= jnp.linalg.norm(features, axis=-1, keepdims=True)
        errors = 0.5 * noise.normal(noise.stream(key, "errors"), (horizon,))

        def one(state, row):
            seen = Context(row[0])
            arm = learner.act(state, seen, ())
            reward = row[0][arm] @ truth.astype(np.float32) + row[1]
            state = learner.update(state, seen, arm, BanditFeedback(reward))
            with jax.enable_x64(True):
                image = jnp.linalg.solve(state.roots[0].T, state.solutions[0] - truth)
                length = jnp.sqrt(jnp.sum(image * image)).astype(jnp.float32)
            return state, length / learner.radius(state)

        return jnp.max(jax.lax.scan(one, learner.init(key), (features, errors))[1])

    keys = jax.vmap(lambda i: noise.stream(noise.root(7), i))(jnp.arange(runs, dtype=jnp.uint32))
    return np.asarray(jit(jax.vmap(run, in_axes=(None, 0)))(learner, keys))


def test_the_confidence_set_of_oful_holds_the_truth():
    ratios = distances()
    assert np.sum(ratios > 1) <= stats.binom.ppf(1 - 1e-6, len(ratios), 0.05)
    # The set is not idly large: half of it would miss the truth in more runs than it may.
    assert np.sum(ratios > 0.5) > stats.binom.ppf(1 - 1e-6, len(ratios), 0.05)


def test_the_radius_of_oful():
    learner = problems.fitted(OFUL(noise_scale=2.0, norm=3.0, delta=0.1, regularisation=4.0), True)
    fresh = learner.init(KEY)
    assert float(learner.radius(fresh)) == pytest.approx(2 * np.sqrt(2 * np.log(10)) + 6, rel=1e-6)
    with jax.enable_x64(True):
        later = fresh._replace(log_growth=jnp.float64(5.0))
    expected = 2 * np.sqrt(2 * np.log(10) + 5) + 6
    assert float(learner.radius(later)) == pytest.approx(expected, rel=1e-6)


# ---- RegCB's bounds ------------------------------------------------------------------------------


def test_bounds_of_regcb_are_extreme_predictions():
    """Over the parameters whose squared error (with the regularisation) is D_t above the least."""
    contexts, rewards = problems.table(60, False)
    contexts = np.concatenate([np.ones_like(contexts[..., :1]), 0.2 * contexts[..., 1:]], axis=-1)
    learner = problems.fitted(RegCB(scale=0.01), False)  # so small that nothing is clipped
    arms, _, states = problems.play(learner, contexts, rewards)
    state = jax.tree.map(lambda x: x[-1], states)
    seen = Context(jnp.asarray(contexts[-1]))
    lower, upper = map(np.asarray, learner.bounds(state, seen))
    assert lower.min() > 0 and upper.max() < 1
    rows = np.arange(59), np.asarray(arms)[:-1]
    x, y = contexts[rows].astype(float), 1 - rewards[rows].astype(float)
    best = np.linalg.solve(np.eye(D) + x.T @ x, x.T @ y)

    def error(theta):
        return np.sum((x @ theta - y) ** 2) + theta @ theta

    excess = 0.01 * np.log(K * 59)
    factor = np.linalg.cholesky(np.linalg.inv(np.eye(D) + x.T @ x))
    for arm in range(K):
        z = contexts[-1, arm].astype(float)
        direction = factor.T @ z / np.linalg.norm(factor.T @ z)
        for end, sign in ((lower, -1), (upper, 1)):
            theta = best + sign * np.sqrt(excess) * factor @ direction
            assert error(theta) - error(best) == pytest.approx(excess, rel=1e-9)
            assert end[arm] == pytest.approx(z @ theta, abs=1e-6)
        others = np.random.default_rng(arm).normal(size=(1000, D))
        others /= np.linalg.norm(others, axis=1, keepdims=True)
        reached = (best + np.sqrt(excess) * others @ factor.T) @ z
        assert np.all((reached >= lower[arm] - 1e-6) & (reached <= upper[arm] + 1e-6))


def test_regcb_starts_with_all_arms_alike():
    contexts, _ = problems.table(1, True)
    for mode in ("optimistic", "elimination"):
        learner = problems.fitted(RegCB(mode=mode), True)
        seen, state = Context(jnp.asarray(contexts[0])), learner.init(KEY)
        arms = [int(learner.act(state, seen, jnp.float32(u))) for u in (0.1, 0.3, 0.6, 0.9)]
        assert arms == [0, 1, 2, 3]
        np.testing.assert_array_equal(learner.bounds(state, seen)[0], np.zeros(K))


# ---- ties and errors -----------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [LinUCB(), OFUL(), LinTS(exploration=0.0)], ids=repr)
def test_ties_go_to_the_lowest_index(learner):
    learner = problems.fitted(learner, True)
    state, seen = learner.init(KEY), Context(jnp.full(D, 0.3))
    tape = noise.normal(KEY, (K,))
    assert learner.act(state, seen, tape) == 0
    state = learner.update(state, seen, jnp.int32(0), BanditFeedback(jnp.float32(-1)))
    assert learner.act(state, seen, tape) == 1


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match='width is "sqrt" or "square", got \'cubic\''):
        LinUCB(width="cubic")
    with pytest.raises(ValueError, match='mode is "optimistic" or "elimination", got \'other\''):
        RegCB(mode="other")
    with pytest.raises(ValueError, match="OFUL: delta is a probability between 0 and 1, got 0"):
        OFUL(delta=0.0)
    with pytest.raises(ValueError, match="OFUL: norm is zero or more, got -1"):
        OFUL(norm=-1.0)
    with pytest.raises(ValueError, match="RegCB: range is positive, got 0"):
        RegCB(range=0.0)
    for learner in (LinUCB, LinTS):
        with pytest.raises(ValueError, match=f"{learner.__name__}: exploration is zero or more"):
            learner(exploration=-0.1)
    for learner in (LinUCB, OFUL, LinTS, RegCB):
        with pytest.raises(ValueError, match=f"{learner.__name__}: regularisation is positive"):
            learner(regularisation=0.0)
