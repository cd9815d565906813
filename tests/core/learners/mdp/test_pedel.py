"""FTPedel against a replay of its history in NumPy, and what it promises when it stops."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp import pedel
from regrax.core.learners.mdp.pedel import FTPedel, deterministic_policies
from regrax.core.learners.mdp.statistics import from_counts
from regrax.core.mdp import Counts
from regrax.core.protocol import complete
from regrax.core.simulate import simulate
from regrax.envs.linear_mdp import LinearMDP
from regrax.envs.mdp_instances import depth_two_tree

from . import offline_models as models
from . import reference_offline as reference

KEY, STAGES, EPISODES = noise.root(7), 3, 500
TREE = depth_two_tree((0.5, 0.0, 0.4, 0.4))
PATHS = deterministic_policies(TREE.transitions, TREE.start)  # [4, 2, 3, 2]
MODEL = models.linear_model(8)
PLAYED = models.play(MODEL, 25)


def spreads(stages, known):
    return np.ones(stages) / 4 if known else np.arange(stages, 0, -1) ** 2 / 4


# ---- estimates -----------------------------------------------------------------------------

_estimates = jit(lambda learner, state: learner.estimates(state))


def estimates(learner, counts):
    with jax.enable_x64(True):
        state = from_counts(jnp.asarray(learner.features, jnp.float64), learner.ridge, counts)
        return jax.tree.map(np.asarray, _estimates(learner, state))


def judged(policies, known, ridge=0.5):
    blanks = MODEL._asdict() | {"stages": STAGES}
    del blanks["rewards"]
    return FTPedel(policies, ridge=ridge, known_model=known, **blanks)


def any_policies(count=5):
    return np.random.default_rng(0).dirichlet(np.ones(3), (count, STAGES, 4))


def test_estimates_are_those_of_the_history():
    policies, counts = any_policies(), models.counts_of(MODEL, PLAYED)
    found = estimates(judged(policies, known=False), counts)
    expected = reference.policy_estimates(
        MODEL.features, reference.history_of(PLAYED), STAGES, 0.5, policies, MODEL.start
    )
    np.testing.assert_allclose(found.features, expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.errors, spreads(STAGES, False) @ expected[1], rtol=1e-9)
    np.testing.assert_allclose(found.values, expected[2], rtol=0, atol=1e-10)


def test_known_models_give_exact_features():
    policies, counts = any_policies(), models.counts_of(MODEL, PLAYED)
    found = estimates(judged(policies, known=True), counts)
    visits = reference.occupancies(MODEL.transitions, MODEL.start, policies)
    expected = np.einsum("phsa,sad->hpd", visits, MODEL.features)
    np.testing.assert_allclose(found.features, expected, rtol=0, atol=1e-12)
    errors, values = np.zeros(5), np.zeros(5)
    for h in range(STAGES):
        history = reference.history_of(PLAYED)
        gram, theta = reference.regression(MODEL.features, history, h, 0.5, lambda x: x[3])
        solved = np.linalg.solve(gram, expected[h].T)
        errors += np.einsum("pd,dp->p", expected[h], solved) / 4
        values += expected[h] @ theta
    np.testing.assert_allclose(found.errors, errors, rtol=1e-9)
    np.testing.assert_allclose(found.values, values, rtol=0, atol=1e-10)


@pytest.mark.parametrize("known", [False, True])
def test_all_data_in_the_world_give_the_values(known):
    """10^7 visits of every pair, as the chances have it: what is left is rounding to whole visits
    (1e-7 each) and the ridge."""
    visits = np.rint(1e7 * MODEL.transitions).astype(np.int32)
    counts = Counts(visits, (visits.sum(axis=-1) * MODEL.rewards).astype(np.float32))
    policies = any_policies()
    found = estimates(judged(policies, known), counts)
    occupied = reference.occupancies(MODEL.transitions, MODEL.start, policies)
    values = np.einsum("phsa,hsa->p", occupied, MODEL.rewards)
    np.testing.assert_allclose(found.values, values, rtol=0, atol=5e-6)
    assert np.all(found.errors < 1e-5)


# ---- elimination ---------------------------------------------------------------------------


def eliminated(active, phase, errors, values, epsilon, delta, scale):
    """By the book: what is active, the phase and whether it stops, in NumPy."""
    active, stopped = np.array(active), np.sum(active) == 1
    while not stopped:
        level = 2 * scale * math.log(2 * len(values) * phase * (phase + 1) / delta)
        if max(errors[active]) > 4.0**-phase / level:
            break
        active &= values >= max(values[active]) - 2 * 2.0**-phase
        stopped = active.sum() == 1 or phase >= math.ceil(math.log2(4 / epsilon))
        phase += 1
    return active, phase, stopped


@jit
def _eliminated(learner, active, phase, errors, values):
    nothing = jnp.zeros(0)
    plan = pedel.Elimination(active, values, phase, jnp.bool_(False), nothing, phase)
    return pedel._eliminate(learner, plan, errors, values)


@given(st.integers(0, 10**6), st.sampled_from([0.03, 0.3, 1.0]), st.floats(1e-7, 3e-2))
@settings(max_examples=50)
def test_phases_end_as_they_should(seed, epsilon, size):
    rng = np.random.default_rng(seed)
    active, phase = rng.uniform(size=6) < 0.7, rng.integers(1, 4)
    active[rng.integers(6)] = True
    errors = size * rng.uniform(size=6)
    values = rng.uniform(size=6).astype(np.float32)
    learner = FTPedel(PATHS, epsilon, delta=0.1, scale=0.7)
    with jax.enable_x64(True):
        found = _eliminated(learner, active, jnp.int32(phase), jnp.asarray(errors), values)
    expected = eliminated(active, phase, errors, values, epsilon, 0.1, 0.7)
    np.testing.assert_array_equal(found[0], expected[0])
    assert (int(found[1]), bool(found[2])) == expected[1:]


# ---- whole runs ----------------------------------------------------------------------------


def leaf_counts(visits):
    """Episodes of the four paths of the tree, all of them with the mean reward."""
    n = np.asarray(visits).reshape(2, 2)
    counts = np.zeros((2, 3, 2, 3), np.int32)
    counts[0, 0, [0, 1], [1, 2]] = n.sum(axis=1)
    counts[1, 1:, :, 0] = n
    rewards = np.zeros((2, 3, 2), np.float32)
    rewards[1, 1:] = n * np.asarray(TREE.rewards)[1, 1:]
    return Counts(counts, rewards)


@jit
def run(env, learner, key):
    """All states, from the first, and all trajectories."""
    state = learner.init(noise.stream(key, "learner"))
    draws = env.noise(noise.stream(key, "environment"), EPISODES)

    def episode(state, draw):
        policy = learner.act(state, (), ())
        _, trajectory, _ = env.step((), policy, draw)
        new = learner.update(state, (), policy, trajectory)
        return new, (new, trajectory)

    _, (states, trajectories) = jax.lax.scan(episode, state, draws)
    states = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]), state, states)
    return states, trajectories


@pytest.fixture(scope="module", params=[False, True], ids=["unknown", "known"])
def replayed(request):
    """A learner that stops within the episodes, its states and trajectories."""
    offline = models.Given(leaf_counts((0, 30, 0, 5)))
    given = {"epsilon": 0.3, "scale": 0.1, "ridge": 0.25, "offline": offline}
    learner = complete(FTPedel(PATHS, known_model=request.param, **given), TREE, EPISODES)
    states, trajectories = jax.device_get(run(TREE, learner, KEY))
    return learner, states, trajectories


def test_a_run_is_its_replay(replayed):
    learner, states, trajectories = replayed
    known, plan = learner.known_model, states.plan
    features, start = np.asarray(TREE.features), np.asarray(TREE.start, float)
    history = reference.history_of_counts(*learner.offline.counts)
    active, phase, stopped, until, n = np.ones(len(PATHS), bool), 1, False, 0, 0
    stops = 0
    for t in range(EPISODES + 1):
        if t:
            history += reference.history_of([x[t - 1 : t] for x in trajectories])
            n += not stopped
        if not stopped and n >= until:
            expected, norms, values = reference.policy_estimates(
                features, history, 2, 0.25, PATHS, start
            )
            if known:
                visits = reference.occupancies(np.asarray(TREE.transitions, float), start, PATHS)
                expected = np.einsum("phsa,sad->hpd", visits, features)
                grams, thetas = zip(
                    *(
                        reference.regression(features, history, h, 0.25, lambda x: x[3])
                        for h in (0, 1)
                    ),
                    strict=True,
                )
                norms = np.array(
                    [
                        [f @ np.linalg.solve(g, f) for f in row]
                        for g, row in zip(grams, expected, strict=True)
                    ]
                )
                values = sum(e @ theta for e, theta in zip(expected, thetas, strict=True))
            errors = spreads(2, known) @ norms
            active, phase, stopped = eliminated(active, phase, errors, values, 0.3, 0.05, 0.1)
            until = n + 1 + math.isqrt(n)
            stops += 1
            np.testing.assert_allclose(plan.values[t], values, atol=1e-6)
        np.testing.assert_array_equal(plan.active[t], active)
        assert (plan.phase[t], plan.stopped[t], plan.until[t]) == (phase, stopped, until)
        assert states.episodes[t] == n
    assert stopped and 0 < n < EPISODES and stops > 10
    assert active.sum() < len(PATHS)


def test_plays_a_survivor_once_it_has_stopped(replayed):
    learner, states, _ = replayed
    stop = int(np.argmax(states.plan.stopped))
    best = np.where(states.plan.active[-1], states.plan.values[-1], -np.inf).argmax()
    np.testing.assert_array_equal(
        states.plan.chances[stop:], np.broadcast_to(PATHS[best], (EPISODES + 1 - stop, 2, 3, 2))
    )
    last = jax.tree.map(lambda x: jnp.asarray(x[-1]), states)
    recommended = learner.recommend(last)
    np.testing.assert_array_equal(recommended.probabilities(), PATHS[best])
    assert int(recommended.explored) == states.episodes[-1] == stop


_planned = jit(pedel._planned)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("episodes", [0, 3])
def test_a_plan_is_greedy_for_the_slopes_of_the_errors(known, episodes):
    """With three stages and policies that all stay active, by NumPy."""
    policies, counts = any_policies(), models.counts_of(MODEL, PLAYED)
    learner, history = judged(policies, known).replace(bonus=0.2), reference.history_of(PLAYED)
    found = estimates(learner, counts)
    phi, c = MODEL.features, spreads(STAGES, known)
    weights = np.exp(episodes**1.2 * found.errors)
    rewards = np.zeros(MODEL.rewards.shape)
    for h in range(STAGES):
        gram, _ = reference.regression(phi, history, h, 0.5, lambda x: 0.0)
        slopes = (phi @ np.linalg.solve(gram, found.features[h].T)) ** 2
        rewards[h] = c[h] * slopes @ (weights / weights.sum())
    rewards /= rewards.max()
    if known:
        values = np.zeros((STAGES + 1, 4, 3))
        for h in reversed(range(STAGES)):
            values[h] = rewards[h] + MODEL.transitions[h] @ values[h + 1].max(axis=-1)
        values = values[:-1]
    else:
        values = reference.value_iteration(phi, history, STAGES, 0.5, 0.2, rewards)

    with jax.enable_x64(True):
        state = from_counts(jnp.asarray(phi, jnp.float64), 0.5, Counts(*counts))
    active, nothing = np.ones(5, bool), np.zeros(policies.shape[1:], np.float32)
    plan = pedel.Elimination(
        active, np.zeros(5, np.float32), jnp.int32(1), jnp.bool_(False), nothing, jnp.int32(0)
    )
    new = _planned(learner, state, jnp.int32(episodes), plan)
    assert np.all(new.active) and not bool(new.stopped)
    np.testing.assert_array_equal(new.chances, np.eye(3)[values.astype(np.float32).argmax(-1)])


@pytest.mark.parametrize(("visits", "explores"), [((900,) * 4, False), ((900, 0, 900, 900), True)])
def test_data_that_suffice_leave_nothing_to_explore(visits, explores):
    """900 episodes a path have errors of 1/4 (1/900 + 1/1800): below 4^-3 / (2 ln(2 4 12 / .05)),
    and phase 3 drops what is 0.4 below the best."""
    given = {"epsilon": 0.3, "known_model": True, "offline": models.Given(leaf_counts(visits))}
    learner = complete(FTPedel(PATHS, **given), TREE, EPISODES)
    state = jit(lambda learner: learner.init(KEY))(learner)
    assert bool(state.plan.stopped) != explores
    recommended = learner.recommend(state)
    if not explores:
        best = recommended.chances[0, 0].argmax(), recommended.chances[1, 1].argmax()
        assert best == (0, 1) and int(recommended.explored) == 0 and bool(recommended.verified)


def test_what_it_verifies_is_good_enough():
    """With delta = 1e-7 each of 8 seeds is wrong with that chance at most."""
    env = depth_two_tree((0.4, 0.0, 0.4, 0.4))
    given = {"epsilon": 0.35, "delta": 1e-7, "ridge": 0.1, "known_model": True}
    learner = FTPedel(PATHS, **given)
    stops = (1, 200, 6000)
    found = simulate(env, learner, 6000, 8, checkpoints=stops, progress=False).metrics
    assert np.all(found["explored"][:2] == [[1], [200]]) and np.all(found["explored"][2] < 6000)
    assert np.all(found["simple_regret"][2] <= 0.35)
    # Two seeds of eight alone: the same numbers.
    alone = simulate(env, learner, 6000, [3, 6], checkpoints=stops, progress=False).metrics
    for name, values in alone.items():
        np.testing.assert_array_equal(values, found[name][:, [3, 6]])


def test_one_policy_is_the_best_one():
    learner = complete(FTPedel(PATHS[:1]), TREE, EPISODES)
    state = jit(lambda learner: learner.init(KEY))(learner)
    assert bool(state.plan.stopped)
    np.testing.assert_array_equal(state.plan.chances, PATHS[0])


# ---- classes of policies, errors -----------------------------------------------------------


def test_all_deterministic_policies_once():
    policies = deterministic_policies(np.ones((2, 2, 3, 2)), np.ones(2))
    assert policies.shape == (81, 2, 2, 3) and policies.dtype == np.float32
    plans = {tuple(p.argmax(-1).ravel()) for p in policies}
    assert plans == set(itertools.product(range(3), repeat=4))
    np.testing.assert_array_equal(policies.sum(-1), 1)


def test_policies_differ_where_they_come():
    """A tree has a policy for every path; else none is left out: their occupancies are those of all
    policies."""
    paths = {(p[0, 0].argmax(), p[1, 1 + p[0, 0].argmax()].argmax()) for p in PATHS}
    assert len(PATHS) == 4 and len(paths) == 4
    rng = np.random.default_rng(3)
    moves = rng.uniform(size=(2, 3, 2, 3)) * (rng.uniform(size=(2, 3, 2, 3)) < 0.4)
    moves[..., 0] += 0.1
    moves /= moves.sum(axis=-1, keepdims=True)
    start = np.array([0.5, 0.5, 0])
    found, every = (
        reference.occupancies(moves, start, policies)
        for policies in (deterministic_policies(moves, start), reference.every_policy(2, 3, 2))
    )
    kinds = [{x.tobytes() for x in np.round(v, 9) + 0.0} for v in (found, every)]
    assert kinds[0] == kinds[1] and len(kinds[0]) == len(found) < len(every)


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="there are 65536 or more of them, at most 4096"):
        deterministic_policies(np.ones((9, 2, 4, 2)), np.ones(2))
    with pytest.raises(ValueError, match=r"start \[S\], got \[2, 3, 2, 3\] and \[2\]"):
        deterministic_policies(TREE.transitions, np.ones(2))
    for wrong in (PATHS[0], 2 * PATHS, PATHS - 1):
        with pytest.raises(ValueError, match=r"policies are chances of actions \[P, H, S, A\]"):
            FTPedel(wrong)
    for name, value, what in [
        ("epsilon", 4.0, r"in \(0, 4\)"),
        ("delta", 0.0, r"in \(0, 1\)"),
        ("scale", 0.0, "positive"),
        ("bonus", -1.0, "zero or more"),
        ("ridge", 0.0, "positive"),
    ]:
        with pytest.raises(ValueError, match=f"FTPedel: {name} is {what}, got {value}"):
            FTPedel(PATHS, **{name: value})
    with pytest.raises(ValueError, match="does not know its stages"):
        FTPedel(PATHS).init(KEY)


def test_an_environment_reports_what_was_explored():
    assert isinstance(TREE, LinearMDP)
    policy = pedel.Verified(jnp.asarray(PATHS[1]), jnp.int32(17), jnp.bool_(True))
    found = TREE.evaluate((), policy)
    assert int(found["explored"]) == 17 and set(found) == {"simple_regret", "explored"}
    assert set(TREE.evaluate((), pedel.Stochastic(policy.chances))) == {"simple_regret"}
