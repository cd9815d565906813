"""Adversarial MDPs: which losses come when, what is told, regret in hindsight, precision."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.mdp import Deterministic, Stochastic
from regrax.core.simulate import simulate, stack
from regrax.envs import adversarial_mdp_instances as instances
from regrax.envs.adversarial_mdp import AdversarialMDP, LossFeedback
from regrax.envs.linear_mdp import tabular
from regrax.envs.mdp_instances import random_low_rank

from . import reference_adversarial_mdp as reference

KEY = noise.root(11)


@flax.struct.dataclass
class Wanderer:
    """Plays policies that its noise draws, whatever it is told."""

    transitions: object = None

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds, *np.shape(self.transitions)[:3]))

    def act(self, state, observation, noise):
        return Stochastic(noise / jnp.sum(noise, axis=-1, keepdims=True))

    def update(self, state, observation, action, feedback):
        return state

    def recommend(self, state):
        return ()


@flax.struct.dataclass
class Stubborn:
    """Plays one policy for ever."""

    policy: object

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return self.policy

    def update(self, state, observation, action, feedback):
        return state

    def recommend(self, state):
        return ()


@jit
def play(env, learner, tapes):
    def one(state, now):
        policy = learner.act((), (), now[1])
        state, feedback, metrics = env.step(state, policy, now[0])
        return state, (policy.probabilities(), feedback, metrics, env.evaluate(state, ()))

    return jax.lax.scan(one, env.init(KEY), tapes)


def small(**options):
    """Two states, two actions, three stages, and a lot of noise."""
    mdp = random_low_rank(2, 2, 3, 3, seed=4)
    weights = np.random.default_rng(5).uniform(0.2, 0.8, (3, 3, 3))
    return AdversarialMDP(mdp, weights, **options)


CASES = {
    "cyclic": dict(schedule="cyclic", period=2),
    "doubling": dict(schedule="doubling", period=3, spread=0.1),
    "drawn": dict(schedule="drawn", chances=np.array([0.5, 0.2, 0.3]), spread=0.2),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_regret_as_when_all_episodes_are_kept_and_all_policies_tried(case):
    env, rounds = small(**CASES[case]), 40
    learner = Wanderer(env.transitions)
    tapes = env.noise(KEY, rounds), learner.noise(noise.stream(KEY, 1), rounds)
    state, (policies, feedback, metrics, reports) = jax.device_get(play(env, learner, tapes))
    losses = reference.all_losses(
        env.features, env.weights, float(env.spread), env.schedule, int(env.period), env.chances,
        np.asarray(tapes[0].table), np.asarray(tapes[0].coins),
    )  # fmt: skip
    np.testing.assert_allclose(feedback.losses, losses, atol=2e-7)
    states, actions, received = feedback.trajectory
    episodes, stage = np.arange(rounds)[:, None], np.arange(3)
    np.testing.assert_array_equal(
        received, feedback.losses[episodes, stage, states[:, :-1], actions]
    )
    np.testing.assert_allclose(metrics["loss"], received.sum(axis=1), rtol=1e-6)
    assert state.counts.sum() == state.episode == rounds
    policies = policies.astype(float)
    policies /= policies.sum(axis=-1, keepdims=True)
    transitions, start = np.asarray(env.transitions, float), np.asarray(env.start, float)
    for k in (1, 2, 7, rounds):
        regret, best = reference.regret(transitions, start, policies[:k], losses[:k])
        assert reports["regret"][k - 1] == pytest.approx(regret, abs=3e-7 * k)
        assert reports["best_loss"][k - 1] == pytest.approx(best, rel=1e-6)


def test_schedules_by_hand():
    env = small(schedule="doubling", period=2)
    rows = [int(env._row(jnp.int32(k), 0.5)) for k in range(16)]
    assert rows == [0, 0, 1, 1, 1, 1, *[2] * 8, 0, 0]
    env = small(schedule="cyclic", period=2)
    assert [int(env._row(jnp.int32(k), 0.5)) for k in range(8)] == [0, 0, 1, 1, 2, 2, 0, 0]
    env = small(schedule="drawn", chances=np.array([0.5, 0.25, 0.25]))
    assert [int(env._row(jnp.int32(0), u)) for u in (0.1, 0.6, 0.9)] == [0, 1, 2]


def test_long_turns_do_not_overflow():
    env = small(schedule="doubling")
    assert int(env._row(jnp.int32(2**30 - 1), 0.5)) == 30 % 3
    assert int(env._row(jnp.int32(2**31 - 2), 0.5)) == 30 % 3


def test_what_is_received_has_the_mean_that_regret_counts():
    """Hoeffding: of n means of H numbers in [0, 1] one is off by more than H sqrt(ln(2e6) / 2n)
    once in a million."""
    env = small(schedule="cyclic")
    seeds, rounds = 500, 12
    trace = simulate(env, Wanderer(), rounds, seeds, checkpoints=[rounds], progress=False)
    expected = trace.metrics["regret"] + trace.metrics["best_loss"]
    off = np.mean(trace.metrics["loss"] - expected)
    assert abs(off) < 3 * np.sqrt(np.log(2e6) / (2 * seeds * rounds)) * rounds


def test_the_best_policy_has_no_regret_over_a_hundred_thousand_episodes():
    """Regret is the difference of two sums of 10^5: what it loses must not add up."""
    env, rounds = small(schedule="cyclic"), 99_999
    summed = -np.sum(env.losses.astype(float), axis=0)
    transitions = np.asarray(env.transitions, float)
    after, best = np.zeros(2), np.empty((3, 2), np.int32)
    for h in (2, 1, 0):
        values = summed[h] + transitions[h] @ after
        best[h], after = values.argmax(axis=-1), values.max(axis=-1)
    trace = simulate(
        env, Stubborn(Deterministic(best, 2)), rounds, 1, checkpoints=[rounds], progress=False
    )
    assert abs(trace.metrics["regret"][0, 0]) < 1e-6
    assert trace.metrics["best_loss"][0, 0] > 1e4


def test_regret_keeps_its_digits_over_a_hundred_thousand_episodes():
    """Chances that float32 cannot add up to one: the exact regret is that of the policies as they
    are drawn, and linear in the number of cycles."""
    env, cycles = small(schedule="cyclic"), 33_333
    chances = np.full((3, 2, 2), [0.3, 0.7], np.float32)
    rounds = 3 * cycles
    trace = simulate(
        env, Stubborn(Stochastic(chances)), rounds, 1, checkpoints=[3, rounds], progress=False
    )
    policy = chances.astype(float) / chances.astype(float).sum(axis=-1, keepdims=True)
    transitions, start = np.asarray(env.transitions, float), np.asarray(env.start, float)
    one, _ = reference.regret(transitions, start, [policy] * 3, env.losses.astype(float))
    np.testing.assert_allclose(trace.metrics["regret"][:, 0], [one, cycles * one], rtol=2e-7)


def test_a_seed_does_not_depend_on_its_batch_and_environments_stack():
    envs = [small(schedule="drawn", spread=spread) for spread in (0.0, 0.15)]
    one = simulate(envs[1], Wanderer(), 20, [3], progress=False).metrics
    both = simulate(stack(envs), Wanderer(), 20, 4, progress=False).metrics
    for name, values in one.items():
        np.testing.assert_allclose(both[name][1, :, 3], values[:, 0], rtol=1e-6, atol=1e-6)
    assert not np.allclose(both["regret"][0], both["regret"][1])


def test_round_by_round_as_in_one_program():
    env, rounds = small(**CASES["drawn"]), 12
    learner = Wanderer(env.transitions)
    tapes = env.noise(KEY, rounds), learner.noise(noise.stream(KEY, 1), rounds)
    last, history = jax.device_get(play(env, learner, tapes))
    step, state = jit(lambda env, state, policy, draw: env.step(state, policy, draw)), env.init(KEY)
    for t in range(rounds):
        draw, chances = jax.tree.map(lambda x, t=t: x[t], tapes)
        state, feedback, _ = step(env, state, learner.act((), (), chances), draw)
        assert isinstance(feedback, LossFeedback)
        np.testing.assert_array_equal(feedback.trajectory.states, history[1].trajectory.states[t])
        np.testing.assert_allclose(feedback.losses, history[1].losses[t], atol=1e-7)
    np.testing.assert_array_equal(state.coins, last.coins)
    assert state.suffered == pytest.approx(last.suffered, rel=1e-12)
    assert step._cache_size() == 1


# ---- instances -----------------------------------------------------------------------------


def test_the_named_sequences_are_losses_of_linear_mdps():
    mdp = random_low_rank(4, 3, 3, 3, seed=1)
    found = {
        "stochastic": instances.stochastic_losses(mdp),
        "switching": instances.switching_losses(mdp, 0.4),
        "alternating": instances.alternating_losses(mdp),
        "opposed": instances.opposed_actions(3),
        "mixture": instances.linear_mixture(4, 3, 2, 3),
    }
    for env in found.values():
        margin = float(env.spread) * np.abs(env.features).sum(axis=-1)
        assert np.all(env.losses - margin >= -1e-6) and np.all(env.losses + margin <= 1 + 1e-6)
        again = np.einsum("sad,jhd->jhsa", env.features, env.weights)
        np.testing.assert_allclose(env.losses, again, atol=1e-7)
        assert np.linalg.norm(env.features, axis=-1).max() <= 1 + 1e-12
    mean = np.mean(found["alternating"].losses, axis=0)
    assert np.all(np.abs(mean - 0.5) <= 0.1) and found["alternating"].losses.std() > 0.1
    small = instances.stochastic_losses(mdp, 0.05).losses - 0.5
    np.testing.assert_allclose(small, 0.1 * (found["stochastic"].losses - 0.5), atol=1e-6)
    low, high = found["switching"].losses
    np.testing.assert_allclose(high - low, 0.4, atol=1e-6)
    assert found["switching"].schedule == "doubling" and 0.1 <= low.min() < low.max() <= 0.5


def test_opposed_actions_by_hand():
    env = instances.opposed_actions(2, 3, gap=0.2)
    first, second = env.losses[:, 1, 0], env.losses[:, 1, 1]
    np.testing.assert_allclose(first[:, 0], 0.3, atol=1e-7)
    np.testing.assert_allclose(
        first[:, 1:],
        [[1, 0, 0.5, 0.5], [0.5, 0.5, 1, 0], [0, 1, 0.5, 0.5], [0.5, 0.5, 0, 1]],
        atol=1e-7,
    )
    np.testing.assert_allclose(second[:, 1:], 1 - first[:, 1:], atol=1e-7)
    np.testing.assert_allclose(env.transitions, 0.5, atol=1e-7)
    # Nearly always safe: a play of action 1 makes the estimate for action 2 negative by 1 / (4 p).
    p, phi = 1e-3, env.features[0]
    sigma = phi.T @ (np.array([1 - 4 * p, p, p, p, p])[:, None] * phi)
    share = phi[2] @ np.linalg.inv(sigma) @ phi[1]
    assert share == pytest.approx(-1 / (4 * p), rel=1e-9)


def test_linear_mixtures_are_mixtures():
    env = instances.linear_mixture(4, 2, 3, 5, seed=2)
    flat = env.kernels.reshape(3, -1).astype(float)
    for move in np.asarray(env.transitions, float):
        theta, off, *_ = np.linalg.lstsq(flat.T, move.ravel(), rcond=None)
        assert off[0] < 1e-12 and np.all(theta > 0)
        assert theta.sum() == pytest.approx(1, abs=1e-6)


def test_names_are_short():
    assert repr(small()) == (
        "AdversarialMDP(2 states, 2 actions, 3 stages, dimension 3, 3 tables, cyclic)"
    )


# ---- bad arguments -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(weights=np.ones((3, 3))), r"weights \[J, 3, 3\].*shape \[3, 3\]"),
        (dict(weights=np.full((1, 3, 3), np.nan)), "finite"),
        (dict(weights=np.full((1, 3, 3), 1.5)), r"lie in \[0, 1\], these go from 1.5 to 1.5"),
        (dict(spread=0.3), r"lie in \[0, 1\]"),
        (dict(spread=-1), "spread is zero or more"),
        (dict(schedule="random"), r"schedule is one of \['cyclic'.*'random'"),
        (dict(period=0), "period is a whole number"),
        (dict(period=1.5), "period is a whole number"),
        (dict(schedule="drawn", chances=[0.5, 0.5]), "chances of 3 tables"),
        (dict(schedule="drawn", chances=[0.5, 0.7, -0.2]), "chances of 3 tables"),
        (dict(kernels=np.ones((2, 2))), r"kernels \[m, S, A, S\]"),
    ],
)
def test_bad_arguments_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(small(), losses=None, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda mdp: instances.stochastic_losses(mdp, 0.6), "1 together at most: got 0.6 and 0.5"),
        (lambda mdp: instances.stochastic_losses(mdp, -0.1), "got -0.1 and 0.5"),
        (lambda mdp: instances.alternating_losses(mdp, 0.2, -0.1), "got 0.2 and -0.2"),
        (lambda mdp: instances.switching_losses(mdp, 0.9), "got 0.9 and 0.2"),
        (lambda mdp: instances.opposed_actions(1), "axes"),
        (lambda mdp: instances.opposed_actions(gap=0.7), "gap"),
        (lambda mdp: instances.linear_mixture(2, 2, 0, 2), "kernels"),
        (lambda mdp: instances.stochastic_losses(mdp, seed=-1), "seed"),
    ],
)
def test_bad_instances_are_told(make, message):
    mdp = tabular(np.full((1, 2, 1, 2), 0.5), np.zeros((1, 2, 1)), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match=message):
        make(mdp)
