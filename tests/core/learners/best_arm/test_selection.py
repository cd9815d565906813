import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core.learners.best_arm.selection import keep_best

jitted = jax.jit(keep_best)


def reference(values, active, count):
    order = sorted(np.flatnonzero(active), key=lambda i: (-values[i], i))
    kept = np.zeros(len(values), bool)
    kept[order[: max(count, 0)]] = True
    return kept


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_best_stay_and_ties_go_to_the_lowest_index(data):
    size = 6
    values = data.draw(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 2.0]), min_size=size,
                                max_size=size))  # fmt: skip
    active = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    count = data.draw(st.integers(0, size))
    got = jitted(jnp.array(values, jnp.float32), jnp.array(active), count)
    np.testing.assert_array_equal(got, reference(values, active, count))


@pytest.mark.parametrize("size", [1, 128, 129, 1000])
def test_long_rows(size):
    rng = np.random.default_rng(size)
    values = rng.integers(0, 40, size).astype(np.float32)
    active = rng.random(size) < 0.7
    for count in (0, 1, size // 3, size):
        got = jitted(values, active, count)
        np.testing.assert_array_equal(got, reference(values, active, count))


def test_infinite_values_stay_before_arms_that_are_out():
    kept = keep_best(jnp.array([-jnp.inf, 5.0, -jnp.inf]), jnp.array([True, False, True]), 1)
    assert kept.tolist() == [True, False, False]
