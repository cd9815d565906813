"""What the tests of linear phase learners share: playing features against a tape of noise, and what
a phase must satisfy, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import noise
from regrax.core.protocol import RewardSums

from ...reference_design import features, norms, span

SEEDS = 1024
CHECKED = range(0, SEEDS, 31)


def problems(num_arms: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [seeds, K, d] of several kinds, see `features`, and parameters [seeds, d]."""
    rng = np.random.default_rng(num_arms * d)
    return features(num_arms, d, SEEDS, rng), rng.normal(size=(SEEDS, d)).astype(np.float32)


def soare() -> tuple[np.ndarray, np.ndarray]:
    """Ten axes and an arm at an angle of 0.1 to the best one."""
    x = np.vstack([np.eye(10), np.eye(10)[0] * np.cos(0.1) + np.eye(10)[1] * np.sin(0.1)])
    x = np.broadcast_to(x.astype(np.float32), (SEEDS, 11, 10))
    return x, np.broadcast_to(2 * np.eye(10, dtype=np.float32)[0], (SEEDS, 10))


def yang_tan(num_arms: int) -> tuple[np.ndarray, np.ndarray]:
    """Their first instance: the best arm on an axis, one at 135 degrees, the others near 45."""
    angles = np.random.default_rng(45).normal(np.pi / 4, 0.09, (SEEDS, num_arms))
    angles[:, 0], angles[:, -1] = 0, 3 * np.pi / 4
    x = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    return x, np.broadcast_to(np.float32([1, 0]), (SEEDS, 2))


def play(learner: Any, x: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Noise of variance one. For each seed and phase, two more than there are: "counts" and "sums"
    [seeds, phases, K], which arms were "active" before it, and the "recommended" one after it."""
    rng = np.random.default_rng(0)
    tape = rng.normal(size=(len(x), learner.num_phases() + 2, x.shape[1])).astype(np.float32)
    return jax.tree.map(np.asarray, _play(learner, x, theta, tape))


@jax.jit
def _play(learner, x, theta, tape):
    def one(x, theta, tape):
        means = x @ theta

        def phase(state, z):
            action = learner.act(state, x, ())
            root = jnp.sqrt(action.counts.astype(jnp.float32))
            sums = action.counts * means[action.arms] + root * z[action.arms]
            after = learner.update(state, x, action, RewardSums(sums))
            empty = jnp.zeros(len(x))
            return after, {
                "counts": empty.astype(jnp.int32).at[action.arms].add(action.counts),
                "sums": empty.at[action.arms].add(sums),
                "active": state.active,
                "recommended": learner.recommend(after),
            }

        return jax.lax.scan(phase, learner.init(noise.root(0)), tape)[1]

    return jax.vmap(one)(x, theta, tape)


def error(x: np.ndarray, theta: np.ndarray, played: dict[str, np.ndarray]) -> float:
    means = np.einsum("nkd,nd->nk", x.astype(np.float64), theta)
    chosen = means[np.arange(len(x)), played["recommended"][:, -1]]
    return float(np.mean(chosen < means.max(axis=1) - 1e-6))


def check_budget(played: dict[str, np.ndarray], budget: int) -> None:
    """Never a pull too many, none of an arm given up, none when it has finished."""
    counts = played["counts"]
    assert (counts >= 0).all()
    assert (counts.sum(axis=(1, 2)) <= budget).all()
    assert not counts[:, -2:].any()
    assert (played["recommended"][:, -3:] == played["recommended"][:, -1:]).all()


def estimates(x: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Least squares, NaN for arms outside of the span of those that were pulled."""
    used, root = counts > 0, np.sqrt(counts[counts > 0])
    basis = span(x[used].astype(np.float64))
    inside = x @ basis
    fitted = np.linalg.lstsq(root[:, None] * inside[used], sums[used] / root, rcond=None)[0]
    outside = np.linalg.norm(x - inside @ basis.T, axis=1) > 1e-4 * np.linalg.norm(x, axis=1)
    return np.where(outside, np.nan, inside @ fitted)


def check_kept(x, counts, sums, before, after, size=None) -> None:
    """The largest estimates stay, and of arms with the same features the first."""
    values = estimates(x, counts, sums)
    dropped = before & ~after
    assert after.any()
    assert not (after & ~before).any()
    if size is not None:
        assert after.sum() == min(size, before.sum())
    if np.isnan(values[before]).any() or not dropped.any():
        return
    assert values[after].min() >= values[dropped].max() - 2e-4 * (1 + np.abs(values[before]).max())
    for i in np.flatnonzero(dropped):
        same = after & (x == x[i]).all(axis=1)
        assert not same[i + 1 :].any()


def largest_norm(x: np.ndarray, counts: np.ndarray, arms: np.ndarray) -> tuple[float, int]:
    """Of these arms in the inverse of the phase's matrix, and the dimension they span."""
    return norms(x, counts, x[arms]).max(), span(x[arms]).shape[1]
