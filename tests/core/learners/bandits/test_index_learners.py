"""Index learners: each agrees action by action with a plain reference on the same rewards.

The learners compute in float32. Where the two largest indices of the reference are closer than
float32 can tell apart, either arm may be played; everywhere else the arms must be equal.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta

from regrax.core import exact, noise, simulate
from regrax.core.learners.bandits import bayes, elimination, kl, nonstationary, ucb
from regrax.core.learners.bandits.arms import Arms
from regrax.core.protocol import BanditFeedback
from regrax.envs.bandits import BernoulliBandit

from . import reference_index as reference

K, T = 5, 600
EPS = 2.0**-24  # half a unit in the last place of 1, float32
MEANS = np.array([0.1, 0.9, 0.45, 0.8, 0.2])
CONTINUOUS, COINS, EQUAL = slice(0, 4), slice(4, 8), 8  # rows of the reward table


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner, its reference, and how far apart their indices may be: `slack` units of EPS. An
    index is a sum of a few terms of order 1 to 10, each within a few EPS."""

    learner: Any
    reference: Any
    parameters: dict[str, float]
    slack: float = 64
    gaussian: bool = False

    @property
    def tolerance(self) -> float:
        return self.slack * EPS

    def fresh(self):
        return self.reference(K, **self.parameters)


CASES = {
    "UCB1": Case(ucb.UCB1(K), reference.UCB1, {"exploration": 2}),
    "UCBV": Case(ucb.UCBV(K), reference.UCBV, {"exploration": 1.2, "range": 1}, slack=256),
    "MOSS": Case(ucb.MOSS(K, horizon=T), reference.MOSS, {"horizon": T}),
    "AnytimeMOSS": Case(ucb.AnytimeMOSS(K), reference.AnytimeMOSS, {"alpha": 1.35}),
    "KLUCB": Case(kl.KLUCB(K, c=3.0), reference.KLUCB, {"c": 3}),
    "KLUCBGaussian": Case(
        kl.KLUCB(K, divergence="gaussian", reward_scale=0.5),
        reference.KLUCBGaussian,
        {"c": 0, "reward_scale": 0.5},
        gaussian=True,
    ),
    # Its index is pulls times a divergence: an EPS in the mean counts up to T-fold.
    "IMED": Case(kl.IMED(K), reference.IMED, {}, slack=8 * T),
    "IMEDGaussian": Case(
        kl.IMED(K, divergence="gaussian", reward_scale=0.5),
        reference.IMEDGaussian,
        {"reward_scale": 0.5},
        slack=8 * T,
        gaussian=True,
    ),
    "BayesUCB": Case(bayes.BayesUCB(K, horizon=T), reference.BayesUCB, {"horizon": T, "c": 0}),
    "BayesUCBGaussian": Case(
        bayes.BayesUCBGaussian(K, horizon=T, c=1.0, reward_scale=0.5),
        reference.BayesUCBGaussian,
        {"horizon": T, "c": 1, "reward_scale": 0.5},
        gaussian=True,
    ),
    # Discounted means forget a rounding error after 1 / (1 - discount) = 50 plays.
    "DiscountedUCB": Case(
        nonstationary.DiscountedUCB(K, discount=0.98),
        reference.DiscountedUCB,
        {"discount": 0.98, "exploration": 0.6, "range": 1},
        slack=1024,
    ),
    "SlidingWindowUCB": Case(
        nonstationary.SlidingWindowUCB(K, window=100),
        reference.SlidingWindowUCB,
        {"window": 100, "exploration": 0.6, "range": 1},
    ),
    "SuccessiveElimination": Case(
        elimination.SuccessiveElimination(K, horizon=T),
        reference.SuccessiveElimination,
        {"exploration": 2, "horizon": T},
    ),
}


def play(learner, rewards):
    """The arms that `learner` plays when the rewards of round t are rewards[t], and its last
    state."""

    def one_round(state, row):
        arm = learner.act(state, (), ())
        return learner.update(state, (), arm, BanditFeedback(row[arm])), arm

    state, arms = jax.lax.scan(one_round, learner.init(noise.root(0)), rewards)
    return arms, state


def table(gaussian: bool) -> np.ndarray:
    """Rewards [9, T, K]: four histories without repeated values, four of coins, one of halves."""
    rng = np.random.default_rng(7)
    if gaussian:
        continuous = MEANS + 0.5 * rng.standard_normal((4, T, K))
    else:
        continuous = np.clip(MEANS + rng.uniform(-0.1, 0.1, (4, T, K)), 0, 1)
        continuous = np.where(rng.uniform(size=(4, T, K)) < 0.3, 1 - continuous, continuous)
    coins = rng.uniform(size=(4, T, K)) < MEANS
    return np.concatenate([continuous, coins, np.full((1, T, K), 0.5)]).astype(np.float32)


@functools.cache
def histories(name):
    """(case, rewards [9, T, K], arms [9, T], last state) of one learner: one compilation."""
    case = CASES[name]
    rewards = table(case.gaussian)
    arms, state = jax.jit(jax.vmap(lambda x: play(case.learner, x)))(rewards)
    return case, rewards, np.asarray(arms), state


@pytest.fixture(params=CASES)
def run(request):
    return histories(request.param)


# ---- against the reference -----------------------------------------------------------------


def flips(case, rewards, played):
    """Rounds in which the learner played another arm than its reference would after the same
    history. The reference must then find the two within the tolerance."""
    learner, found = case.fresh(), []
    for t, arm in enumerate(played):
        indices = learner.indices()
        if arm != np.argmax(indices):
            assert indices[arm] >= np.max(indices) - case.tolerance, f"round {t}: {indices}"
            found.append(t)
        learner.update(int(arm), float(rewards[t, arm]))
    return found


def test_plays_what_the_reference_plays(run):
    """The same arms in every round: in most histories without exception, and where there is one
    rounding decided between two indices that are all but equal."""
    case, rewards, arms, _ = run
    found = [flips(case, *x) for x in zip(rewards[CONTINUOUS], arms[CONTINUOUS], strict=True)]
    assert sum(not x for x in found) >= 3, f"rounds with another arm: {found}"


def test_plays_a_largest_index_among_ties(run):
    """The same on coins, where arms with equal counts tie."""
    case, rewards, arms, _ = run
    for x in zip(rewards[COINS], arms[COINS], strict=True):
        flips(case, *x)


def test_equal_arms_are_played_in_turn(run):
    """With all rewards equal every index falls with each play of the arm (or, for elimination,
    nothing is told apart), and ties go to the lowest index."""
    case, rewards, arms, _ = run
    if isinstance(case.learner, bayes.BayesUCB):
        assert arms[EQUAL, 0] == 0  # later on, quantiles tie to within rounding only
        return
    # A window also lets plays go, which leaves other ties.
    turns = 100 if isinstance(case.learner, nonstationary.SlidingWindowUCB) else T
    np.testing.assert_array_equal(arms[EQUAL, :turns], np.arange(turns) % K)
    assert not flips(case, rewards[EQUAL], arms[EQUAL])


def test_every_arm_is_played(run):
    case, _, arms, _ = run
    if isinstance(case.learner, bayes.BayesUCB):
        assert all(len(np.unique(row)) == K for row in arms)
    else:
        np.testing.assert_array_equal(arms[:, :K], np.broadcast_to(np.arange(K), (len(arms), K)))


def test_recommends_an_arm_with_the_largest_mean(run):
    case, rewards, arms, state = run
    recommended = np.asarray(jax.vmap(case.learner.recommend)(state))
    if isinstance(case.learner, nonstationary.DiscountedUCB | nonstationary.SlidingWindowUCB):
        assert set(recommended[CONTINUOUS]) <= {1, 3}
        return
    for row, played, arm in zip(rewards[CONTINUOUS], arms[CONTINUOUS], recommended, strict=False):
        own = row[np.arange(T), played]
        means = [own[played == a].mean() for a in range(K)]
        assert arm == np.argmax(means)


def test_elimination_eliminates():
    """The histories above leave phases in which some arms are out, so the comparison means it."""
    active = np.asarray(histories("SuccessiveElimination")[3].active)
    assert np.all(active[COINS].sum(axis=1) < K) and np.all(active[COINS, 1])
    assert np.all(active[EQUAL])


@pytest.mark.parametrize("name", ["UCB1", "KLUCB", "SlidingWindowUCB"])
def test_one_seed_alone_plays_the_same(name):
    case, rewards, together, _ = histories(name)
    alone = jax.jit(lambda x: play(case.learner, x)[0])
    np.testing.assert_array_equal(together, np.stack([alone(x) for x in rewards]))


# ---- the numbers behind the indices --------------------------------------------------------


def test_bernoulli_upper_is_accurate():
    edge = np.logspace(-8, -0.5, 20)
    means = np.unique(np.concatenate([[0, 1], edge, 1 - edge, np.linspace(0.05, 0.95, 19)]))
    budgets = np.concatenate([[0], np.logspace(-9, 1.5, 40)])
    p, budget = (np.float32(x).ravel() for x in np.meshgrid(means, budgets))
    expected = [reference.kl_upper(float(x), float(y)) for x, y in zip(p, budget, strict=True)]
    np.testing.assert_allclose(kl.bernoulli_upper(p, budget), expected, rtol=0, atol=2e-7)


def test_bernoulli_divergence_keeps_its_digits_when_means_are_close():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(0.001, 0.9, 300), [0.0, 0.25, 1.0]]).astype(np.float32)
    gap = np.concatenate([10 ** rng.uniform(-5, -1.2, 300), [0.25, 0.75, 0.0]]).astype(np.float32)
    p64, gap64 = p.astype(float), gap.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        up = np.where(p64 > 0, p64 * np.log1p(gap64 / p64), 0)
        down = np.where(p64 < 1, (1 - p64) * np.log1p(-gap64 / (1 - p64)), 0)
    got = np.asarray(kl.bernoulli_divergence(jnp.asarray(p), jnp.asarray(gap)), float)
    expected = -up - down
    assert got[-2] == expected[-2] == math.inf and got[-1] == expected[-1] == 0
    finite = np.isfinite(expected)
    assert np.all(np.abs(got[finite] - expected[finite]) <= 8 * EPS * gap64[finite])


def test_beta_quantile_is_accurate():
    rng = np.random.default_rng(0)
    shapes = [1, 1.5, 2, 3, 7, 30, 1e2, 1e3, 1e5, 1e7]
    tails = [0.5, 0.4, 0.1, 1e-2, 1e-4, 1e-7, 1e-10]
    a, b, tail = (x.ravel() for x in np.meshgrid(shapes, shapes, tails))
    a = np.append(a, np.clip(0.99 + 10 ** rng.uniform(-2, 7, 2000), 1, 1e7)).astype(np.float32)
    b = np.append(b, np.clip(0.99 + 10 ** rng.uniform(-2, 7, 2000), 1, 1e7)).astype(np.float32)
    tail = np.append(tail, 10 ** rng.uniform(-10, np.log10(0.5), 2000)).astype(np.float32)
    expected = beta.isf(tail.astype(float), a.astype(float), b.astype(float))
    np.testing.assert_allclose(
        jax.jit(bayes.beta_upper_quantile)(a, b, tail), expected, rtol=0, atol=3e-7
    )
    np.testing.assert_allclose(expected, beta.ppf(1 - tail.astype(float), a, b), atol=1e-6)


def test_window_sums_leave_no_trace():
    """After many rounds of rewards of mixed sizes the sums are those of the last ones alone."""
    learner = nonstationary.SlidingWindowUCB(2, window=8)
    rng = np.random.default_rng(0)
    rewards = (rng.standard_normal((30_000, 2)) * 10 ** rng.uniform(-2, 2, (30_000, 1))).astype("f")
    arms, state = jax.jit(lambda x: play(learner, x))(rewards)
    last = [(a, rewards[-8 + i, a].astype(float)) for i, a in enumerate(np.asarray(arms)[-8:])]
    sums = [sum(x for a, x in last if a == arm) for arm in range(2)]
    got = np.asarray(state.totals.high, float) + np.asarray(state.totals.low, float)
    np.testing.assert_allclose(got, sums, rtol=0, atol=1e-4)
    assert np.asarray(state.pulls).tolist() == [sum(a == arm for a, _ in last) for arm in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_long_games_stay_finite(name):
    """Counters near the end of int32: the choice is still an arm of the largest finite index."""
    learner = dataclasses.replace(CASES[name].learner)
    state = learner.init(noise.root(0))
    many = jnp.full(K, 400_000_000, jnp.int32)
    means = jnp.asarray(MEANS, jnp.float32)
    played = Arms(many, 4e8 * means, jnp.zeros(K, jnp.float32))
    late = {"rounds": jnp.int32(2**31 - 2), "next": jnp.int32(1), "squares": played}
    if isinstance(getattr(state, "arms", None), Arms):  # a window has arms of another kind
        late["arms"] = played
    late |= {"roots": jnp.full(K, 5e-5), "inverses": jnp.full(K, 1e-8), "bounds": means}
    late |= {"scales": jnp.full(K, 5e-5), "logs": jnp.full(K, 20.0), "means": means}
    late |= {"counts": jnp.full(K, 10.0), "total": jnp.float32(50)}
    late |= {"a": 1e7 * means, "b": 1e7 * (1 - means)}
    state = state._replace(**{x: late[x] for x in state._fields if x in late})
    if isinstance(state, bayes.BayesUCBState):
        state = state._replace(normalisers=bayes._log_normaliser(state.a, state.b))
    elif isinstance(state, nonstationary.SlidingWindowState):
        totals = exact.single(20 * means)
        state = state._replace(pulls=jnp.full(K, 20, jnp.int32), totals=totals)

    @jax.jit
    def one_round(state):
        arm = learner.act(state, (), ())
        return arm, learner.update(state, (), arm, BanditFeedback(jnp.float32(1)))

    arm, after = one_round(state)
    assert arm == 1
    leaves = [np.asarray(x, float) for x in jax.tree.leaves(after)]
    assert all(np.all(np.isfinite(x)) for x in leaves)


# ---- as simulate and users meet them -------------------------------------------------------


def test_simulate_fills_in_arms_and_horizon():
    env = BernoulliBandit(np.array([0.2, 0.8]))
    trace = simulate.simulate(env, ucb.MOSS(), 200, 8, checkpoints=[200], progress=False)
    assert trace.metrics["pulls"].sum(axis=-1).tolist() == [[200] * 8]
    assert trace.metrics["pulls"][0, :, 1].min() > 100


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ucb.UCB1(exploration=-1.0), "UCB1: exploration is zero or more, got -1.0"),
        (lambda: ucb.UCB1(exploration=np.array([2.0, np.nan])), "exploration is zero or more"),
        (lambda: ucb.UCBV(range=0.0), "range is positive"),
        (lambda: ucb.MOSS(horizon=0), "horizon is one round or more"),
        (lambda: ucb.AnytimeMOSS(alpha=-0.1), "alpha is zero or more"),
        (lambda: kl.KLUCB(divergence="poisson"), "'bernoulli' or 'gaussian', got 'poisson'"),  # type: ignore[arg-type]
        (lambda: kl.IMED(reward_scale=0.0), "reward_scale is positive"),
        (lambda: bayes.BayesUCB(prior=(0.5, 0.5)), "BayesUCB: prior is a pair.*each 1 or more"),
        (lambda: nonstationary.DiscountedUCB(discount=1.0), r"discount is in \(0, 1"),
        (lambda: nonstationary.SlidingWindowUCB(window=0), "window is a whole number"),
        (lambda: elimination.SuccessiveElimination(exploration=-2), "exploration is zero or more"),
        (lambda: ucb.UCB1().init(noise.root(0)), "does not know its num_arms"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_exploration_is_greedy():
    """With exploration 0, UCB1 still plays every arm once, then the largest mean for good."""
    rewards = np.broadcast_to(np.float32([0.3, 0.2, 0.7, 0.0, 0.5]), (20, K))
    arms, _ = play(ucb.UCB1(K, exploration=0.0), rewards)
    assert np.asarray(arms).tolist() == [0, 1, 2, 3, 4] + [2] * 15


def test_tuned_memory():
    """Garivier and Moulines 2011: discount 1 - sqrt(changes / T) / 4B, window 2B sqrt(T ln T /
    changes)."""
    assert nonstationary.tuned_discount(10_000, 4) == pytest.approx(1 - 0.02 / 4)
    expected = math.ceil(2 * math.sqrt(10_000 * math.log(10_000) / 4))
    assert nonstationary.tuned_window(10_000, 4) == expected


# ---- outside code --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, outside, parameters, ahead",
    [
        ("UCB1", "UCB", {}, 0),
        ("MOSS", "MOSSH", {"horizon": T}, 0),
        ("AnytimeMOSS", "MOSSAnytime", {"alpha": 1.35}, 0),
        ("KLUCBGaussian", "klUCB", {"klucb": "klucbGauss"}, 1),
        ("BayesUCB", "BayesUCB", {}, 0),
        ("SlidingWindowUCB", "SWUCB", {"tau": 100, "alpha": 0.6}, 0),
    ],
)
def test_agrees_with_smpybandits(name, outside, parameters, ahead):
    """Where SMPyBandits is installed: the arm played has the largest of its indices, computed on
    the same history of coins. `ahead`: it counts rounds played where the source counts the one to
    come. (Its discounted UCB keeps stale counts of the arms that are not played: no comparison.)"""
    policies = pytest.importorskip("SMPyBandits.Policies", exc_type=ImportError)
    case, rewards, arms, _ = histories(name)
    if "klucb" in parameters:
        gauss = policies.klucbGauss
        parameters = {"klucb": lambda x, d, precision: gauss(x, d, sig2x=0.25)}
    policy = getattr(policies, outside)(K, **parameters)
    policy.startGame()
    for t, arm in enumerate(arms[4]):
        if t >= K:
            policy.t += ahead
            indices = np.array([policy.computeIndex(a) for a in range(K)])
            policy.t -= ahead
            assert indices[arm] >= indices.max() - case.tolerance, f"round {t}: {indices}"
        policy.getReward(int(arm), float(rewards[4, t, arm]))
