"""One learner a bin of the context: the same as that learner alone in the rounds of the bin."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.learners.bandits import Exp3
from regrax.core.learners.solver import Binned, FixedOmega, FromCosts, GoldenSection, TsallisTuner
from regrax.core.protocol import Iterations, complete

from . import systems

K, T, M = 20, 2000, 5
KEY = noise.root(4)
INTERVAL = np.asarray(systems.INTERVAL, np.float32)
CONTEXTS = np.concatenate([systems.contexts(T - 4), np.float32([-9, 0.6, 0.9, 9])])
COUNTS = systems.counts(np.clip(CONTEXTS, *systems.INTERVAL))


def bins(contexts, a, b, m):
    """Centres a + (b - a) (j - 1/2) / m, and the first of the nearest."""
    centres = a + (b - a) * np.linspace(0.5 / m, 1 - 0.5 / m, m)
    return np.argmin(np.abs(centres - np.asarray(contexts)[:, None]), axis=1)


def play(learner, contexts, counts, tape, on):
    """Arms, states before every round and the last state of a game that skips the rounds that are
    not `on`."""

    def one_round(state, row):
        context, counts, noise, on = row
        arm = learner.act(state, context, noise)
        after = learner.update(state, context, arm, Iterations(counts[arm]))
        with jax.enable_x64(True):
            after = jax.tree.map(lambda new, old: jnp.where(on, new, old), after, state)
        return after, (arm, state)

    last, (arms, states) = jax.lax.scan(one_round, learner.init(KEY), (contexts, counts, tape, on))
    return arms, states, last


def binned(inner):
    learner = Binned(inner, M, INTERVAL)
    rows = CONTEXTS, COUNTS, learner.noise(KEY, T), np.ones(T, bool)
    return jax.tree.map(np.asarray, jax.jit(lambda *rows: play(learner, *rows))(*rows))


@pytest.fixture(scope="module")
def tuned():
    return binned(TsallisTuner(K))


def test_the_bin_is_the_nearest_centre_and_the_lower_of_two():
    contexts = np.linspace(-1, 5, 4001, dtype=np.float32)
    for m in (1, 4, 6):  # centres and middles are exact in binary
        learner = Binned(FixedOmega(1.5), m, (0, 4 if m != 6 else 3))
        chosen = jax.vmap(learner.bin_of)(jnp.asarray(contexts))
        assert chosen.dtype == np.int32
        np.testing.assert_array_equal(chosen, bins(contexts, *learner.interval, m))
    middles = jnp.arange(1.0, 4.0)
    learner = Binned(FixedOmega(1.5), 4, (0.0, 4.0))
    np.testing.assert_array_equal(jax.vmap(learner.bin_of)(middles), [0, 1, 2])


def test_only_the_chosen_bin_learns(tuned):
    _, states, last = tuned
    chosen = bins(CONTEXTS, *systems.INTERVAL, M)
    assert set(chosen) == set(range(M))
    rounds = np.append(states.rounds, last.rounds[None], axis=0)
    np.testing.assert_array_equal(np.diff(rounds, axis=0), chosen[:, None] == np.arange(M))
    losses = np.append(states.losses, last.losses[None], axis=0)
    changed = np.any(losses[1:] != losses[:-1], axis=-1)
    assert not np.any(changed & (chosen[:, None] != np.arange(M)))


def test_every_bin_follows_its_own_reference(tuned):
    """Charged what the learner charged, so that a rounding is not amplified by later rounds."""
    arms, states, _ = tuned
    others = [systems.Reference(systems.probabilities, K) for _ in range(M)]
    for t, j in enumerate(bins(CONTEXTS, *systems.INTERVAL, M)):
        p, arm = states.weights[t, j], arms[t]
        np.testing.assert_allclose(p, others[j].weights(), rtol=2e-5)
        others[j].update(arm, COUNTS[t, arm], p[arm])


INNER = {
    "published": TsallisTuner(K, "published"),
    "golden": GoldenSection(K, repeats=3),
    "rewards": FromCosts(Exp3(K, 300), 3000.0),
}


@pytest.mark.parametrize("name", INNER)
def test_a_bin_is_the_learner_alone_in_its_rounds_with_their_noise(name):
    """The fewest rounds that leave no doubt: a published tuner is chaotic in the long run."""
    inner = INNER[name]
    arms, _, last = binned(inner)
    tape, chosen = inner.noise(KEY, T), bins(CONTEXTS, *systems.INTERVAL, M)
    rounds = 400

    @jax.jit
    @jax.vmap
    def alone(on):
        return play(inner, CONTEXTS, COUNTS, tape, on)[0]

    expected = alone(chosen == np.arange(M)[:, None])[chosen, np.arange(T)]
    np.testing.assert_array_equal(arms[:rounds], expected[:rounds])
    assert jax.tree.leaves(last)[0].shape[0] == M


def test_it_is_filled_in_and_recommends_for_every_bin():
    env = systems.Systems(systems.contexts(1024))
    learner = complete(Binned(TsallisTuner(), M), env, 100)
    assert learner.learner.num_arms == K
    np.testing.assert_array_equal(learner.interval, INTERVAL)
    given = complete(Binned(TsallisTuner(), M, (0, 1)), env, 100)
    np.testing.assert_array_equal(given.interval, [0, 1])

    trace = rx.simulate(env, Binned(TsallisTuner(newton="published"), M), 3000, 64, progress=False)
    recommended = trace.metrics["recommended"]
    assert recommended.shape[1:] == (64, M) and recommended.dtype == np.int32
    # Harder systems, which lie in lower bins, want larger parameters.
    means = recommended[-1].mean(axis=0)
    assert means[0] > means[1] + 1 and means[1] > means[2]


def test_noise_is_the_learners_own():
    learner = Binned(TsallisTuner(K), M, INTERVAL)
    np.testing.assert_array_equal(learner.noise(KEY, 9), TsallisTuner(K).noise(KEY, 9))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Binned(TsallisTuner, 3), "takes a learner"),
        (lambda: Binned(rx.learners.SequentialHalving(3, 100), 3), "phases"),
        (lambda: Binned(TsallisTuner(), 0), "bins is a whole number"),
        (lambda: Binned(TsallisTuner(), 2, (1, 1)), "interval is a pair"),
        (lambda: Binned(TsallisTuner(), 2, (0, 1, 2)), "interval is a pair"),
        (lambda: Binned(TsallisTuner(3), 2, (0, 1)).bin_of(()), "context that is one number"),
        (lambda: Binned(TsallisTuner(3), 2).bin_of(jnp.zeros(())), "interval"),
        (
            lambda: complete(Binned(TsallisTuner(), 2), rx.envs.BernoulliBandit([0.1, 0.2]), 9),
            "BernoulliBandit does not say",
        ),
    ],
)
def test_it_says_what_is_wrong(build, message):
    with pytest.raises(ValueError, match=message):
        build()
