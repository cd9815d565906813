"""Tallying visit by visit: the same game as round by round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.learners import tallying
from regrax.core.learners.tallying.visits import Visit
from regrax.core.protocol import complete
from regrax.envs import tally_losses as families
from regrax.envs import tally_theory as theory
from regrax.envs.tally_visits import TallyingInVisits
from regrax.envs.tallying import WeightedTallyingBandit
from regrax.envs.windows import GeometricWindow, UniformWindow, WeightedWindow

K, M = 3, 6
WINDOWS = {
    "uniform": UniformWindow(M),
    "geometric": GeometricWindow(M, 0.7),
    "weighted": WeightedWindow([1.0, 0.0, 0.7, 0.7, 0.1, 0.3]),
}
LOSSES = families.u_shape(np.linspace(0.2, 0.6, K))


def visit(arm, thrown, kept):
    return Visit(jnp.int32(arm), jnp.int32(thrown), jnp.int32(kept))


@pytest.mark.parametrize("name", WINDOWS)
def test_exposures_after_any_history(name):
    """Against the definition, for sequences of short and long visits."""
    env = TallyingInVisits(WeightedTallyingBandit(LOSSES, WINDOWS[name]), 2000)
    rng, weights = np.random.default_rng(0), WINDOWS[name].host_weights()
    histories = np.repeat(rng.integers(K + 1, size=(60, M)), rng.integers(1, 4, M), axis=1)[:, :M]
    arms = rng.integers(K, size=60)
    found = np.asarray(jax.jit(jax.vmap(env._exposures))(jnp.asarray(histories), arms))
    for row, history, arm in zip(found, histories, arms, strict=True):
        for j in range(M):
            recent = np.append(np.full(j + 1, True), history == arm)[:M]
            assert row[j] == pytest.approx(weights @ recent / weights.sum(), abs=1e-6)
            assert (row[j] == 1) == np.all(recent | (weights == 0))


def test_any_visits_cost_what_their_plays_cost():
    """Visits of 1 to 15 plays, so that histories of all kinds come up; against the definition."""
    env = TallyingInVisits(WeightedTallyingBandit(LOSSES, WINDOWS["weighted"]), 2000)
    rng, state = np.random.default_rng(0), env.init(noise.root(0))
    tape, step, arms = env.noise(noise.root(1), 150), jax.jit(env.step), []
    for t in range(150):
        arm, thrown, kept = rng.integers(K), rng.integers(4), rng.integers(1, 12)
        draw = jax.tree.map(lambda x, t=t: x[t], tape)
        state, feedback, metrics = step(state, visit(arm, thrown, kept), draw)
        arms += [arm] * (thrown + kept)
        losses = theory.sequence_loss(env.game, arms)[-(thrown + kept) :]
        np.testing.assert_allclose(metrics["regret"], np.sum(losses - 0.2), atol=2e-5)
        assert feedback.whole and 0 <= feedback.mean <= 1
    np.testing.assert_array_equal(state.pulls, np.bincount(arms, minlength=K))
    assert state.left == 2000 - len(arms)


def in_rounds(game, learner, rounds, seeds):
    """Final metrics, round by round."""
    trace = rx.simulate(game, learner, rounds, seeds, checkpoints=[rounds], progress=False)
    return {name: x[0] for name, x in trace.metrics.items()}


def in_visits(game, learner, rounds, seeds):
    """Final metrics, visit by visit."""
    env, player = TallyingInVisits(game, rounds), tallying.ByVisit(learner)
    visits = player.num_visits(env)
    trace = rx.simulate(env, player, visits, seeds, checkpoints=[visits], progress=False)
    return {name: x[0] for name, x in trace.metrics.items()}


MERGED = tallying.TallyingElimination(burn_in=7, delta=0.9, merge=True)


@pytest.mark.parametrize(
    "learner",
    [MERGED, tallying.Batched(rx.learners.UCB1(), 9, burn_in=2)],
    ids=["elimination", "batched"],
)
def test_sure_losses_make_both_engines_equal(learner):
    """Losses of 0 and 1, by tally: nothing is left to chance."""
    table = np.array([[1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [0, 0, 1, 0, 1, 0]])
    losses = families.TableLosses(table, between="nearest")
    game = WeightedTallyingBandit(losses, UniformWindow(M))
    visits = in_visits(game, learner, 700, 8)
    for name, x in in_rounds(game, learner, 700, 8).items():
        np.testing.assert_allclose(visits[name], x, atol=1e-3, err_msg=name)
    assert (visits["pulls"].sum(axis=1) == 700).all()


def test_both_engines_agree_in_law():
    """Mean regret and mean pulls of each arm of 2,000 runs each; 4 comparisons, each wrong with
    probability 1e-7 at 5.3 standard errors."""
    game = WeightedTallyingBandit(LOSSES, WINDOWS["geometric"])
    learner = tallying.TallyingElimination(burn_in=3, delta=0.9)
    rounds, visits = (play(game, learner, 1500, 2000) for play in (in_rounds, in_visits))
    for a, b in ((rounds[name].T, visits[name].T) for name in ("regret", "pulls")):
        error = np.sqrt((a.var(axis=-1) + b.var(axis=-1)) / 2000)
        assert (np.abs(a.mean(axis=-1) - b.mean(axis=-1)) <= 5.3 * error).all()


@pytest.mark.parametrize("rounds", [1, 37, 500])
def test_enough_visits_and_no_round_too_many(rounds):
    """Arms without a difference, none dropped: the most visits there can be."""
    losses = families.tabulated(families.constant([0.0] * K), M)
    game = WeightedTallyingBandit(losses, UniformWindow(M))
    assert (in_visits(game, MERGED, rounds, 8)["pulls"].sum(axis=1) == rounds).all()


def test_a_visit_beyond_the_end_is_cut_short():
    env = TallyingInVisits(WeightedTallyingBandit(LOSSES, UniformWindow(M)), 10)
    tape = env.noise(noise.root(0), 1)
    draw = jax.tree.map(lambda x: x[0], tape)
    step = jax.jit(env.step)
    state, feedback, _ = step(env.init(noise.root(0)), visit(0, 4, 20), draw)
    assert not feedback.whole and state.left == 0 and state.pulls[0] == 10
    state, feedback, metrics = step(state, visit(1, 0, 5), draw)
    assert not feedback.whole and state.pulls.sum() == 10 and metrics["regret"] == 0


def test_horizon_and_rounds_are_not_mixed_up():
    """`simulate` is told a number of visits, the learner a number of rounds."""
    env = TallyingInVisits(WeightedTallyingBandit(LOSSES, UniformWindow(M)), 5000)
    learner = complete(tallying.ByVisit(tallying.TallyingElimination()), env, 77).whole()
    assert (learner.horizon, learner.burn_in, learner.num_arms) == (5000, M, K)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TallyingInVisits(
                WeightedTallyingBandit(LOSSES, UniformWindow(M), "uniform"), 10
            ),
            "adds up coins",
        ),
        (lambda: TallyingInVisits(WeightedTallyingBandit(LOSSES, UniformWindow(M)), 0), "1 to 2"),
        (lambda: TallyingInVisits(WeightedTallyingBandit(LOSSES, UniformWindow(M)), 2.5), "whole"),
        (lambda: tallying.ByVisit(rx.learners.UCB1()), "plays in visits"),
    ],
)
def test_bad_parameters_are_refused_when_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
