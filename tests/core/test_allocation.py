"""Rounding of designs and least squares, against plain NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core import allocation

from .reference_design import features, span


def _weights(seeds, num_arms, rng):
    weights = rng.dirichlet(np.full(num_arms, 0.3), seeds) * (rng.random((seeds, num_arms)) < 0.7)
    weights[weights < 1e-3] = 0  # weights of rounding size are another matter
    weights[:, 0] += 0.1
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _pukelsheim(weights, total):
    support = weights > 0
    counts = np.where(support, np.maximum(np.ceil((total - support.sum() / 2) * weights), 0), 0)
    safe = np.where(support, weights, 1)
    while counts.sum() != total:
        if counts.sum() < total:
            counts[np.argmin(np.where(support, counts / safe, np.inf))] += 1
        else:
            counts[np.argmax(np.where(support, (counts - 1) / safe, -np.inf))] -= 1
    return counts


def test_efficient_rounding_adds_up_and_is_pukelsheims():
    rng = np.random.default_rng(2)
    weights = _weights(300, 11, rng)
    totals = rng.choice([0, 1, 3, 17, 250, 9_999, 100_000], 300).astype(np.int32)
    counts = np.asarray(jax.jit(jax.vmap(allocation.efficient_rounding))(weights, totals))
    assert (counts.sum(axis=1) == totals).all()
    assert (counts >= 0).all()
    assert not counts[weights == 0].any()
    for i in range(300):
        # In float32 a product can lie on the other side of a whole number.
        allowed = 0 if totals[i] < 1_000 else 1
        expected = _pukelsheim(weights[i].astype(np.float64), totals[i])
        assert np.abs(counts[i] - expected).max() <= allowed


def test_ceil_rounding():
    weights = jnp.asarray([0.5, 0.0, 0.3, 0.2])
    even = allocation.ceil_rounding(weights, jnp.float32(10), jnp.int32(13))
    assert even.tolist() == [5, 0, 3, 2]
    above = allocation.ceil_rounding(weights, jnp.float32(11.5), jnp.int32(14))
    assert above.tolist() == [6, 0, 4, 3]
    tiny = allocation.ceil_rounding(weights, jnp.float32(1e-6), jnp.int32(3))
    assert tiny.tolist() == [1, 0, 1, 1]
    limited = allocation.ceil_rounding(weights, jnp.float32(11.5), jnp.int32(12))
    assert limited.tolist() == [5, 0, 4, 3]


def test_occupied_slots():
    counts = jnp.asarray([0, 4, 0, 0, 2, 9])
    arms, taken = allocation.occupied(counts, 4)
    assert arms.tolist() == [1, 4, 5, 0]
    assert taken.tolist() == [4, 2, 9, 0]
    arms, taken = allocation.occupied(counts, 6)
    assert arms.tolist() == list(range(6))
    assert taken.tolist() == counts.tolist()


def test_least_squares_predicts_on_the_span_of_what_was_pulled():
    rng = np.random.default_rng(3)
    x = features(9, 4, 200, rng)
    counts = rng.choice([0, 1, 5, 3_000, 100_000], x.shape[:2]).astype(np.int32)
    counts[:, 0] = 7
    theta = rng.normal(size=(200, 4))
    means = np.einsum("nkd,nd->nk", x, theta) + 0.1 * rng.normal(size=counts.shape)
    sums = (counts * means).astype(np.float32)
    fitted = jax.jit(jax.vmap(allocation.least_squares))(x, counts, sums)
    predicted = np.asarray(jax.vmap(allocation.predictions)(x, fitted))
    for i in range(200):
        root = np.sqrt(counts[i])
        basis = span(x[i][counts[i] > 0])
        design = x[i].astype(np.float64) @ basis
        ratio = np.divide(sums[i], root, out=np.zeros(9), where=root > 0)
        coefficients = np.linalg.lstsq(root[:, None] * design, ratio, rcond=None)[0]
        inside = np.linalg.norm(x[i] - design @ basis.T, axis=1) < 1e-5
        expected = design @ coefficients
        condition = np.linalg.cond(root[:, None] * design)
        tolerance = 1e-6 * (10 + condition) * (1 + np.abs(expected).max())
        assert np.abs(predicted[i] - expected)[inside].max() < tolerance
