"""Groupwise regression: accounts against least squares, orders, and the published small check."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.losses import SquaredLoss
from regrax.core.protocol import Mixture
from regrax.core.simulate import simulate
from regrax.core.tapes import environment_keys, environment_tape
from regrax.envs import group_accounts
from regrax.envs.drawn_groups import DrawnShapes, draw_law, inside, raw_label
from regrax.envs.grouped_data import published_orders, shapes_and_colours
from regrax.envs.groupwise import (
    GroupwiseRegression,
    InPublishedOrders,
    random_order,
    regression_on,
)

from ..core.learners.groups import reference_groups as reference

N, D, G = 150, 5, 3


def data(seed=0, rank=D):
    """Features of which only `rank` are independent."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(0, 1, (N, rank)) @ rng.uniform(0, 1, (rank, D))
    active = np.column_stack([rng.random((N, G - 1)) < [0.5, 0.1], np.ones(N, bool)])
    return features.astype(np.float32), active, rng.uniform(0, 1, N).astype(np.float32)


@pytest.mark.parametrize("rank", [D, 2])
@pytest.mark.parametrize("rounds", [1, 3, 32, 33, N])
def test_accounts_are_those_of_least_squares(rank, rounds):
    """Short of independent rounds, exactly at a full block, beyond it, and with features that
    depend on each other (in float64: rounded to float32 they no longer would)."""
    rng = np.random.default_rng(rank)
    base = rng.integers(0, 9, (N, rank)) @ rng.integers(0, 4, (rank, D))  # exact in float32
    _, active, labels = data()
    features = base.astype(np.float32)
    predictions = rng.uniform(0, 1, (N, 2)).astype(np.float32)

    @jax.jit
    def play():
        def one(accounts, row):
            x, on, y, points = row
            action = Mixture(jnp.array([0.25, 0.75]), points)
            return group_accounts.settle(accounts, x, on, SquaredLoss(y), action)

        rows = features[:rounds], active[:rounds], labels[:rounds], predictions[:rounds]
        accounts, losses = jax.lax.scan(one, group_accounts.no_rounds(G, D), rows)
        return group_accounts.report(accounts), losses

    found, losses = play()
    x, y = features[:rounds].astype(float), labels[:rounds].astype(float)
    on = active[:rounds]
    expected = (predictions[:rounds] - y[:, None]) ** 2 @ [0.25, 0.75]
    np.testing.assert_allclose(losses, expected, atol=1e-6)
    np.testing.assert_array_equal(found["group_rounds"], on.sum(0))
    least = np.zeros(G)
    for group in range(G):
        if on[:, group].any():
            theta = np.linalg.lstsq(x[on[:, group]], y[on[:, group]], rcond=None)[0]
            least[group] = np.sum((x[on[:, group]] @ theta - y[on[:, group]]) ** 2)
    np.testing.assert_allclose(found["hindsight_loss"], least, rtol=1e-6, atol=1e-6)
    regret = on.T.astype(float) @ expected - least
    np.testing.assert_allclose(found["group_regret"], regret, rtol=1e-6, atol=2e-6)
    assert found["regret"] == found["group_regret"].max()


def test_every_example_is_met_once_in_an_order_of_the_seed_s_own():
    keys = jax.vmap(lambda i: rx.noise.stream(rx.noise.root(0), i))(
        jnp.arange(2000, dtype="uint32")
    )
    orders = np.asarray(jax.jit(jax.vmap(lambda key: random_order(key, 6)))(keys))
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(6), (2000, 1)))
    # Each example is first with chance 1/6: the chi-squared statistic of 5 degrees exceeds 36 with
    # probability 1e-6; so it is for the last place, and for which of two comes first.
    for place in (0, 5):
        counts = np.bincount(orders[:, place], minlength=6)
        assert np.sum((counts - 2000 / 6) ** 2) / (2000 / 6) < 38
    before = np.mean(np.argmax(orders == 0, 1) < np.argmax(orders == 1, 1))
    assert abs(before - 0.5) < 4.9 * 0.5 / np.sqrt(2000)


def test_totals_of_a_whole_pass_do_not_depend_on_the_order():
    env = GroupwiseRegression(*data())
    trace = simulate(env, rx.learners.OnlineRidge(), N, 8, checkpoints=[N // 2, N], progress=False)
    hindsight = trace.metrics["hindsight_loss"]
    np.testing.assert_allclose(hindsight[-1], np.tile(hindsight[-1][:1], (8, 1)), rtol=1e-5)
    assert np.ptp(hindsight[0], axis=0).min() > 0
    np.testing.assert_array_equal(trace.metrics["group_rounds"][-1, 0], data()[1].sum(0))
    loss = trace.metrics["group_loss"][-1, :, -1]
    np.testing.assert_allclose(loss, trace.metrics["loss"][-1], rtol=1e-6)  # always on


@pytest.fixture(scope="module", params=["mean", "perm"])
def small(request):
    """The published generator at 5,000 rounds, the first two of the published orders."""
    examples = shapes_and_colours(request.param, 5000)
    env = InPublishedOrders(regression_on(examples))
    learners = {"baseline": rx.learners.OnlineRidge(), "ours": rx.learners.Groups()}
    traces = {
        name: simulate(env, learner, 5000, 2, checkpoints=[500, 5000], progress=False)
        for name, learner in learners.items()
    }
    return request.param, examples, traces


# Two seeds of the authors' program: baseline, ours, hindsight of each group in turn.
PUBLISHED = {
    "mean": [
        [1.149, 2.069, 1.728, 1.270, 1.481, 1.086],
        [0.703, 1.204, 1.119, 0.282, 0.548, -0.834],
        [1.902, 1.116, 0.762, 3.466, 2.509, 7.639],
    ],
    "perm": [
        [2.150, 1.498, 4.774, 2.328, 3.015, 1.216],
        [-0.066, -0.171, 1.433, -2.336, 0.452, -6.010],
        [4.280, 3.698, 0.670, 8.875, 2.853, 15.855],
    ],
}


def test_the_authors_numbers_are_met(small):
    """To the digits that are printed. The authors leave the last round of a group out of its
    hindsight, but not out of its loss."""
    kind, examples, traces = small
    hindsight = np.empty((2, 6))
    for seed, order in enumerate(published_orders(5000)[:2]):
        for group in range(6):
            rows = order[examples.active[order, group]][:-1]
            x, y = examples.features[rows], examples.labels[rows]
            theta = np.linalg.lstsq(x, y, rcond=None)[0]
            hindsight[seed, group] = np.sum((x @ theta - y) ** 2)
    losses = (traces[name].metrics["group_loss"][-1] for name in ("baseline", "ours"))
    found = [*(x.mean(0) - hindsight.mean(0) for x in losses), hindsight.mean(0)]
    np.testing.assert_allclose(found, PUBLISHED[kind], rtol=0, atol=5.5e-4)
    one_round = traces["ours"].metrics["hindsight_loss"][-1] - hindsight
    assert np.all((one_round > -1e-5) & (one_round < 0.02))


def test_a_plain_program_on_the_same_order_agrees(small):
    _, examples, traces = small
    order = published_orders(5000)[1][:500]
    x, on, y = examples.features[order], examples.active[order], examples.labels[order]
    losses, _, _ = reference.play(x, on, y, lambda: reference.Ridge(25))
    expected = reference.regrets(losses, x, on, y)
    found = traces["ours"].metrics["group_regret"][0, 1]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_there_are_ten_published_orders():
    env = InPublishedOrders(GroupwiseRegression(*data()))
    with pytest.raises(ValueError, match="10 published orders, for seeds 0 to 9: got seed 11"):
        simulate(env, rx.learners.Groups(), N, 12, progress=False)
    with pytest.raises(ValueError, match="ends after 150 rounds, horizon is 151"):
        simulate(env, rx.learners.Groups(), N + 1, 2, progress=False)


# ---- fresh data sets -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mean", "min", "max", "perm"])
def test_fresh_data_follow_the_law(kind):
    """Labels between 0 and 1, both reached once; shares of the groups; a label that is what the
    two groups' labels make of it."""
    rounds, seeds = 4000, np.arange(3)
    env = DrawnShapes(kind)
    table = env.tabulate(rounds, seeds, 0, False)
    tape = environment_tape(env, seeds, rounds, 0)
    words = environment_keys(seeds, 0)
    for seed in seeds:
        own = jax.tree.map(lambda x, i=seed: x[i], tape)
        law = draw_law(jax.random.wrap_key_data(words[seed], impl="threefry2x32"))
        on = np.asarray(jax.vmap(inside)(own))
        labels = np.asarray(jax.vmap(lambda noise, law=law: raw_label(kind, law, noise))(own))
        np.testing.assert_allclose(labels.min(), table["low"][seed], rtol=1e-6)
        np.testing.assert_allclose(labels.max(), table["high"][seed], rtol=1e-6)
        assert np.all(on[:, :3].sum(1) == 1) and np.all(on[:, 3:].sum(1) == 1)
        shares, chance = on.mean(0), np.array([0.5, 0.3, 0.2, 0.6, 0.4])
        assert np.all(np.abs(shares - chance) < 5.5 * np.sqrt(chance * (1 - chance) / rounds))
        means = np.asarray(own.points, float) @ np.asarray(law.weights, float)
        pair = np.stack([np.argmax(on[:, :3], 1), 3 + np.argmax(on[:, 3:], 1)], 1)
        values = np.take_along_axis(means, pair, 1) + np.asarray(own.errors)
        rank = np.asarray(law.rank)[pair]
        expected = {
            "mean": values.mean(1),
            "min": values.min(1),
            "max": values.max(1),
            "perm": np.where(rank[:, 0] < rank[:, 1], values[:, 0], values[:, 1]),
        }[kind]
        np.testing.assert_allclose(labels, expected, rtol=0, atol=3e-6)
        assert sorted(np.asarray(law.rank)) == [0, 1, 2, 3, 4]
        assert np.asarray(own.errors).std() == pytest.approx(
            0.16, abs=5 * 0.16 / np.sqrt(4 * rounds)
        )


def test_fresh_data_are_played():
    env = DrawnShapes("perm")
    trace = simulate(env, rx.learners.Groups(), 300, 8, checkpoints=[100, 300], progress=False)
    rounds = trace.metrics["group_rounds"][-1]
    np.testing.assert_array_equal(rounds[:, 5], 300)
    np.testing.assert_array_equal(rounds[:, :3].sum(1), 300)
    assert np.ptp(trace.metrics["hindsight_loss"][-1][:, 5]) > 0
    again = simulate(env, rx.learners.Groups(), 300, [5], checkpoints=[100, 300], progress=False)
    np.testing.assert_allclose(
        again.metrics["group_loss"][:, 0], trace.metrics["group_loss"][:, 5], rtol=1e-6
    )


# ---- errors --------------------------------------------------------------------------------

X, ON, Y = data()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: GroupwiseRegression(X[0], ON, Y), r"features are finite numbers \[N, d\]"),
        (lambda: GroupwiseRegression(X, ON[:9], Y), "which groups each of the 150 examples is in"),
        (lambda: GroupwiseRegression(X, ON.astype(int), Y), "bool"),
        (lambda: GroupwiseRegression(X, ON & [True, False, True], Y), "no example is in group 1"),
        (lambda: GroupwiseRegression(X, ON, 2 * Y), r"labels are 150 numbers in \[0, 1\]"),
        (lambda: GroupwiseRegression(X, ON, Y, ("a", "b")), "2 names for 3 groups"),
        (lambda: DrawnShapes("median"), "kind is one of mean, min, max, perm, got 'median'"),
        (lambda: DrawnShapes().init(None), "recipe"),
    ],
)
def test_errors_say_what_was_wrong(build, said):
    with pytest.raises((ValueError, TypeError), match=said):
        build()
