"""OPPO: against the whole history, with a known model, and without a rate."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp.oppo import OPPO, OPPOState
from regrax.core.protocol import complete
from regrax.core.simulate import simulate
from regrax.envs.adversarial_mdp_instances import linear_mixture, opposed_actions
from regrax.envs.mdp_instances import river_swim

from . import reference_oppo as reference

KEY = noise.root(4)
STAGES, ROUNDS = 3, 120


@pytest.fixture(scope="module")
def env():
    return linear_mixture(3, 2, 3, STAGES, schedule="cyclic", seed=3)


@jit
def play(env, learner, first, tape):
    def one(states, draw):
        state, own = states
        policy = learner.act(own, (), ())
        state, feedback, _ = env.step(state, policy, draw)
        own = learner.update(own, (), policy, feedback)
        return (state, own), (policy.probabilities(), feedback, env.evaluate(state, ()), own.sums)

    return jax.lax.scan(one, (env.init(KEY), first), tape)


def played(env, learner, first=None):
    """The learner's last state; policies, feedback, reports, and sums of Q after each episode."""
    learner = complete(learner, env, ROUNDS)
    first = learner.init(KEY) if first is None else first
    (_, last), history = jax.device_get(play(env, learner, first, env.noise(KEY, ROUNDS)))
    return last, *history


def alpha(rate, stages, actions, episodes):
    return rate * math.sqrt(2 * math.log(actions) / (stages**2 * episodes))


@pytest.mark.parametrize(("bonus", "ridge", "rate"), [(0.3, 1.0, 4.0), (0.0, 0.05, 1.0)])
def test_as_from_the_whole_history(env, bonus, ridge, rate):
    last, policies, feedback, _, sums = played(env, OPPO(bonus, rate, ridge))
    path = feedback.trajectory
    episodes = list(zip(feedback.losses.astype(float), path.states, path.actions, strict=True))
    kernels = np.asarray(env.kernels, np.float32).astype(float)
    expected, values = reference.policies(
        kernels, STAGES, episodes, bonus, ridge, alpha(rate, STAGES, 2, ROUNDS)
    )
    np.testing.assert_allclose(policies[1:], expected[:-1], atol=1e-6)
    np.testing.assert_allclose(sums, np.cumsum(values, axis=0), rtol=1e-6)
    assert expected[-1].max() > 0.6  # it has learned something


def test_without_a_rate_every_policy_is_uniform(env):
    _, policies, *_ = played(env, OPPO(rate=0.0))
    np.testing.assert_array_equal(policies, 0.5)


def known_model(env):
    """A regression that is certain of the true mixture."""
    flat = env.kernels.reshape(len(env.kernels), -1).astype(float)
    theta = [np.linalg.lstsq(flat.T, m.ravel(), rcond=None)[0] for m in env.transitions]
    with jax.enable_x64(True):
        d = len(flat)
        roots, sums = jnp.zeros((STAGES, d, d)), jnp.zeros((STAGES, 3, 2))
        return OPPOState(roots, jnp.asarray(np.array(theta)), sums)


@pytest.mark.parametrize("schedule", ["cyclic", "doubling"])
def test_with_a_known_model_it_is_hedge_in_every_state(env, schedule):
    """And regret is at most H^2 sqrt(2 K ln A): ln A / alpha + alpha K H^2 / 2 in every state,
    weighted by the visits of the best policy, of which there are H."""
    env = env.replace(schedule=schedule)
    last, policies, feedback, reports, _ = played(env, OPPO(), known_model(env))
    transitions = np.asarray(env.transitions, float)
    losses = feedback.losses.astype(float)
    expected = reference.hedge(transitions, losses, alpha(1.0, STAGES, 2, ROUNDS))
    np.testing.assert_allclose(policies, expected, atol=1e-6)
    np.testing.assert_array_equal(last.solutions, known_model(env).solutions)
    bound = STAGES**2 * math.sqrt(2 * ROUNDS * math.log(2))
    assert reports["regret"][-1] <= bound
    assert reports["regret"][-1] > 0.02 * bound


def test_values_are_optimistic_with_the_bonus_of_the_theory(env):
    """c d H sqrt(ln(d H K / p)) with c = 1: Q is at least r + P V, where V is of the next stage."""
    d = len(env.kernels)
    bonus = d * STAGES * math.sqrt(math.log(d * STAGES * ROUNDS / 1e-6))
    _, policies, feedback, _, sums = played(env, OPPO(bonus))
    values = np.diff(sums, axis=0, prepend=0)
    after = np.sum(policies * values, axis=-1)
    after = np.concatenate([after[:, 1:], np.zeros_like(after[:, :1])], axis=1)
    moves = np.asarray(env.transitions, float)
    backed_up = 1 - feedback.losses + np.einsum("hsat,kht->khsa", moves, after)
    assert np.all(values >= backed_up - 1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OPPO(bonus=-1), "OPPO: bonus is zero or more"),
        (lambda: OPPO(rate=-1), "rate is zero or more"),
        (lambda: OPPO(ridge=0), "ridge is positive"),
        (lambda: OPPO(horizon=0), "horizon is one or more"),
        (lambda: simulate(opposed_actions(), OPPO(), 5, 2, progress=False), "linear_mixture"),
        (lambda: simulate(river_swim(3, 2), OPPO(), 5, 2, progress=False), "linear_mixture"),
    ],
)
def test_bad_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_environment_with_rewards_is_told():
    env = river_swim(3, 2)
    kernels = np.asarray(env.transitions[:1])
    with pytest.raises(ValueError, match="losses of all states and actions"):
        simulate(env, OPPO(kernels=kernels), 5, 2, progress=False)
