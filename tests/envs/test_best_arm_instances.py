"""Named best-arm problems, fixed and drawn by each seed."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as sps

from regrax.core import complexity
from regrax.envs import best_arm_instances as instances
from regrax.envs import drawn_arms
from regrax.envs.best_arm import Arms
from regrax.tests.envs.conformance import key

SEEDS = 4000
KARNIN_BUDGETS = {  # as used by other code, which computes three of them as one pull less
    1: (7600, 15600, 31600),
    2: (13600, 57600, 258400),
    3: (150177, 340888, 982488),
    4: (14005, 57430, 232579),
    5: (33220, 214888, 1436445),
    6: (41800, 163800, 647800),
}
DRAWN = {
    "dp-bai": drawn_arms.DPBAIPaper(),
    "circle": drawn_arms.YangTanOne(7),
    "closest": drawn_arms.YangTanTwo(16, 3),
    "closest, cube": drawn_arms.YangTanTwo(8, 3, cube=True),
    "logistic": drawn_arms.LogisticArms(6, 4),
    "shuffled": drawn_arms.ShuffledArms(instances.grid27()),
}


@functools.cache
def draw(name):
    keys = jax.vmap(key)(jnp.arange(SEEDS, dtype=jnp.uint32))
    features, means = jax.jit(jax.vmap(DRAWN[name].draw))(keys)
    return np.asarray(features, np.float64), np.asarray(means, np.float64)


# ---- fixed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 8))
def test_audibert(number):
    sizes = {1: 20, 2: 20, 3: 4, 4: 6, 5: 15, 6: 20, 7: 30}
    arms = instances.audibert_2010(number)
    assert arms.num_arms == sizes[number] and arms.law == "bernoulli"
    assert np.argmax(arms.means) == 0 and arms.means[0] == 0.5
    assert np.sum(arms.means == 0.5) == 1
    budget = instances.audibert_2010_budget(number)
    # Every budget but that of experiment 3, with two arms all but equal, is of the order of H_1.
    assert 0.3 < budget / complexity.h1(arms.means) < 3.1


def test_audibert_by_hand():
    np.testing.assert_allclose(
        instances.audibert_2010(3).means, [0.5, 0.3631, 0.449347, 0.48125839], rtol=1e-6
    )
    fifth = instances.audibert_2010(5).means
    np.testing.assert_allclose(fifth[[1, 14]], [0.45, 0.125], rtol=1e-6)


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("k, column", [(20, 0), (40, 1), (80, 2)])
def test_karnin(number, k, column):
    arms = instances.karnin_2013(number, k)
    assert arms.num_arms == k and np.argmax(arms.means) == 0
    assert np.all(np.diff(arms.means) <= 0) and arms.means[0] == 0.5
    assert instances.karnin_2013_budget(number, k) == KARNIN_BUDGETS[number][column]


def test_karnin_gaps():
    three = 0.5 - instances.karnin_2013(3, 40).means[1:].astype(np.float64)
    values, counts = np.unique(three.round(6), return_counts=True)
    assert values.tolist() == [0.005, 0.01, 0.15] and counts.tolist() == [5, 14, 20]
    arithmetic, geometric = (
        0.5 - instances.karnin_2013(i, 20).means[1:].astype(np.float64) for i in (4, 5)
    )
    np.testing.assert_allclose(np.diff(arithmetic), 0.24 / 18, rtol=1e-4)
    np.testing.assert_allclose(geometric[1:] / geometric[:-1], 25 ** (1 / 18), rtol=1e-4)


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "mu1", "linspace", "one_good"])
def test_private(name):
    arms = instances.private_arms(name)
    assert arms.num_arms == 5 and arms.law == "bernoulli"
    gaps = np.sort(arms.means.max() - arms.means.astype(np.float64))
    assert gaps[1] == pytest.approx(
        {"C1": 0.05, "C2": 0.125, "C3": 0.21875, "C4": 0.03125, "mu1": 0.05}.get(
            name, 0.25 if name == "linspace" else 0.7
        )
    )


def test_grid27():
    """The numbers that go with it: its best means, H_BAI = 800, epsilon H_pri = 50."""
    arms = instances.grid27()
    means = arms.means.astype(np.float64).round(6)
    assert arms.num_arms == 27 and arms.dimension == 4 and arms.law == "bernoulli"
    assert np.sort(means)[::-1][:6].tolist() == [0.8, 0.75, 0.7, 0.7, 0.65, 0.65]
    assert complexity.h_bai(means, 4) == pytest.approx(800)
    assert complexity.h_pri(means, 4, 2.0) == pytest.approx(25)


def test_unit_vectors():
    arms = instances.soare(3, 0.1)
    np.testing.assert_allclose(arms.means, [2, 0, 0, 2 * math.cos(0.1)], rtol=1e-6)
    np.testing.assert_allclose(arms.features[3], [math.cos(0.1), math.sin(0.1), 0], rtol=1e-6)
    assert arms.law == "gaussian" and arms.scale == 1
    arms = instances.linear_gape(0.03)
    np.testing.assert_array_equal(arms.features, np.eye(16))
    np.testing.assert_allclose(arms.means, [0.03] + 15 * [0], rtol=1e-6)


def test_dp_bai_grid():
    arms = instances.dp_bai_grid()
    assert arms.num_arms == 30 and arms.law == "uniform"
    np.testing.assert_allclose(arms.means[:4], [0.5, 0.45, 0.45, 0.045], rtol=1e-6)
    np.testing.assert_allclose(arms.means, arms.features @ [0.045, 0.5], rtol=1e-6)
    assert np.argmax(arms.means) == 0 and arms.means[3:].max() < 0.445


# ---- drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_shapes_and_seeds(name, strict_promotion):
    arms = DRAWN[name]
    features, means = draw(name)
    assert features.shape == (SEEDS, arms.num_arms, arms.dimension)
    assert means.shape == (SEEDS, arms.num_arms)
    assert len(np.unique(means, axis=0)) > SEEDS / 2
    assert arms.law in ("bernoulli", "uniform", "gaussian") and arms.scale >= 0
    if arms.law != "gaussian":
        assert means.min() >= 0 and means.max() <= (0.5 if arms.law == "uniform" else 1)
    fixed = Arms(means[0], features[0], arms.law)  # which looks at them
    assert fixed.dimension == arms.dimension


def test_dp_bai_paper():
    features, means = draw("dp-bai")
    np.testing.assert_array_equal(features[:, :3].round(6), [[[0, 1], [0, 0.9], [10, 0]]] * SEEDS)
    assert np.all(features[:, 3:, 0] == 1)
    w = features[:, 3:, 1]
    assert sps.kstest(w.ravel(), sps.uniform(0, 0.8).cdf).pvalue > 1e-7
    np.testing.assert_allclose(means, features @ [0.045, 0.5], atol=1e-6)
    assert np.all(np.argmax(means, axis=1) == 0)


def test_circle():
    features, means = draw("circle")
    angles = np.arctan2(features[..., 1], features[..., 0])
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(angles[:, [0, -1]], [[0, 3 * math.pi / 4]] * SEEDS, atol=1e-6)
    law = sps.norm(math.pi / 4, 0.09)
    assert sps.kstest(angles[:, 1:-1].ravel(), law.cdf).pvalue > 1e-7
    np.testing.assert_array_equal(means, features[..., 0])


@pytest.mark.parametrize("name", ["closest", "closest, cube"])
def test_closest_pair(name):
    """The two best arms are the closest two, the first of them the best."""
    features, means = draw(name)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, rtol=1e-6)
    product = features @ features.swapaxes(1, 2)
    product[:, np.arange(len(product[0])), np.arange(len(product[0]))] = -1
    near = product.reshape(SEEDS, -1).argmax(axis=1)
    x, y = np.sort(divmod(near, len(product[0])), axis=0)
    row = np.arange(SEEDS)
    theta = 0.99 * features[row, x] + 0.01 * features[row, y]
    expected = np.einsum("skd,sd->sk", features, theta)
    clear = 1 - product[row, x, y] > 1e-5  # else rounding picks the pair
    assert clear.mean() > 0.95
    np.testing.assert_allclose(means[clear], expected[clear], atol=1e-6)
    assert np.mean(np.argmax(means, axis=1) == x) > 0.95
    if name == "closest":  # on the sphere in three dimensions coordinates are uniform
        assert sps.kstest(features[..., 0].ravel(), sps.uniform(-1, 2).cdf).pvalue > 1e-7


def test_logistic():
    features, means = draw("logistic")
    assert sps.kstest(features.ravel(), sps.uniform(-0.5, 1).cdf).pvalue > 1e-7
    logits = np.log(means / (1 - means))
    theta = np.stack([np.linalg.lstsq(*x)[0] for x in zip(features, logits, strict=True)])
    np.testing.assert_allclose(np.einsum("skd,sd->sk", features, theta), logits, atol=1e-4)
    assert sps.kstest(theta.ravel(), sps.norm(0, 0.75).cdf).pvalue > 1e-7


def test_shuffled():
    """Rows stay together; every arm comes to every place, and all orders of two arms."""
    arms = instances.grid27()
    features, means = draw("shuffled")
    np.testing.assert_allclose(means, features @ [0.2, 0.3, 0.2, 0.1], atol=1e-6)
    np.testing.assert_array_equal(np.sort(means), [np.sort(arms.means)] * SEEDS)
    best, worst = means.argmax(axis=1), means.argmin(axis=1)
    assert sps.chisquare(np.bincount(best, minlength=27)).pvalue > 1e-7
    assert abs(np.mean(best < worst) - 0.5) < 5.5 * 0.5 / math.sqrt(SEEDS)
    plain = drawn_arms.ShuffledArms(instances.audibert_2010(3))
    assert plain.draw(key(0))[0] == () and plain.dimension is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: instances.audibert_2010(8), "audibert_2010 has 1, 2, 3, 4, 5, 6, 7: got 8"),
        (lambda: instances.karnin_2013(0), "karnin_2013 has 1, 2, 3, 4, 5, 6: got 0"),
        (lambda: instances.karnin_2013(1, 30), "20, 40 or 80 arms: got num_arms=30"),
        (lambda: instances.private_arms("C5"), "private_arms has C1.*one_good: got 'C5'"),
        (lambda: instances.soare(1), "two dimensions or more"),
        (lambda: instances.soare(3, 0.0), "an angle in"),
        (lambda: instances.linear_gape(0.0), "a positive gap"),
        (lambda: drawn_arms.YangTanOne(2), "three arms or more"),
        (lambda: drawn_arms.YangTanOne(5, spread=-0.1), "a spread of zero or more"),
        (lambda: drawn_arms.YangTanTwo(8, 3, mixture=0.7), "a mixture in"),
        (lambda: drawn_arms.YangTanTwo(8, 3, scale=-1.0), "a scale of zero or more"),
        (lambda: drawn_arms.LogisticArms(1, 3), "two arms or more"),
        (lambda: drawn_arms.ShuffledArms(DRAWN["circle"]), "ShuffledArms puts Arms"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
