"""DP-OD: a phase against least squares in float64 NumPy, and the paper's curves."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from regrax.core import noise
from regrax.core.learners.private.dp_od import DPOD, DPODState
from regrax.core.protocol import Pulls, RewardSums
from regrax.envs.best_arm import BestArm
from regrax.envs.drawn_arms import DPBAIPaper

from .test_dp_bai import AUTHORS, BUDGETS, agree, numbers, success

CURVES = {  # the paper's figure, 1,000 runs a budget
    0.1: ".465 .491 .507 .518 .504 .522 .528 .527 .520 .522",
    0.3: ".478 .528 .516 .515 .521 .567 .556 .578 .594 .605",
    np.inf: AUTHORS[np.inf],  # OD-LinBAI
}


def expected(features, active, arms, counts, sums, z, epsilon, c):
    """Estimates of the active arms, for any orthonormal basis `rows` of their span that starts with
    the longest of them: Gram and Schmidt keep to the order of the arms given."""

    def estimates(rows):
        a = features @ rows.T
        scale = c * np.abs(a[active]).sum(axis=1).max() / epsilon
        v = (a[arms].T * counts) @ a[arms]
        return a[active] @ np.linalg.solve(v, a[arms].T @ sums + scale * z[: len(rows)])

    return estimates


@pytest.mark.parametrize(("epsilon", "c"), [(0.5, 2.0), (3.0, 0.7)])
def test_a_phase_is_private_least_squares(epsilon, c):
    rng = np.random.default_rng(0)
    learner = DPOD(num_arms=9, dimension=4, budget=200, epsilon=epsilon, c=c)
    features = rng.normal(size=(9, 4)).astype(np.float32)
    key = noise.root(8)

    @jax.jit
    def update(learner, state, pulls, sums):
        return learner.update(state, features, pulls, RewardSums(sums))

    for phase, kept in enumerate([np.ones(9, bool), np.arange(9) == 4, np.arange(9) % 5 == 2]):
        arms = np.resize(np.flatnonzero(kept), 9).astype(np.int32)
        counts = np.where(np.arange(9) < kept.sum(), rng.integers(1, 30, 9), 0).astype(np.int32)
        sums = (counts * rng.random(9)).astype(np.float32)
        state = DPODState(key, np.int32(min(phase, 1)), kept, np.zeros(9, np.float32))
        after = update(learner, state, Pulls(arms, counts), sums)
        z = np.asarray(noise.laplace(noise.stream(key, state.phase), (4,)), np.float64)
        x, pulled = features.astype(np.float64), counts > 0
        estimates = expected(x, kept, arms[pulled], counts[pulled], sums[pulled], z, epsilon, c)
        if kept.sum() >= 4:
            rows = np.eye(4)
        else:  # by decreasing norm: the first of a basis is the longest
            order = sorted(np.flatnonzero(kept), key=lambda i: -np.linalg.norm(x[i]))
            q, r = np.linalg.qr(x[order].T)
            rows = (q * np.sign(np.diag(r))).T
        np.testing.assert_allclose(after.means[kept], estimates(rows), rtol=1e-4, atol=1e-4)
        assert not after.means[~kept].any() and after.phase == min(phase, 1) + 1
        best = np.flatnonzero(kept)[np.argsort(-estimates(rows))]
        stay = min(kept.sum(), [2, 1][min(phase, 1)])
        np.testing.assert_array_equal(np.flatnonzero(after.active), np.sort(best[:stay]))


def test_the_papers_curves():
    """With c = 2, and without noise: then it is OD-LinBAI. c = 1 is further from the figure than
    sampling explains."""
    settings = [(t, e) for e in CURVES for t in BUDGETS]
    env = BestArm(DPBAIPaper(), 500)
    rates, pulls = success(env, lambda **given: DPOD(**given), settings, 4_000)
    agree(rates, 4_000, numbers(CURVES, CURVES), 1_000)
    assert all(t - 3 <= p <= t for p, (t, _) in zip(pulls, settings, strict=True))
    one, _ = success(env, lambda **given: DPOD(c=np.float32(1), **given), settings, 4_000)
    private = numbers(CURVES, [0.1, 0.3])
    spread = private * (1 - private) / 1000
    two, one = (np.sum((x[:20] - private) ** 2 / spread) for x in (rates, one))
    assert two < 40 < one  # chi-squared with 20 degrees of freedom


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -1.0}, "DPOD: epsilon is positive"),
        ({"c": 0.0}, "DPOD: c is positive"),
        ({"num_arms": 30, "dimension": 2, "budget": 3}, "needs a budget of 4 pulls at least"),
    ],
)
def test_errors_come_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        DPOD(**options)
