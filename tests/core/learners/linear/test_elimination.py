"""Phased elimination against NumPy, on orthogonal arms by hand, and what it promises."""

from functools import cache, partial

import jax
import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.design import g_optimal
from regrax.core.learners.linear.elimination import PhasedElimination, rarely
from regrax.core.protocol import complete
from regrax.envs.misspecified import MisspecifiedLinear, hidden_direction

from . import reference_elimination as reference


@partial(jit, static_argnames=("rounds", "seeds"))
def play(env, learner, *, rounds, seeds):
    """Environments' states, arms and rewards [seeds, rounds], and learners' last states."""

    def one(number):
        key = noise.stream(noise.root(7), number)
        state = env.init(noise.stream(key, "environment"))
        tape = env.noise(noise.stream(key, "noise"), rounds)

        def step(inner, draw):
            seen = env.observe(state, draw)
            arm = learner.act(inner, seen, ())
            feedback = env.step(state, arm, draw)[1]
            return learner.update(inner, seen, arm, feedback), (arm, feedback.reward)

        last, (arms, rewards) = jax.lax.scan(step, learner.init(key), tape)
        return state, arms, rewards, last, learner.recommend(last)

    return jax.vmap(one)(jax.numpy.arange(seeds, dtype="uint32"))


def played(env, learner, rounds, seeds):
    learner = complete(learner, env, rounds)
    return jax.device_get(play(env, learner, rounds=rounds, seeds=seeds))


@jit
def design(features, active):
    return g_optimal(features, active)


def test_agrees_with_numpy():
    rounds, seeds = 3000, 3
    env = MisspecifiedLinear(15, 4, epsilon=0.05, sigma=0.1)
    states, arms, rewards, last, recommended = played(env, PhasedElimination(), rounds, seeds)
    for seed in range(seeds):
        x = states.features[seed]
        other = reference.Phased(
            x.astype(float),
            float(env.sigma),
            1 / rounds,
            lambda active, x=x: np.asarray(design(x, active), float),
        )
        for t in range(rounds):
            assert arms[seed, t] == other.play(), (seed, t)
            other.tell(float(rewards[seed, t]))
        assert len(other.history) >= 4
        np.testing.assert_array_equal(last.active[seed], other.active)
        were_active, _, estimates = other.history[-1]  # on others least squares are arbitrary
        np.testing.assert_allclose(
            last.estimates[seed][were_active], estimates[were_active], atol=2e-5
        )
        assert recommended[seed] == other.recommend()


FOUR = 4  # arms and dimensions; one program for the next three tests


def four(sigma, theta, features=None):
    features = np.eye(FOUR) if features is None else features
    env = MisspecifiedLinear(FOUR, FOUR, FOUR, 0.0, sigma, features=features, theta=theta)
    return played(env, PhasedElimination(delta=0.05), 4000, 2)


def test_orthogonal_arms_by_hand():
    """Without features to share, a design is even weights and least squares are means: what is
    played is the successive elimination of the book, worked out here without either."""
    sigma = 0.2
    _, arms, rewards, last, _ = four(sigma, np.array([0.3, 0.8, -0.2, 0.6]))
    for seed in range(2):
        active, start, phase = np.ones(FOUR, bool), 0, 1
        while True:
            level = np.log(FOUR * phase * (phase + 1) / 0.05)
            left = np.flatnonzero(active)
            pulls = int(np.ceil(2 * FOUR / len(left) * sigma**2 * 4**phase * level))
            if start + pulls * len(left) > 4000:
                break
            turn = slice(start, start + pulls * len(left))
            np.testing.assert_array_equal(arms[seed, turn], np.repeat(left, pulls))
            means = rewards[seed, turn].astype(float).reshape(len(left), pulls).mean(1)
            active[left[means.max() - means > 2 * 2.0**-phase]] = False
            start, phase = turn.stop, phase + 1
        assert phase > 3 and not active.all()
        np.testing.assert_array_equal(last.active[seed], active)
        assert last.phase[seed] == phase


def test_without_noise_it_plays_the_support_once():
    _, arms, _, last, _ = four(0.0, np.array([0.4, 0.0, 0.0, 0.0]))
    # Gaps of 0.4 are above 2 eps_l from l = 3 on.
    np.testing.assert_array_equal(arms[0, :14], [0, 1, 2, 3] * 3 + [0, 0])
    np.testing.assert_array_equal(last.active[0], [True, False, False, False])
    assert np.isfinite(last.estimates).all() and last.phase[0] > 1000


def test_arms_that_span_little_and_arms_without_features():
    """A zero arm, which is the best, a repeated one, and two dimensions of four."""
    x = np.array([[0.6, 0.8, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    _, arms, _, last, recommended = four(0.1, np.array([-0.5, -0.8, 0, 0]), x)
    np.testing.assert_array_equal(last.active, np.tile(np.arange(FOUR) == 2, (2, 1)))
    np.testing.assert_array_equal(recommended, 2)
    assert np.all(arms[:, -100:] == 2)


SEEDS = 300


@cache
def kept(belief):
    """In how many of the seeds the best arm is never dropped, by a learner that takes the noise to
    be `belief` times what it is."""
    env = MisspecifiedLinear(20, 3, 3, epsilon=0.0, sigma=0.5)
    learner = PhasedElimination(sigma=0.5 * belief, delta=0.1)
    states, _, _, last, _ = played(env, learner, 3000, SEEDS)
    assert np.all(last.phase > 2)
    return int(np.sum(last.active[np.arange(SEEDS), np.argmax(states.means, axis=1)]))


def test_the_best_arm_is_rarely_dropped():
    """With probability 1 - delta at least; and it is noise that the test can tell from none."""
    assert kept(1.0) >= stats.binom(SEEDS, 0.9).ppf(1e-6)
    assert kept(0.1) < stats.binom(SEEDS, 0.9).ppf(1e-6)


def test_errs_by_epsilon_root_d_where_a_direction_is_hidden():
    """The best arm is estimated 0.05 below the others, which is eight standard deviations."""
    d, options = 12, {"checkpoints": [6000], "progress": False}
    env = hidden_direction(d, 0.2, sigma=0.1)
    trace = rx.simulate(env, PhasedElimination(delta=0.1), 6000, 40, **options)
    error = (0.9 * np.sqrt(d) + 0.1) * 0.2
    np.testing.assert_allclose(trace.metrics["simple_regret"][0], error, rtol=1e-5)


def test_a_seed_is_the_same_in_any_batch_and_stack():
    """Phases end in different rounds: seeds, and members of a stack, take turns."""
    env = MisspecifiedLinear(10, 3, epsilon=0.05, sigma=0.2)
    learners = [PhasedElimination(delta=delta) for delta in (0.3, 0.01)]
    options = {"checkpoints": [500, 2000], "progress": False}
    stacked = rx.simulate(env, rx.stack(learners), 2000, 20, **options).metrics
    alone = rx.simulate(env, learners[1], 2000, [3, 11], **options).metrics
    for name, x in alone.items():
        np.testing.assert_array_equal(stacked[name][1][:, [3, 11]], x)
    assert np.all(stacked["regret"][0] != stacked["regret"][1])


def test_rare_work_is_done_where_it_is_needed():
    def change(state, by, scale):
        return {"x": state["x"] + by * scale, "n": state["n"] + 1}

    def work(*arguments):
        return rarely(change, *arguments)

    needed = np.array([[True, False, True], [False, False, True]])
    state = {"x": np.arange(6.0, dtype=np.float32).reshape(2, 3), "n": np.zeros((2, 3), np.int32)}
    by = np.array([10.0, 20.0], np.float32)
    inner = jax.vmap(work, in_axes=(0, 0, None, None))
    found = jax.jit(jax.vmap(inner, in_axes=(0, 0, 0, None)))(needed, state, by, 2.0)
    np.testing.assert_array_equal(found["x"], state["x"] + 2 * needed * by[:, None])
    np.testing.assert_array_equal(found["n"], needed)
    one = jax.jit(work)(True, {"x": 1.0, "n": 0}, 2.0, 1.0)
    assert (one["x"], one["n"]) == (3.0, 1)
    assert jax.jit(work)(False, {"x": 1.0, "n": 0}, 2.0, 1.0)["x"] == 1.0


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: PhasedElimination(sigma=-1.0), "PhasedElimination: sigma is zero or more, got -1"),
        (lambda: PhasedElimination(delta=0.0), r"delta is in \(0, 1\), got 0.0"),
        (lambda: PhasedElimination(disjoint=True), "features of their own.*disjoint"),
        (lambda: PhasedElimination().init(noise.root(0)), "does not know its num_arms"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_an_environment_that_does_not_say_its_noise():
    env = rx.envs.BernoulliLinearContexts(3, 4)
    with pytest.raises(ValueError, match="does not know its sigma"):
        rx.simulate(env, PhasedElimination(), 10, 1, progress=False)
