"""Compensated sums against exact ones."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrax.core.learners.convex.sums import add, below_top, nothing, rounded


@jax.jit
def add_up(terms):
    start = nothing(terms[0])
    return jax.lax.scan(lambda total, x: (add(total, x), ()), start, terms)[0]


@given(hnp.arrays(np.float32, (200, 2), elements=st.floats(-1e6, 1e6, width=32)))
@settings(max_examples=60)
def test_sums_are_within_the_bound(terms):
    found = add_up(terms)
    for j in range(2):
        exact = math.fsum(np.float64(terms[:, j]))
        both = float(found.total[j]) + float(found.lost[j])
        assert abs(both - exact) <= 2.0**-23 * np.sum(np.abs(np.float64(terms[:, j]))) + 1e-38


def test_a_million_terms_lose_no_digits():
    terms = jnp.broadcast_to(jnp.array([0.1, 0.3], jnp.float32), (1_000_000, 2))
    exact = 1e6 * np.array([0.1, 0.3], np.float32).astype(np.float64)
    found = add_up(terms)
    np.testing.assert_allclose(rounded(found), exact, rtol=2.0**-23)
    gap = exact[0] - exact[1]
    np.testing.assert_allclose(below_top(found), [gap, 0], rtol=1e-6, atol=0.02)
