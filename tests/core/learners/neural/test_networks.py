"""Networks with one block of first weights for every arm, against dense ones on R^(K d)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrax.core import noise
from regrax.core.learners.neural import networks, regression
from regrax.core.protocol import Context

from . import reference_neural as reference
from .reference_neural import KEY, D, K

layouts = pytest.mark.parametrize("disjoint", [True, False], ids=["disjoint", "shared"])
depths = pytest.mark.parametrize("hidden", [(8,), (6, 4)], ids=str)


start = jax.jit(networks.random_weights, static_argnums=(1, 2, 3))
outputs, gradients = jax.jit(networks.outputs), jax.jit(networks.gradients)


def example(disjoint, hidden, seed=0):
    """Weights, and a context."""
    rng = np.random.default_rng(seed)
    weights = start(noise.stream(KEY, seed), hidden, K if disjoint else 1, D)
    x = rng.normal(size=(D,) if disjoint else (K, D)).astype(np.float32)
    return weights, Context(jnp.asarray(x))


@pytest.mark.parametrize("hidden", [(8,), (6, 4)], ids=str)
def test_the_reference_s_gradient_is_that_of_finite_differences(hidden):
    network = reference.layers(example(True, hidden)[0])
    x, step = np.random.default_rng(1).normal(size=K * D), 1e-6
    point = reference.flat(network)

    def value(vector):
        return reference.output(reference.unflat(vector, network), x)

    slopes = [(value(point + step * e) - value(point - step * e)) / (2 * step)
              for e in np.eye(len(point))]  # fmt: skip
    # Outputs of order 1 are known to 1e-16, so slopes to 1e-10; there is no kink so close.
    np.testing.assert_allclose(reference.gradient(network, x), slopes, rtol=0, atol=1e-9)


@layouts
@depths
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_outputs_and_gradients_are_those_of_the_dense_network(disjoint, hidden, seed):
    weights, context = example(disjoint, hidden, seed)
    network = reference.layers(weights)
    ours, slopes = outputs(weights, context), gradients(weights, context)
    # A sum of n products of numbers of order 1, n = 5 to 8 a layer, each rounded once.
    tolerance = 20 * reference.HALF_ULP * np.max(np.abs(context.features))
    for arm, x in enumerate(reference.inputs(context.features)):
        seen = reference.forward(network, x)
        assert abs(ours[arm] - seen[-1][0]) < tolerance
        if min(np.abs(network_input).min() for network_input in _sums(network, x)) < 1e-5:
            continue  # at a kink of a ReLU float32 may be on the other side
        own = reference.unflat(reference.gradient(network, x), network)
        part = reference.at(slopes, arm)
        index = arm if disjoint else 0
        # Block a has a gradient, and the other blocks of the dense network have none.
        dense = own[0][0].reshape(-1, D, hidden[0])
        np.testing.assert_allclose(part.blocks, dense[index], rtol=0, atol=tolerance)
        assert np.all(np.delete(dense, index, axis=0) == 0)
        whole = reference.flat(reference.layers(_in_place(part, weights, index)))
        np.testing.assert_allclose(whole, reference.flat(own), rtol=0, atol=tolerance)


def _sums(network, x):
    """What goes into the ReLUs."""
    seen = reference.forward(network, x)
    return [a @ w + b for a, (w, b) in zip(seen, network[:-1], strict=False)]


def _in_place(part, weights, index):
    """A gradient of one block as one of all weights."""
    blocks = np.zeros(weights.blocks.shape)
    blocks[:, index] = part.blocks
    return networks.Weights(blocks, part.shared)


@layouts
def test_only_the_block_of_an_arm_has_a_gradient(disjoint):
    """By JAX's own differentiation of all outputs in all weights."""
    weights, context = example(disjoint, (8,))
    jacobian = jax.jit(jax.jacobian(networks.outputs))(weights, context).blocks  # [K, d, B, m]
    ours = gradients(weights, context).blocks
    touched = np.any(np.asarray(jacobian) != 0, axis=(1, 3))
    np.testing.assert_array_equal(touched, np.eye(K, dtype=bool) if disjoint else np.ones((K, 1)))
    for arm in range(K):
        own = jacobian[arm, :, arm if disjoint else 0]
        np.testing.assert_allclose(ours[arm], own, rtol=1e-6, atol=1e-7)


def test_a_block_that_is_replaced_leaves_the_others():
    weights, _ = example(True, (8,))
    part = networks.block(weights, 1)
    np.testing.assert_array_equal(part.blocks, weights.blocks[:, 1])
    changed = jax.tree.map(lambda x: x + 1, part)
    after = networks.with_block(weights, changed, 1)
    np.testing.assert_array_equal(after.blocks[:, 1], part.blocks + 1)
    np.testing.assert_array_equal(after.blocks[:, [0, 2]], weights.blocks[:, [0, 2]])
    np.testing.assert_array_equal(after.shared["layer1"]["bias"], part.shared["layer1"]["bias"] + 1)
    jax.tree.map(np.testing.assert_array_equal, networks.with_block(weights, part, 1), weights)


@layouts
def test_what_was_played(disjoint):
    _, context = example(disjoint, (8,))
    x, index = networks.played(context, jnp.int32(2))
    np.testing.assert_array_equal(x, context.features if disjoint else context.features[2])
    assert index == (2 if disjoint else 0) and index.dtype == jnp.int32


def test_weights_start_uniform_as_those_of_pytorch():
    """Weights and offsets of a layer with n inputs on +-1 / sqrt(n), each layer independent."""
    weights = start(KEY, (200, 50), K, D)
    network = reference.layers(weights)
    inputs = [K * D, 200, 50]
    assert [w.shape for w, _ in network] == [(K * D, 200), (200, 50), (50, 1)]
    assert networks.size(weights) == sum(w.size + b.size for w, b in network)
    for (kernel, offsets), n in zip(network, inputs, strict=True):
        bound = 1 / math.sqrt(n)
        for part in (kernel.ravel(), offsets):
            assert np.all(np.abs(part) <= bound)
            # Of so many the largest comes close: else one in e^17 runs.
            assert np.abs(part).max() > bound * (1 - 17 / part.size)
            if part.size > 1:
                test = stats.kstest(part, stats.uniform(-bound, 2 * bound).cdf)
                assert test.pvalue > 1e-8  # of six tests
    first, second = network[0][0].ravel(), network[1][0].ravel()
    size = min(first.size, second.size)
    pairs = np.corrcoef(first[:size], second[:size])[0, 1]
    assert abs(pairs) * math.sqrt(size) < stats.norm.isf(1e-6)
    other = start(noise.stream(KEY, 1), (200, 50), K, D)
    assert np.all(np.mean(other.blocks == weights.blocks) < 0.01)


@pytest.mark.parametrize("kind", regression.LOSSES)
def test_losses_and_their_slopes(kind):
    z, y = (x.ravel() for x in np.meshgrid(np.linspace(-6, 6, 25), [0, 0.1, 0.5, 0.9, 1]))
    ours = regression.divergence(kind, jnp.asarray(z), jnp.asarray(y))
    expected = [reference.loss(kind, a, b) for a, b in zip(z, y, strict=True)]
    # The divergence is a difference of terms up to 6, in float32.
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=8 * 6 * reference.HALF_ULP)
    slopes = regression.slope(kind, jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_allclose(slopes, reference.slope(kind, z, y), rtol=1e-6, atol=1e-6)
    step = 1e-6
    numeric = [(reference.loss(kind, a + step, b) - reference.loss(kind, a - step, b)) / (2 * step)
               for a, b in zip(z, y, strict=True)]  # fmt: skip
    np.testing.assert_allclose(reference.slope(kind, z, y), numeric, rtol=0, atol=1e-7)
    automatic = jax.vmap(jax.grad(lambda a, b: regression.divergence(kind, a, b)))(
        jnp.asarray(z, jnp.float32), jnp.asarray(y, jnp.float32)
    )
    np.testing.assert_allclose(automatic, slopes, rtol=1e-5, atol=1e-6)


def test_the_divergence_of_an_output_far_out_is_finite():
    """From the logit: sigmoid(200) is 1 in float32, and its logarithm from zero on infinite."""
    z, y = jnp.float32([200, -200, 200, -200]), jnp.float32([0, 1, 1, 0])
    np.testing.assert_array_equal(regression.divergence("kl", z, y), [200, 200, 0, 0])
