"""Vector code over seeds: the same numbers for one seed, for many, and under nested vmaps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core.lanes import first_max, one_by_one, over_lanes, while_any


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


@one_by_one
def _descent(start, data):
    """A minimum by as many steps as a lane needs: a pytree with a None in, and one out."""

    def going(loop):
        return (loop[1] < 50) & (jnp.abs(loop[0] - data["target"]) > 0.01)

    def step(loop):
        x, steps = loop
        return x + data["rate"] * (data["target"] - x), steps + 1

    assert data["nothing"] is None
    x, steps = jax.lax.while_loop(going, step, (start, jnp.int32(0)))
    return {"x": x, "steps": steps, "nothing": None, "fixed": jnp.float32(2)}


def _by_hand(start, target, rate):
    x, steps = start, 0
    while steps < 50 and abs(x - target) > np.float32(0.01):
        x, steps = np.float32(x + np.float32(rate * np.float32(target - x))), steps + 1
    return x, steps


def _descents():
    rng = np.random.default_rng(3)
    starts = rng.normal(size=(3, 4)).astype(np.float32)
    rates = rng.uniform(0.1, 0.9, 4).astype(np.float32)
    return starts, {"target": np.float32(0.5), "rate": rates, "nothing": None}


_LANES = {"target": None, "rate": 0, "nothing": None}


# What an accelerator does, on the CPU: there the lanes are one program.
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_one_by_one_is_the_function_under_nested_vmaps(monkeypatch, backend):
    """With arguments, and leaves of them, that are not batched, and a result that is the same."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    starts, data = _descents()
    got = jax.jit(jax.vmap(jax.vmap(_descent, (0, _LANES)), (0, None)))(starts, data)
    assert got["nothing"] is None and np.all(got["fixed"] == 2) and got["fixed"].shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        x, steps = _by_hand(starts[i, j], data["target"], data["rate"][j])
        assert got["steps"][i, j] == steps
        # A step may be one fused operation: two roundings in fifty of numbers up to two.
        np.testing.assert_allclose(got["x"][i, j], x, rtol=0, atol=50 * 2.0**-23)
        alone = _descent(starts[i, j], data | {"rate": data["rate"][j]})
        np.testing.assert_allclose(alone["x"], got["x"][i, j], rtol=0, atol=50 * 2.0**-23)


def test_one_by_one_with_either_argument_alone():
    starts, data = _descents()
    first = jax.vmap(_descent, (0, None))(starts[0], data | {"rate": data["rate"][1]})
    second = jax.vmap(_descent, (None, _LANES))(starts[0, 2], data)
    for j in range(4):
        assert first["steps"][j] == _by_hand(starts[0, j], 0.5, data["rate"][1])[1]
        assert second["steps"][j] == _by_hand(starts[0, 2], 0.5, data["rate"][j])[1]
    # Lanes on another axis than the first.
    data = data | {"rate": data["rate"][0]}
    other = jax.vmap(jax.vmap(_descent, (0, None)), (1, None))(starts, data)["steps"]
    same = jax.vmap(jax.vmap(_descent, (0, None)), (0, None))(starts, data)["steps"]
    np.testing.assert_array_equal(other, same.T)


def test_one_by_one_runs_a_lane_to_its_own_end():
    """Lanes one after the other: the program has a loop over lanes around the loop of one."""
    starts, data = _descents()
    batched = jax.make_jaxpr(jax.vmap(_descent, (0, _LANES)))(starts[0], data)
    text = str(batched)
    assert "scan" in text and "length=4" in text
    inner = text[text.index("scan") :]
    assert "bool[4]" not in inner  # no lane waits for another
