"""BayesGap, pull by pull against plain NumPy in float64."""

from __future__ import annotations

from functools import cache

import jax
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.best_arm.bayesgap import BayesGap
from regrax.core.protocol import BanditFeedback

K, D, T, SEEDS = 7, 3, 60, 24


@cache
def _problems():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(SEEDS, K, D)).astype(np.float32)
    theta = rng.normal(size=D).astype(np.float32)
    tape = rng.normal(size=(SEEDS, T)).astype(np.float32)
    return x, theta, tape


@jit
def _play(learner, x, means, tape):
    """Arms, rewards and recommendations, [seeds, T]; `x` is () where there are no features."""

    def one(x, means, tape):
        def pull(state, z):
            arm = learner.act(state, x, ())
            reward = means[arm] + z
            state = learner.update(state, x, arm, BanditFeedback(reward))
            return state, (arm, reward, learner.recommend(state))

        return jax.lax.scan(pull, learner.init(noise.root(0)), tape)[1]

    return jax.vmap(one)(x, means, tape)


class _Reference:
    """Goes through a run that was played, and says how far from its own choice each pull was."""

    def __init__(self, x, gaps, noise_scale, prior_scale, epsilon):
        self.x, self.gaps, self.epsilon = x.astype(np.float64), gaps, epsilon
        self.noise, self.prior = noise_scale**2, prior_scale**2
        self.matrix, self.target = np.eye(x.shape[1]) / self.prior, np.zeros(x.shape[1])
        self.best, self.bound = 0, np.inf

    def see(self, arm, reward):
        self.matrix += np.outer(self.x[arm], self.x[arm]) / self.noise
        self.target += self.x[arm] * reward / self.noise

    def choose(self):
        covariance = np.linalg.inv(self.matrix)
        mean = self.x @ covariance @ self.target
        scale = np.sqrt(np.sum((self.x @ covariance) * self.x, axis=1))
        others = np.where(np.eye(K, dtype=bool), -np.inf, 1)

        def beside(values):
            return np.max(np.where(others == 1, values, -np.inf), axis=1)

        gaps = self.gaps
        if gaps is None:
            gaps = np.maximum(beside(mean + 3 * scale) - (mean - 3 * scale), 0)
        h = np.maximum((gaps + self.epsilon) / 2, self.epsilon)
        kappa = np.sum(1 / np.sum(self.x**2, axis=1))
        effort = (T - K) / self.noise + kappa / self.prior
        beta = np.sqrt(effort / (4 * np.sum(1 / np.maximum(h, 1e-9) ** 2)))
        upper, lower = mean + beta * scale, mean - beta * scale
        bounds = beside(upper) - lower
        j = int(np.argmin(bounds))
        rival = int(np.argmax(np.where(np.arange(K) == j, -np.inf, upper)))
        if bounds[j] < self.bound:
            self.best, self.bound = j, bounds[j]
        return j if scale[j] >= scale[rival] else rival


@pytest.mark.parametrize("each_first", [False, True])
@pytest.mark.parametrize("oracle", [False, True])
@pytest.mark.parametrize("linear", [True, False])
def test_the_same_arms_as_in_numpy(linear, oracle, each_first):
    x, theta, tape = _problems()
    means = x @ theta if linear else x[:, :, 0]
    if not linear and oracle:  # one vector of means for all
        means = np.broadcast_to(means[0], means.shape)
    truth = (theta if linear else means[0]) if oracle else None
    learner = BayesGap(
        num_arms=K, budget=T, oracle=truth, noise_scale=1.5, prior_scale=2.0, epsilon=0.05,
        each_first=each_first,
    )  # fmt: skip
    seen = x if linear else ()
    arms, rewards, recommended = map(np.asarray, _play(learner, seen, means, tape))
    agree = []
    for i in range(SEEDS):
        features = x[i] if linear else np.eye(K)
        gaps = None
        if oracle:
            top = np.sort(means[i])[::-1]
            gaps = np.abs(np.where(means[i] == top[0], top[1], top[0]) - means[i])
        reference = _Reference(features, gaps, 1.5, 2.0, 0.05)
        start = list(range(K)) if each_first else [int(np.argmax(np.sum(features**2, axis=1)))]
        for t in range(T):
            expected = start[t] if t < len(start) else reference.choose()
            agree.append(arms[i, t] == expected)
            reference.see(arms[i, t], rewards[i, t])
        agree.append(recommended[i, -1] == reference.best)
    # Rounding decides where two posteriors tie: rarely.
    assert np.mean(agree) > 0.995


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": K}, f"needs a budget of {K + 1} pulls"),
        ({"noise_scale": 0.0}, "noise_scale is positive"),
        ({"prior_scale": -1.0}, "prior_scale is positive"),
        ({"epsilon": -0.1}, "epsilon is zero or more"),
        ({"oracle": [0.0, np.nan]}, "oracle is a vector"),
    ],
)
def test_errors_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        BayesGap(**({"num_arms": K, "budget": T} | options))
