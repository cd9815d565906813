"""Attention of prompts: one signature, whatever computes it, against float64."""

import importlib
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from regrax.core.kernels.attention import attention, implementation
from regrax.core.kernels.decode_attention import decode_attention

from . import reference_attention as reference

module = importlib.import_module("regrax.core.kernels.attention")
B, T, S, H, D = 2, 7, 11, 2, 8
LENGTHS = np.array([11, 4])
STARTS = np.array([4, 2])


def arrays(group=2, queries=T, keys=S, dtype=np.float32):
    rng = np.random.default_rng(0)
    q = rng.normal(size=(B, queries, H * group, D)).astype(dtype)
    k, v = (rng.normal(size=(B, keys, H, D)).astype(dtype) for _ in range(2))
    return q, k, v


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of four keys: three of them, the last of which overlaps."""
    monkeypatch.setattr(module, "_BLOCK", 4)


def seen(lengths, starts, causal, window):
    def sees(b, t, s):
        position = t if starts is None else starts[b] + t
        return (
            (lengths is None or s < lengths[b])
            and (not causal or s <= position)
            and (window is None or position - window < s < position + window)
        )

    return sees


CASES = {
    "all": dict(),
    "causal": dict(causal=True),
    "window": dict(window=3),
    "causal window": dict(causal=True, window=3),
    "ragged": dict(kv_lengths=LENGTHS, causal=True),
    "later": dict(query_starts=STARTS, kv_lengths=LENGTHS, causal=True),
    "later window": dict(query_starts=STARTS, kv_lengths=LENGTHS, window=2),
    "nothing": dict(kv_lengths=np.array([0, 3])),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("soft_cap", [None, 1.5])
@pytest.mark.parametrize("keys", [T, S])
def test_agrees_with_float64(case, soft_cap, keys):
    q, k, v = arrays(keys=keys)
    sees = seen(case.get("kv_lengths"), case.get("query_starts"), case.get("causal", False),
                case.get("window"))  # fmt: skip
    expected = reference.prefill(q, k, v, sees, 0.6, soft_cap)
    found = attention(q, k, v, scale=0.6, soft_cap=soft_cap, **case)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    turned = (np.swapaxes(x, 1, 2) for x in (q, k, v))
    found = attention(*turned, scale=0.6, soft_cap=soft_cap, layout="BHSD", **case)
    np.testing.assert_allclose(np.swapaxes(found, 1, 2), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_the_last_query_is_a_decode_step(soft_cap):
    q, k, v = arrays(queries=1)
    options = dict(soft_cap=soft_cap, window=3)
    found = attention(q, k, v, LENGTHS, query_starts=LENGTHS - 1, causal=True, **options)
    step = decode_attention(q[:, 0], k, v, LENGTHS, **options)
    np.testing.assert_allclose(found[:, 0], step, rtol=1e-4, atol=1e-5)


def test_gradients_of_our_own():
    q, k, v = arrays(dtype=np.float64)
    with jax.enable_x64(True):

        def f(q, k, v):
            return attention(q, k, v, np.array([11, 0]), causal=True, soft_cap=2.0)

        check_grads(f, (q, k, v), order=1, modes=["rev"])


def test_vmap_is_a_loop():
    q, k, v = arrays()
    more = np.stack([q, 2 * q])
    for soft_cap in (None, 1.0):
        found = jax.vmap(lambda q, cap=soft_cap: attention(q, k, v, soft_cap=cap))(more)
        one = attention(2 * q, k, v, soft_cap=soft_cap)
        np.testing.assert_allclose(found[1], one, rtol=1e-5, atol=1e-6)


def test_half_precision():
    q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in arrays())
    exact = reference.prefill(*(np.asarray(x, np.float32) for x in (q, k, v)), lambda *_: True)
    for soft_cap in (None, 1e4):
        found = attention(q, k, v, soft_cap=soft_cap)
        assert found.dtype == jnp.bfloat16
        # jax.nn rounds the weights to bfloat16, 2^-9 of each, and the result again.
        np.testing.assert_allclose(np.asarray(found, float), exact, rtol=2e-2, atol=1e-2)


def test_it_says_who_does_it(monkeypatch):
    keys = (2, 1024, 8, 128)
    assert implementation(keys, jnp.float32, "cpu")[0] == "jax.nn, xla"
    assert implementation(keys, jnp.float32, "cpu", soft_cap=30.0)[0] == "blocked XLA"
    name, why = implementation(keys, jnp.float32, "cuda")
    assert name == "jax.nn, xla" and "float16" in why
    name, why = implementation(keys, jnp.bfloat16, "cuda")
    assert name == "jax.nn, xla" and "no GPU" in why
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert implementation(keys, jnp.bfloat16, "cuda")[0] == "jax.nn, cudnn"
    name, why = implementation(keys, jnp.bfloat16, "cuda", window=9)
    assert name == "jax.nn, xla" and "causal" in why


def test_tokamax_where_it_is_installed(monkeypatch):
    """It is given what it takes, soft cap and all."""
    asked = {}

    def stand_in(q, k, v, **options):
        asked.update(options)
        return jnp.ones_like(q)

    fake = types.ModuleType("tokamax")
    fake.dot_product_attention = stand_in
    fake.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "tokamax", fake)
    monkeypatch.setattr(module.platforms, "known", lambda platform=None: platform or "tpu")
    assert implementation((2, 4, 2, 8), jnp.float32, "tpu", soft_cap=1.0)[0] == "tokamax"
    q, k, v = arrays(keys=T)
    found = attention(q, k, v, np.array([7, 0]), soft_cap=3.0, causal=True, window=4)
    assert np.all(found[0] == 1) and np.all(found[1] == 0)
    assert asked["logits_soft_cap"] == 3 and asked["is_causal"]
    assert asked["local_window_size"] == (3, 0) and asked["key_value_seq_lengths"].shape == (2,)
    attention(q, k, v, query_starts=3, causal=True)
    assert asked["mask"].shape[1:] == (1, T, T)


BAD = {
    "layout": (dict(layout="BHDS"), "did you mean 'BSHD'"),
    "axes": (dict(q=np.zeros((B, H, D), np.float32)), "q is an array of floats"),
    "dtypes": (dict(q=np.zeros((B, T, H, D), np.float16)), "all three one dtype"),
    "heads": (dict(q=np.zeros((B, T, 3, D), np.float32)), "a multiple of 2 heads"),
    "lengths": (dict(kv_lengths=np.zeros(3, int)), "one for each of 2 sequences"),
    "starts": (dict(query_starts=-1), "query_starts are not negative"),
    "cap": (dict(soft_cap=-1.0), "soft_cap is positive"),
    "window": (dict(window=0), "at least 1"),
}


@pytest.mark.parametrize(("wrong", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_told_in_words(wrong, message):
    q, k, v = arrays()
    with pytest.raises(ValueError, match=message):
        attention(**(dict(q=q, k=k, v=v) | wrong))
