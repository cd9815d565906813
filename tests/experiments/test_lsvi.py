"""Least-squares value iteration: studies, pictures and claims, and what the claims measure."""

import io
import math

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.claims import judge
from regrax.core.simulate import simulate
from regrax.core.study import Study
from regrax.envs.mdp_hard_instances import hard_instance
from regrax.envs.mdp_instances import river_swim
from regrax.envs.mdp_values import optimal_values, policy_values, uniform_policy
from regrax.experiments import lsvi
from regrax.experiments.lsvi import curves, deep_sea, growth, optimism, players
from regrax.experiments.paper import SCALES
from regrax.experiments.reproduce import Options, reproduce, select

EVERY = pytest.mark.parametrize("figure", lsvi.PAPER.figures, ids=lambda x: x.name)


def invented(study: Study, values) -> xr.Dataset:
    """Results of a study, values [environment, learner, checkpoint, seed] of every metric."""
    stops = list(study.checkpoints or (study.horizon,))
    dims = ("environment", "learner", "checkpoint", "seed")
    names = list(study.environments), list(study.learners), stops
    metrics = {m: (dims, values) for m in ("regret", "shortfall")}
    return xr.Dataset(metrics, dict(zip(dims, names, strict=False)), {"horizon": study.horizon})


@EVERY
@pytest.mark.parametrize("scale", SCALES)
def test_studies_are_named_apart_and_small_enough(figure, scale):
    found = figure.studies(scale)
    assert len({study.name for study in found}) == len(found)
    episodes = sum(s.horizon * s.seeds * len(s.environments) * len(s.learners) for s in found)
    assert episodes <= {"smoke": 1e5, "quick": 3e6, "paper": 2e8}[scale]


@EVERY
def test_every_figure_is_drawn_and_every_claim_judged(figure):
    """On invented results of the right shape; nothing is simulated."""
    rng, data = np.random.default_rng(0), {}
    for i, study in enumerate(figure.studies("paper")):
        shape = len(study.environments), len(study.learners), len(study.checkpoints or [0]), 8
        rising = i + np.arange(shape[0])[:, None, None, None] + np.arange(shape[2])[:, None]
        data[study.name] = invented(study, rng.uniform(1, 2, shape) + 10 * rising)
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in lsvi.PAPER.claims_of(figure):
        value = judge(claim, data).estimate.value
        assert math.isfinite(value) or claim.name.endswith("-growth"), claim.name


def test_a_figure_for_real(tmp_path):
    options = Options(scale="smoke", output=tmp_path, progress=False)
    chosen = select(["lsvi/optimism"], {"lsvi": lsvi.PAPER})
    (outcome,) = reproduce(chosen, options, say=lambda text: None)
    assert outcome.errors == []
    assert (tmp_path / "lsvi" / "optimism.png").stat().st_size > 0


def test_half_of_the_seeds_choose_and_the_other_half_are_measured():
    study = Study("one", {"env": river_swim(3, 3)}, players.grid(), 10, 8, (5, 10))
    values = np.random.default_rng(0).uniform(1, 2, (1, len(study.learners), 2, 8))
    names = list(study.learners)
    values[0, names.index("RLSVI 0.3"), :, ::2] = 0.5  # the best where it counts
    values[0, names.index("RLSVI 1"), :, 1::2] = 0.1  # the best of the others
    data = {"one": invented(study, values)}
    assert players.chosen(data, "one", players.RANDOM) == "RLSVI 0.3"
    found = players.measured(data, "one", "RLSVI 0.3")
    np.testing.assert_array_equal(found, values[0, names.index("RLSVI 0.3"), :, 1::2])
    assert players.settings_in(data, "one", players.UCB) == [
        players.name_of(players.UCB, x) for x in players.GRIDS[players.UCB]
    ]


def test_a_sea_is_solved_at_the_first_look_with_enough_good_episodes():
    study = deep_sea._studies("smoke")[0]
    looks = np.array(study.checkpoints, float)
    values = np.zeros((1, len(study.learners), len(looks), 2))
    values[0, 0, :, 0] = 0.99 * np.minimum(looks, 20)  # 20 bad episodes, then good ones
    values[0, 0, :, 1] = 0.99 * looks
    found = deep_sea.solved_after(invented(study, values), next(iter(study.learners)))
    first = looks[looks >= 20 / 0.9][0]
    np.testing.assert_array_equal(found, [first, np.inf])


def test_regret_of_uniform_play_on_the_hard_instance_is_the_exact_one():
    episodes = 4096
    env = hard_instance(growth._D, growth._STAGES, episodes, seed=0)
    best = optimal_values(env.transitions, env.rewards)[1][0]
    uniform = uniform_policy(env.stages, env.num_states, env.num_actions)
    plain = policy_values(env.transitions, env.rewards, uniform)[0]
    exact = episodes * float((best - plain)[0])
    assert growth._uniform_regret(episodes) == pytest.approx(exact, rel=1e-3)  # float32 tables


def test_shortfall_is_what_is_missing_to_the_best_values():
    """With no bonus and no data all values are 0: the shortfall is the largest of Q*."""
    env = optimism.Watched(river_swim(4, 10))
    trace = simulate(env, optimism.ShowsValues(bonus=0.0), 1, 2, progress=False)
    best = optimal_values(env.mdp.transitions, env.mdp.rewards)[0]
    assert trace.metrics["shortfall"][0, 0] == pytest.approx(best.max() - 0, rel=0.2)
    high = simulate(env, optimism.ShowsValues(bonus=100.0), 3, 2, progress=False)
    np.testing.assert_array_equal(high.metrics["shortfall"], 0)


def test_looks_end_with_the_last_episode():
    assert curves.looks(24)[-1] == 24 and curves.looks(5000)[0] == 10
