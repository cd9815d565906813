"""LinPEVI and LinPEVI-ADV+ against histories in NumPy, closed forms, and what they promise."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.learners.mdp import pevi
from regrax.core.learners.mdp.pevi import LinPEVI, LinPEVIADV
from regrax.core.mdp import Counts, greedy
from regrax.core.samplers import binomial_tape

from . import offline_models as models
from . import reference_offline as reference

KEY = noise.root(3)
STAGES = 3


@pytest.fixture(scope="module", params=["low rank", "one-hot"])
def data(request):
    """A model, a history and its counts."""
    model = models.linear_model()
    model = model if request.param == "low rank" else models.one_hot(model)
    played = models.play(model, 40)
    return model, reference.history_of(played), models.counts_of(model, played)


_values = jit(lambda learner, counts: learner.values(counts))
_policy = jit(pevi.weighted_policy)
_split = jit(pevi.split_counts)


def values_of(learner, counts):
    with jax.enable_x64(True):
        return np.asarray(_values(learner, counts))


@jit
def _variances(features, counts, values, ridge, margin):
    state = pevi.from_counts(features, ridge, counts)
    return pevi.value_variances(state, values, features, margin, 1e-3)


def variances_of(model, counts, values, ridge, margin):
    with jax.enable_x64(True):
        arguments = (jnp.asarray(x, jnp.float64) for x in (values, ridge, margin))
        features = jnp.asarray(model.features, jnp.float64)
        return np.asarray(_variances(features, counts, *arguments))


def tape_of(counts, seed=0):
    return binomial_tape(noise.stream(KEY, seed), counts.visits.shape)


# ---- LinPEVI -------------------------------------------------------------------------------


@pytest.mark.parametrize(("bonus", "ridge"), [(0.0, 1.0), (0.3, 0.1), (2.0, 1.0)])
def test_values_are_those_of_the_history(data, bonus, ridge):
    model, history, counts = data
    learner = LinPEVI(bonus=bonus, ridge=ridge, features=model.features, stages=STAGES)
    expected = reference.pevi(model.features, history, STAGES, ridge, bonus)
    assert expected.max() > 0.1  # not all clipped
    np.testing.assert_allclose(values_of(learner, counts), expected, rtol=0, atol=1e-9)


def test_plays_the_greedy_policy_and_nothing_else(data):
    model, history, counts = data
    learner = LinPEVI(models.Given(counts), 0.1, features=model.features, stages=STAGES)
    state = jit(lambda learner: learner.init(KEY))(learner)
    expected = reference.pevi(model.features, history, STAGES, 1.0, 0.1).astype(np.float32)
    np.testing.assert_array_equal(state.actions, expected.argmax(axis=-1))
    assert learner.act(state, (), ()) is state and learner.recommend(state) is state
    assert learner.update(state, (), state, None) is state and learner.noise(KEY, 5) == ()


@given(st.integers(0, 10**6), st.floats(0, 3), st.floats(0, 3), st.sampled_from([0.01, 1.0]))
@settings(max_examples=20)
def test_more_pessimism_never_raises_a_value(seed, first, second, ridge):
    """One-hot features: values at s, a are means over visits, so backups are monotone."""
    model, rng = models.one_hot(models.linear_model(1)), np.random.default_rng(seed)
    visits = rng.poisson(1.0, (STAGES, 4, 3, 4)).astype(np.int32)
    counts = Counts(visits, (visits.sum(-1) * rng.uniform(size=(STAGES, 4, 3))).astype(np.float32))
    low, high = (
        values_of(LinPEVI(None, b, ridge, model.features, STAGES), counts)
        for b in sorted([first, second])
    )
    assert np.all(low >= high - 1e-12)
    assert np.all((high >= 0) & (low <= np.arange(STAGES, 0, -1)[:, None, None]))


def test_no_value_is_above_the_optimal_one():
    """With Hoeffding's bonus: chances of 1e-6 over all seeds and cells that some Q is above Q*."""
    model = models.one_hot(models.linear_model(2))
    best = np.zeros((STAGES + 1, 4))
    optimal = np.zeros((STAGES, 4, 3))
    for h in reversed(range(STAGES)):
        optimal[h] = model.rewards[h] + model.transitions[h] @ best[h + 1]
        best[h] = optimal[h].max(axis=-1)
    seeds = 20
    bonus = STAGES * math.sqrt(math.log(seeds * optimal.size / 1e-6) / 2)
    learner = LinPEVI(None, bonus, 1.0, model.features, STAGES)
    plain = LinPEVI(None, 0.0, 1.0, model.features, STAGES)
    above = 0
    for seed in range(seeds):
        counts = models.counts_of(model, models.play(model, 100, seed))
        assert np.all(values_of(learner, counts) <= optimal)
        above += np.sum(values_of(plain, counts) > optimal)
    assert above > 100  # it is the penalty that does it


# ---- halves --------------------------------------------------------------------------------


def test_halves_add_up_and_keep_mean_rewards(data):
    _, _, counts = data
    first, second = _split(counts, tape_of(counts))
    np.testing.assert_array_equal(first.visits + second.visits, counts.visits)
    assert np.all(np.asarray(first.visits) >= 0) and np.all(np.asarray(second.visits) >= 0)
    total = np.maximum(counts.visits.sum(-1), 1)
    for half in (first, second):
        n = np.asarray(half.visits).sum(-1)
        np.testing.assert_allclose(half.rewards, counts.rewards * n / total, atol=1e-5)


def test_halves_are_drawn_transition_by_transition():
    """Binomial(n, 1/2): mean and variance over 4,000 splits, to 5.5 standard errors."""
    visits = np.array([0, 1, 7, 1000], np.int32).reshape(1, 1, 1, 4)
    counts = Counts(visits, np.ones((1, 1, 1), np.float32))
    tapes = jax.vmap(lambda i: tape_of(counts, i))(jnp.arange(4000))
    split = jax.jit(jax.vmap(lambda tape: pevi.split_counts(counts, tape)[0].visits))
    first = np.asarray(split(tapes), float).reshape(-1, 4)
    assert np.all(first[:, 0] == 0) and set(first[:, 1]) == {0.0, 1.0}
    n = visits.ravel()[1:]
    error = 5.5 / math.sqrt(4000)
    assert np.all(np.abs(first[:, 1:].mean(0) - n / 2) < error * np.sqrt(n) / 2)
    # The variance of a sample variance is (kurtosis - 1) sigma^4 / N, and kurtosis is at most 3.
    assert np.all(np.abs(first[:, 1:].var(0) - n / 4) < error * math.sqrt(2) * n / 4 + 1e-3)


# ---- LinPEVI-ADV+ --------------------------------------------------------------------------

WEIGHTED = [
    {"bonus": 0.1, "first_bonus": 0.2, "least": 0.05},
    {"bonus": 0.3, "first_bonus": 0.0, "least": 0.01, "ridge": 1.0, "margin": 0.02},
]


@pytest.mark.parametrize("parameters", WEIGHTED)
def test_weighted_policy_is_that_of_the_history(data, parameters):
    model, _, counts = data
    learner = LinPEVIADV(None, **parameters, features=model.features, stages=STAGES)
    halves = [reference.history_of_counts(*half) for half in _split(counts, tape_of(counts))]
    options = {"ridge": 1 / STAGES**2, "margin": 0.0} | parameters
    expected = reference.pevi_adv(model.features, *halves, STAGES, **options)
    actions = _policy(learner, counts, tape_of(counts)).actions
    np.testing.assert_array_equal(actions, expected.astype(np.float32).argmax(axis=-1))
    assert len(np.unique(actions)) > 1


def test_variances_are_those_of_the_history(data):
    model, history, counts = data
    values = values_of(LinPEVI(None, 0.1, 0.5, model.features, STAGES), counts)
    found = variances_of(model, counts, values, 0.5, 0.01)
    expected = reference.variances(model.features, history, STAGES, 0.5, values, 0.01, 1e-3)
    assert len(np.unique(expected)) > 4
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_equal_variances_leave_linpevi_on_the_second_half(data):
    """All weights are 1 / c: Sigma is Lambda / c of a ridge c times as large."""
    model, _, counts = data
    blanks = {"features": model.features, "stages": STAGES}
    learner = LinPEVIADV(None, bonus=0.2, ridge=0.1, least=50.0, **blanks)
    second = _split(counts, tape_of(counts))[1]
    plain = LinPEVI(None, 0.2 * math.sqrt(50), 5.0, **blanks)
    expected = greedy(jnp.asarray(values_of(plain, second)))
    found = _policy(learner, counts, tape_of(counts))
    np.testing.assert_array_equal(found.actions, expected.actions)


def test_certain_transitions_have_the_least_variance():
    """Of one-hot features: V at the next state is known but for what the ridge takes away."""
    model = models.one_hot(models.linear_model(3))
    visits = np.zeros((STAGES, 4, 3, 4), np.int32)
    visits[..., 0] = 10**6
    counts = Counts(visits, np.full((STAGES, 4, 3), 5e5, np.float32))
    values = values_of(LinPEVI(None, 0.0, 1.0, model.features, STAGES), counts)
    assert np.all(variances_of(model, counts, values, 1.0, 0.0) == 1e-3)


def test_a_seed_is_split_as_its_key_says(data):
    model, _, counts = data
    learner = LinPEVIADV(models.Given(counts), 0.1, features=model.features, stages=STAGES)
    state = jit(lambda learner: learner.init(KEY))(learner)
    tape = binomial_tape(noise.stream(KEY, "halves"), counts.visits.shape)
    expected = _policy(learner, counts, tape).actions
    np.testing.assert_array_equal(state.actions, expected)
    assert learner.act(state, (), ()) is state and learner.recommend(state) is state
    assert learner.update(state, (), state, None) is state and learner.noise(KEY, 5) == ()


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [LinPEVI, LinPEVIADV])
def test_what_is_wrong_is_said(make):
    with pytest.raises(ValueError, match="learns from offline data: give offline="):
        make(features=np.eye(2)[None], stages=2).init(KEY)
    with pytest.raises(ValueError, match="bonus is zero or more, got -1"):
        make(bonus=-1.0)
    with pytest.raises(ValueError, match="ridge is positive, got 0"):
        make(ridge=0.0)


def test_what_is_wrong_with_variances_is_said():
    with pytest.raises(ValueError, match="least is positive, got 0"):
        LinPEVIADV(least=0.0)
    with pytest.raises(ValueError, match="margin is zero or more, got -1"):
        LinPEVIADV(margin=-1.0)
