"""What every learner in Markov decision processes must do, whatever it computes.

Two programs are compiled a learner, for one and for a stack of two, and shared by all tests.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise, simulate
from regrax.core.learners.mdp.hybrid import HyQ
from regrax.core.learners.mdp.langevin import LMCLSVI
from regrax.core.learners.mdp.lsvi import LSVIUCB
from regrax.core.learners.mdp.lsvi_plus import HYRULE, LSVIUCBPlusPlus
from regrax.core.learners.mdp.randomised import LSVIPHE, RLSVI
from regrax.core.learners.mdp.reduction import H2O, FittedQ, HyGLOW, density_ratios
from regrax.core.learners.mdp.ucbvi import UCBVI
from regrax.core.protocol import complete
from regrax.envs.mdp_instances import random_low_rank
from regrax.envs.mdp_values import occupancy, optimal_values, uniform_policy
from regrax.envs.offline_mdp import OfflineData

K = 40
SMALL = random_low_rank(4, 2, 3, 3, seed=6)
DATA = OfflineData(SMALL, uniform_policy(3, 4, 2), 20)


def glow(gamma):
    rng = np.random.default_rng(0)
    best = optimal_values(SMALL.transitions, SMALL.rewards)[0]
    values = best + rng.normal(size=(3, *best.shape))
    seen = occupancy(SMALL.transitions, SMALL.start, uniform_policy(3, 4, 2))
    return HyGLOW(
        values, density_ratios(rng.uniform(size=(2, *seen.shape)), seen[None]), DATA, gamma
    )


# A line a learner: what it plays in, the learner, and the same with other numbers.
LEARNERS = {
    "LSVI-UCB": (SMALL, LSVIUCB(0.5), LSVIUCB(0.1, 2.0)),
    "LSVI-UCB warm start": (SMALL, LSVIUCB(0.5, offline=DATA), LSVIUCB(0.1, offline=DATA)),
    "RLSVI": (SMALL, RLSVI(0.5), RLSVI(0.1, 2.0)),
    "LSVI-PHE": (SMALL, LSVIPHE(0.5, 3), LSVIPHE(0.1, 3, 2.0)),
    "LMC-LSVI": (SMALL, LMCLSVI(0.1, steps=5), LMCLSVI(0.02, 0.4, 5)),
    "LSVI-UCB++": (SMALL, LSVIUCBPlusPlus(), LSVIUCBPlusPlus(0.003, 0.001)),
    "HYRULE": (SMALL, HYRULE(DATA), HYRULE(DATA, bonus_scale=0.001)),
    "UCBVI": (SMALL, UCBVI(0.2), UCBVI(0.05)),
    "Hy-Q": (SMALL, HyQ(DATA, exploration="uniform"), HyQ(DATA, 1.0, "uniform")),
    "H2O": (SMALL, H2O(FittedQ(), DATA), H2O(FittedQ(1.0), DATA)),
    "HyGLOW": (SMALL, glow(1.0), glow(0.01)),
}
SLOW = "LSVI-UCB warm start", "RLSVI", "HYRULE", "HyGLOW"  # near to another one
every_learner = pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in LEARNERS]
)


@functools.cache
def play(name, seeds, stacked=False):
    env, *learners = LEARNERS[name]
    learner = rx.stack(learners) if stacked else learners[0]
    return rx.simulate(env, learner, K, seeds, checkpoints=[1, K], progress=False).metrics


@every_learner
def test_a_seed_is_the_same_in_any_batch(name):
    whole = play(name, range(16))["regret"]
    other = play(name, (*range(100, 108), 5, 9, 2))["regret"]
    np.testing.assert_array_equal(other[:, -3:], whole[:, [5, 9, 2]])
    assert len(np.unique(whole)) > 8 and np.all(whole >= 0)


@pytest.mark.slow
@every_learner
def test_a_stack_is_its_members(name):
    """Numbers are leaves: a grid of them is one program, with the same numbers for every one."""
    alone, both = play(name, range(16)), play(name, range(16), stacked=True)
    for metric, values in alone.items():
        np.testing.assert_array_equal(both[metric][0], values)
    assert np.any(both["regret"][0] != both["regret"][1])


@every_learner
def test_other_numbers_are_no_other_program(name):
    """Parameters, number of episodes and seeds are data: nothing is compiled for new ones."""
    play(name, range(16))
    before = simulate._init._cache_size(), simulate._advance._cache_size()
    env, _, other = LEARNERS[name]
    rx.simulate(env, other, K - 7, 9, checkpoints=[3, K - 7], progress=False)
    assert (simulate._init._cache_size(), simulate._advance._cache_size()) == before


@every_learner
def test_it_recommends_a_policy(name):
    env, learner, _ = LEARNERS[name]
    learner = complete(learner, env, K)
    shape = env.stages, env.num_states, env.num_actions

    def recommended():
        return learner.recommend(learner.init(noise.root(0))).probabilities()

    assert jax.eval_shape(recommended).shape == shape
    simple, average = (play(name, range(16))[x] for x in ("simple_regret", "regret"))
    assert np.all(simple >= 0) and np.any(simple[-1] < average[0])


@every_learner
def test_an_episode_leaves_shapes_and_dtypes_as_they_were(name):
    """So its cost does not depend on how many there were; nor does the state on how many there
    will be."""
    env, learner, _ = LEARNERS[name]

    def episode(learner):
        state, tape = learner.init(noise.root(0)), learner.noise(noise.root(0), 7)
        policy = learner.act(state, (), jax.tree.map(lambda x: x[0], tape))
        draws = jax.tree.map(lambda x: x[0], env.noise(noise.root(0), 1))
        trajectory, metrics = env.step((), policy, draws)[1:]
        return tape, metrics, state, learner.update(state, (), policy, trajectory)

    ends = []
    for horizon in (7, 1_000_000):
        whole = complete(learner, env, horizon)
        tape, metrics, state, after = jax.eval_shape(lambda whole=whole: episode(whole))
        assert all(x.shape[0] == 7 for x in jax.tree.leaves(tape))
        assert all(x.shape == () and x.dtype == jnp.float32 for x in metrics.values())
        ends += [state, after]
    assert all(jax.tree.structure(x) == jax.tree.structure(ends[0]) for x in ends)
    for leaves in zip(*map(jax.tree.leaves, ends), strict=True):
        assert len({(x.shape, x.dtype) for x in leaves}) == 1


@every_learner
def test_it_says_what_it_is_in_a_line(name):
    env, learner, _ = LEARNERS[name]
    for given in (learner, complete(learner, env, K)):
        assert repr(given).startswith(f"{type(learner).__name__}(") and len(repr(given)) < 200


@every_learner
def test_blanks_have_to_be_filled(name):
    learner = LEARNERS[name][1]
    blank = next(f.name for f in dataclasses.fields(learner) if f.name in ("stages", "features"))
    with pytest.raises(ValueError, match=f"{type(learner).__name__} does not know its"):
        jax.eval_shape(
            lambda: learner.act(learner.init(noise.root(0)), (), learner.noise(noise.root(0), 1))
        )
    assert getattr(complete(learner, SMALL, K), blank) is not None
