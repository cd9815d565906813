"""Correct learners pass the audit, and mistakes are found; numbers beside those known by hand."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import integrate, stats

from regrax.core.learners.private.dp_bai import DPBAI
from regrax.core.privacy_audit import Case, audit
from regrax.core.privacy_cases import BUILDERS
from regrax.core.privacy_events import recommends, value_above

from . import mutants
from .mutants import MUTANTS
from .noisy_learners import means

QUICK = ("half scale", "noise shared by arms", "nothing forgotten")

# Lower bounds on epsilon of an independent NumPy implementation, 10^6 runs a table, each side of
# each interval at 0.5 %. White box: epsilon, then the bound with the right noise, half, and twice.
WHITE = {0.1: (0.096, 0.195, 0.044), 0.5: (0.493, 0.993, 0.245), 1.0: (0.990, 1.986, 0.493)}
# Black box: P of the original and the changed table, and the bound; with the right noise, and half.
BLACK = {
    0.1: ((0.3646, 0.3924, 0.066), (0.3027, 0.3477, 0.130)),
    0.5: ((0.1352, 0.1955, 0.356), (0.0274, 0.0624, 0.794)),
    1.0: ((0.0273, 0.0622, 0.795), (0.0008, 0.0051, 1.689)),
}


def experiment(epsilon, noise=1.0):
    """The 30 arms of the paper's experiment and 50 pulls, 24 of arm 0 and 24 of arm 2: rewards
    that add up to 4, then 5, and to 8. `noise`: a factor of what it should be."""
    features = [(0, 1), (0, 0.9), (10, 0), *((1, 0.8 * k / 27) for k in range(27))]
    table = np.zeros((30, 50))
    table[0, 1:5] = 1
    table[2, :8] = 1
    learner = DPBAI(
        num_arms=30, dimension=2, budget=50, epsilon=np.float32(epsilon / noise), rounding="paper"
    )
    return Case(
        f"experiment {epsilon} {noise}",
        learner,
        table,
        0,
        0,
        1.0,
        features=np.array(features),
        view=means,
        epsilon=epsilon,
    )


def chance(total, epsilon):
    """P(arm 0 is recommended) when its rewards add up to `total` and those of arm 2 to 8: its noisy
    mean is the larger one, and positive (else arm 1, with 0.9 times that mean, is better)."""
    law = stats.laplace(scale=1 / epsilon)

    def density(x):
        return law.pdf(x - total) * law.cdf(x - 8)

    ends = [0, 5, 8, 5 + 60 / epsilon]
    return sum(integrate.quad(density, a, b)[0] for a, b in zip(ends, ends[1:], strict=False))


@pytest.mark.parametrize("epsilon", BLACK)
def test_the_reference_values_are_those_of_the_closed_form(epsilon):
    for (before, after, _), scale in zip(BLACK[epsilon], (epsilon, 2 * epsilon), strict=True):
        for said, total in ((before, 4), (after, 5)):
            truth = chance(total, scale)
            assert abs(said - truth) < 5 * math.sqrt(truth / 1e6) + 5e-5


def check_black(epsilon, noise, runs):
    done = audit(
        [experiment(epsilon, noise)], runs, level=0.98, events=[recommends(0)], progress=False
    )
    finding = done.findings[0]
    scale = epsilon / noise
    for count, total in ((finding.second, 4), (finding.first, 5)):
        low, high = stats.binom.interval(1 - 1e-7, runs, chance(total, scale))
        assert low <= count <= high
    return finding


def test_black_box_reference_with_fewer_runs():
    """At epsilon 1/2 half the noise is found with 10^5 runs, and the right noise passes."""
    right, half = (check_black(0.5, noise, 100_000) for noise in (1.0, 0.5))
    assert not right.violated and half.violated
    (*_, right_bound), (*_, half_bound) = BLACK[0.5]
    assert 0.3 < right.lower < right_bound + 0.03 and 0.7 < half.lower < half_bound + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", BLACK)
def test_black_box_reference(epsilon):
    for noise, (before, after, bound) in zip((1.0, 0.5), BLACK[epsilon], strict=True):
        finding = check_black(epsilon, noise, 1_000_000)
        # Both bounds are of 10^6 runs: their difference has the deviation of two estimates.
        spread = math.sqrt(2 / 1e6) * math.hypot(before**-0.5, after**-0.5)
        assert abs(finding.lower - bound) < 5 * spread + 1e-3
        assert finding.violated == (noise == 0.5)


def check_white(epsilon, noise, runs):
    """The event that the noisy mean is above the mean after the change, 5 / 24."""
    case = experiment(epsilon, noise)
    events = [value_above(5 / 24)]
    return audit([case], runs, level=0.98, events=events, progress=False).findings[0]


def test_white_box_reference_with_fewer_runs():
    for noise, bound in zip((1.0, 0.5), WHITE[0.5], strict=False):
        finding = check_white(0.5, noise, 100_000)
        assert bound - 0.05 < finding.lower <= 0.5 / noise
        assert finding.violated == (noise == 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", WHITE)
def test_white_box_reference(epsilon):
    for noise, bound in zip((1.0, 0.5, 2.0), WHITE[epsilon], strict=True):
        finding = check_white(epsilon, noise, 1_000_000)
        above = 0.5, 0.5 * math.exp(-epsilon / noise)
        spread = math.sqrt(2 / 1e6) * math.hypot(*(math.sqrt((1 - p) / p) for p in above))
        assert abs(finding.lower - bound) < 5 * spread + 1e-3
        assert finding.violated == (noise == 0.5)


# ---- every private learner -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["dp-se", "adac-ucb"])
def test_correct_learners_pass(name):
    done = audit(BUILDERS[name](1.0, 1e-3, 10_000), 10_000, name=name, progress=False)
    assert not done.violated
    check_reads(done)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.5, 1.0])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_correct_learner_passes_and_is_nearly_tight(name, epsilon):
    """Where the noise is Laplace and a value is that of one noisy sum, white box comes close."""
    done = audit(BUILDERS[name](epsilon, 1e-3, 100_000), 100_000, name=name, progress=False)
    assert not done.violated
    check_reads(done)
    if name not in ("adac-ucb", "dp-ucb", "dp-od", "dp-bai-gauss"):
        assert max(f.lower for f in done.findings if f.box == "white") > 0.85 * epsilon


def check_reads(done):
    """Entries whose claim is 0 are never read, the others in some of the runs at least."""
    for finding in done.findings:
        assert (finding.read == 0) == (finding.epsilon == 0), finding
        assert finding.lower == 0 or finding.epsilon > 0


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(m, id=m.name, marks=() if m.name in QUICK else pytest.mark.slow)
        for m in MUTANTS
    ],
)
def test_mistakes_are_found(mutant):
    """In each box that can show it, and only there."""
    cases = [
        dataclasses.replace(case, learner=mutant.break_(case.learner))
        for case in BUILDERS[mutant.learner](mutant.epsilon, 1e-3, mutant.runs)
        if case.name in mutant.cases
    ]
    assert len(cases) == len(mutant.cases)
    done = audit(cases, mutant.runs, name=mutant.name, progress=False)
    found = {box: any(f.violated for f in done.findings if f.box == box) for box in _BOXES}
    assert found == {"black": mutant.black, "white": mutant.white}, done.table()
    assert (mutant.black and mutant.white) == (mutant.why == "")


_BOXES = ("black", "white")


@pytest.mark.slow
def test_twice_the_range_of_rewards_is_twice_the_epsilon():
    """A reward of 2 where [0, 1] was agreed: the claim does not hold, and the audit says so."""
    case = next(c for c in BUILDERS["dp-bai"](1.0, 0, 40_000) if c.name == "one phase, near")
    done = audit([dataclasses.replace(case, value=2.0)], 40_000, progress=False)
    assert done.violated and 1.7 < done.worst.lower <= 2


def test_mutants_keep_the_parameters_of_the_learner():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) and {m.learner for m in MUTANTS} <= set(BUILDERS)
    correct = experiment(0.7).learner
    half = mutants.as_(mutants.HalfScale)(correct)
    assert isinstance(half, DPBAI) and half.epsilon == correct.epsilon
    np.testing.assert_array_equal(half.schedule, correct.schedule)
