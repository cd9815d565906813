"""The identification environment: its laws, its two engines, its checks."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import regrax as rx
from regrax.core import noise
from regrax.core.identify import identify, phases
from regrax.core.learners.rounds import ByRound
from regrax.core.protocol import Pulls, RewardSums
from regrax.envs.best_arm import Arms, BestArm, RewardTable, linear_arms

MEANS = [0.5, 0.2, 0.35, 0.4]
TOO_RARE = 1e-6


@flax.struct.dataclass
class Halves:
    """Pulls arms 3 and 1 so often, then nothing, then arm 0; recommends the largest sum seen."""

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    counts: tuple = (5, 7, 4)

    def num_phases(self):
        return 3

    def init(self, key):
        return jnp.int32(0), jnp.full(self.num_arms, -jnp.inf)

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        first, second, third = self.counts
        asked = jnp.array([[first, second], [0, 0], [third, 0], [0, 0]], jnp.int32)
        arms = jnp.array([[3, 1], [1, 2], [0, 2], [0, 1]], jnp.int32)
        phase = jnp.minimum(state[0], 3)
        return Pulls(arms[phase], asked[phase])

    def update(self, state, observation, pulls, feedback):
        phase, best = state
        seen = jnp.where(pulls.counts > 0, feedback.sums, best[pulls.arms])
        return phase + 1, best.at[pulls.arms].set(seen)

    def recommend(self, state):
        return noise.argmax(state[1])


@pytest.mark.parametrize("law", ["bernoulli", "uniform", "gaussian"])
def test_sums_have_the_law_of_single_rewards(law):
    """Two-sample Kolmogorov-Smirnov: phases against pulls one by one, arm by arm."""
    env, runs, n = BestArm(Arms(MEANS, law=law, scale=0.3), 100), 4000, 9
    keys = jax.vmap(lambda i: noise.stream(noise.root(3), i))(jnp.arange(runs))
    arms, counts = jnp.arange(4, dtype=jnp.int32), jnp.array([n, n, 0, 2 * n], jnp.int32)

    def together(key):
        state, tape = env.init(key), env.noise(key, 1)[0]
        state, feedback, _ = env.step(state, Pulls(arms, counts), tape)
        return feedback.sums, state.pulls

    def one_by_one(key):
        tape = env.noise(noise.stream(key, "single"), 4 * n)
        order = jnp.repeat(arms, counts, total_repeat_length=4 * n)

        def pull(state, row):
            state, feedback, _ = env.step(state, row[0], row[1])
            return state, feedback.reward

        state, rewards = jax.lax.scan(pull, env.init(key), (order, tape))
        return jnp.zeros(4).at[order].add(rewards), state.pulls

    sums, pulls = jax.jit(jax.vmap(together))(keys)
    singles, single_pulls = jax.jit(jax.vmap(one_by_one))(keys)
    np.testing.assert_array_equal(pulls, np.tile(counts, (runs, 1)))
    np.testing.assert_array_equal(single_pulls, pulls)
    assert np.all(sums[:, 2] == 0)
    for arm in (0, 1, 3):
        # Sums of coins are rounded in both, so that equal counts are equal numbers.
        a, b = (np.round(np.float64(x[:, arm]), 5) for x in (sums, singles))
        assert scipy.stats.ks_2samp(a, b).pvalue > TOO_RARE
        expected, count = MEANS[arm] * counts[arm], counts[arm]
        spread = {"bernoulli": 0.5, "uniform": MEANS[arm] / 3**0.5, "gaussian": 0.3}[law]
        assert abs(a.mean() - expected) < 5 * spread * np.sqrt(count / runs)


def test_outcome():
    env = BestArm(Arms(MEANS), 16)
    trace = rx.simulate(env, Halves(), 4, 300, checkpoints=[1, 4], progress=False)
    assert trace.metrics["pulls"][:, 0].tolist() == [[0, 7, 0, 5], [4, 7, 0, 5]]
    np.testing.assert_array_equal(trace.metrics["budget_used"][1], 16)
    np.testing.assert_allclose(trace.metrics["regret"], 0.3 * 7 + 0.1 * 5, rtol=1e-6)
    regret, error = trace.metrics["simple_regret"][1], trace.metrics["error"][1]
    np.testing.assert_array_equal(error, regret > 0)
    assert 0 < error.mean() < 1
    assert set(np.float64(regret).round(6)) <= {0.0, 0.1, 0.15, 0.3}


def test_engines_agree_exactly_on_a_table():
    """Row i is read from its n-th entry on, whichever way; also with a phase that asks nothing."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 16, (4, 16)) / 16
    env = RewardTable(table)
    phased = rx.simulate(env, Halves(), 3, 8, checkpoints=[3], progress=False)
    pulled = rx.simulate(env, ByRound(Halves()), 16, 8, checkpoints=[16], progress=False)
    for name in ("error", "pulls", "budget_used"):
        np.testing.assert_array_equal(phased.metrics[name], pulled.metrics[name])
    learner = Halves(num_arms=4)
    state, pulls = learner.init(None), env.init(None)
    for _ in range(3):
        asked = learner.act(state, (), ())
        before = np.asarray(pulls)
        pulls, feedback, _ = env.step(pulls, asked, ())
        expected = [
            table[arm, before[arm] : before[arm] + count].sum()
            for arm, count in zip(*map(np.asarray, asked), strict=True)
        ]
        np.testing.assert_allclose(feedback.sums, expected, rtol=1e-6)
        state = learner.update(state, (), asked, feedback)


def test_rounds_that_are_not_asked_for_pull_the_recommended_arm():
    env = RewardTable(np.ones((4, 30)) * [[0.1], [0.2], [0.3], [0.9]])
    trace = rx.simulate(env, ByRound(Halves()), 30, 8, checkpoints=[16, 30], progress=False)
    after = trace.metrics["pulls"][1, 0] - trace.metrics["pulls"][0, 0]
    assert after.tolist() == [0, 0, 0, 14]  # arm 3 has the largest sum: 5 x 0.9


def test_identify_counts_errors_over_blocks(monkeypatch):
    env = BestArm(Arms(MEANS), 16)
    whole = rx.simulate(env, Halves(), 3, 200, checkpoints=[3], progress=False)
    monkeypatch.setattr("regrax.core.identify._BLOCK", 64)
    found = identify(env, Halves(), 200, progress=False)
    assert found.errors == whole.metrics["error"].sum() and found.most_pulls == 16
    np.testing.assert_allclose(found.simple_regret, whole.metrics["simple_regret"].mean())
    interval = scipy.stats.binomtest(found.errors, 200).proportion_ci(0.95)
    assert found.error().low == pytest.approx(interval.low)
    assert found.error().high == pytest.approx(interval.high)
    assert phases(env, Halves(), ByRound(Halves())) == 16
    assert "in 200 runs of 16 pulls" in str(found)


def test_seeds_may_be_played_a_few_at_a_time(monkeypatch):
    env, seeds = BestArm(Arms(MEANS), 16), range(3, 90)
    whole = rx.simulate(env, Halves(), 3, seeds, checkpoints=[3], progress=False)
    monkeypatch.setattr("regrax.core.simulate._TOGETHER", 8)
    parts = rx.simulate(env, Halves(), 3, seeds, checkpoints=[3], progress=False)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(values, parts.metrics[name])


def test_a_learner_that_overspends_is_refused():
    with pytest.raises(RuntimeError, match="Halves pulled 16 times, its budget is 15"):
        identify(BestArm(Arms(MEANS), 15), Halves(), 64, progress=False)


def test_linear_arms():
    features = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])
    arms = linear_arms(features, [0.1, 0.3], law="gaussian", scale=2.0)
    np.testing.assert_allclose(arms.means, [0.3, -0.1, 0.2], rtol=1e-6)
    assert arms.dimension == 2 and arms.num_arms == 3
    env = BestArm(arms, 9)
    np.testing.assert_allclose(env.observe(env.init(noise.root(0)), None), features)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arms([]), r"one at least: got shape \[0\]"),
        (lambda: Arms([0.5, 1.2]), r"bernoulli rewards lie in \[0, 1\]: got means\[1\] = 1.2"),
        (lambda: Arms([0.6], law="uniform"), r"lie in \[0, 0.5\]: got means\[0\] = 0.6"),
        (lambda: Arms([np.nan], law="gaussian"), r"got means\[0\] = nan"),
        (lambda: Arms([0.5], law="bernouli"), "did you mean 'bernoulli'"),
        (lambda: Arms([0.5, 0.4], np.ones((3, 2))), r"\[2, d\], a row for each arm: got shape"),
        (lambda: Arms([0.5], scale=-1.0), "zero or more: got -1.0"),
        (lambda: linear_arms(np.ones((2, 2)), [1.0]), r"got shapes \[2, 2\] and \[1\]"),
        (lambda: BestArm(Arms([0.5]), 0), "budget is a whole number from 1"),
        (lambda: BestArm(Arms([0.5]), 2.5), "budget is a whole number"),
        (lambda: RewardTable([0.1, 0.2]), r"got shape \[2\]"),
        (lambda: RewardTable(np.full((2, 2), np.inf)), "finite numbers"),
    ],
)
def test_what_makes_no_problem_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sums_of_no_pulls_are_zero_for_any_key():
    env = BestArm(Arms(MEANS, law="gaussian"), 5)
    zero = jnp.zeros(4, jnp.int32)
    tape = env.noise(noise.root(1), 3)
    for row in tape:
        _, feedback, _ = env.step(env.init(noise.root(0)), Pulls(zero, zero), row)
        assert isinstance(feedback, RewardSums) and not np.any(feedback.sums)
