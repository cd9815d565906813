"""Speculative verification: the token's law is p; the best rate is that of a linear program."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.kernels import speculative
from regrax.core.kernels.alpha_star import alpha_star

from . import reference_speculative as reference

EPS = float(np.finfo(np.float32).eps)
KEY = noise.root(3)


def law(rng, size, sharp=1.0):
    return rng.dirichlet(np.full(size, sharp))


def pairs(size=4, sharp=0.6):
    """Pairs of laws: at random; with tokens that one never has; equal; with nothing in common."""
    rng = np.random.default_rng(0)
    found = [(law(rng, size, sharp), law(rng, size, sharp)) for _ in range(4)]
    p, q = found[0]
    zero = np.where(np.arange(size) == 1, 0, q)
    found += [(p, zero / zero.sum()), (zero / zero.sum(), p), (p, p)]
    half = np.arange(size) < size // 2
    return [*found, (half / half.sum(), ~half / (~half).sum())]


@functools.cache
def compiled(name):
    return jax.jit(jax.vmap(getattr(speculative, name), in_axes=(None, None, 0, 0)))


def keys(count):
    numbers = jnp.arange(count, dtype=jnp.uint32)
    return jax.vmap(lambda i: noise.stream(KEY, i))(numbers)


# ---- the law of the token ------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
def test_kseq_makes_tokens_of_the_target_law(k):
    """Exactly, over all drafts; by the chances and the remainder of the functions themselves."""
    with jax.enable_x64(True):
        for p, q in pairs():
            made, taken = reference.kseq_law(p, q, k)
            np.testing.assert_allclose(made, p, rtol=0, atol=1e-14)
            ours = float(speculative.kseq_acceptance(jnp.array(p), jnp.array(q), k))
            assert ours == pytest.approx(taken, abs=1e-13)
            rho = speculative.kseq_rho(jnp.array(p), jnp.array(q), k)
            left = np.asarray(speculative.kseq_residual(jnp.array(p), jnp.array(q), k, rho))
            if taken < 1 - 1e-9:
                assert left.sum() == pytest.approx(1 - taken, abs=1e-13)
                np.testing.assert_allclose(
                    left, reference.kseq_parts(p, q, k)[1], rtol=0, atol=1e-13
                )


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_greedy_verification_makes_tokens_of_the_target_law(n):
    for p, q in pairs():
        made, taken = reference.greedy_law(p, q, n)
        np.testing.assert_allclose(made, p, rtol=0, atol=1e-15)
        with jax.enable_x64(True):
            ours = float(speculative.greedy_acceptance(jnp.array(p), jnp.array(q), n))
        assert ours == pytest.approx(taken, abs=1e-14)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("name", ["kseq", "greedy_verify"])
def test_every_decision_is_that_of_the_reference(name, number):
    """Whose law is the target's by the tests above: 300 keys a pair, in float32."""
    count, rng = 300, np.random.default_rng(1)
    batch = keys(count)
    close = 0
    for p, q in pairs():
        p, q = p.astype(np.float32), q.astype(np.float32)
        if name == "kseq":
            drafts = rng.choice(4, (count, number), p=q.astype(float) / q.astype(float).sum())
            uses, plain = number + 1, reference.kseq
        else:
            drafts = jax.vmap(lambda key: speculative.greedy_drafts(q, number, key))(batch)  # noqa: B023
            top = reference.greedy_parts(q.astype(float), q.astype(float), number)[0]
            np.testing.assert_array_equal(drafts[:, :-1], np.tile(top, (count, 1)))
            uses, plain = 2, reference.greedy
        found = compiled(name)(p, q, jnp.asarray(drafts, jnp.int32), batch)
        uniforms = np.asarray(jax.vmap(lambda key: noise.uniform(key, (uses,)))(batch), float)  # noqa: B023
        wide = [x.astype(float) / x.astype(float).sum() for x in (p, q)]
        expected = [plain(*wide, np.asarray(d), u) for d, u in zip(drafts, uniforms, strict=True)]
        close += int(np.sum(np.array(expected).T != np.array(found)))
    # A uniform within rounding of a threshold goes either way: some 10 thresholds a decision, each
    # off by 4 EPS at most, in 2,400 decisions. Three would be one in a million.
    assert close <= 2 * 3


@pytest.mark.parametrize("name", ["kseq", "greedy_verify"])
def test_frequencies_are_those_of_the_target(name):
    count, size, number = 100_000, 9, 3
    rng = np.random.default_rng(2)
    p, q = (law(rng, size).astype(np.float32) for _ in range(2))
    batch = keys(count)
    draws = jax.vmap(lambda key: noise.stream(key, "drafts"))(batch)
    if name == "kseq":
        drafts = jax.vmap(
            lambda key: jax.vmap(lambda u: noise.categorical(u, q))(noise.uniform(key, (number,)))
        )(draws)
        rate = speculative.kseq_acceptance(p, q, number)
    else:
        drafts = jax.vmap(lambda key: speculative.greedy_drafts(q, number, key))(draws)
        rate = speculative.greedy_acceptance(p, q, number)
    token, place = compiled(name)(p, q, drafts, batch)
    # Ten frequencies, each within 5.5 deviations but for a chance of 4e-8.
    for chance, seen in zip(
        [*p, float(rate)], [*np.bincount(token, minlength=size), np.sum(place >= 0)], strict=True
    ):
        assert abs(seen / count - chance) <= 5.5 * np.sqrt(chance * (1 - chance) / count) + 1e-6
    rows = np.flatnonzero(place >= 0)
    np.testing.assert_array_equal(np.asarray(drafts)[rows, np.asarray(place)[rows]], token[rows])
    if name == "greedy_verify":  # a token that is a draft always counts as one
        missed = np.asarray(drafts)[place < 0] == np.asarray(token)[place < 0][:, None]
        assert not missed[:, :-1].any()


# ---- rates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["with", "without"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_alpha_star_is_the_linear_program(n, how):
    for p, q in pairs(5 if n < 3 else 4):
        if how == "without" and np.sum(q > 0) < n:
            continue
        with jax.enable_x64(True):
            found = float(alpha_star(jnp.array(p), jnp.array(q), n, replace=how == "with"))
        # The solver's own tolerances are 1e-7.
        assert found == pytest.approx(reference.optimum(p, q, n, how), abs=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_verifier_takes_greedy_drafts_more_often(n):
    for p, q in pairs(5):
        if np.sum(q > 0) < n:
            continue
        found = float(speculative.greedy_acceptance(p.astype(np.float32), q.astype(np.float32), n))
        assert found == pytest.approx(reference.optimum(p, q, n, "greedy"), abs=1e-6)


weights = st.lists(st.floats(0.01, 1), min_size=6, max_size=6)


@given(weights, weights, st.sampled_from([2, 4]))
@settings(max_examples=30, deadline=None)
def test_rates_are_ordered(p, q, k):
    """kseq takes its share of the optimum, which grows with the number of drafts; drafts that are
    all different are worth more than drafts that may be equal, here."""
    with jax.enable_x64(True):
        p, q = (jnp.array(x) / sum(x) for x in (p, q))
        best = float(alpha_star(p, q, k))
        ours = float(speculative.kseq_acceptance(p, q, k))
        assert (1 - (1 - 1 / k) ** k) * best <= ours + 1e-12 and ours <= best + 1e-12
        assert best <= float(alpha_star(p, q, k + 1)) + 1e-12
        one = 1 - float(jnp.abs(p - q).sum()) / 2
        for rate in (
            alpha_star(p, q, 1),
            alpha_star(p, q, 1, replace=False),
            speculative.kseq_acceptance(p, q, 1),
            speculative.greedy_acceptance(p, q, 1),
        ):
            assert float(rate) == pytest.approx(one, abs=1e-12)


def test_greedy_drafts_are_not_always_better():
    """A pair on which they are worse than independent ones."""
    p, q = np.array([0.02, 0.49, 0.49]), np.array([0.34, 0.33, 0.33])
    worse = float(speculative.greedy_acceptance(p.astype(np.float32), q.astype(np.float32), 2))
    assert worse == pytest.approx(0.02 + 2 * 0.49, abs=1e-6)
    p, q = np.array([0.02, 0.93, 0.05]), np.array([0.4, 0.3, 0.3])
    worse = float(speculative.greedy_acceptance(p.astype(np.float32), q.astype(np.float32), 2))
    better = float(alpha_star(p.astype(np.float32), q.astype(np.float32), 2))
    assert worse == pytest.approx(0.02 + 0.5 + 0.05, abs=1e-6) and better > worse


def test_alpha_star_of_many_tokens_two_of_which_are_drawn():
    """Against Q(H) = q(H) sum q / (1 - q) - sum q^2 / (1 - q), summed over the H."""
    rng = np.random.default_rng(5)
    p, q = law(rng, 3000, 0.3), law(rng, 3000, 0.3)
    order = np.argsort(p / q)
    a, b = p[order], q[order]
    inside = np.cumsum(b) * np.cumsum(b / (1 - b)) - np.cumsum(b * b / (1 - b))
    with jax.enable_x64(True):
        found = float(alpha_star(jnp.array(p), jnp.array(q), 2, replace=False))
    assert found == pytest.approx(1 + min(0, np.min(np.cumsum(a) - inside)), abs=1e-13)
    single = alpha_star(p.astype(np.float32), q.astype(np.float32), 2, replace=False)
    assert single.dtype == jnp.float32 and float(single) == pytest.approx(found, abs=1e-6)


def test_scales_of_a_law_do_not_matter_to_the_quadrature():
    """A token with nearly everything, and many with next to nothing."""
    q = np.array([1 - 3e-6, 1e-6, 1e-6, 1e-6])
    p = np.array([0.1, 0.3, 0.3, 0.3])
    with jax.enable_x64(True):
        found = float(alpha_star(jnp.array(p), jnp.array(q), 2, replace=False))
    assert found == pytest.approx(reference.optimum(p, q, 2, "without"), abs=1e-7)


# ---- shapes, dtypes, errors ----------------------------------------------------------------


def test_positions_are_batched_with_vmap():
    rng = np.random.default_rng(6)
    p, q = (np.stack([law(rng, 120) for _ in range(5)]).astype(np.float32) for _ in range(2))
    batch, drafts = keys(5), rng.integers(0, 120, (5, 2))
    token, place = jax.jit(jax.vmap(speculative.kseq))(p, q, drafts, batch)
    assert token.dtype == place.dtype == jnp.int32
    for i in range(5):
        one = speculative.kseq(p[i], q[i], drafts[i], batch[i])
        assert (int(one[0]), int(one[1])) == (int(token[i]), int(place[i]))
    rates = jax.vmap(lambda p, q: alpha_star(p, q, 3, replace=False))(p, q)
    single = [alpha_star(*x, 3, replace=False) for x in zip(p, q, strict=True)]
    np.testing.assert_allclose(rates, single, rtol=0, atol=2 * EPS)


def test_laws_need_not_add_up_to_one():
    rng = np.random.default_rng(7)
    p, q = (law(rng, 6).astype(np.float32) for _ in range(2))
    for rate in (
        functools.partial(speculative.kseq_acceptance, k=3),
        functools.partial(speculative.greedy_acceptance, n=3),
        functools.partial(alpha_star, n=3),
    ):
        assert float(rate(8 * p, 0.5 * q)) == pytest.approx(float(rate(p, q)), abs=1e-6)


def test_equal_laws_always_take_the_first_draft():
    p = law(np.random.default_rng(8), 50).astype(np.float32)
    drafts = np.random.default_rng(9).integers(0, 50, (200, 3)).astype(np.int32)
    token, place = compiled("kseq")(p, p, drafts, keys(200))
    assert np.all(place == 0) and np.all(token == drafts[:, 0])
    assert float(alpha_star(p, p, 3)) == 1


def test_errors_say_what_was_given():
    p, q, two = np.ones(4, np.float32) / 4, np.ones(5, np.float32) / 5, jnp.array([0, 1])
    for f in (speculative.kseq, speculative.greedy_verify):
        name = f.__name__
        with pytest.raises(ValueError, match=rf"{name}: p and q .* float32 \[4\] and float32 \[5"):
            f(p, q, two, KEY)
        with pytest.raises(ValueError, match="batch with jax.vmap"):
            f(np.ones((2, 4), np.float32), np.ones((2, 4), np.float32), two, KEY)
        with pytest.raises(ValueError, match=rf"{name}: drafts are token numbers \[k\].*float32"):
            f(p, p, jnp.array([0.0, 1.0]), KEY)
    with pytest.raises(ValueError, match="greedy_drafts: n is from 1 to the 4 tokens, got 5"):
        speculative.greedy_drafts(p, 5, KEY)
    with pytest.raises(ValueError, match="alpha_star: n is from 1 to the 4 tokens, got 0"):
        alpha_star(p, p, 0)
    assert speculative.implementation((150_000,), jnp.float32, "cpu")[0] == "xla"
