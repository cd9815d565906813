"""Programs of classes that have the same fields are kept apart."""

import flax.struct
import jax
import numpy as np
import pytest

import regrax as rx
from regrax.core.compiled import classes, jit


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
