"""NeuralTuner against its network by hand, and on a model of SOR."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.learners.solver.neural import NeuralTuner

from . import games

K, GAMES, ROUNDS, CHECKED, HIDDEN = 20, 24, 2400, 300, 32
CONTEXTS, COUNTS = games.sequences(GAMES, ROUNDS)
LOW, HIGH = games.INTERVAL.astype(np.float64)
play = games.player(games.chances)


class Network:
    """One hidden layer of tanh: forwards, backwards, and a step of Adagrad."""

    def __init__(self, slopes, offsets):
        zeros = np.zeros((K, HIDDEN)), np.zeros(K)
        self.parameters = [np.asarray(slopes, np.float64), np.asarray(offsets, np.float64), *zeros]
        self.squares = [np.full(x.shape, 0.1) for x in self.parameters]

    def costs(self, x):
        slopes, offsets, out, base = self.parameters
        return out @ np.tanh(slopes * x + offsets) + base

    def learn(self, x, arm, target, rate=0.1):
        slopes, offsets, out, _ = self.parameters
        hidden = np.tanh(slopes * x + offsets)
        error = self.costs(x)[arm] - target
        back = error * out[arm] * (1 - hidden**2)
        gradients = [back * x, back, np.zeros((K, HIDDEN)), np.zeros(K)]
        gradients[2][arm], gradients[3][arm] = error * hidden, error
        for i, gradient in enumerate(gradients):
            self.squares[i] += gradient**2
            step = rate * gradient / np.sqrt(self.squares[i] + 1e-7)
            self.parameters[i] = self.parameters[i] - step


def test_probabilities_are_those_of_the_network_by_hand():
    learner, game = NeuralTuner(K, games.INTERVAL), 2
    arms = np.random.default_rng(1).integers(0, K, CONTEXTS.shape).astype(np.int32)
    _, seen, _ = play(learner, CONTEXTS, COUNTS, arms)
    first = learner.init(noise.stream(noise.root(6), jnp.uint32(game))).network
    network, counts = Network(first.slopes, first.offsets), []
    for t in range(CHECKED):
        x = 2 * (np.float64(CONTEXTS[game, t]) - LOW) / (HIGH - LOW) - 1
        costs = network.costs(x)
        best = np.argmin(costs)
        p = 1 / (K + 5 * np.sqrt(K * (t + 1)) * (costs - costs[best]))
        p[best] += 1 - p.sum()
        # Roundings of 24 bits grow with the rounds and with the rate, here below 400.
        np.testing.assert_allclose(seen[game, t], p, atol=2e-3, err_msg=f"round {t}")
        counts.append(COUNTS[game, t, arms[game, t]])
        network.learn(x, arms[game, t], np.log(counts[-1] / counts[0]))
    assert np.max(seen[game, :CHECKED]) > 0.5


def test_where_contexts_vary_it_comes_to_beat_every_fixed_parameter():
    learner = NeuralTuner(K, games.INTERVAL)
    arms, seen, state = play(learner, CONTEXTS, COUNTS)
    cost, fixed, _ = games.late_costs(arms, COUNTS)
    varied = slice(GAMES // 2, None)  # the other law takes longer to show it at this level
    assert games.below(cost[varied], fixed[varied])
    assert np.all(np.abs(seen.sum(axis=2) - 1) < 1e-5) and np.all(seen > 0)
    assert np.all(np.asarray(state.rounds) == ROUNDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hidden": 0}, "hidden is a whole number"),
        ({"learning_rate": 0}, "learning_rate is positive"),
        ({"rate": -1}, "rate is zero or more"),
        ({"interval": (1, 0)}, "a pair a < b"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        NeuralTuner(K, **arguments)
