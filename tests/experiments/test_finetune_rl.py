"""The paper on fine-tuning: its trees and data, studies, pictures and claims, a figure for real."""

import io
import math

import jax
import numpy as np
import pytest
import xarray as xr

from regrax.core import noise, plotting
from regrax.core.claims import judge
from regrax.core.compiled import jit
from regrax.core.learners import LSVIUCB
from regrax.core.study import Study
from regrax.envs.mdp_instances import depth_two_tree, periodic_low_rank
from regrax.envs.mdp_values import optimal_values, policy_values
from regrax.envs.offline_mdp_sets import uniform_data
from regrax.experiments.finetune_rl import PAPER, common, coverage, separation, trees
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

KEY = noise.root(1)
EVERY = pytest.mark.parametrize("figure", PAPER.figures, ids=lambda x: x.name)


def invented(study: Study, regrets, explored=None) -> xr.Dataset:
    """Results of a study, [learner, checkpoint, seed] or what broadcasts to it."""
    names = list(study.environments), list(study.learners)
    stops, explored = list(study.checkpoints or ()), regrets if explored is None else explored
    seeds = max(np.shape(x)[-1] for x in (regrets, explored))
    shape = 1, len(names[1]), len(stops), seeds
    dims = ("environment", "learner", "checkpoint", "seed")
    full = {"simple_regret": regrets, "explored": explored}
    full = {name: (dims, np.broadcast_to(x, shape)) for name, x in full.items()}
    return xr.Dataset(full, dict(zip(dims, (*names, stops), strict=False)))


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    episodes = sum(s.horizon * s.seeds * len(s.learners) for s in found)
    assert episodes <= {"smoke": 1e4, "quick": 5e6, "paper": 5e7}[scale]
    if scale == "paper":
        assert all(study.seeds >= 100 for study in found)


@EVERY
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for study in figure.studies("paper"):
        shape = len(study.learners), len(study.checkpoints or ()), 8
        explored = rng.integers(1, study.horizon, shape)
        data[study.name] = invented(study, rng.uniform(0, 0.5, shape), explored)
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in PAPER.claims_of(figure):
        assert math.isfinite(judge(claim, data).estimate.value), claim.name


@pytest.mark.parametrize(
    "figure",
    ["tree"] + [pytest.param(x, marks=pytest.mark.slow) for x in ("separation", "coverage")],
)
def test_a_figure_for_real(figure, tmp_path):
    options = Options("smoke", output=tmp_path, progress=False)
    chosen = select([f"{PAPER.name}/{figure}"], {PAPER.name: PAPER})
    (outcome,) = reproduce(chosen, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / PAPER.name / f"{figure}.png").stat().st_size > 0
    assert len(outcome.results) == len([c for c in PAPER.claims if c.figure == figure])


# ---- trees and data ------------------------------------------------------------------------


def test_a_tree_of_two_actions_is_the_one_there_is():
    gaps = np.array([0.2, 0.0, 0.4, 0.4])
    ours, theirs = common.tree(0.5 - gaps.reshape(2, 2)), depth_two_tree(tuple(gaps))
    same = jax.tree.map(np.array_equal, ours, theirs)
    assert jax.tree.all(same)


def test_a_wide_tree_has_a_policy_for_every_path():
    means = separation.means(3)
    env = common.tree(means)
    policies = common.paths(env)
    values = [policy_values(env.transitions, env.rewards, policy)[0, 0] for policy in policies]
    np.testing.assert_allclose(sorted(values), [0.3] * 8 + [0.7], atol=1e-7)


def test_tree_data_are_episodes_of_paths():
    """Counts exactly; rewards binomial, to 5.5 standard deviations over 500 sets."""
    means, visits = np.array([[0.2, 0.5], [0.9, 0.0]]), np.array([[100, 0], [30, 7]])
    draw = jit(jax.vmap(lambda i: common.TreeData(means, visits).draw(noise.stream(KEY, i))))
    counts = draw(np.arange(500))
    found = np.asarray(counts.visits)
    assert np.all(found == found[:1]) and found[0].sum() == 2 * visits.sum()
    np.testing.assert_array_equal(found[0, 0, 0, [0, 1], [1, 2]], visits.sum(axis=1))
    np.testing.assert_array_equal(found[0, 1, 1:, :, 0], visits)
    rewards = np.asarray(counts.rewards, float)
    assert np.all(rewards[:, 0] == 0) and np.all(rewards[:, 1, 0] == 0)
    error = 5.5 * np.sqrt(visits * means * (1 - means) / 500)
    assert np.all(np.abs(rewards[:, 1, 1:].mean(axis=0) - visits * means) <= error)


def test_a_prefix_grows_to_the_whole():
    env = periodic_low_rank(4, 2, 2, 3)
    whole = uniform_data(env, 300)
    draw = jit(lambda data: data.draw(KEY))
    every = [draw(common.Prefix(whole, n)) for n in (0, 1, 120, 300)]
    for n, counts in zip((0, 1, 120, 300), every, strict=True):
        np.testing.assert_array_equal(np.asarray(counts.visits).sum(axis=(1, 2, 3)), n)
    for less, more in zip(every, every[1:], strict=False):
        assert np.all(np.asarray(less.visits) <= more.visits)
    jax.tree.map(np.testing.assert_array_equal, every[-1], draw(whole))


def test_recommends_without_the_bonus():
    env = common.tree(np.array([[0.9, 0.1], [0.1, 0.1]]))
    data = common.TreeData(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[40, 40], [40, 0]]))
    given = {"bonus": 5.0, "features": env.features, "stages": 2, "offline": data}
    ours, plain = (jit(lambda x: x.recommend(x.init(KEY)))(x) for x in (
        common.Estimating(**given), LSVIUCB(**given)
    ))  # fmt: skip
    assert (ours.actions[0, 0], ours.actions[1, 1]) == (0, 0)
    assert (plain.actions[0, 0], plain.actions[1, 2]) == (1, 1)  # the path that was never seen


def test_the_class_of_policies_has_an_optimal_one_and_others():
    for problem in coverage.PROBLEMS:
        env = problem.build()
        policies = coverage.policy_class(env)
        values = [policy_values(env.transitions, env.rewards, p)[0] for p in policies]
        values, best = (
            env.start @ np.transpose(values),
            optimal_values(env.transitions, env.rewards),
        )
        assert values[0] == pytest.approx(env.start @ best[1][0])
        assert np.all(values <= values[0] + 1e-9) and np.mean(values < values[0] - 0.2) > 0.3


# ---- estimators ----------------------------------------------------------------------------


def test_episodes_needed_are_counted_from_the_last_mistake():
    study = Study("x", {"e": common.tree(np.eye(2))}, {"l": LSVIUCB()}, 40, 4, (1, 10, 20, 40))
    regrets = np.array([[0, 0, 0, 0.1], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0.1]])
    data = invented(study, regrets)
    np.testing.assert_array_equal(common.needed(data, "l", 0.1), [1, 20, 40, 1])
    np.testing.assert_array_equal(common.needed(data, "l", 0.05), [1, 20, 40, 40])


def test_the_closed_form_reproduces_itself():
    """FTPedel that needs exactly what the closed form says: all ratios are 1."""
    data = {}
    for study in trees._studies("paper"):
        plan, _, amount = study.name.partition(", n=")
        exact = trees.tree_episodes(
            trees.GAPS, int(amount) * trees.PLANS[plan], trees.EPSILON, 61.0
        )
        data[study.name] = invented(study, np.zeros(5), np.full(5, exact))
    assert trees._budget(data) == pytest.approx(61.0)
    for estimate in (trees._worst(data, 0.95), trees._least(data, 0.95)):
        assert estimate.value == pytest.approx(1.0)
    assert trees._verifying(data, 0.95).value == pytest.approx(0.6)
    assert trees._unverified(data, 0.95).value == 1.0


def test_the_separation_in_closed_form():
    """One path is left of 4, or of 25: b / epsilon^2 with offline data; all of them without."""
    eps, gap = separation.EPSILON, separation.GAP
    assert separation._closed(separation.BOTH, 25) == pytest.approx(1 / eps**2)
    online = 1 / eps**2 + 24 / gap**2
    assert separation._closed(separation.ONLINE, 25) == pytest.approx(online)
    data = {}
    for study in separation._studies("paper"):
        count = int(study.name.split()[0])
        rows = [
            100
            * separation._closed(separation.BOTH if "offline" in name else separation.ONLINE, count)
            for name in study.learners
        ]
        data[study.name] = invented(study, np.zeros(5), np.array(rows)[:, None, None])
    found = separation._verified_ratio(data, 0.95)
    assert found.value == pytest.approx((1 / eps**2) / online) and found.value < 0.06
    assert separation._exponent(separation.BOTH, data, 0.95).value == pytest.approx(0, abs=1e-9)
    assert 0.9 < separation._exponent(separation.ONLINE, data, 0.95).value < 1


def test_what_is_saved_is_a_ratio_to_no_data():
    data = {}
    for study in coverage._studies("paper"):
        amount = int(study.name.partition(", n=")[2])
        late = np.arange(len(study.checkpoints or ())) >= (10 if amount else 30)
        regrets = np.where(late, 0.1, 1.0)[:, None] * np.ones(6)
        data[study.name] = invented(study, regrets)
    checkpoints = coverage.looks(coverage.EPISODES["paper"])
    problem = coverage.PROBLEMS[0]
    for kind in coverage.DATA:
        amounts, values = coverage._needed(problem, kind, coverage.UCB, data)
        assert list(amounts) == list(coverage.AMOUNTS["paper"])
        assert values[0, 0] == checkpoints[30] and np.all(values[1:] == checkpoints[10])
    saved = coverage._saved(problem, "uniform", coverage.UCB, data, 0.95)
    assert saved.value == pytest.approx(checkpoints[10] / checkpoints[30])
    assert coverage._against_offline(problem, 100, data, 0.95).value == pytest.approx(1.0)
