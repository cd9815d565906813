"""Policy optimisation with adversarial losses: estimates, regularisers, the learners as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp import adversarial, loss_estimates
from regrax.core.learners.mdp.adversarial import DilatedPO, LogBarrierPO, PlainPO, ReducedPO
from regrax.core.protocol import complete
from regrax.core.simulate import simulate, stack
from regrax.envs import adversarial_mdp_instances as instances
from regrax.envs.adversarial_mdp import LossFeedback
from regrax.envs.mdp_instances import random_low_rank, river_swim

from . import reference_adversarial as reference

KEY = noise.root(2)
ALL = {"log-barrier": LogBarrierPO, "reduced": ReducedPO, "plain": PlainPO}
OF_ALL = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


def double(function, *arguments):
    with jax.enable_x64(True):
        found = jax.jit(function)(*map(np.asarray, arguments))
        return jax.tree.map(np.asarray, found)


# ---- regularisers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "eta", "expected"),
    [
        ((0, 1, 2), 1, (0.451606, 0.311108, 0.237286)),
        ((0, 10, -5), 0.1, (0.338880, 0.253107, 0.408013)),
    ],
)
def test_log_barrier_to_printed_digits(losses, eta, expected):
    found = double(adversarial.log_barrier, eta * np.array(losses, float))
    np.testing.assert_allclose(found, expected, atol=5e-7)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5, 40]), st.floats(-6, 12))
def test_log_barrier_is_the_minimum(seed, actions, size):
    """Of <p, L> - sum ln p: p sums to one, and p (L + nu) = 1 with the same nu for all actions."""
    losses = np.random.default_rng(seed).normal(size=(3, actions)) * 10**size
    found = double(adversarial.log_barrier, losses)
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-12)
    nu = 1 / found.max(axis=-1, keepdims=True)
    ahead = losses - losses.min(axis=-1, keepdims=True)
    np.testing.assert_allclose(found * (ahead + nu), 1, rtol=1e-11)
    for row, state in zip(found, losses, strict=True):
        np.testing.assert_allclose(row, reference.barrier(state), rtol=1e-9)


@pytest.mark.parametrize("far", [1.0, 30.0, 1e3, 1e6])
def test_log_barrier_of_many_actions(far):
    """One ahead of a hundred thousand: Newton's method has the longest way to go."""
    losses = np.full(100_000, far)
    losses[0] = 0
    found = double(adversarial.log_barrier, losses)
    np.testing.assert_allclose(found, reference.barrier(losses), rtol=1e-10)


# ---- estimates -----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_inverses_of_ill_conditioned_matrices(scale):
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(20, 6, 6)) * np.array([1, 1, 1, scale, scale, 1])
    matrices = roots.swapaxes(-1, -2) @ roots + 1e-9 * np.eye(6)
    found = double(loss_estimates.inverse, matrices)
    exact = np.linalg.inv(matrices)
    off = np.abs(found - exact).max(axis=(1, 2)) / np.abs(exact).max(axis=(1, 2))
    assert off.max() < 1e-15 * np.linalg.cond(matrices).max()


def tiny(stages=3, seed=0):
    """A linear MDP small enough for all trajectories to be written down: features, transitions,
    start, losses and a policy, in float64."""
    rng = np.random.default_rng(seed)
    states, actions, d = 2, 2, 2
    features = rng.dirichlet(np.ones(d), (states, actions))
    transitions = np.einsum("sad,hdt->hsat", features, rng.dirichlet(np.ones(states), (stages, d)))
    losses = np.einsum("sad,hd->hsa", features, rng.uniform(size=(stages, d)))
    policy = rng.dirichlet(np.ones(actions), (stages, states))
    return features, transitions, np.array([0.3, 0.7]), losses, policy


def values(transitions, losses, policy):
    """Q^pi, [H, S, A]."""
    found, after = np.empty_like(losses), np.zeros(losses.shape[1])
    for h in reversed(range(len(losses))):
        found[h] = losses[h] + transitions[h] @ after
        after = np.sum(policy[h] * found[h], axis=-1)
    return found


def estimates(features, inverses, visits, states, actions, losses):
    """Plain and reduced, and the means of negative parts."""
    features = jnp.asarray(features)
    shares = loss_estimates.products(features, inverses, features[states[:-1], actions])
    to_go = loss_estimates.losses_to_go(losses)
    means = len(losses) * loss_estimates.negative_means(features, inverses, visits)
    reduced = loss_estimates.magnitude_reduced(shares, to_go, means)
    return loss_estimates.plain(shares, to_go), reduced, means


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_expectations_over_all_trajectories(gamma):
    """Both estimates have the same expectation, and without gamma it is Q."""
    features, transitions, start, losses, policy = tiny()
    visits = reference.occupancy(transitions, start, policy)
    inverses = reference.inverses(features, visits, gamma)
    assert inverses.max() < 1e3
    paths = reference.trajectories(transitions, start, policy)
    chance, states, actions = (np.array(x) for x in zip(*paths, strict=True))
    assert chance.sum() == pytest.approx(1, abs=1e-14) and len(paths) == 128
    received = losses[np.arange(3), states[:, :-1], actions]

    def every(states, actions, received):
        of_one = jax.vmap(estimates, in_axes=(None, None, None, 0, 0, 0))
        return of_one(features, inverses, visits, states, actions, received)

    plain, reduced, means = double(every, states, actions, received)
    expected = [np.einsum("n,nhsa->hsa", chance, x) for x in (plain, reduced)]
    np.testing.assert_allclose(expected[1], expected[0], atol=1e-12)
    assert np.abs(plain - reduced).max() > 0.1
    q = values(transitions, losses, policy)
    if gamma == 0:
        np.testing.assert_allclose(expected[0], q, atol=1e-11)
    else:
        assert np.abs(expected[0] - q).max() > 0.01
    for n in (0, 50, 127):
        path = states[n], actions[n], received[n]
        np.testing.assert_allclose(plain[n], reference.plain(features, inverses, path), atol=1e-11)
        exact, m = reference.reduced(features, inverses, visits, path)
        np.testing.assert_allclose(reduced[n], exact, atol=1e-11)
        np.testing.assert_allclose(means[n], m, atol=1e-11)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-8, 0), st.floats(0.02, 2))
def test_reduced_estimates_are_bounded_from_below(seed, log_gamma, concentration):
    """Qmr >= m >= -H |phi|_G, however small gamma is; features have any sign."""
    rng = np.random.default_rng(seed)
    stages, states, actions, d = 3, 2, 4, 3
    features = rng.normal(size=(states, actions, d))
    features /= np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1)
    visits = rng.dirichlet(np.full(states * actions, concentration), stages)
    visits = visits.reshape(stages, states, actions)
    inverses = reference.inverses(features, visits, 10.0**log_gamma)
    path = rng.integers(states, size=stages + 1), rng.integers(actions, size=stages)
    plain, reduced, means = double(
        estimates, features, inverses, visits, *path, rng.uniform(size=stages)
    )
    norms = double(loss_estimates.squared_norms, features, inverses)
    slack = 1e-9 * norms.max()
    assert np.all(reduced >= means - slack)
    assert np.all(means >= -stages * np.sqrt(norms) - slack)
    assert np.all(reduced >= plain + means - slack)


def test_plain_estimates_may_be_very_negative_where_reduced_ones_are_not():
    """Opposed actions of which each has a chance of p in a thousand."""
    env, p = instances.opposed_actions(2, 1), 1e-3
    policy = np.tile([1 - 4 * p, p, p, p, p], (1, 2, 1))
    features = np.asarray(env.features, float)
    visits = 0.5 * policy
    inverses = reference.inverses(features, visits, 1e-9)
    played = [0, 0], [1], [1.0]
    plain, reduced, _ = double(estimates, features, inverses, visits, *map(np.array, played))
    assert plain.min() == pytest.approx(-1 / (4 * p), rel=1e-3)
    norms = double(loss_estimates.squared_norms, features, inverses)
    assert reduced.min() >= -np.sqrt(norms.max()) > -1.1 / np.sqrt(p)


@pytest.mark.parametrize("stages", [1, 4])
def test_dilated_bonuses(stages):
    features, transitions, start, _, policy = tiny(stages, seed=3)
    inverses = reference.inverses(features, reference.occupancy(transitions, start, policy), 0.1)
    bonuses = reference.bonuses(features, inverses, policy, 0.7)
    expected = reference.dilated(transitions, policy, bonuses)
    found = double(loss_estimates.dilated, transitions, policy, bonuses)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.all(expected >= bonuses) and np.all(expected[-1] == bonuses[-1])


# ---- learners ------------------------------------------------------------------------------

ROUNDS = 25


@jit
def play(env, learner, tape):
    def one(states, draw):
        state, sums = states
        policy = learner.act(sums, (), ())
        state, feedback, _ = env.step(state, policy, draw)
        blind = LossFeedback(feedback.trajectory, None)  # the rest is not for a bandit learner
        sums = learner.update(sums, (), policy, blind)
        return (state, sums), (policy.probabilities(), feedback.trajectory)

    return jax.lax.scan(one, (env.init(KEY), learner.init(KEY)), tape)


@OF_ALL
def test_as_from_the_whole_history(make):
    env = instances.switching_losses(random_low_rank(3, 3, 3, 3, seed=6), seed=1)
    settings = dict(rate=3.0, ridge=0.2, bonus=0.3, horizon=ROUNDS)
    learner = complete(make(*list(settings.values())[:3]), env, ROUNDS)
    (_, sums), (policies, trajectories) = jax.device_get(play(env, learner, env.noise(KEY, ROUNDS)))
    choices = {name: getattr(learner, name) for name in ("regulariser", "estimator", "schedule")}
    tables = [np.asarray(x, np.float32).astype(float) for x in (env.features, env.transitions)]
    paths = list(zip(*trajectories, strict=True))
    expected, last = reference.policies(choices | settings, *tables, np.asarray(env.start), paths)
    np.testing.assert_allclose(policies[1:], expected[:-1], atol=2e-6)
    np.testing.assert_allclose(policies[0], 1 / 3, rtol=1e-6)
    assert expected[-1].max() > 0.5  # it has learned something
    # Play had policies in float32, the reference exact ones.
    np.testing.assert_allclose(sums, last, atol=1e-4 * np.abs(last).max())
    recommended = jit(lambda learner, sums: learner.recommend(sums).probabilities())(learner, sums)
    np.testing.assert_allclose(recommended, expected[-1], atol=2e-6)


@pytest.mark.parametrize(
    ("learner", "expected"),
    [
        # A = 4, d = 5, H = 2, K = 1000: by hand from the docstring.
        (ReducedPO(2, 3, 5), (2 * 0.016651 / 2, 3 * 2.772589e-4, 5 * 2 * 0.016651)),
        (LogBarrierPO(2, 3, 5), (2 * 0.074338 / 2, 3 * 5.526204e-3, 5 * 2 * 0.074338)),
        (PlainPO(2, 3, 5), (2 * 4.252e-3 / 2, 3 * 4.252e-3, 5 * 2 * 0.065208)),
    ],
)
def test_parameters_follow_the_horizon(learner, expected):
    env = instances.stochastic_losses(random_low_rank(3, 4, 5, 2))
    learner = complete(learner, env, 1000)
    with jax.enable_x64(True):
        np.testing.assert_allclose(learner._parameters(), expected, rtol=2e-4)


@pytest.mark.parametrize("schedule", adversarial.SCHEDULES)
@OF_ALL
def test_parameters_as_in_the_reference(make, schedule):
    env = instances.stochastic_losses(random_low_rank(3, 4, 5, 2))
    learner = complete(make(0.7, 1.3, 0.4), env, 777).replace(schedule=schedule)
    expected = reference.parameters(learner.regulariser, schedule, 5, 2, 4, 777, 0.7, 1.3, 0.4)
    with jax.enable_x64(True):
        np.testing.assert_allclose(learner._parameters(), expected, rtol=1e-6)


def test_they_learn_and_stack():
    """Losses around a mean: over 1000 episodes each has a third less regret than the uniform
    policy, which is the one of rate 0, by six standard errors."""
    mdp = random_low_rank(4, 3, 3, 2, seed=1, anchors=True)
    env = instances.stochastic_losses(mdp, 0.8, 0.1)
    for make, rate in zip(ALL.values(), (4.0, 8.0, 16.0), strict=True):
        learners = stack([make(rate, 1.0, 0.01) for rate in (0.0, rate)])
        trace = simulate(env, learners, 1000, 16, checkpoints=[1000], progress=False)
        uniform, found = trace.metrics["regret"][:, 0]
        ahead = 0.67 * uniform - found
        assert ahead.mean() > 6 * ahead.std() / 4, make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DilatedPO("entropic"), r"regulariser is one of \['log-barrier'.*'entropic'"),
        (lambda: DilatedPO(estimator="biased"), "estimator is one of"),
        (lambda: PlainPO(schedule="linear"), "schedule is one of"),
        (lambda: ReducedPO(rate=-1), "DilatedPO: rate is zero or more"),
        (lambda: ReducedPO(ridge=0), "ridge is positive"),
        (lambda: ReducedPO(bonus=np.nan), "bonus is zero or more"),
        (lambda: DilatedPO(horizon=0), "horizon is one or more"),
        (lambda: ReducedPO().init(KEY), "does not know its transitions"),
    ],
)
def test_bad_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_environment_with_rewards_is_told():
    with pytest.raises(ValueError, match="learns from losses: play envs.AdversarialMDP"):
        simulate(river_swim(3, 2), ReducedPO(), 5, 2, progress=False)
