"""Programs of classes that have the same fields are kept apart."""

import subprocess
import sys

import flax.struct
import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core.compiled import canonical, classes, jit


def sorts(count):
    """Classes with one field and a method that says which one it is."""

    def make(number):
        body = {"__annotations__": {"x": float}, "number": number}
        return flax.struct.dataclass(type(f"Sort{number}", (), body))

    return [make(number) for number in range(count)]


def test_every_class_runs_its_own_program():
    """Of 120 classes through plain `jax.jit` (0.10) some five run another one's."""
    program = jit(lambda value: value.x * 0 + value.number)
    found = [int(program(sort(1.0))) for sort in sorts(120)]
    assert found == list(range(120))


def test_one_program_a_class():
    traces = []

    def count(value, scale, *, power):
        traces.append(type(value))
        return scale * value.x**power

    first, second = sorts(2)
    program = jit(count, static_argnames="power")
    for value in (first(2.0), first(3.0), second(2.0)):
        assert program(value, 2.0, power=2) == 2 * value.x**2
    assert traces == [first, second]
    assert program(first(2.0), 1.0, power=3) == 8 and len(traces) == 3


def test_classes_of_a_pytree():
    first, second = sorts(2)
    tree = (first(1.0), [second(first(2.0))])
    assert classes(tree) == (tuple, (first, None), (list, (second, (first, None))))
    assert classes((first(1.0),)) != classes((second(1.0),))


def test_a_stack_is_of_one_class():
    """MOSS and UCB1 may have the same fields; JAX alone would not tell them apart."""
    learners = rx.learners.UCB1(3), rx.learners.AnytimeMOSS(3)
    if jax.tree.structure(learners[0]) != jax.tree.structure(learners[1]):
        pytest.skip("these two differ in their fields now")
    with pytest.raises(ValueError, match="only members of one class"):
        rx.stack(learners)


def test_simulate_tells_learners_apart():
    """Many learners with the same fields in one process: each plays its own arm."""

    def make(arm):
        @flax.struct.dataclass
        class Plays(rx.learners.UCB1):
            def act(self, state, observation, noise):
                return np.int32(arm)

        return Plays

    env = rx.envs.BernoulliBandit(np.linspace(0.1, 0.9, 4))
    for arm in range(4):
        pulls = rx.simulate(env, make(arm)(), 5, 2, progress=False).metrics["pulls"]
        np.testing.assert_array_equal(pulls[-1], np.tile(5 * (np.arange(4) == arm), (2, 1)))


def test_arrays_are_given_to_jax_in_its_dtypes():
    tree = {"a": np.arange(3.0), "b": np.float32([1]), "c": 2.0, "d": np.arange(2), "e": None}
    found = canonical(tree)
    assert found["a"].dtype == np.float32 and found["d"].dtype == np.int32
    assert found["b"] is tree["b"] and found["c"] == 2.0 and found["e"] is None
    with jax.enable_x64(True):
        assert canonical(tree)["a"] is tree["a"]


def test_what_was_met_in_float64_before_is_float32_again():
    """In a process of its own: without `canonical` this fails in XLA, or crashes."""
    code = (
        "import jax, regrax as rx\n"
        "from regrax.core.learners.mdp.lsvi import LSVIUCB\n"
        "from regrax.core.protocol import complete\n"
        "from regrax.envs.mdp_instances import random_low_rank\n"
        "env = random_low_rank(4, 2, 3, 3, seed=6)\n"
        "def recommended():\n"
        "    learner = complete(LSVIUCB(0.5), env, 5)\n"
        "    return learner.recommend(learner.init(rx.noise.root(0))).probabilities()\n"
        "jax.eval_shape(recommended)\n"
        "rx.simulate(env, LSVIUCB(0.5), 5, 16, progress=False)\n"
        "print('well')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "well", done.stderr[-500:]
