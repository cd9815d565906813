"""PR-LSVI and its kin against plain NumPy, and how often they ask."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp.duelling import Duelling
from regrax.core.learners.mdp.preference import PRLSVI, PbTS
from regrax.core.learners.mdp.randomised import RLSVI
from regrax.core.mdp import Stochastic
from regrax.core.preferences import AlwaysAsk, AskIfUnsure, NeverAsk, expected_disagreement
from regrax.core.protocol import complete
from regrax.core.simulate import simulate
from regrax.envs.mdp_instances import periodic_low_rank
from regrax.envs.preference_mdp import PreferenceMDP

from . import reference_preference as reference

KEY, K = noise.root(5), 5.0
MDP = periodic_low_rank(10, 4, 3, 5)
ENV = PreferenceMDP(MDP, K)
H, S, A = MDP.rewards.shape
FEATURES = MDP.features.astype(np.float32).astype(float)
SIZE = H * MDP.dimension


@jit
def _play(learner, env, tapes):
    def one(state, row):
        env_row, own = row
        duel = learner.act(state, (), own)
        _, told, metrics = env.step((), duel, env_row)
        return learner.update(state, (), duel, told), (state, duel, told, metrics)

    return jax.lax.scan(one, learner.init(KEY), tapes)


def play(learner, env, rounds):
    """States before each round, duels, feedback and metrics, in NumPy; the tape; the last state."""
    learner, env = jax.device_put((learner, env))  # features in float32, as in `simulate`
    tapes = env.noise(KEY, rounds), learner.noise(noise.stream(KEY, "own"), rounds)
    last, history = _play(learner, env, tapes)
    return *jax.tree.map(np.asarray, history), jax.tree.map(np.asarray, tapes), last


# ---- against the reference -----------------------------------------------------------------

CASES = {
    "PR-LSVI": PRLSVI(epsilon=0.2, sigma_reward=0.3, sigma_value=0.2, penalty=0.5),
    "thresholds bite": PRLSVI(
        epsilon=6.0, power=0.5, sigma_reward=0.3, lower=0.25, upper=0.4, ridge=0.5
    ),
    "PbTS": PbTS(epsilon=0.3, sigma_value=0.3, sigma_reward=0.8, penalty=2.0),
}


@pytest.mark.parametrize("name", CASES)
def test_plays_and_asks_as_its_reference(name):
    """Roots of the precisions are ours (any root gives the law), after a look whether they are."""
    rounds = 40
    learner = complete(CASES[name], ENV, 400)
    states, duels, told, _, (_, tape), _ = play(learner, ENV, rounds)
    slow = reference.Sequential(SIZE, K, float(learner.penalty), learner.ridge)
    threshold = learner.epsilon * 400.0**-learner.power
    trajectories, trusts = [], []
    for t in range(rounds):
        known = jax.tree.map(lambda x, t=t: x[t], states)
        root = known.preferences.coverage if learner.draws == "coverage" else None
        root = known.preferences.posterior if root is None else root
        precision = slow.covering() if learner.draws == "coverage" else slow.precision()
        np.testing.assert_allclose(root.T @ root @ precision, np.eye(SIZE), atol=1e-6)
        np.testing.assert_allclose(known.preferences.theta, slow.theta, rtol=1e-6, atol=1e-7)
        slow.theta = known.preferences.theta  # errors of the optimiser must not pile up
        theta = slow.theta + learner.sigma_reward * tape.rewards[t].astype(float) @ root
        noises = []
        for h in range(H):
            own = known.transitions.roots[h]
            x = np.array([FEATURES[s[h], a[h]] for s, a in trajectories]).reshape(-1, 3)
            gram = learner.ridge * np.eye(3) + x.T @ x
            np.testing.assert_allclose(own.T @ own @ gram, np.eye(3), atol=1e-9)
            noises.append(learner.sigma_value * tape.values[t, h].astype(float) @ own)
            widths = np.sqrt(known.transitions.widths[h])
            trusts.append((learner.upper - widths) / (learner.upper - learner.lower))
        found = reference.values(
            FEATURES, trajectories, theta, learner.ridge, np.array(noises), learner.lower,
            learner.upper,
        )  # fmt: skip
        np.testing.assert_array_equal(duels.first.actions[t], found.argmax(axis=-1))
        before = duels.first.actions[t - 1] if t else np.zeros((H, S))
        np.testing.assert_array_equal(duels.second.actions[t], before)

        pair = [(x.states[t], x.actions[t]) for x in (told.first, told.second)]
        x = reference.difference(FEATURES, *pair)
        norm = np.sqrt(x @ np.linalg.solve(precision, x))
        asked = 2 * learner.sigma_reward * norm / np.sqrt(np.pi) > threshold
        assert told.asked[t] == asked
        if asked:
            slow.tell(x, told.preference[t])
        trajectories.append(pair[0])
    assert 5 < told.asked.sum() < rounds
    if name == "thresholds bite":
        assert np.any((np.array(trusts) > 0) & (np.array(trusts) < 1))
        assert np.min(trusts) < 0 and np.max(trusts) > 1
    assert len(np.unique(duels.first.actions.reshape(rounds, -1), axis=0)) > 10


def test_recommends_the_policy_without_noise():
    learner = complete(PRLSVI(epsilon=0.08), ENV, 400)
    *_, last = play(learner, ENV, 40)
    silent = complete(PRLSVI(epsilon=0.08, sigma_reward=0.0, sigma_value=0.0), ENV, 400)
    row = jax.tree.map(lambda x: x[0], learner.noise(KEY, 1))
    recommended = learner.recommend(last)
    np.testing.assert_array_equal(recommended.actions, silent.act(last, (), row).first.actions)
    assert ENV.evaluate((), recommended)["simple_regret"] >= 0


# ---- the rule ------------------------------------------------------------------------------


def rule_of(learner):
    learner = complete(learner, ENV, 100)
    return learner.rule(learner.init(KEY))


def test_thresholds_fall_with_the_horizon():
    assert rule_of(PRLSVI(0.5, 0.25)).threshold == pytest.approx(0.5 / 100**0.25)
    assert rule_of(PRLSVI(0.5)).threshold == pytest.approx(0.5)
    assert isinstance(rule_of(PRLSVI(queries="always")), AlwaysAsk)
    assert isinstance(rule_of(PRLSVI(queries="never")), NeverAsk)


def test_the_rule_has_the_law_that_rewards_are_drawn_from():
    """The closed form, against the disagreement of drawn Q tables on a pair of trajectories that
    differs in its last stage only, where Q is phi^T theta: six standard errors."""
    for learner in (PRLSVI(0.08, sigma_value=0.0), PbTS(0.08, sigma_value=0.0)):
        learner = complete(learner, ENV, 400)
        *_, last = play(learner, ENV, 40)
        rule = learner.rule(last)
        assert isinstance(rule, AskIfUnsure)

        def drawn(row, learner=learner, last=last):
            with jax.enable_x64(True):
                table = learner.values(last, row)
                return (table[-1, 3, 2] - table[-1, 7, 1]).astype(jnp.float32)

        draws = np.asarray(jax.jit(jax.vmap(drawn))(learner.noise(KEY, 40_000)), float)
        x = np.zeros((H, 3))
        x[-1] = MDP.features[3, 2] - MDP.features[7, 1]
        with jax.enable_x64(True):
            expected = expected_disagreement(rule.root, jnp.float64(rule.scale), jnp.asarray(x))
        seen = np.abs(draws[::2] - draws[1::2])
        assert abs(seen.mean() - float(expected)) < 6 * seen.std() / np.sqrt(len(seen))


def test_never_asking_learns_nothing_of_rewards():
    learner = complete(PRLSVI(queries="never"), ENV, 40)
    _, _, told, metrics, _, last = play(learner, ENV, 40)
    assert metrics["queries"].sum() == 0 and not told.asked.any()
    fresh = learner.init(KEY)
    for ours, theirs in zip(last.preferences, fresh.preferences, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.any(last.transitions.rewards)
    assert np.any(np.asarray(last.transitions.roots) != np.asarray(fresh.transitions.roots))


def test_always_asking_and_a_threshold_of_zero():
    *_, metrics, _, _ = play(complete(PRLSVI(queries="always"), ENV, 40), ENV, 40)
    assert metrics["queries"].sum() == 40
    _, _, told, _, _, _ = play(complete(PRLSVI(epsilon=0.0), ENV, 40), ENV, 40)
    same = [
        np.array_equal(MDP.features[s[:-1], a], MDP.features[z[:-1], b])
        for s, a, z, b in zip(
            told.first.states, told.first.actions, told.second.states, told.second.actions,
            strict=True,
        )
    ]  # fmt: skip
    np.testing.assert_array_equal(told.asked, ~np.array(same))


@functools.cache
def run(epsilon, sigma, seeds=range(32), penalty=0.1):
    """Regret and questions of PR-LSVI after 2,000 duels, [seed]."""
    learner = PRLSVI(epsilon, sigma_reward=sigma, penalty=penalty)
    found = simulate(ENV, learner, 2000, seeds, checkpoints=[2000], progress=False).metrics
    return found["regret"][0], found["queries"][0]


@pytest.mark.parametrize(("epsilon", "sigma"), [(0.1, 0.1), (0.2, 0.3), (0.4, 0.3)])
def test_the_determinant_bounds_the_questions(epsilon, sigma):
    """N questions need N ln(1 + pi epsilon^2 / (4 sigma^2)) <= SIZE ln(1 + N longest / SIZE)."""
    flat = np.reshape(MDP.features, (-1, 3))
    longest = H * np.max(np.sum((flat[:, None] - flat) ** 2, axis=-1))
    asked = run(epsilon, sigma)[1].astype(float)
    assert np.all(asked > 0)
    spent = asked * np.log1p(np.pi * (epsilon / sigma) ** 2 / 4)
    assert np.all(spent <= SIZE * np.log1p(asked * longest / SIZE))


# Regret and questions after 2,000 duels of another program, with the maximum likelihood in place of
# the sequential estimate: means of 4 runs.
PROTOTYPE = {
    (0.0, 0.1): (348.8, 1979),
    (0.1, 0.1): (1298.8, 10),
    (0.2, 0.3): (814.8, 28),
    (0.4, 0.3): (1619.0, 7.8),
}


@pytest.mark.parametrize("setting", PROTOTYPE)
def test_in_the_range_of_another_program(setting):
    """Its means of 4 runs are within five standard deviations of ours."""
    for ours, theirs in zip(run(*setting), PROTOTYPE[setting], strict=True):
        ours = ours.astype(float)
        error = ours.std(ddof=1) * np.sqrt(1 / 4 + 1 / len(ours))
        assert abs(ours.mean() - theirs) < 5 * error


def test_more_questions_less_regret():
    """By five standard errors, seed by seed. The trap is a threshold that no pair reaches: the
    regret of never asking, for ever."""
    never = PRLSVI(sigma_reward=0.3, queries="never")
    alike = simulate(ENV, never, 2000, 32, checkpoints=[2000], progress=False).metrics["regret"][0]
    order = [*(run(x, 0.3, penalty=1.0)[0] for x in (0.0, 0.4)), alike]
    for less, more in zip(order, order[1:], strict=False):
        gap = more - less
        assert gap.mean() > 5 * gap.std(ddof=1) / np.sqrt(len(gap))
    regret, questions = run(3.0, 0.3, penalty=1.0)
    assert not questions.any()
    np.testing.assert_allclose(regret, alike, rtol=1e-6)


def test_a_seed_is_the_same_in_any_batch():
    some, all_of_them = run(0.2, 0.3, range(20, 23)), run(0.2, 0.3)
    np.testing.assert_array_equal(some[1], all_of_them[1][20:23])
    np.testing.assert_allclose(some[0], all_of_them[0][20:23], rtol=1e-6)


# ---- rewards in duels ----------------------------------------------------------------------


@pytest.mark.parametrize("both", [False, True])
def test_duelling_is_its_learner_told_one_trajectory_or_two(both):
    env = PreferenceMDP(MDP, feedback="rewards")
    inner = RLSVI(0.3, 0.1)
    learner = complete(Duelling(inner, both), env, 30)
    _, duels, told, metrics, (_, tape), last = play(learner, env, 30)
    alone = jax.device_put(complete(inner, env, 30))
    state = alone.init(KEY)
    act = jit(lambda learner, *now: learner.act(*now))
    update = jit(lambda learner, *now: learner.update(*now))
    for t in range(30):
        policy = act(alone, state, (), tape[t])
        np.testing.assert_array_equal(duels.first.actions[t], policy.actions)
        before = duels.first.actions[t - 1] if t else np.zeros((H, S))
        np.testing.assert_array_equal(duels.second.actions[t], before)
        for x in (told.first, told.second)[: 1 + both]:
            state = update(alone, state, (), policy, jax.tree.map(lambda leaf, t=t: leaf[t], x))
    for ours, theirs in zip(last.inner, state, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert not metrics["queries"].any()
    policy = learner.recommend(last)
    np.testing.assert_array_equal(policy.actions, alone.recommend(state).actions)


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="PRLSVI: epsilon is zero or more, got -0.1"):
        PRLSVI(-0.1)
    with pytest.raises(ValueError, match="PRLSVI: lower is below upper, got 2.0 and 1.0"):
        PRLSVI(lower=2.0, upper=1.0)
    with pytest.raises(ValueError, match="PRLSVI: penalty is positive, got 0"):
        PRLSVI(penalty=0.0)
    with pytest.raises(ValueError, match=r"queries is one of \['unsure', 'always', 'never'\]"):
        PRLSVI(queries="sometimes")
    with pytest.raises(ValueError, match=r"draws is one of \['coverage', 'posterior'\]"):
        PRLSVI(draws="ensemble")
    with pytest.raises(ValueError, match="PRLSVI does not know its features"):
        PRLSVI().init(KEY)
    with pytest.raises(ValueError, match="does not fit LinearMDP"):
        simulate(MDP, PRLSVI(steepness=5.0), 10, 2, progress=False)

    class Uncertain:
        features, stages = MDP.features, H

        def act(self, state, observation, noise):
            return Stochastic(jnp.full((H, S, A), 1 / A))

    state = complete(Duelling(RLSVI()), ENV, 10).init(KEY)
    with pytest.raises(TypeError, match="Duelling plays deterministic policies, got Stochastic"):
        Duelling(Uncertain()).act(state, (), ())
