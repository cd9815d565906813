"""Vector code over seeds: the same numbers for one seed, for many, and under nested vmaps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from regrax.core.lanes import first_max, over_lanes, while_any


@over_lanes
def _collatz(x, start):
    """Steps to 1, and the arm with the largest entry."""

    def going(state):
        return state[0] != 1

    def step(state):
        n, steps = state
        return jnp.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

    steps = while_any(going, step, (start, jnp.zeros_like(start)))[1]
    return {"steps": steps, "arm": first_max(x)[1]}


def _reference(x, start):
    steps, n = 0, int(start)
    while n != 1:
        n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
    return steps, int(np.argmax(x))


def test_a_lane_ends_on_its_own_whatever_the_others_do():
    rng = np.random.default_rng(1)
    # More lanes than a block, not a multiple of it; entries with ties.
    x = rng.integers(0, 4, (3, 201, 5)).astype(np.float32)
    starts = rng.integers(1, 30, (3, 201)).astype(np.int32)
    got = jax.jit(jax.vmap(jax.vmap(_collatz)))(x, starts)
    for i, j in [(0, 0), (1, 7), (2, 200), (1, 100)]:
        steps, arm = _reference(x[i, j], starts[i, j])
        assert (got["steps"][i, j], got["arm"][i, j]) == (steps, arm)
        alone = _collatz(x[i, j], starts[i, j])
        assert (alone["steps"], alone["arm"]) == (steps, arm)


def test_an_argument_that_is_not_batched_serves_all_lanes():
    starts = jnp.arange(1, 6)
    x = jnp.asarray([0.0, 2.0, 2.0])
    got = jax.vmap(_collatz, in_axes=(None, 0))(x, starts)
    assert got["steps"].tolist() == [_reference(x, n)[0] for n in starts]
    assert got["arm"].tolist() == [1] * 5
