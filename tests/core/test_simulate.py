"""simulate: exact totals, checkpoints, seeds that are the same in any company, errors."""

import subprocess
import sys
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regrax as rx
from regrax.core import noise, simulate
from regrax.core.checks import log_checkpoints

ENV = rx.envs.BernoulliBandit([0.3, 0.5, 0.6])


@flax.struct.dataclass
class Ticker:
    """An environment of known sums: round t (from 1) adds scale * t^power and one count."""

    scale: Any = 1.0
    power: Any = 0.0
    num_arms: int = flax.struct.field(pytree_node=False, default=2)

    def init(self, key):
        return jnp.int32(0)

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def observe(self, state, noise):
        return ()

    def step(self, state, action, noise):
        t = state + 1
        value = self.scale * t.astype(jnp.float32) ** self.power
        metrics = {"total": value, "draws": noise, "rounds": jnp.int32(1)}
        return t, rx.BanditFeedback(noise), metrics

    def evaluate(self, state, recommendation):
        return {"clock": state}


@flax.struct.dataclass
class Constant:
    """Plays one arm."""

    arm: Any = 0
    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return jnp.int32(self.arm)

    def update(self, state, observation, action, feedback):
        return ()

    def recommend(self, state):
        return jnp.int32(self.arm)


# ---- what is recorded ----------------------------------------------------------------------


@settings(max_examples=20)
@given(st.sets(st.integers(1, 1000), min_size=5, max_size=5))
def test_any_checkpoints(rounds):
    """Checkpoints, at and off the borders of blocks, record the state after that many rounds."""
    checkpoints = sorted(rounds)
    trace = rx.simulate(Ticker(), Constant(), 1000, 3, checkpoints=checkpoints, progress=False)
    for metric in ("clock", "rounds", "total"):
        assert np.array_equal(trace.metrics[metric], np.tile(checkpoints, (3, 1)).T)


@pytest.mark.parametrize("horizon", [1, 7, 127, 128, 129, 1000])
def test_any_horizon_and_prefixes(horizon):
    """A shorter run is the beginning of a longer one."""
    long = rx.simulate(Ticker(), Constant(), 1000, 3, checkpoints=[horizon], progress=False)
    short = rx.simulate(Ticker(), Constant(), horizon, 3, checkpoints=[horizon], progress=False)
    for name, values in short.metrics.items():
        assert np.array_equal(values, long.metrics[name])


def test_totals_are_the_sum_of_the_tape():
    """Against the tape read the slow way: block by block, in float64."""
    trace = rx.simulate(Ticker(), Constant(), 300, range(4, 6), checkpoints=[300], progress=False)
    for column, seed in enumerate((4, 5)):
        key = noise.stream(noise.stream(noise.root(0), seed), "environment noise")
        blocks = [noise.uniform(noise.stream(key, b), (simulate.BLOCK,)) for b in range(3)]
        exact = np.concatenate(blocks)[:300].astype(np.float64).sum()
        assert trace.metrics["draws"][0, column] == pytest.approx(exact, rel=1e-12)


def test_totals_keep_their_digits():
    """A million rounds of 0.1: a float32 sum is off by 1 %, the compensated one by 1e-9."""
    trace = rx.simulate(Ticker(scale=0.1), Constant(), 1_000_000, 1, progress=False)
    exact = np.float64(np.float32(0.1)) * trace.checkpoints
    assert np.max(np.abs(trace.metrics["total"][:, 0] / exact - 1)) < 1e-9


@pytest.mark.slow
def test_totals_over_ten_million_rounds():
    """Growing summands, the hardest case: within 1e-6 of float64 (and far better)."""
    env = Ticker(scale=0.01, power=0.5)
    trace = rx.simulate(env, Constant(), 10_000_000, 1, progress=False)
    steps = np.float32(0.01) * np.sqrt(np.arange(1, 10_000_001, dtype=np.float32))
    exact = np.cumsum(steps, dtype=np.float64)[trace.checkpoints - 1]
    assert np.max(np.abs(trace.metrics["total"][:, 0] / exact - 1)) < 1e-6


def test_the_trace_says_what_it_is():
    trace = rx.simulate(ENV, rx.learners.UCB1(), 200, 5, progress=False)
    assert trace.checkpoints[0] == 1 and trace.checkpoints[-1] == 200
    assert trace.metrics["pulls"].shape == (len(trace.checkpoints), 5, 3)
    assert np.array_equal(trace.metrics["pulls"].sum(-1)[-1], np.full(5, 200))
    assert trace.pulls_per_second > 0 and trace.device.startswith(jax.devices()[0].platform)


@given(st.integers(1, 10**9), st.integers(1, 30))
def test_log_checkpoints(horizon, per_decade):
    rounds = log_checkpoints(horizon, per_decade)
    assert rounds[0] == 1 and rounds[-1] == horizon and np.all(np.diff(rounds) > 0)


# ---- seeds ---------------------------------------------------------------------------------

REFERENCE: dict = {}


def reference(learner):
    name = type(learner).__name__
    if name not in REFERENCE:
        REFERENCE[name] = rx.simulate(ENV, learner, 700, 1000, progress=False).metrics
    return REFERENCE[name]


@pytest.mark.parametrize("learner", [rx.learners.UCB1(), rx.learners.ThompsonBeta()])
@pytest.mark.parametrize("seeds", [range(1), range(3, 10), [999, 0, 31]])
def test_a_seed_is_the_same_in_any_batch(learner, seeds):
    few = rx.simulate(ENV, learner, 700, seeds, progress=False).metrics
    for name, values in few.items():
        assert np.array_equal(values, reference(learner)[name][:, list(seeds)])


def test_host_chunks_do_not_matter(monkeypatch):
    """Chunks of one block each, by a clock that makes every chunk seem slow."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(simulate.time, "perf_counter", lambda: float(next(ticks)))
    calls = []
    trace = rx.simulate(ENV, rx.learners.UCB1(), 700, 10_000, progress=calls.append)
    assert len(calls) > 3 and sum(calls) == 700 * 10_000
    for name, values in trace.metrics.items():
        assert np.array_equal(values[:, :1000], reference(rx.learners.UCB1())[name])


def test_two_devices_give_the_numbers_of_one():
    """In fresh processes, since the number of devices is fixed when JAX starts."""
    program = """
import sys, numpy as np, regrax as rx
env = rx.envs.BernoulliBandit([0.3, 0.5, 0.6])
trace = rx.simulate(env, rx.learners.ThompsonBeta(), 300, 21, progress=False)
assert trace.device == sys.argv[1], trace.device
print(trace.metrics["pulls"].tobytes().hex(), trace.metrics["regret"].tobytes().hex())
"""
    outputs = []
    for count in (1, 2):
        flags = f"--xla_force_host_platform_device_count={count}"
        done = subprocess.run(
            [sys.executable, "-c", program, f"cpu x {count}"],
            env={"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_learners_meet_the_same_environment():
    """Common random numbers: the rewards of a seed are the same draws for every learner, also for
    one whose own noise comes in shorter blocks."""
    env = Ticker()
    play = [rx.simulate(env, x, 500, 4, progress=False) for x in (Constant(), Noisy())]
    assert np.array_equal(play[0].metrics["draws"], play[1].metrics["draws"])


@flax.struct.dataclass
class Noisy(Constant):
    """Constant, with a wide tape of its own."""

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds, 500))


# ---- stacks --------------------------------------------------------------------------------


def test_a_stack_is_its_members():
    learners = [rx.learners.UCB1(exploration=x) for x in (0.5, 1.0, 2.0)]
    bandits = [ENV, rx.envs.BernoulliBandit([0.9, 0.1, 0.5])]
    both = rx.simulate(rx.stack(bandits), rx.stack(learners), 300, 9, progress=False)
    assert both.metrics["pulls"].shape == (2, 3, len(both.checkpoints), 9, 3)
    for i, env in enumerate(bandits):
        for j, learner in enumerate(learners):
            alone = rx.simulate(env, learner, 300, 9, progress=False)
            assert np.array_equal(both.metrics["pulls"][i, j], alone.metrics["pulls"])
            np.testing.assert_array_max_ulp(
                np.float32(both.metrics["regret"][i, j]), np.float32(alone.metrics["regret"]), 1
            )


def test_one_stack_of_one():
    trace = rx.simulate(ENV, rx.stack([rx.learners.UCB1()]), 300, 9, progress=False)
    assert trace.metrics["regret"].shape == (1, len(trace.checkpoints), 9)


def test_other_parameters_are_no_other_program():
    """One compilation a shape: parameters, horizon and seeds are data."""
    play = dict(checkpoints=[100], progress=False)
    rx.simulate(ENV, rx.learners.UCB1(), 100, 16, **play)
    before = simulate._advance._cache_size()
    other = rx.envs.BernoulliBandit([0.1, 0.2, 0.3])
    rx.simulate(other, rx.learners.UCB1(exploration=0.7), 100, range(5, 21), **play)
    assert simulate._advance._cache_size() == before


def test_stacking_what_does_not_stack():
    with pytest.raises(ValueError, match="at least one"):
        rx.stack([])
    with pytest.raises(ValueError, match="member 1 is.*MOSS"):
        rx.stack([rx.learners.UCB1(), rx.learners.MOSS()])


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 0}, "horizon is a whole number from 1"),
        ({"horizon": 2.5}, "got 2.5"),
        ({"horizon": "many"}, "got 'many'"),
        ({"seeds": 0}, "seeds is a whole number from 1"),
        ({"seeds": []}, "non-empty list"),
        ({"seeds": [-1]}, r"lie in \[0, 2\^32\)"),
        ({"checkpoints": [5, 5]}, "increasing rounds"),
        ({"checkpoints": [0, 5]}, "from 1 to the horizon 50"),
        ({"checkpoints": [51]}, "from 1 to the horizon 50"),
        ({"checkpoints": []}, "increasing rounds"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"horizon": 50, "seeds": 4} | change
    with pytest.raises(ValueError, match=message):
        rx.simulate(ENV, rx.learners.UCB1(), **arguments)


def test_whole_numbers_may_be_floats():
    assert rx.simulate(ENV, rx.learners.UCB1(), 1e2, 4, progress=False).checkpoints[-1] == 100


@flax.struct.dataclass
class Breaks(Ticker):
    """Turns to NaN in one round of the seeds whose first draw is small."""

    round: Any = 345

    def init(self, key):
        return jnp.int32(0), noise.uniform(key)

    def step(self, state, action, noise):
        t, first = state[0] + 1, state[1]
        bad = (t == self.round) & (first < 0.5)
        return (t, first), rx.BanditFeedback(noise), {"loss": jnp.where(bad, jnp.nan, 1.0)}

    def evaluate(self, state, recommendation):
        return {"first": state[1]}


def test_nan_names_learner_environment_seed_and_round():
    firsts = rx.simulate(Breaks(round=-1), Constant(), 1, 20, progress=False).metrics["first"][0]
    guilty = int(np.argmax(firsts < 0.5))
    with pytest.raises(rx.NonFiniteMetric) as caught:
        rx.simulate(Breaks(), Constant(arm=1), 1000, 20, checkpoints=[1000], progress=False)
    for part in ("'loss'", "round 345", f"seed {guilty}:", "Constant(arm=1", "Breaks("):
        assert part in str(caught.value)


def test_a_metric_reported_twice():
    @flax.struct.dataclass
    class Twice(Ticker):
        def evaluate(self, state, recommendation):
            return {"total": state}

    with pytest.raises(ValueError, match=r"Twice reports \['total'\]"):
        rx.simulate(Twice(), Constant(), 10, 4, progress=False)


# ---- memory --------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_does_not_grow_with_the_horizon():
    """Peak memory of whole processes, 10^5 against 10^7 rounds: the same within 10 %."""
    program = """
import resource, sys, regrax as rx
env = rx.envs.BernoulliBandit([0.3, 0.5, 0.6])
rx.simulate(env, rx.learners.UCB1(), int(sys.argv[1]), 64, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for horizon in ("100_000", "10_000_000"):
        done = subprocess.run(
            [sys.executable, "-c", program, horizon], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]
