"""Studies: validation, what runs and what does not, and the data set that comes out."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from regrax.core import executors, noise
from regrax.core.executors import LocalExecutor, SeedMemory, Task, block_size, compute, split
from regrax.core.names import did_you_mean, nearest
from regrax.core.protocol import BanditFeedback
from regrax.core.simulate import NonFiniteMetric, simulate, stack
from regrax.core.store import Store, StoreError
from regrax.core.study import Study, run


@flax.struct.dataclass
class Coins:
    """Bernoulli arms; regret is counted at checkpoints."""

    means: Any
    extra: bool = flax.struct.field(pytree_node=False, default=False)

    @property
    def num_arms(self):
        return np.shape(self.means)[-1]

    def init(self, key):
        return jnp.zeros(self.num_arms, jnp.int32)

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def observe(self, state, u):
        return ()

    def step(self, state, arm, u):
        reward = (u < self.means[arm]).astype(jnp.float32)
        return state.at[arm].add(1), BanditFeedback(reward), {"reward": reward}

    def evaluate(self, state, arm):
        gaps = jnp.max(self.means) - self.means
        more = {"best_pulls": state[jnp.argmax(self.means)]} if self.extra else {}
        return {"regret": jnp.sum(state * gaps), "pulls": state} | more


@flax.struct.dataclass
class Uniform:
    """Plays an arm at random, the first one a little more often."""

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    power: Any = 1.0

    def init(self, key):
        return ()

    def noise(self, key, num_rounds):
        return noise.uniform(key, (num_rounds,))

    def act(self, state, observation, u):
        assert self.num_arms is not None
        return (u**self.power * self.num_arms).astype(jnp.int32)

    def update(self, state, observation, action, feedback):
        return state

    def recommend(self, state):
        return jnp.int32(0)


def study(**changes) -> Study:
    settings = {
        "name": "coins",
        "environments": {"easy": Coins(np.array([0.2, 0.9]))},
        "learners": {"uniform": Uniform(), "biased": Uniform(power=1.5)},
        "horizon": 40,
        "seeds": 12,
        "checkpoints": [1, 10, 40],
    }
    return Study(**(settings | changes))


class Spy(LocalExecutor):
    """Counts seeds, and what ran when."""

    def __init__(self):
        self.tasks: list[Task] = []

    def map(self, function, tasks):
        for task, result in super().map(function, tasks):
            self.tasks.append(task)
            yield task, result

    def seeds(self):
        """Seeds that ran since this was last asked."""
        ran = sum(len(task.seeds) for task in self.tasks)
        self.tasks.clear()
        return ran


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def assert_equal(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.drop_attrs(), b.drop_attrs())
    assert {n: x.dtype for n, x in a.items()} == {n: x.dtype for n, x in b.items()}


# ---- validation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "needs a name"),
        ({"environments": {}}, "environments is a non-empty mapping"),
        ({"learners": [Uniform()]}, "learners is a non-empty mapping from names"),
        ({"learners": {"": Uniform()}}, "names of learners are non-empty strings"),
        ({"learners": {"u": Uniform}}, r"is a class; give an instance: Uniform\(\)"),
        ({"learners": {"u": Coins(np.ones(2))}}, "no method 'act'; is it one of the environments"),
        ({"environments": {"u": Uniform()}}, "no method 'step'; is it one of the learners"),
        ({"learners": {"u": stack([Uniform()])}}, "is a stack; give its members each a name"),
        ({"horizon": 0}, "horizon is a whole number from 1"),
        ({"horizon": 1.5}, "horizon is a whole number"),
        ({"seeds": 0}, "seeds is a whole number from 1"),
        ({"root_seed": -1}, "root_seed is a whole number from 0"),
        ({"checkpoints": [10, 1]}, "checkpoints are increasing rounds"),
        ({"checkpoints": [1, 1]}, "checkpoints are increasing rounds"),
        ({"checkpoints": [0, 1]}, "checkpoints are increasing rounds"),
        ({"checkpoints": [41]}, "from 1 to the horizon 40"),
        ({"checkpoints": []}, "checkpoints"),
    ],
)
def test_what_makes_no_study_says_so(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_whole_numbers_may_be_written_as_floats():
    assert study(horizon=1e3, seeds=np.int64(5)).horizon == 1000
    assert type(study(horizon=1e3).horizon) is int


def test_a_study_keeps_its_own_mappings():
    learners = {"uniform": Uniform()}
    made = study(learners=learners)
    learners["other"] = Uniform()
    assert list(made.learners) == ["uniform"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.horizon = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "seeds is a whole number"),
        ({"seeds": range(0, 10, 2)}, "range of steps of 1"),
        ({"seeds": range(5, 5)}, "range of steps of 1"),
        ({"batch": 0}, "batch is a whole number"),
    ],
)
def test_run_checks_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(study(), store=None, **arguments)


def test_a_learner_that_does_not_fit_is_noticed_before_anything_runs():
    spy = Spy()
    wrong = study(learners={"fits": Uniform(), "does not": Uniform(num_arms=7)})
    with pytest.raises(ValueError, match="7"):
        run(wrong, executor=spy)
    assert not spy.tasks


# ---- results -------------------------------------------------------------------------------


def test_the_data_set_is_what_simulate_says():
    data = run(study(), store=None)
    assert data.regret.dims == ("environment", "learner", "checkpoint", "seed")
    assert data.pulls.dims == (*data.regret.dims, "arm")
    assert data.learner.values.tolist() == ["uniform", "biased"]
    assert data.checkpoint.values.tolist() == [1, 10, 40]
    trace = simulate(
        Coins(np.array([0.2, 0.9])), Uniform(power=1.5), 40, 12, checkpoints=[1, 10, 40]
    )
    for name, expected in trace.metrics.items():
        np.testing.assert_array_equal(
            data[name].sel(environment="easy", learner="biased"), expected
        )
    assert (data.pulls.sum("arm") == data.checkpoint).all()


def test_environments_of_different_shape_are_padded():
    environments = {
        "two": Coins(np.array([0.2, 0.9])),
        "five": Coins(np.linspace(0.1, 0.9, 5), extra=True),
    }
    data = run(study(environments=environments), batch=5)
    assert data.sizes["arm"] == 5 and data.pulls.dtype == np.int32
    assert (data.pulls.sel(environment="two")[..., 2:] == 0).all()
    assert data.best_pulls.sel(environment="two").isnull().all()
    assert not data.best_pulls.sel(environment="five").isnull().any()
    assert_equal(run(study(environments=environments)), data)


def test_attributes_say_where_the_results_come_from():
    data = run(study(), batch=5)
    for name in (
        "git_commit",
        "git_dirty",
        "jax_version",
        "numpy_version",
        "python_version",
        "device",
        "prng",
        "xla_flags",
        "time",
        "fingerprint",
    ):
        assert isinstance(data.attrs[name], str)
    assert data.attrs["pulls"] == 40 * 12 * 2
    assert data.attrs["wall_seconds"] > 0 and data.attrs["pulls_per_second"] > 0
    again = run(study())
    assert again.attrs == data.attrs
    assert run(study(root_seed=1), store=None).attrs["fingerprint"] != data.attrs["fingerprint"]
    data.to_netcdf("copy.nc", engine="h5netcdf")
    assert xr.load_dataset("copy.nc", engine="h5netcdf").attrs["study"] == "coins"


@pytest.mark.parametrize("batch", [1, 5, 12, 100, None])
def test_results_do_not_depend_on_the_batch(batch):
    assert_equal(run(study(seeds=6), store=None, batch=batch), run(study(seeds=6), store=None))


def test_a_range_of_seeds_is_a_part_of_the_whole():
    whole = run(study())
    assert_equal(run(study(), seeds=range(3, 9), store=None), whole.isel(seed=slice(3, 9)))
    assert_equal(run(study(), seeds=range(3, 9)), whole.isel(seed=slice(3, 9)))


def test_a_nan_names_the_study_environment_and_learner(monkeypatch):
    def explode(*_, **__):
        raise NonFiniteMetric("'regret' is nan after round 3 of seed 1")

    monkeypatch.setattr(executors, "simulate", explode)
    with pytest.raises(
        NonFiniteMetric, match="'coins', environment 'easy', learner 'uniform'.*round 3"
    ):
        run(study(), store=None)


# ---- the store -----------------------------------------------------------------------------


def test_only_missing_seeds_run():
    spy = Spy()
    for seeds, expected in [(4, 4), (6, 2), (4, 0), (16, 10), (6, 0), (16, 0)]:
        data = run(study(), seeds=seeds, executor=spy)
        assert spy.seeds() == 2 * expected  # two learners
        assert data.sizes["seed"] == seeds
    assert_equal(data, run(study(), seeds=16, store=None))


def test_gaps_in_the_middle_are_filled():
    spy = Spy()
    run(study(), seeds=range(5, 10), executor=spy)
    run(study(), seeds=range(20, 22), executor=spy)
    spy.seeds()
    data = run(study(), seeds=30, executor=spy)
    assert spy.seeds() == 2 * (30 - 7)
    assert_equal(data, run(study(), seeds=30, store=None, batch=16))


def test_only_new_pairs_run_and_names_do_not_count():
    spy = Spy()
    run(study(), executor=spy)
    spy.seeds()
    learners = {"again": Uniform(), "new": Uniform(power=3.0)}
    run(study(name="other", learners=learners), executor=spy)
    assert spy.seeds() == 12


def test_another_horizon_checkpoints_or_root_seed_runs_again():
    spy = Spy()
    for changes in ({}, {"horizon": 41}, {"checkpoints": [2, 10, 40]}, {"root_seed": 7}):
        run(study(**changes), executor=spy)
        assert spy.seeds() == 24
    run(study(), executor=spy)
    assert spy.seeds() == 0


def test_without_a_store_nothing_is_written(tmp_path):
    run(study(), store=None)
    assert not list(tmp_path.iterdir())


def test_a_damaged_block_is_run_again(tmp_path):
    spy = Spy()
    data = run(study(), store="here", batch=4, executor=spy)
    spy.seeds()
    block = next((tmp_path / "here").rglob("0000004-0000008.nc"))
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="0000004-0000008.nc is not used"):
        again = run(study(), store="here", executor=spy)
    assert spy.seeds() == 4
    assert_equal(again, data)


def test_a_full_disk_keeps_what_was_stored(monkeypatch):
    spy, save, saved = Spy(), Store.save, []

    def full(self, *arguments):
        if len(saved) == 2:
            raise StoreError("the store cannot use here: the disk is full")
        saved.append(save(self, *arguments))

    monkeypatch.setattr(Store, "save", full)
    with pytest.raises(StoreError, match="disk is full.* the 2 blocks .* are safe in results"):
        run(study(), batch=4)
    monkeypatch.setattr(Store, "save", save)
    data = run(study(), executor=spy)
    assert spy.seeds() == 24 - 8
    assert_equal(data, run(study(), store=None))


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(monkeypatch):
    def interrupted(task, progress=None):
        if task.seeds.start:
            raise KeyboardInterrupt
        return compute(task, progress)

    with monkeypatch.context() as patch:
        patch.setattr("regrax.core.study.compute", interrupted)
        with pytest.raises(KeyboardInterrupt, match="the 1 blocks .* safe .* run it again"):
            run(study(), batch=4)
        with pytest.raises(KeyboardInterrupt, match="nothing is kept"):
            run(study(), batch=4, store=None)
    spy = Spy()
    run(study(), executor=spy)
    assert spy.seeds() == 24 - 4


def test_what_another_process_stores_meanwhile_is_not_run():
    class Slow(Spy):
        """Before its first task, another process does the whole study."""

        def map(self, function, tasks):
            for number, task in enumerate(tasks):
                if number == 0:
                    run(study(), batch=4)
                self.tasks.append(task)
                yield task, function(task)

    slow, done = Slow(), []
    data = run(study(), batch=4, executor=slow, progress=done.append)
    assert slow.seeds() == 4
    assert sum(done) == 40 * 24
    assert_equal(data, run(study(), store=None))


def test_an_executor_elsewhere_gets_plain_tasks():
    class Elsewhere:
        in_process = False

        def map(self, function, tasks):
            assert function is compute
            for task in reversed(list(tasks)):  # in any order
                yield task, function(task)

    done = []
    data = run(study(), batch=4, executor=Elsewhere(), progress=done.append)
    assert sum(done) == 40 * 24
    assert_equal(data, run(study(), store=None))


# ---- memory --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")],
)
def test_what_does_not_fit_is_halved(monkeypatch, error):
    tried, done = [], []

    def small(*arguments, progress, **options):
        tried.append(len(arguments[3]))
        progress(7)
        if len(arguments[3]) > 3:
            raise error
        progress(-7)
        return simulate(*arguments, progress=progress, **options)

    expected = run(study(), store=None)
    monkeypatch.setattr(executors, "simulate", small)
    assert_equal(run(study(), batch=12, progress=done.append), expected)
    assert tried[:4] == [12, 6, 3, 3] and sum(done) == 40 * 24


def test_later_blocks_keep_to_what_has_fitted(monkeypatch):
    tried = []

    def small(*arguments, **options):
        tried.append(len(arguments[3]))
        if len(arguments[3]) > 3:
            raise MemoryError
        return simulate(*arguments, **options)

    monkeypatch.setattr(executors, "simulate", small)
    run(study(learners={"uniform": Uniform()}, seeds=24), store=None, batch=12)
    assert tried == [12, 6, 3, 3, 6, 3, 3] + 4 * [3]


def test_one_seed_that_does_not_fit_is_an_error(monkeypatch):
    def never(*_, **__):
        raise MemoryError

    monkeypatch.setattr(executors, "simulate", never)
    with pytest.raises(MemoryError, match="one seed of study 'coins'.* does not fit"):
        run(study(), store=None)


def test_other_errors_of_the_device_are_not_taken_for_memory(monkeypatch):
    def fail(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: device lost")

    monkeypatch.setattr(executors, "simulate", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="device lost"):
        run(study(), store=None)


def test_results_too_large_are_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr("regrax.core.study.free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="ask for fewer seeds"):
        run(study(), store=None)


def test_the_estimate_of_memory_is_about_right():
    environment, learner = Coins(np.linspace(0.1, 0.9, 5), extra=True), Uniform()
    memory = executors.seed_memory(environment, learner, 40, 3)
    trace = simulate(environment, learner, 40, 10, checkpoints=[1, 10, 40])
    assert memory.result * 10 == sum(x.nbytes for x in trace.metrics.values())
    assert memory.running > 2 * memory.result


def test_the_size_of_a_block_follows_memory_and_length(monkeypatch):
    small = SeedMemory(1000, 1000)
    assert block_size(small, 100) == 4096
    assert block_size(small, 10**6) == 500
    assert block_size(small, 10**9) == 256
    assert block_size(SeedMemory(1000, 1 << 20), 100) == 64
    assert block_size(SeedMemory(1000, 1 << 40), 100) == 1
    cores = len(executors.devices())
    heavy = [block_size(SeedMemory(1000, 1000, state), 100) for state in (10_000, 70_000, 1 << 20)]
    assert heavy == [4096, 16 * cores, 8 * cores]  # as many as a cache holds, in eights
    monkeypatch.setattr(executors, "available_memory", lambda: 10_000)
    assert block_size(small, 100) == 5


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [
        (10_000, 4096, [2500] * 4),
        (1000, 4096, [1000]),
        (1000, 300, [250] * 4),
        (7, 3, [3, 3, 1]),
        (5, 1, [1] * 5),
    ],
)
def test_split_prefers_equal_lengths(count, size, lengths):
    parts = split(range(3, 3 + count), size)
    assert [len(part) for part in parts] == lengths
    assert [i for part in parts for i in part] == list(range(3, 3 + count))


# ---- progress, names -----------------------------------------------------------------------


def test_progress_adds_up_to_the_work_that_is_missing(capsys):
    done = []
    run(study(), seeds=5, progress=done.append)
    assert sum(done) == 40 * 5 * 2
    done.clear()
    run(study(), progress=done.append)
    assert sum(done) == 40 * 7 * 2
    done.clear()
    run(study(), progress=done.append)
    assert not done
    assert capsys.readouterr() == ("", "")  # not a terminal: quiet


def test_names_suggest_the_nearest():
    options = ["UCB1", "Thompson", "EpsilonGreedy"]
    assert nearest("ucb-1", options) == "UCB1"
    assert nearest("thomson", options) == "Thompson"
    assert nearest("zzz", options) is None
    assert did_you_mean("epsilon_greedy", options) == "did you mean 'EpsilonGreedy'?"
    assert did_you_mean("zzz", options) == "there is EpsilonGreedy, Thompson, UCB1"
    assert did_you_mean("zzz", []) == "there are none"
