"""AdaP-TT and AdaP-TT* against a reference that plays pull by pull; stopping, budget, errors."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core.learners.private.top_two import AdaPTT, AdaPTTStar
from regrax.core.protocol import RewardSums
from regrax.envs.best_arm import Arms, BestArm

from . import reference_private as reference
from .written_down import agrees, check_one_round, coins, noise_of, play, sums_of

MEANS, RUNS = (0.1, 0.9, 0.5, 0.3, 0.7), 6
TABLE = coins(MEANS, 30_000)
PHASES = AdaPTT(5, 30_000).num_phases() + 2


def square(gap):
    return gap * abs(gap)


def star(epsilon):
    return lambda gap: gap * min(3 * epsilon, abs(gap))


CASES = [  # learner, epsilon, of which the reference takes: code's sampling, gain, test
    (AdaPTT(5, 100, 1.0, 0.1), False, square, reference.proved),
    (AdaPTT(5, 100, 1.0, 0.1, "code", "short"), True, square, reference.short),
    (AdaPTT(5, 100, 20.0, 0.3, "code"), True, square, reference.proved),
    (AdaPTTStar(5, 100, 0.3, 0.3), False, star, reference.proved_star),
    (AdaPTTStar(5, 100, 0.05, 0.3, "code"), True, star, reference.proved_star),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_reference(case):
    """The pulls between two renewals, which `act` asks for at once, are those of the rule."""
    learner, code, gain, test = case
    budgets = np.tile([5, 1_000, 30_000], RUNS // 3)
    played = play(learner, TABLE, budgets, PHASES)
    epsilon, delta = (float(np.float32(x)) for x in (learner.epsilon, learner.delta))
    gain = gain(epsilon) if gain is star else gain
    for run, budget in enumerate(budgets):
        found = reference.top_two(
            5, budget, epsilon, code, gain, test(5, epsilon, delta), sums_of(TABLE),
            noise_of(run, 5),
        )  # fmt: skip
        agrees(played, run, found)
        assert played[2].stopped[run] == found[2]


@pytest.mark.parametrize("learner", [CASES[0][0], CASES[3][0]], ids=lambda x: type(x).__name__)
def test_budget(learner):
    """Never passed, used up unless the rule stops; nothing asked after `num_phases`."""
    for budgets in ([5, 6, 9, 10, 11, 47], [159, 160, 161, 1_000, 29_999, 30_000]):
        pulls, _, states = play(learner, TABLE, budgets, PHASES)
        used = pulls.sum(axis=(1, 2))
        assert (pulls >= 0).all() and (used <= budgets).all()
        assert ((used == budgets) | states.stopped).all()
        for run, budget in enumerate(budgets):
            assert not pulls[run, type(learner)(5, budget).num_phases() :].any()


def test_stopping_rules_agree_with_their_formulas():
    """The tables, by doublings of both arms, turn where the inequalities do."""
    for epsilon in (0.05, 1.0, np.inf):
        for made, rule in [
            (AdaPTT(5, 100, epsilon), reference.proved),
            (AdaPTT(5, 100, epsilon, threshold="short"), reference.short),
            (AdaPTTStar(5, 100, epsilon), reference.proved_star),
        ]:
            enough = rule(5, float(np.float32(epsilon)), float(np.float32(0.01)))
            for i, j in [(0, 0), (1, 5), (7, 7), (20, 3), (12, 14)]:
                pair = [(max(1, 2 ** (n - 1)), n + 1) for n in (i, j)]
                gap = float(made.schedule[i, j])
                assert not enough(gap * 0.999, *pair)
                assert enough(gap * 1.001, *pair)


def test_choices_are_right_with_the_confidence_asked_for():
    """1,000 runs at delta .1: 136 errors would have probability 1e-4 at most, were the bound
    attained. It is far from it, and nearly all runs stop."""
    env = BestArm(Arms(np.linspace(0, 1, 5)), 10**6)
    learner = AdaPTT(epsilon=1.0, delta=0.1, sampling="code")
    rounds = AdaPTT(5, 10**6).num_phases()
    found = rx.simulate(env, learner, rounds, 1_000, checkpoints=[rounds], progress=False).metrics
    assert found["error"].sum() < 136
    assert (found["budget_used"] < 10**6).all()


def test_a_run_does_not_depend_on_its_batch():
    """The loop over pulls goes on until the last run of the batch is done."""
    learner = CASES[0][0]
    many = play(learner, TABLE, [20_000] * RUNS, PHASES)[0]
    few = play(learner, TABLE, [20_000] * 2, PHASES)[0]
    assert (many[0] != many[1]).any()
    np.testing.assert_array_equal(few, many[:2])


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_one_round(case):
    check_one_round(case[0], RewardSums(jnp.zeros(5)))


def test_errors():
    with pytest.raises(ValueError, match="5 pulls at least for 5 arms"):
        AdaPTT(5, 4)
    with pytest.raises(ValueError, match="epsilon is positive"):
        AdaPTTStar(5, 100, 0.0)
    with pytest.raises(ValueError, match="delta is a probability"):
        AdaPTT(5, 100, delta=0.0)
    with pytest.raises(ValueError, match="sampling is 'paper' or 'code'"):
        AdaPTTStar(5, 100, sampling="mine")  # type: ignore
    with pytest.raises(ValueError, match="threshold is 'proved' or 'short'"):
        AdaPTT(5, 100, threshold="long")  # type: ignore
