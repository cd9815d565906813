"""Weighted tallying bandits: windows, losses and regret against their definitions in NumPy."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.envs import tally_losses as families
from regrax.envs import tally_theory as theory
from regrax.envs.tallying import WeightedTallyingBandit, policy_regret_bracket
from regrax.envs.windows import GeometricWindow, UniformWindow, WeightedWindow, window
from regrax.tests.envs.conformance import check_environment, key, play, pulls_before, scripted_arms

K, M = 4, 6
LEVELS = np.linspace(0.2, 0.6, K)
RAGGED = np.array([1.0, 0.0, 0.7, 0.7, 0.1, 0.3])
WINDOWS = {
    "uniform": (UniformWindow(M), np.ones(M)),
    "geometric": (GeometricWindow(M, 0.7), 0.7 ** np.arange(M)),
    "flat geometric": (GeometricWindow(M, 1.0), np.ones(M)),
    "weighted": (WeightedWindow(RAGGED), RAGGED),
    "one": (UniformWindow(1), np.ones(1)),
}
FAMILIES = {
    "constant": families.constant(LEVELS),
    "learning": families.learning(LEVELS),
    "trap": families.trap(K),
    "u_shape": families.u_shape(LEVELS),
}


def family_by_hand(name, arm, u):
    """The suite, as it is written down."""
    level = LEVELS[arm]
    if name == "learning":
        return level + (0.9 - level) * (1 - u)
    if name == "trap":
        full = u == 1
        return (0.2 if full else 0.95) if arm == 0 else (0.35 if u < 0.5 else 0.7)
    if name == "u_shape":
        bent = 0.2 + 2.8 * u * (1 - u) if arm == 0 else level + 0.3 * np.sin(np.pi * u)
        return min(max(bent, 0), 1)
    return level


def exposures_by_definition(arms, weights):
    """(exposure, whether it is full) of each play of a sequence, float64."""
    found = []
    for t, arm in enumerate(arms):
        recent = [j <= t and arms[t - j] == arm for j in range(len(weights))]
        full = all(same or w == 0 for same, w in zip(recent, weights, strict=True))
        found.append((np.dot(weights, recent) / weights.sum(), full))
    return np.array([x for x, _ in found]), np.array([x for _, x in found])


def sticky_arms(rng, shape, num_arms, stay):
    """Arms that are played again with probability `stay`: short visits and long ones."""
    arms = rng.integers(num_arms, size=shape)
    for t in range(1, shape[1]):
        arms[:, t] = np.where(rng.random(shape[0]) < stay, arms[:, t - 1], arms[:, t])
    return arms.astype(np.int32)


def exposures(memory, arms):
    """What a window says of sequences of arms [S, T]."""

    def one(arms):
        return jax.lax.scan(memory.play, memory.init(K), arms)[1]

    return np.asarray(jax.jit(jax.vmap(one))(arms))


# ---- windows -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WINDOWS)
def test_exposure_is_the_weighted_share_of_the_window(name):
    memory, weights = WINDOWS[name]
    rng = np.random.default_rng(0)
    arms = np.concatenate([sticky_arms(rng, (8, 120), K, stay) for stay in (0.2, 0.7, 0.95)])
    found = exposures(memory, arms)
    for row, sequence in zip(found, arms, strict=True):
        expected, full = exposures_by_definition(sequence, weights)
        np.testing.assert_allclose(row, expected, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(row == 1, full)
    assert (found > 0).all() and (found <= 1).all()


def test_full_exposure_survives_a_long_memory_of_awkward_weights():
    """Sums of hundreds of roundings; and weights so small that 1 - share rounds to nothing."""
    for decay, length in ((0.97, 300), (0.3, 60)):
        arms = np.repeat([[0, 1, 0, 2]], [length + 5, 1, length, 3], axis=1).astype(np.int32)
        found = exposures(GeometricWindow(length, decay), arms)[0]
        expected, full = exposures_by_definition(arms[0], decay ** np.arange(length))
        np.testing.assert_array_equal(found == 1, full)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        again = exposures(WeightedWindow(decay ** np.arange(length)), arms)[0]
        np.testing.assert_array_equal(again == 1, full)


def test_geometric_tallies_do_not_drift():
    """An arm that never leaves the window and never fills it, for 20,000 rounds."""
    memory, arms = GeometricWindow(M, 0.9), np.tile(np.array([0, 0, 1], np.int32), 7_000)[None]
    found, expected = (
        exposures(memory, arms)[0],
        exposures_by_definition(arms[0, :60], 0.9 ** np.arange(M))[0],
    )
    np.testing.assert_allclose(found[-30:], expected[-30:], atol=2e-6)


def test_the_cheapest_window_is_chosen():
    assert window([2.0, 2, 2]) == UniformWindow(3) and window([5]) == UniformWindow(1)
    chosen = window(3 * 0.9 ** np.arange(8))
    assert isinstance(chosen, GeometricWindow) and chosen.memory == 8
    np.testing.assert_allclose(chosen.host_weights(), 0.9 ** np.arange(8), rtol=1e-7)
    for weights in (RAGGED, [1, 0, 0], [1, 2, 4], 0.99999 ** np.arange(9)):
        assert isinstance(window(weights), WeightedWindow)


# ---- losses --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_what_the_suite_says(name):
    u = np.array([1 / 6, 0.4999, 0.5, 0.75, 1 - 2**-24, 1.0])
    arms = np.arange(K)[:, None]
    expected = [[family_by_hand(name, arm, x) for x in u] for arm in range(K)]
    np.testing.assert_allclose(FAMILIES[name].at(arms, u, np), expected, atol=1e-7)
    found = FAMILIES[name].at(jnp.asarray(arms), jnp.asarray(u, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(FAMILIES[name].settled(), np.asarray(expected)[:, -1], atol=1e-7)
    table = families.tabulated(FAMILIES[name], 7)
    tallies = np.arange(1, 8) / 7
    by_hand = [[family_by_hand(name, arm, x) for x in tallies] for arm in range(K)]
    np.testing.assert_allclose(table.values, by_hand, atol=1e-7)
    exposure = np.float32(np.arange(1, 8)) / np.float32(7)
    np.testing.assert_array_equal(table.at(jnp.asarray(arms), exposure), table.values)


def test_a_table_is_joined_by_straight_lines():
    table = families.TableLosses([[0.2, 0.4, 1.0], [0.9, 0.9, 0.0]])
    u = np.array([0.1, 1 / 3, 0.5, 2 / 3, 5 / 6, 1.0])
    expected = [[0.2, 0.2, 0.3, 0.4, 0.7, 1.0], [0.9, 0.9, 0.9, 0.9, 0.45, 0.0]]
    arms = np.arange(2)[:, None]
    np.testing.assert_allclose(table.at(arms, u, np), expected, atol=1e-7)
    np.testing.assert_allclose(table.at(jnp.asarray(arms), jnp.float32(u)), expected, atol=1e-6)
    one = families.TableLosses([[0.3], [0.6]])
    np.testing.assert_allclose(one.at(arms, u, np), np.tile([[0.3], [0.6]], 6), atol=1e-7)


# ---- the game ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env",
    [
        WeightedTallyingBandit(families.trap(K), UniformWindow(M)),
        WeightedTallyingBandit(families.u_shape(LEVELS), GeometricWindow(M, 0.7), "uniform"),
        WeightedTallyingBandit(families.tabulated(families.learning(LEVELS), 5), window(RAGGED)),
    ],
    ids=["uniform", "geometric", "weighted"],
)
def test_conformance(env):
    check_environment(env)


@pytest.mark.parametrize("name", ["uniform", "geometric", "weighted"])
def test_a_history_agrees_with_numpy(name):
    memory, weights = WINDOWS[name]
    env = WeightedTallyingBandit(FAMILIES["u_shape"], memory)
    played, arms = play(env), scripted_arms(K, 60)
    shares, _ = exposures_by_definition(arms, weights)
    losses = np.array(
        [family_by_hand("u_shape", arm, u) for arm, u in zip(arms, shares, strict=True)]
    )
    assert np.min(np.abs(played.tape - losses)) > 1e-5  # no coin on the edge
    np.testing.assert_array_equal(played.feedback.reward, played.tape >= losses)
    np.testing.assert_allclose(played.metrics["regret"][0], losses - 0.2, atol=2e-6)
    report = {name: x[0] for name, x in played.reports.items()}
    np.testing.assert_array_equal(report["pulls"], pulls_before(arms, K))
    np.testing.assert_allclose(theory.sequence_loss(env, arms), losses, atol=1e-7)


def test_bounded_noise_has_the_mean_and_stays_within_bounds():
    env = WeightedTallyingBandit(families.constant([0.1, 0.5, 0.95]), UniformWindow(2), "uniform")
    draws = jnp.linspace(2**-24, 1 - 2**-24, 2001)
    one = jax.jit(jax.vmap(lambda draw: env.rewards(env.init(key(0)), jnp.full(3, draw))))
    rewards = one(draws)
    losses = 1 - np.asarray(rewards)
    np.testing.assert_allclose(losses.mean(axis=0), [0.1, 0.5, 0.95], atol=1e-6)
    np.testing.assert_allclose(losses.min(axis=0), [0, 0, 0.9], atol=1e-6)
    np.testing.assert_allclose(losses.max(axis=0), [0.2, 1, 1], atol=1e-6)
    assert (losses >= 0).all() and (losses <= 1).all()


def test_the_rewards_of_all_arms_are_those_of_a_play_of_each():
    env = WeightedTallyingBandit(FAMILIES["u_shape"], GeometricWindow(M, 0.7), "uniform")
    state = jax.tree.map(lambda x: jnp.asarray(x[0]), play(env).last)
    draws = jnp.array([0.1, 0.4, 0.6, 0.9], np.float32)
    step = jax.jit(env.step)
    expected = [step(state, jnp.int32(arm), draws[arm])[1].reward for arm in range(K)]
    np.testing.assert_allclose(jax.jit(env.rewards)(state, draws), expected, rtol=1e-6)


def test_constant_losses_make_the_window_irrelevant():
    """To the last digit: the draws do not depend on the window either."""
    envs = [
        WeightedTallyingBandit(FAMILIES["constant"], memory)
        for memory in (UniformWindow(M), WeightedWindow(RAGGED))
    ]
    traces = [
        rx.simulate(env, rx.learners.UCB1(), 300, 16, checkpoints=[300], progress=False)
        for env in envs
    ]
    for name, x in traces[0].metrics.items():
        np.testing.assert_array_equal(traces[1].metrics[name], x)
    gaps = LEVELS - LEVELS[0]
    regret = traces[0].metrics["pulls"] @ gaps
    np.testing.assert_allclose(traces[0].metrics["regret"], regret, atol=1e-4)


# ---- repeated exposure optimality, and the best sequence -------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["uniform", "geometric", "weighted"])
def test_the_suite_has_exposure_optimality(name, kind):
    env = WeightedTallyingBandit(FAMILIES[name], WINDOWS[kind][0])
    found = theory.repeated_exposure_optimal(env)
    assert found.holds and found.arm == env.best_arm == 0 and found.exact
    if name in ("trap", "learning"):  # 0.35, the others when fresh; 0.2 + 0.4 / 3, settled
        margin = {"trap": 0.15, "learning": 0.4 / 3}[name]
        assert found.margin <= margin + 1e-6
        assert name == "learning" or found.margin == pytest.approx(margin, abs=1e-6)


def test_a_counterexample_is_found():
    """Arm 1 is cheap when it was not played lately: better in turns than any arm for ever."""
    losses = families.TableLosses([[0.5, 0.5, 0.4], [0.1, 0.6, 0.6]], between="nearest")
    env = WeightedTallyingBandit(losses, UniformWindow(3))
    found = theory.repeated_exposure_optimal(env)
    assert not found.holds and found.exact and found.arm == 0
    assert found.margin == pytest.approx(-0.3, abs=1e-6)
    assert found.rival == (1, pytest.approx(1 / 3))
    best, arms = theory.optimal_sequence(env, 30)
    assert best < 30 * 0.4 and (arms == 1).any()


def test_exposures_that_can_occur():
    weights = np.array([1.0, 0.5, 0.25])
    found, exact = theory._exposures(weights, 2)
    np.testing.assert_allclose(found, np.array([1, 1.25, 1.5, 1.75]) / 1.75)
    assert exact and found[-1] == 1
    np.testing.assert_allclose(theory._exposures(weights, 1)[0], np.array([1, 1.5, 1.75]) / 1.75)
    grid, exact = theory._exposures(0.9 ** np.arange(60), 2)
    assert not exact and len(grid) > 10_000 and grid[-1] == 1 and (np.diff(grid) > 0).all()


@pytest.mark.parametrize("kind", ["uniform", "geometric", "weighted"])
def test_the_best_sequence_is_the_best_of_all(kind):
    """Against every sequence there is, and the bracket for the policy regret."""
    rng = np.random.default_rng(3)
    memory = {
        "uniform": UniformWindow(3), "geometric": GeometricWindow(4, 0.6),
        "weighted": WeightedWindow([0.5, 1.0, 0.0, 0.25]),
    }[kind]  # fmt: skip
    env = WeightedTallyingBandit(families.TableLosses(rng.uniform(size=(3, 4))), memory)
    for horizon in (1, 2, 6):
        every = list(itertools.product(range(3), repeat=horizon))
        totals = [theory.sequence_loss(env, arms).sum() for arms in every]
        best, arms = theory.optimal_sequence(env, horizon)
        assert best == pytest.approx(min(totals))
        assert theory.sequence_loss(env, arms).sum() == pytest.approx(best)


@pytest.mark.parametrize("name", ["learning", "trap", "u_shape"])
def test_policy_regret_lies_in_its_bracket(name):
    env = WeightedTallyingBandit(FAMILIES[name], window(RAGGED[:5]))
    horizon = 40
    best, arms = theory.optimal_sequence(env, horizon)
    value = 0.2 * horizon
    assert value - 1e-5 <= best <= value + env.memory - 1
    for played in (arms, scripted_arms(K, horizon), np.zeros(horizon, int)):
        loss = theory.sequence_loss(env, played).sum()
        low, high = policy_regret_bracket(loss - value, env.memory)
        assert low - 1e-5 <= loss - best <= high + 1e-5


# ---- hard instances ------------------------------------------------------------------------


def test_the_hidden_arm_costs_what_its_bound_says():
    """The best that can be done: try the arms one after the other, m times each, and stay."""
    num_arms, memory, gap, horizon = 5, 4, 0.5, 60
    costs = []
    for best in range(num_arms):
        env = theory.hidden_arm(num_arms, memory, best, gap)
        arms = np.minimum(np.arange(horizon) // memory, best)
        value = 0.5 - gap / 2
        assert theory.repeated_exposure_optimal(env).arm == best == env.best_arm
        costs.append(theory.sequence_loss(env, arms).sum() - horizon * value)
    assert np.mean(costs) == pytest.approx(theory.hidden_arm_cost(num_arms, memory, gap), abs=1e-5)


def test_the_late_game_looks_like_the_settled_one_until_it_does_not():
    settled, late = theory.settled_or_late(5)
    arms = np.array([1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    a, b = theory.sequence_loss(settled, arms), theory.sequence_loss(late, arms)
    np.testing.assert_array_equal(a[:-1], b[:-1])
    np.testing.assert_allclose([a[-1], b[-1]], [0.6, 0], atol=1e-6)
    assert (settled.best_arm, late.best_arm) == (0, 1)


def test_the_order_of_the_arms_can_be_hidden():
    env = rx.envs.HiddenBestArm(theory.hidden_arm(3, 4, gap=1.0))
    trace = rx.simulate(env, rx.learners.Uniform(), 50, 200, checkpoints=[50], progress=False)
    assert set(np.round(trace.metrics["simple_regret"].ravel(), 6)) <= {0.0, 1.0}


def test_parameters_can_be_replaced():
    """What was made from them is made again."""
    changed = dataclasses.replace(GeometricWindow(4, 0.9), decay=0.5)
    np.testing.assert_array_equal(changed.powers, GeometricWindow(4, 0.5).powers)
    changed = dataclasses.replace(WeightedWindow([1.0, 1]), weights=[3, 1])
    np.testing.assert_array_equal(changed.shares, np.array([0.75, 0.25], np.float32))
    with pytest.raises(ValueError, match="levels of CurvedLosses"):
        dataclasses.replace(FAMILIES["constant"], levels=[0.5, 2.0])


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformWindow(0), "memory of a UniformWindow"),
        (
            lambda: UniformWindow(2.5),  # pyright: ignore[reportArgumentType]
            "whole number of rounds",
        ),
        (lambda: GeometricWindow(3, 0.0), r"number in \(0, 1\], got 0.0"),
        (lambda: GeometricWindow(3, 1.5), r"number in \(0, 1\]"),
        (lambda: WeightedWindow([0.0, 1.0]), "first .* positive"),
        (lambda: WeightedWindow([1.0, -1.0]), "not negative"),
        (lambda: window([]), "weight of a play by its age"),
        (lambda: window([1.0, np.nan]), "finite"),
        (lambda: families.constant([0.5, 1.5]), r"levels of CurvedLosses are numbers in \[0, 1\]"),
        (lambda: families.CurvedLosses([0.5, 0.5], bow=[1, 2, 3]), "as many as levels"),
        (lambda: families.TableLosses([0.5, 0.5]), r"values of shape \[K, G\]"),
        (lambda: families.TableLosses([[0.5]], between="spline"), '"linear" or "nearest"'),
        (lambda: families.tabulated(families.trap(3), 0), "whole number of rounds"),
        (lambda: WeightedTallyingBandit(families.trap(2), UniformWindow(2), "normal"), "law is"),
        (lambda: theory.hidden_arm(3, 4, best=3), "one of 3 arms"),
        (
            lambda: theory.optimal_sequence(
                WeightedTallyingBandit(families.trap(10), UniformWindow(20)), 100
            ),
            r"10\^19 histories",
        ),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
