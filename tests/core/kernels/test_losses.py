"""Losses of extreme classification: against float64 formulas, and the spherical step against dense
descent."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from regrax.core.kernels import spherical
from regrax.core.kernels.decoupled_softmax import decoupled_softmax
from regrax.core.kernels.soft_topk import soft_topk, soft_topk_loss
from regrax.core.kernels.z_loss import z_loss_of_sums, z_loss_spherical

EPS = float(np.finfo(np.float32).eps)
rows = hnp.arrays(np.float32, (3, 7), elements=st.floats(-20, 20, width=32))
masks = hnp.arrays(bool, (3, 7))
few = settings(max_examples=40, deadline=None)


def float64(test):
    """The test, where arrays are float64."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with jax.enable_x64(True):
            return test(*args, **kwargs)

    return run


def differences(f, x, step=1e-5):
    """The gradient of a scalar function by central differences."""
    found = np.zeros(np.shape(x))
    for i in np.ndindex(*np.shape(x)):
        ends = []
        for sign in (1, -1):
            moved = np.array(x, np.float64)
            moved[i] += sign * step
            ends.append(float(f(moved)))
        found[i] = (ends[0] - ends[1]) / (2 * step)
    return found


# ---- Z-loss --------------------------------------------------------------------------------


def z_reference(o, c, a=1.0, b=0.0, floor=1e-6):
    z = (o[c] - o.mean()) / max(o.std(), floor)
    return np.logaddexp(0, a * (b - z)) / a, z


@given(rows, masks, st.floats(0.125, 5, width=32), st.floats(-2, 2, width=32))
@few
def test_z_loss_agrees_with_numpy(outputs, where, a, b):
    """Of the outputs that count; a row whose class does not count costs nothing."""
    labels = np.array([0, 3, 6])
    found = jax.jit(z_loss_spherical)(outputs, labels, sharpness=a, margin=b, where=where)
    for row, counts, c, loss in zip(outputs.astype(float), where, labels, found, strict=True):
        own = row[counts]
        if not counts[c]:
            assert loss == 0
        elif np.ptp(own) == 0 or np.std(own) > 1e-4 * np.abs(own).max():
            expected, z = z_reference(own, int(counts[:c].sum()), a, b)
            # z is at most sqrt(6) and off by a few units of |o| / std, 10^4 of them at most here.
            slack = 30 * EPS * (1 + a * (1 + abs(z)) * np.abs(own).max() / max(own.std(), 1e-6))
            assert abs(loss - expected) <= slack * (1 + expected)


@float64
def test_z_loss_gradient_is_its_closed_form():
    rng = np.random.default_rng(0)
    o, labels, a, b = rng.normal(size=(4, 9)), np.array([1, 0, 8, 4]), 1.7, 0.4
    found = jax.grad(lambda o: z_loss_spherical(o, labels, sharpness=a, margin=b).sum())(o)
    for row, c, slopes in zip(o, labels, found, strict=True):
        z = (row - row.mean()) / row.std()
        own = np.arange(9) == c
        closed = -expit(a * (b - z[c])) / row.std() * (own - 1 / 9 - z[c] * z / 9)
        np.testing.assert_allclose(slopes, closed, rtol=0, atol=1e-14)
        plain = differences(lambda x, c=c: z_reference(x, c, a, b)[0], row)
        np.testing.assert_allclose(slopes, plain, rtol=0, atol=1e-9)
    slopes = jax.grad(lambda a, b: z_loss_spherical(o[0], 1, sharpness=a, margin=b), (0, 1))(a, b)
    plain = differences(lambda x: z_reference(o[0], 1, *x)[0], np.array([a, b]))
    np.testing.assert_allclose(slopes, plain, rtol=1e-8)


@given(
    hnp.arrays(np.float64, 6, elements=st.floats(-3, 3)),
    st.floats(0.01, 100), st.floats(-100, 100), st.integers(0, 5),
)  # fmt: skip
@few
@float64
def test_z_loss_is_invariant_to_shift_and_scale(o, scale, shift, label):
    if np.std(o) < 1e-3:
        return
    before, after = (z_loss_spherical(x, label) for x in (o, scale * o + shift))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-8)


def test_z_loss_of_equal_outputs_is_that_of_the_mean():
    """Whatever their size: without rounding, and with a gradient that the floor bounds."""
    outputs = np.full((1, 1000), 1e5 / 3, np.float32)
    f = functools.partial(z_loss_spherical, labels=np.array([7]), sharpness=2.0, margin=1.0)
    assert float(f(outputs)[0]) == pytest.approx(np.log1p(np.exp(2)) / 2, rel=1e-6)
    slopes = jax.grad(lambda o: f(o, floor=0.5).sum())(outputs)[0]
    assert slopes[7] == pytest.approx(-expit(2) / 0.5 * (1 - 1e-3), rel=1e-5)
    assert slopes[0] == pytest.approx(expit(2) / 0.5 * 1e-3, rel=1e-5)


def test_z_loss_without_a_class():
    outputs = np.array([[1.0, 2.0, 5.0], [1.0, -np.inf, 2.0], [0.0, 1.0, 2.0]], np.float32)
    labels = np.array([0, 1, 3])
    losses = z_loss_spherical(outputs, labels)
    assert losses[1] == 0 and np.isnan(losses[2]) and np.isnan(z_loss_spherical(outputs[0], -1))
    slopes = jax.grad(lambda o: z_loss_spherical(o, labels)[1])(outputs)
    np.testing.assert_array_equal(slopes[:2], 0)
    masked = z_loss_spherical(outputs[:1], labels[:1], where=np.array([True, True, False]))
    assert masked[0] == pytest.approx(z_reference(np.array([1.0, 2.0]), 0)[0], rel=1e-6)


# ---- the spherical step --------------------------------------------------------------------


def squared_error(total, squares, score, classes):
    """|o - e_c|^2 / 2."""
    return (squares - 2 * score + 1) / 2


def dense_squared_error(o, c):
    return jnp.sum((o - jax.nn.one_hot(c, len(o), dtype=o.dtype)) ** 2) / 2


def softmax_of_squares(total, squares, score, classes):
    """The spherical softmax: -log of o_c^2 + e over its sum."""
    return jnp.log(squares + 0.1 * classes) - jnp.log(score**2 + 0.1)


def dense_softmax_of_squares(o, c):
    return -jnp.log((o[c] ** 2 + 0.1) / jnp.sum(o**2 + 0.1))


LOSSES = {
    "z": (
        functools.partial(z_loss_of_sums, sharpness=2.0, margin=1.0),
        lambda o, c: z_loss_spherical(o, c, sharpness=2.0, margin=1.0),
    ),
    "squared error": (squared_error, dense_squared_error),
    "squares": (softmax_of_squares, dense_softmax_of_squares),
}


def descend(weights, inputs, labels, rate, of, worst=None):
    """A layer after steps, and each step's loss and slope."""

    def one(layer, example):
        layer, *seen = spherical.step(layer, *example, rate, of, worst=worst)
        return layer, seen

    return jax.lax.scan(one, spherical.init(weights), (inputs, labels))


def descend_densely(weights, inputs, labels, rate, of):
    def one(weights, example):
        h, c = example
        value, (down, slope) = jax.value_and_grad(lambda w, h: of(w @ h, c), (0, 1))(weights, h)
        return weights - rate * down, [value, slope]

    return jax.lax.scan(one, weights, (inputs, labels))


def examples(steps, classes, size, seed=0):
    rng = np.random.default_rng(seed)
    weights, inputs = rng.normal(size=(classes, size)), rng.normal(size=(steps, size))
    return weights, inputs, rng.integers(0, classes, steps)


@pytest.mark.parametrize("worst", [None, 1.0001], ids=["factors", "multiplied out"])
@pytest.mark.parametrize("name", LOSSES)
@float64
def test_spherical_steps_are_those_of_dense_descent(name, worst):
    """30 of them: weights, sums, losses and the gradient for what lies below."""
    ours, dense = LOSSES[name]
    weights, inputs, labels = examples(30, 20, 5)
    found, seen = descend(weights, inputs, labels, 0.07, ours, worst)
    expected, meant = descend_densely(weights, inputs, labels, 0.07, dense)
    np.testing.assert_allclose(spherical.dense(found), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.gram, expected.T @ expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.total, expected.sum(0), rtol=0, atol=1e-12)
    for a, b in zip(seen, meant, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    at = spherical.loss(found, inputs[0], labels[0], ours)
    np.testing.assert_allclose(at, dense(expected @ inputs[0], labels[0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(spherical.row(found, 3), expected[3], rtol=0, atol=1e-12)


@pytest.mark.parametrize("share", [1.0, 1 - 1e-9, 1.5, 0.999])
@float64
def test_a_step_that_flattens_the_factor_is_taken_all_the_same(share):
    """Squared error, inputs of length 1: a rate of 1 takes the input's direction out of W."""
    weights, inputs, labels = examples(12, 10, 4)
    inputs = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    ours, dense = LOSSES["squared error"]
    found, _ = descend(weights, inputs, labels, share, ours)
    expected, _ = descend_densely(weights, inputs, labels, share, dense)
    np.testing.assert_allclose(spherical.dense(found), expected, rtol=0, atol=1e-7)
    product = found.right @ found.inverse  # the factors are far from 1 / eps
    np.testing.assert_allclose(product, np.eye(4), rtol=0, atol=1e-7)


def test_float32_stays_with_dense_descent():
    """2,000 steps of squared error, in which U shrinks and is multiplied out again and again."""
    weights, inputs, labels = examples(2000, 40, 8)
    inputs = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    ours, dense = LOSSES["squared error"]
    single = [x.astype(np.float32) for x in (weights, inputs)]
    found, _ = jax.jit(descend, static_argnums=4)(*single, labels, 0.3, ours)
    with jax.enable_x64(True):
        expected, _ = descend_densely(weights, inputs, labels, 0.3, dense)
    # A step takes 0.3 of an error off in its direction, one of 8: some 27 steps add up. Each adds
    # EPS times the condition of U, at most EPS^(-1/3).
    error = np.abs(np.asarray(spherical.dense(found), float) - np.asarray(expected)).max()
    assert error < 27 * EPS ** (2 / 3)
    assert float(spherical._norm(found.right) * spherical._norm(found.inverse)) <= 8 * 203.2


def test_refreshing_changes_nothing_but_the_factors():
    weights, inputs, labels = examples(5, 12, 3)
    found, _ = descend(weights.astype(np.float32), inputs.astype(np.float32), labels, 0.1,
                       LOSSES["squared error"][0])  # fmt: skip
    fresh = spherical.refresh(found)
    np.testing.assert_allclose(spherical.dense(fresh), spherical.dense(found), atol=1e-5)
    np.testing.assert_array_equal(fresh.right, np.eye(3))
    assert not np.allclose(found.right, np.eye(3), atol=1e-3)


def sizes(jaxpr):
    """(primitive, elements of its largest result), without what a while loop does inside."""
    for line in jaxpr.eqns:
        yield line.primitive.name, max(np.prod(v.aval.shape, dtype=int) for v in line.outvars)
        for inner in line.params.values():
            if line.primitive.name != "while" and hasattr(inner, "jaxpr"):
                yield from sizes(inner.jaxpr)


def test_a_step_touches_one_row_and_copies_nothing():
    classes, size = 5000, 4
    layer = spherical.init(jnp.zeros((classes, size)))
    step = functools.partial(spherical.step, of=LOSSES["z"][0])
    jaxpr = jax.make_jaxpr(step)(layer, jnp.ones(size), jnp.int32(3), 0.1).jaxpr
    large = {name for name, count in sizes(jaxpr) if count >= classes}
    assert large <= {"while", "scatter-add"}

    def steps(layer, inputs, labels):
        return jax.lax.scan(lambda x, e: (step(x, *e, 0.1)[0], None), layer, (inputs, labels))[0]

    lowered = jax.jit(steps, donate_argnums=0).lower(layer, jnp.ones((9, size)), jnp.arange(9))
    memory = lowered.compile().memory_analysis()
    assert memory.alias_size_in_bytes >= 4 * classes * size
    # Of the loop that multiplies out: two arrays the size of W, and no third for the scan.
    assert memory.temp_size_in_bytes < 2.5 * 4 * classes * size


# ---- decoupled softmax ---------------------------------------------------------------------


def decoupled_reference(s, right, counts):
    right, wrong = right & counts, ~right & counts
    if not right.any() or not wrong.any():
        return 0.0
    below = logsumexp(s[wrong])
    return np.mean([np.logaddexp(x, below) - x for x in s[right]])


@given(rows, masks, masks)
@few
def test_decoupled_softmax_agrees_with_numpy(scores, right, where):
    found = jax.jit(decoupled_softmax)(scores, right, where=where)
    for i, row in enumerate(scores.astype(float)):
        expected = decoupled_reference(row, right[i], where[i])
        assert abs(found[i] - expected) <= 10 * EPS * (1 + 20 + expected)


def test_decoupled_softmax_of_one_class_is_cross_entropy():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(2, 5, 8)).astype(np.float32), rng.integers(0, 8, (2, 5))
    right = np.arange(8) == labels[..., None]

    def ours(s):
        return decoupled_softmax(s, right.astype(np.int32)).sum()

    def usual(s):
        return optax.softmax_cross_entropy_with_integer_labels(s, labels).sum()

    for f, g in ((ours, usual), (jax.grad(ours), jax.grad(usual))):
        np.testing.assert_allclose(f(scores), g(scores), rtol=1e-5, atol=1e-6)


@float64
def test_decoupled_softmax_gradient_is_its_closed_form():
    rng = np.random.default_rng(2)
    s, right = rng.normal(size=9), np.arange(9) < 3
    found = jax.grad(lambda s: decoupled_softmax(s, right))(s)
    short = 1 - expit(s[right] - logsumexp(s[~right]))
    closed = np.where(right, 0, np.exp(s - logsumexp(s[~right]))) * short.mean()
    closed[right] = -short / 3
    np.testing.assert_allclose(found, closed, rtol=0, atol=1e-15)
    every = np.ones(9, bool)
    plain = differences(lambda x: decoupled_reference(x, right, every), s)
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-9)


def test_decoupled_softmax_at_its_edges():
    huge = np.array([3e4, -3e4, 2e4, -np.inf], np.float32)
    right = np.array([False, True, True, True])
    slopes = jax.grad(lambda s: decoupled_softmax(s, right))(huge)
    assert float(decoupled_softmax(huge, right)) == pytest.approx((6e4 + 1e4) / 2)
    np.testing.assert_allclose(slopes, [1, -0.5, -0.5, 0], atol=1e-6)
    for nothing in (np.zeros(4, bool), np.ones(4, bool)):
        value, slopes = jax.value_and_grad(lambda s, r=nothing: decoupled_softmax(s, r))(huge)
        assert value == 0 and np.all(slopes == 0)


# ---- soft top-k ----------------------------------------------------------------------------


def topk_reference(s, k, a):
    reach = np.ptp(s) + 50 / a
    t = brentq(lambda t: expit(a * (s + t)).sum() - k, -s.max() - reach, -s.min() + reach,
               xtol=1e-15)  # fmt: skip
    return expit(a * (s + t))


@given(rows, st.floats(0.25, 6.75), st.floats(0.125, 8, width=32))
@few
def test_soft_topk_agrees_with_root_finding(scores, k, a):
    found = np.asarray(jax.jit(soft_topk)(scores, k, sharpness=a), float)
    for row, shares in zip(scores.astype(float), found, strict=True):
        # t has all its bits relative to the largest score, and is no larger than the range.
        error = 8 * EPS * (1 + a * (np.ptp(row) + 10 / a))
        np.testing.assert_allclose(shares, topk_reference(row, k, a), rtol=0, atol=error)
        assert abs(shares.sum() - k) <= 7 * error
        order = np.argsort(row)
        assert np.all(np.diff(shares[order]) >= 0)


@float64
def test_soft_topk_jacobian_is_that_of_its_equation():
    rng = np.random.default_rng(3)
    s, k, a = rng.normal(size=7), 2.5, 1.5
    jacobian = jax.jacobian(lambda s: soft_topk(s, k, sharpness=a))(s)
    share = topk_reference(s, k, a)
    v = a * share * (1 - share)
    np.testing.assert_allclose(jacobian, np.diag(v) - np.outer(v, v) / v.sum(), rtol=0, atol=1e-12)
    for i in range(7):
        plain = differences(lambda x, i=i: topk_reference(x, k, a)[i], s)
        np.testing.assert_allclose(jacobian[i], plain, rtol=0, atol=1e-8)
    in_k = jax.jacobian(lambda k: soft_topk(s, k, sharpness=a))(k)
    np.testing.assert_allclose(in_k, v / v.sum(), rtol=0, atol=1e-12)
    in_a = jax.jacobian(lambda a: soft_topk(s, k, sharpness=a))(a)
    for i in range(7):
        plain = differences(lambda x, i=i: topk_reference(s, k, x)[i], np.float64(a))
        np.testing.assert_allclose(in_a[i], plain, rtol=0, atol=1e-8)


@pytest.mark.parametrize("k", [None, 2])
@float64
def test_soft_topk_loss_is_minus_the_log_of_the_shares(k):
    rng = np.random.default_rng(4)
    s, right = rng.normal(size=(3, 8)), rng.random((3, 8)) < 0.4
    right[2] = False

    def plain(x, i):
        return -np.log(topk_reference(x, k or right[i].sum(), 2.0)[right[i]]).mean()

    losses = soft_topk_loss(s, right, k, sharpness=2.0)
    slopes = jax.grad(lambda s: soft_topk_loss(s, right, k, sharpness=2.0).sum())(s)
    for i in range(2):
        np.testing.assert_allclose(losses[i], plain(s[i], i), rtol=1e-12)
        expected = differences(functools.partial(plain, i=i), s[i])
        np.testing.assert_allclose(slopes[i], expected, rtol=0, atol=1e-8)
    assert losses[2] == 0 and np.all(slopes[2] == 0)


def test_soft_topk_of_none_of_all_and_of_rows_each_its_own():
    rng = np.random.default_rng(5)
    s = rng.normal(size=(5, 6)).astype(np.float32)
    k = np.array([0, 6, 9, 1.5, 3], np.float32)
    found = soft_topk(s, k)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[1:3], 1)
    np.testing.assert_allclose(found[3:].sum(-1), [1.5, 3], rtol=1e-5)
    slopes = jax.jacobian(lambda s, a: soft_topk(s, k, sharpness=a), (0, 1))(s, 2.0)
    assert all(np.all(np.isfinite(x)) for x in slopes) and np.all(slopes[0][:3] == 0)
    single = jax.vmap(soft_topk)(s, k)
    np.testing.assert_array_equal(single, found)


def test_soft_topk_counts_what_counts():
    rng = np.random.default_rng(6)
    s, where = rng.normal(size=10).astype(np.float32), np.arange(10) < 6
    found = soft_topk(s, 2, where=where)
    np.testing.assert_allclose(found[:6], topk_reference(s[:6].astype(float), 2, 1), atol=1e-6)
    np.testing.assert_array_equal(found[6:], 0)
    s[6:] = -np.inf
    np.testing.assert_array_equal(soft_topk(s, 2), found)
    np.testing.assert_array_equal(soft_topk(s, 2, where=np.zeros(10, bool)), 0)
    assert np.isfinite(jax.grad(lambda s: soft_topk(s, 2)[0])(s)).all()


def test_soft_topk_of_long_rows_and_of_outliers():
    """A hundred thousand entries, one of which is wanted; and one entry far below all others."""
    s = np.random.default_rng(7).normal(size=100_000).astype(np.float32)
    assert float(soft_topk(s, 1).sum()) == pytest.approx(1, rel=1e-4)
    far = np.array([3.0, 2.0, 1.0, -1e9], np.float32)
    expected = topk_reference(far[:3].astype(float), 1, 1)
    np.testing.assert_allclose(soft_topk(far, 1)[:3], expected, atol=1e-6)
    hard = soft_topk(np.array([0.1, 0.3, 0.2, 0.4], np.float32), 2, sharpness=1e4)
    np.testing.assert_allclose(hard, [0, 1, 0, 1], atol=1e-6)


# ---- what they share -----------------------------------------------------------------------

LABELS, RIGHT = np.array([0, 2]), np.array([[True, False, False], [False, True, True]])
EACH = {
    "z_loss_spherical": lambda s, **kw: z_loss_spherical(s, LABELS, **kw),
    "decoupled_softmax": lambda s, **kw: decoupled_softmax(s, RIGHT, **kw),
    "soft_topk": lambda s, **kw: soft_topk(s, 1, **kw),
    "soft_topk_loss": lambda s, **kw: soft_topk_loss(s, RIGHT, **kw),
}


@pytest.mark.parametrize("name", EACH)
def test_half_precision_is_summed_in_float32(name):
    s = np.random.default_rng(8).normal(size=(2, 3)).astype(np.float32)
    for dtype in (jnp.float16, jnp.bfloat16):
        half = jnp.asarray(s, dtype)
        found = EACH[name](half)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, EACH[name](half.astype(jnp.float32)))
        assert jax.grad(lambda s: EACH[name](s).sum())(half).dtype == dtype


@pytest.mark.parametrize("name", EACH)
def test_it_says_what_does_not_fit(name):
    with pytest.raises(ValueError, match=rf"{name}: .* floats \[..., n\]|{name}: outputs are floa"):
        EACH[name](np.array([[1, 2, 3], [1, 2, 3]]))
    with pytest.raises(ValueError, match=rf"{name}: where says .* \[2, 3\].*got shape \[5\]"):
        EACH[name](np.zeros((2, 3), np.float32), where=np.ones(5, bool))


def test_other_errors_say_what_was_given():
    s = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"labels are classes.*each row of \[2\], got int64 \[3\]"):
        with jax.enable_x64(True):
            z_loss_spherical(s, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="labels are classes.*float32"):
        z_loss_spherical(s, np.array([0.0, 1.0], np.float32))
    with pytest.raises(ValueError, match="z_loss_spherical: sharpness is positive, got 0"):
        z_loss_spherical(s, LABELS, sharpness=0)
    with pytest.raises(ValueError, match="soft_topk: sharpness is positive, got -1"):
        soft_topk(s, 1, sharpness=-1)
    with pytest.raises(ValueError, match=r"soft_topk: k is a number or one for each row of \[2\]"):
        soft_topk(s, np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"spherical.init: weights are floats \[D, d\].*\[3\]"):
        spherical.init(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"hidden is one input \[3\], got shape \[2\]"):
        spherical.step(spherical.init(s), np.zeros(2, np.float32), 0, 0.1)


def test_each_says_how_it_is_computed():
    for name in ("z_loss", "decoupled_softmax", "soft_topk"):
        module = importlib.import_module(f"regrax.core.kernels.{name}")
        name, why = module.implementation((8, 1000), jnp.float32, "cpu")
        assert name == "xla" and why
        with pytest.raises(ValueError, match="no platform 'cdua': did you mean 'cuda'"):
            module.implementation((8,), jnp.float32, "cdua")
