"""UCB-E, with its exploration given and estimated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import complexity, noise
from regrax.core.identify import identify
from regrax.core.learners.best_arm.ucbe import UCBE, AdaptiveUCBE
from regrax.core.protocol import BanditFeedback
from regrax.envs.best_arm import BestArm
from regrax.envs.best_arm_instances import audibert_2010, audibert_2010_budget

from . import reference_best_arm as reference
from .phases import check_one_round
from .test_rejects import close

K, T, ROWS = 5, 400, 8
RUNS = 2000
# Error probabilities in 2,000 runs of a separate NumPy program, for c = 1, 2, 4.
PUBLISHED = {
    1: (0.160, 0.162, 0.199),
    2: (0.172, 0.162, 0.180),
    3: (0.459, 0.364, 0.269),
    4: (0.144, 0.118, 0.127),
}
EXPERIMENTS = [
    1,
    2,
    pytest.param(3, marks=pytest.mark.slow),
    pytest.param(4, marks=pytest.mark.slow),
]


def coins():
    """Rewards [rows, T, K]."""
    rng = np.random.default_rng(5)
    means = rng.uniform(0.2, 0.8, (ROWS, 1, K))
    return (rng.uniform(size=(ROWS, T, K)) < means).astype(np.float32)


def play(learner, rewards):
    """The arms played when the rewards of round t are rewards[t], and the arm recommended."""

    def one(rows):
        def one_round(state, row):
            arm = learner.act(state, (), ())
            return learner.update(state, (), arm, BanditFeedback(row[arm])), arm

        state, arms = jax.lax.scan(one_round, learner.init(noise.root(0)), rows)
        return arms, learner.recommend(state)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(rewards))


def check_history(rewards, arms, recommended, exploration):
    """Every arm has the largest index of the reference on its own history, but for rounding:
    indices are of order one to twenty and computed in float32, gaps that are inverted in a
    hardness are multiples of 1 / T^2."""
    told = [[] for _ in range(K)]
    width, flips = exploration(None), 0
    for t, arm in enumerate(arms):
        indices = reference.ucbe_indices(told, width)
        assert indices[arm] >= indices.max() - 2e-5, f"round {t}: {indices}"
        flips += arm != np.argmax(indices)
        told[arm].append(float(rewards[t, arm]))
        width = exploration(told)
    means = [np.mean(x) for x in told]
    assert means[recommended] >= max(means) - 1e-7
    return flips


def test_plays_what_the_reference_plays():
    rewards = coins()
    arms, best = play(UCBE(K, budget=T, hardness=100.0, c=1.0), rewards)
    flips = [check_history(*x, lambda told: 4.0) for x in zip(rewards, arms, best, strict=True)]
    assert sum(flips) <= 2
    again, _ = play(UCBE(K, exploration=4.0), rewards)
    np.testing.assert_array_equal(again, arms)


def test_adaptive_plays_what_the_reference_plays():
    rewards = coins()
    arms, best = play(AdaptiveUCBE(K, budget=T, c=2.0), rewards)
    flips = []
    for row in zip(rewards, arms, best, strict=True):
        estimate = reference.AdaptiveExploration(K, T, 2.0)

        def exploration(told, estimate=estimate):
            return estimate.value if told is None else estimate.after(told)

        flips.append(check_history(*row, exploration))
    assert sum(flips) <= 4
    assert all(len(np.unique(row)) == K for row in arms)


def test_phases_without_a_pull_are_passed():
    """K = 5, T = 7: all n_k are 1, so all phases end in round 5."""
    learner = AdaptiveUCBE(K, budget=7)
    assert learner.schedule.tolist() == [5, 5, 5, 5]
    arms, _ = play(learner, coins()[:, :7])
    assert np.array_equal(arms[:, :5], np.tile(np.arange(5), (ROWS, 1)))


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_error_probabilities_are_those_known(number):
    """The best arm first in both."""
    arms = audibert_2010(number)
    env = BestArm(arms, audibert_2010_budget(number))
    hardness = complexity.h1(arms.means)
    for c, published in zip((1.0, 2.0, 4.0), PUBLISHED[number], strict=True):
        found = identify(env, UCBE(hardness=hardness, c=c), RUNS, progress=False)
        assert found.most_pulls == env.budget
        assert close(found.errors, RUNS, published * RUNS, RUNS)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: UCBE(exploration=-1.0), "UCBE: exploration is zero or more"),
        (lambda: UCBE(hardness=0.0), "UCBE: hardness is positive"),
        (lambda: UCBE(hardness=np.inf), "UCBE: hardness is positive"),
        (lambda: UCBE(c=0.0), "UCBE: c is positive"),
        (lambda: UCBE(hardness=10.0, exploration=3.0), "not both"),
        (lambda: UCBE(num_arms=3).init(None), "give hardness=complexity.h1"),
        (lambda: UCBE(num_arms=3, budget=2), "needs a budget of 3 pulls"),
        (lambda: AdaptiveUCBE(c=-1.0), "AdaptiveUCBE: c is positive"),
        (lambda: AdaptiveUCBE(num_arms=3).init(None), "does not know its budget"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("learner", [UCBE(K, exploration=3.0), AdaptiveUCBE(K, budget=100)])
def test_shapes_and_dtypes_stay(learner):
    check_one_round(learner, feedback=BanditFeedback(jnp.float32(0.5)))
