"""The generator against its reference, and the distributions that are made of its words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32

import regrax as rx
from regrax.core import noise

# False alarms: every statistical test below fails a correct generator with probability 1e-6.
TOO_RARE = 1e-6


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 4))
def test_threefry_is_the_one_that_jax_runs(words):
    key, counter = np.array(words[:2], np.uint32), np.array(words[2:], np.uint32)
    ours = noise.threefry((key[0], key[1]), (counter[:1], counter[1:]))
    assert np.array_equal(np.concatenate(ours), threefry_2x32(jnp.array(key), jnp.array(counter)))


def test_threefry_known_answers():
    """The known answers that Random123 (Salmon et al. 2011) distributes with the cipher."""
    for key, counter, answer in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ):
        words = [np.array([w], np.uint32) for w in (*key, *counter)]
        out = noise.threefry((words[0], words[1]), (words[2], words[3]))
        assert tuple(int(x[0]) for x in out) == answer


def test_uniform_is_open_centred_and_fine():
    words = jnp.array([0, 2**32 - 1, 2**31 - 1, 2**31], jnp.uint32)
    assert np.array_equal(
        noise.to_uniform(words), np.float32([2**-24, 1 - 2**-24, 0.5 - 2**-24, 0.5 + 2**-24])
    )


def test_uniform_in_law():
    draws = np.asarray(noise.uniform(noise.root(1), (1 << 20,)), np.float64)
    assert scipy.stats.kstest(draws, "uniform").pvalue > TOO_RARE


def test_normal_is_the_quantile_function():
    cells = np.unique(np.r_[0:2000, np.geomspace(1, 2**23 - 1, 20_000).astype(int)])
    cells = np.r_[cells, 2**23 - 1 - cells]
    uniforms = np.float32((cells + 0.5) * 2.0**-23)
    ours = np.asarray(noise.to_normal(jnp.asarray(uniforms)), np.float64)
    exact = scipy.special.ndtri(np.float64(uniforms))
    assert np.max(np.abs(ours / exact - 1)) < 5e-7  # four float32 units in the last place


def test_exponential_and_gumbel_in_law():
    size = (1 << 19,)
    exponential = np.asarray(noise.exponential(noise.root(2), size), np.float64)
    assert scipy.stats.kstest(exponential, "expon").pvalue > TOO_RARE
    gumbel = np.asarray(noise.gumbel(noise.root(3), size), np.float64)
    assert scipy.stats.kstest(gumbel, "gumbel_r").pvalue > TOO_RARE


def test_laplace_in_law():
    x = np.float64(jax.jit(noise.laplace, static_argnums=1)(noise.root(4), (200_000,)))
    assert scipy.stats.kstest(x, scipy.stats.laplace.cdf).pvalue > TOO_RARE


def test_streams_do_not_meet():
    root = noise.root(0)
    keys = [noise.stream(root, name) for name in ("a", "b", 0, 1, 2**31)]
    keys += [noise.stream(keys[0], "a"), noise.stream(noise.root(1), "a"), root]
    words = np.stack([noise.bits(key, (64,)) for key in keys])
    assert len(np.unique(words)) > words.size - 5  # 512 of 2^32: a collision or two at most


def test_draws_of_a_seed_do_not_depend_on_the_batch():
    keys = jax.vmap(lambda i: noise.stream(noise.root(5), i))(jnp.arange(64))
    batch = jax.vmap(lambda key: noise.normal(key, (7, 3)))(keys)
    alone = noise.normal(noise.stream(noise.root(5), 9), (7, 3))
    assert np.array_equal(batch[9], alone)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_argmax_takes_the_lowest_index_on_ties(entries):
    assert int(rx.argmax(jnp.array(entries, jnp.float32))) == entries.index(max(entries))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9).filter(any), st.floats(0.001, 0.999))
def test_categorical_is_inversion(weights, u):
    """Whole weights: the running sums are exact, and so is the answer off the boundaries."""
    edges = np.cumsum(weights) / sum(weights)
    index = int(rx.sample_categorical(jnp.float32(u), jnp.array(weights, jnp.float32)))
    assert weights[index] > 0
    if np.min(np.abs(edges - u)) > 1e-6:
        assert index == int(np.searchsorted(edges, u, side="right"))


def test_categorical_in_law():
    weights = np.array([0.5, 0.0, 3.0, 1.0, 0.01])
    uniforms = noise.uniform(noise.root(7), (1 << 18,))
    draws = jax.vmap(lambda u: noise.categorical(u, jnp.float32(weights)))(uniforms)
    counts = np.bincount(np.asarray(draws), minlength=5)
    assert counts[1] == 0
    kept = weights > 0
    expected = weights[kept] / weights.sum() * counts.sum()
    assert scipy.stats.chisquare(counts[kept], expected).pvalue > TOO_RARE


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,)])
def test_shapes(shape):
    assert noise.bits(noise.root(0), shape).shape == shape
    assert noise.uniform(noise.root(0), shape).dtype == jnp.float32
