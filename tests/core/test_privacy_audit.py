"""The audit against what is known in closed form: intervals, levels, powers, exact epsilons."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

import regrax as rx
from regrax.core import noise
from regrax.core.privacy_audit import Case, audit
from regrax.core.privacy_events import Samples, choose, loss_bound, recommends, value_above
from regrax.core.transcripts import Transcripts, prefixes, transcripts
from regrax.envs.best_arm import RewardTable

from .noisy_learners import NoisyComparison, OneByOne, laplace_tail, means

KEY = noise.root(5)


def comparison(epsilon=1.0, behind=2.0, name="two arms", **changes):
    """Arm 1 has sum 6, arm 0 6 - behind / epsilon until its first reward, 0, becomes 1."""
    table = np.full((2, 10), 0.6)
    table[0] = (6 - behind / epsilon) / 9
    table[0, 0] = 0
    learner = NoisyComparison(np.float32(epsilon))
    case = Case(name, learner, table, 0, 0, 1.0, watch=(1,), view=means, epsilon=epsilon)
    return dataclasses.replace(case, **changes)


def least(loss, p, q, runs, level):
    """What the bound is above, but for a chance below 1e-6: the loss ln(p / q) less the half-widths
    of both intervals and five standard deviations of the logarithm of the ratio."""
    errors = math.sqrt((1 - p) / p / runs), math.sqrt((1 - q) / q / runs)
    return loss - 1.05 * stats.norm.isf((1 - level) / 2) * sum(errors) - 5 * math.hypot(*errors)


# ---- the bound -----------------------------------------------------------------------------


def test_bound_is_the_one_of_clopper_and_pearson():
    for first, second, runs, level, delta in (
        (120, 40, 1000, 0.99, 0.0),
        (1000, 0, 1000, 0.9, 0.0),
        (300, 20, 500, 0.95, 0.1),
    ):
        tail = (1 - level) / 2
        low = stats.beta.ppf(tail, first, runs - first + 1)
        high = stats.beta.ppf(1 - tail, second + 1, runs - second)
        expected = math.log((low - delta) / high)
        assert loss_bound(first, second, runs, level, delta) == pytest.approx(expected, rel=1e-9)


def test_bound_is_never_negative_and_takes_arrays():
    first, second = np.array([0, 10, 500]), np.array([0, 500, 10])
    bound = loss_bound(first, second, 1000, 0.99)
    assert bound.shape == (3,) and np.all(bound[:2] == 0) and bound[2] > 3


@pytest.mark.parametrize("delta", [0.0, 0.02])
def test_bound_is_above_the_truth_no_more_often_than_its_level_says(delta):
    repeats, level, rng = 50_000, 0.9, np.random.default_rng(0)
    for runs, low, loss in ((50, 0.2, 1.0), (1000, 0.01, 0.5), (1000, 0.3, 0.0), (200, 0.5, 0.1)):
        high = min(low * math.exp(loss) + delta, 1)
        bound = loss_bound(
            rng.binomial(runs, high, repeats), rng.binomial(runs, low, repeats), runs, level, delta
        )
        # Binomial(repeats, 1 - level) exceeds this with probability 1e-7.
        assert np.sum(bound > loss + 1e-12) <= stats.binom.isf(1e-7, repeats, 1 - level)


# ---- the choice of an event ----------------------------------------------------------------


def fake(rng, runs, shift, loss=1.0):
    """Transcripts of a mechanism that releases a number with Laplace noise and, for `shift` 1
    against 0, has the privacy loss `loss`; the recommendation is whether it is positive."""
    value = (shift + rng.laplace(0, 1 / loss, runs)).astype(np.float32)
    word = (value > 0).astype(np.uint32)
    return Transcripts(
        word[:, None],
        word[:, None],
        word.astype(np.int32),
        value[:, None, None],
        np.ones(runs, bool),
    )


@pytest.mark.parametrize("white", [False, True])
def test_choosing_the_event_on_other_runs_keeps_the_level(white):
    """The event is chosen on runs of its own: the bound is above the true loss in one audit of
    five at most, whatever is chosen."""
    repeats, runs, level, wrong = 250, 200, 0.8, 0
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        fit, score, test = (
            Samples(fake(rng, runs, 0, loss=0.1), fake(rng, runs, 1, loss=0.1)) for _ in range(3)
        )
        event = choose(fit, score, (1,), white, level, 0.0)
        counts = [int(event.holds(sample).sum()) for sample in test]
        first, second = counts[::-1] if event.changed_first else counts
        wrong += loss_bound(first, second, runs, level) > 0.1
    assert wrong <= stats.binom.isf(1e-6, repeats, 1 - level)


def test_the_chosen_event_is_nearly_the_best_there_is():
    """Released: 1{X > 0}, whose loss is ln of a ratio of tails. Held: X itself, of loss 1."""
    rng = np.random.default_rng(2)
    fit, score, test = (Samples(fake(rng, 50_000, 0), fake(rng, 50_000, 1)) for _ in range(3))
    truth = {False: math.log(0.5 / (0.5 * math.exp(-1))), True: 1.0}
    for white, loss in truth.items():
        event = choose(fit, score, (1,), white, 0.99, 0.0)
        counts = [int(event.holds(sample).sum()) for sample in test]
        first, second = counts[::-1] if event.changed_first else counts
        bound = loss_bound(first, second, 50_000, 0.99)
        assert least(loss, 0.25, 0.25 * math.exp(-loss), 50_000, 0.99) < bound <= loss


def test_noise_that_cancels_is_found():
    """Two values with one noise: their difference has none, and only a combination shows it."""
    rng = np.random.default_rng(3)

    def sample(shift):
        shared = rng.laplace(0, 10, 4000)
        values = np.stack([shared + shift, shared + 0.01 * rng.normal(size=4000)], axis=1)
        return fake(rng, 4000, 0)._replace(values=values[:, None, :].astype(np.float32))

    fit, score, test = (Samples(sample(0), sample(1)) for _ in range(3))
    event = choose(fit, score, (1,), True, 0.99, 0.0)
    assert "combination" in event.text
    first, second = (event.holds(runs).mean() for runs in test)
    assert abs(first - second) > 0.99


# ---- whole audits --------------------------------------------------------------------------


def test_frequencies_are_those_of_the_closed_form():
    """P(arm 0 ahead) = P(X - Y > z) for the difference of two Laplace variables. Two events, both
    directions, so that 1e-6 is shared by four intervals."""
    case = comparison(0.5, behind=2.0)
    done = audit([case], 60_000, events=[recommends(0)], progress=False)
    finding = done.findings[0]
    assert finding.changed_first and finding.runs == 60_000 and finding.read == 1
    for count, behind in ((finding.first, 1.5), (finding.second, 2.0)):
        low, high = stats.binom.interval(1 - 1e-6, finding.runs, laplace_tail(behind))
        assert low <= count <= high
    loss = math.log(laplace_tail(1.5) / laplace_tail(2.0))
    slack = laplace_tail(1.5), laplace_tail(2.0), 60_000, finding.level
    assert least(loss, *slack) < finding.lower <= loss
    assert not done.violated and done.findings[1].lower == 0  # the other direction


def test_chosen_events_reach_the_exact_epsilon_from_below():
    """White box, the threshold of the larger mean has the loss epsilon; black box, the release is
    one bit and its loss the ratio of the two tails. And a learner with half its noise is caught."""
    honest = comparison(1.0, behind=2.0)
    careless = dataclasses.replace(honest, learner=NoisyComparison(np.float32(2.0)))
    black, white = audit([honest], 60_000, progress=False).findings
    # Sets within the half line where the ratio is e; half of it is enough.
    assert least(1.0, 0.25, 0.25 / math.e, 30_000, white.level) < white.lower <= 1.0
    assert white.box == "white"
    loss = math.log(laplace_tail(1.0) / laplace_tail(2.0))
    slack = laplace_tail(1.0), laplace_tail(2.0), 30_000, black.level
    assert least(loss, *slack) < black.lower <= loss and black.box == "black"
    done = audit([careless], 60_000, progress=False)
    assert done.violated and done.worst.box == "white" and 1.7 < done.worst.lower < 2.0
    assert done.findings[0].lower > 1.0  # the transcript alone shows it


def test_white_box_threshold_by_hand():
    done = audit([comparison(0.5)], 60_000, events=[value_above(0.3)], progress=False)
    above = [0.5 * math.exp(-0.5), 0.5]  # the means are 0.2 and 0.3, the scale of the noise is 0.2
    for count, chance in zip((done.findings[0].second, done.findings[0].first), above, strict=True):
        low, high = stats.binom.interval(1 - 1e-6, 60_000, chance)
        assert low <= count <= high
    assert 0.46 < done.findings[0].lower <= 0.5


def test_an_entry_that_is_never_read_gives_nothing_away():
    case = comparison(1.0)
    table = np.pad(case.table, [(0, 0), (0, 5)], constant_values=0.25)
    unread = dataclasses.replace(case, name="unread", table=table, index=12, epsilon=0.0)
    done = audit([unread], 20_000, progress=False)
    assert not done.violated
    assert all(f.read == 0 and f.lower == 0 for f in done.findings)


def test_delta_is_taken_off():
    """With probability 0.2 the second pull says what the first reward was: (0, 0.2)-private."""
    case = Case("one", OneByOne(0.2), np.zeros((2, 2)), 0, 0, 1.0, rounds=2, epsilon=0.0)
    honest = dataclasses.replace(case, delta=0.2)
    approximate, claims_less = (audit([c], 20_000, progress=False) for c in (honest, case))
    assert approximate.findings[0].lower == 0 and not approximate.violated
    assert claims_less.violated and claims_less.findings[0].lower > 4
    almost = dataclasses.replace(case, delta=0.18)
    assert audit([almost], 20_000, progress=False).violated


def test_levels_are_split_over_all_tests():
    cases = [comparison(1.0, name="a"), comparison(1.0, name="b", view=None, watch=())]
    done = audit(cases, 1000, level=0.97, progress=False)
    assert [(f.case, f.box) for f in done.findings] == [
        ("a", "black"),
        ("a", "white"),
        ("b", "black"),
    ]
    assert all(f.level == pytest.approx(0.99) for f in done.findings)


def test_audits_are_reproducible_and_seeds_matter():
    first, again, other = (
        audit([comparison()], 2000, root_seed=seed, progress=False) for seed in (1, 1, 2)
    )
    assert first.findings == again.findings and first.findings != other.findings


def test_progress_counts_all_pulls():
    seen = []
    audit([comparison()], 2000, progress=seen.append)
    assert sum(seen) == 2 * 2000 * 10  # two tables; about ten pulls a run, by the length of a row


def test_tables_say_what_was_found():
    learner = NoisyComparison(np.float32(4.0))
    done = audit([comparison(1.0, learner=learner)], 4000, name="careless", progress=False)
    assert "careless: VIOLATED" in done.line() and "and 1 was claimed" in done.line()
    assert "violated" in done.table() and done.table().startswith("tables")
    lines = done.markdown().splitlines()
    assert lines[1].startswith("| --- |") and len({line.count("|") for line in lines}) == 1
    kind = audit([comparison(8.0, learner=learner)], 4000, progress=False)
    assert kind.line().startswith("NoisyComparison: not refuted") and "99 %" in kind.line()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: audit([], 1000), "needs cases"),
        (lambda: audit([comparison(), comparison()], 1000), "different names"),
        (lambda: audit([comparison()], 10), "100 runs or more"),
        (lambda: comparison(index=10), "no entry"),
        (lambda: comparison(value=0.0), "do not differ"),
        (lambda: comparison(delta=1.0), "delta lies in"),
        (lambda: audit([comparison(table=np.eye(2) * 0.5)], 200), "give a longer table"),
        (lambda: audit([comparison(learner=OneByOne())], 200), "does not say how often"),
        (lambda: audit([comparison(stops=(2,))], 200), "stops are ascending"),
        (lambda: prefixes(np.zeros(3)), "is \\[arms, pulls\\]"),
        (lambda: prefixes(np.full((1, 2), np.nan)), "finite"),
        (lambda: prefixes(np.full((1, 2), 1e8)), "eight bits"),
    ],
)
def test_errors_say_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---- transcripts ---------------------------------------------------------------------------


def collect(learner, table, runs, **options):
    parts = list(transcripts(learner, table, runs, KEY, **options))
    return Transcripts(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def test_a_run_does_not_depend_on_its_batch():
    learner = NoisyComparison(np.float32(0.5), phases=3)
    table = np.random.default_rng(0).random((2, 30))
    whole = collect(learner, table, range(100), view=means)
    parts = collect(learner, table, range(40, 90), view=means, batch=16)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a[40:90], b)
    assert len(np.unique(whole.values)) > 295  # 100 runs, three phases: no noise is used twice


def test_sums_are_those_of_the_table():
    """Without noise the means are those of the rewards read, to float32: n-th pull, n-th reward."""
    learner = NoisyComparison(np.float32(1e30), phases=3)
    table = np.random.default_rng(1).random((2, 30))
    runs = collect(learner, table, range(2), view=means, watch=(1,))
    blocks = table.reshape(2, 3, 10).mean(axis=2).T
    np.testing.assert_allclose(runs.values[0], blocks, rtol=1e-6)


def test_changing_an_entry_changes_no_sum_without_it():
    table = np.random.default_rng(2).random((1, 1000))
    other = table.copy()
    other[0, 500] = 1 - other[0, 500]
    first, second = (prefixes(x).sums[0] for x in (table, other))
    np.testing.assert_array_equal(np.diff(first)[:500], np.diff(second)[:500])
    np.testing.assert_array_equal(np.diff(first)[501:], np.diff(second)[501:])
    assert prefixes(table).unit == 2.0**-20


def test_numbers_stand_for_transcripts():
    """Transcripts are equal where their numbers are: with three phases the arm ahead after two of
    them is all that is released. The recommendation is the arm ahead at the end."""
    learner = NoisyComparison(np.float32(0.5), phases=3)
    runs = collect(learner, np.full((2, 30), 0.5), range(500), view=means, watch=(1,), index=29)
    ahead = (runs.values[:, :, 1] > runs.values[:, :, 0]).astype(int)
    np.testing.assert_array_equal(runs.recommendation, ahead[:, 2])
    assert runs.read.all() and len(np.unique(runs.released[:, 0])) == 1
    for phases in (1, 2):
        words = [tuple(row) for row in ahead[:, :phases]]
        pairs = set(zip(words, runs.released[:, phases].tolist(), strict=True))
        assert len(pairs) == len(set(words)) == len(set(runs.released[:, phases])) == 2**phases
    assert len(np.unique(runs.watched)) == 3  # both arms are pulled ten times in every phase


def test_pull_by_pull_learners_are_played_too():
    changed = np.array([[1.0, 0.0], [0.0, 0.0]])
    runs = collect(OneByOne(0.3), changed, range(4000), rounds=2, index=1)
    tells = stats.binom.interval(1 - 1e-6, 4000, 0.3)
    assert tells[0] <= runs.read.sum() <= tells[1]
    words = runs.released[:, -1]
    assert len(np.unique(words)) == 2 and len(np.unique(words[runs.read])) == 1


def test_the_same_runs_as_simulate_on_a_table():
    learner = NoisyComparison(np.float32(0.5), phases=3)
    table = np.random.default_rng(4).random((2, 30)).astype(np.float32)
    trace = rx.simulate(
        RewardTable(table), learner, 3, seeds=64, root_seed=5, checkpoints=[3],
        progress=False,
    )  # fmt: skip
    runs = collect(learner, table, range(64))
    np.testing.assert_array_equal(trace.metrics["recommended"][0], runs.recommendation)
