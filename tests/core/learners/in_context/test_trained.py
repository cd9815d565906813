"""Tasks, forecasters that stay, and attention that is trained on tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regrax as rx
from regrax.core import noise
from regrax.core.learners.in_context import theory
from regrax.core.learners.in_context.attention import Attention, Descent, Transformer
from regrax.core.learners.in_context.trained import FixedForecaster, TrainedAttention
from regrax.core.protocol import complete
from regrax.envs.regression_tasks import RegressionTasks, TaskLabels, Tasks

KEY = noise.root(2)
RATE = theory.best_rate(10, 10)
DESCENT = Descent(np.array([RATE], np.float32))
TASKS = RegressionTasks(batch=64, descent=DESCENT, tests=((1.0, 1.0), (2.0, 1.0)), held_out=500)


def test_tasks_are_of_their_law():
    """Moments of inputs, weights by way of labels, and labels that are linear in inputs."""
    env = RegressionTasks(3, 4, 20_000, input_range=2.0, weight_scale=1.5)
    tape = env.noise(KEY, 1)
    row = jax.tree.map(lambda x: x[0], tape)
    tasks = env.observe((), row)
    _, feedback, metrics = env.step((), jnp.zeros(20_000), row)
    assert tasks.features.shape == (20_000, 4, 3) and tasks.labels.shape == (20_000, 4)
    x = np.asarray(tasks.features)
    assert np.abs(x).max() <= 1 and abs(x.mean()) < 6 / np.sqrt(3 * x.size)
    assert np.mean(x**2) == pytest.approx(1 / 3, abs=6 * np.sqrt(4 / 45 / x.size))
    w = np.linalg.lstsq(x[0], np.asarray(tasks.labels)[0], rcond=None)[0]
    assert float(feedback.labels[0]) == pytest.approx(
        float(w @ np.asarray(tasks.queries)[0]), abs=1e-4
    )
    loss = np.mean(np.asarray(feedback.labels) ** 2) / 2
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-5)
    # E y^2 / 2 = s^2 d / 3 / 2, with y^2 of a kurtosis below 5.
    assert loss == pytest.approx(1.5**2 / 2, abs=6 * 1.5**2 / np.sqrt(20_000) * 2)


@pytest.fixture(scope="module")
def short():
    """Eight rounds of each, 8 seeds."""
    learners = {
        "descent": FixedForecaster(DESCENT),
        "half a step": FixedForecaster(Descent(np.array([RATE / 2], np.float32))),
        "trained": TrainedAttention(),
    }
    return {
        name: rx.simulate(TASKS, learner, 8, 8, checkpoints=[4, 8], progress=False).metrics
        for name, learner in learners.items()
    }


def test_descent_is_as_its_closed_form(short):
    """8 seeds of 512 tasks in the rounds, and 500 that are held out, the same at all stops."""
    expected, squares = theory.one_step_loss(RATE, 10, 10), 8 * 512
    found = short["descent"]["loss"][-1].mean() / 8
    assert found == pytest.approx(expected, abs=6 * 2 * expected / np.sqrt(squares))
    tests = short["descent"]["test_loss"]
    np.testing.assert_array_equal(tests[0], tests[1])
    np.testing.assert_array_equal(tests, short["descent"]["descent_loss"])
    wide = theory.one_step_loss(RATE, 10, 10, 2.0)
    assert tests[-1, :, 1].mean() == pytest.approx(wide, rel=6 * 2 / np.sqrt(8 * 500))


def test_forecasters_are_compared_with_descent(short):
    """With itself; with half a step, whose gradient in the query points the same way."""
    for name, away in (("descent", 0.0), ("half a step", 0.5)):
        found = {key: x[-1].mean() for key, x in short[name].items()}
        assert found["cosine"] == pytest.approx(1, abs=1e-5)
        size = found["slope_distance"]
        assert (size == 0) == (away == 0)
        assert (found["distance"] == 0) == (away == 0)


def test_a_seed_is_the_same_in_any_batch(short):
    few = rx.simulate(TASKS, TrainedAttention(), 8, range(3, 6), checkpoints=[8], progress=False)
    np.testing.assert_array_equal(few.metrics["loss"][-1], short["trained"]["loss"][-1, 3:6])


def test_before_training_nothing_is_forecast(short):
    """Weights of about 0.01: forecasts of about 1e-8, and the loss of none."""
    loss = short["trained"]["loss"][-1].mean() / 8
    assert loss == pytest.approx(5 / 12, abs=6 * 2 * 5 / 12 / np.sqrt(8 * 512))
    assert abs(short["trained"]["cosine"][-1]).max() < 1


def test_a_step_of_training_is_adam_on_the_clipped_gradient():
    """The first step of Adam: learning_rate times the sign of the gradient, near enough, whatever
    the clip is; and the second by the formulas."""
    learner = TrainedAttention(3, learning_rate=0.01, clip=0.5, initial_scale=5.0)
    env = RegressionTasks(3, 4, 16)
    tape = env.noise(KEY, 2)
    state = learner.init(KEY)
    weights = [np.asarray(x, float) for x in state.layers]
    assert [w.shape for w in weights] == [(1, 4, 4)] * 4
    means, squares = [0 * w for w in weights], [0 * w for w in weights]
    for t in range(2):
        row = jax.tree.map(lambda x, t=t: x[t], tape)
        tasks = env.observe((), row)
        _, told, _ = env.step((), jnp.zeros(16), row)
        slopes = numerical(weights, tasks, told)
        norm = np.sqrt(sum(np.sum(g**2) for g in slopes))
        for i, g in enumerate(slopes):
            g = g * min(1, 0.5 / norm)
            means[i] = 0.9 * means[i] + 0.1 * g
            squares[i] = 0.98 * squares[i] + 0.02 * g**2
            step = means[i] / (1 - 0.9 ** (t + 1))
            step = step / (np.sqrt(squares[i] / (1 - 0.98 ** (t + 1))) + 1e-8)
            weights[i] = weights[i] - 0.01 * step
        state = learner.update(state, tasks, learner.act(state, tasks, ()), told)
        for ours, plain in zip(state.layers, weights, strict=True):
            np.testing.assert_allclose(ours, plain, atol=2e-4)


def numerical(weights, tasks: Tasks, told: TaskLabels):
    """The gradient of the loss in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), tasks)
        labels = jnp.asarray(np.asarray(told.labels, np.float64))

        def loss(layers):
            forecasts = jax.vmap(Transformer(Attention(*layers)).predict)(*wide)
            return jnp.mean((forecasts - labels) ** 2) / 2

        slopes = jax.grad(loss)([jnp.asarray(w) for w in weights])
        return [np.asarray(g) for g in slopes]


@pytest.mark.slow
def test_training_ends_at_a_step_of_descent():
    """One layer, fewer and larger steps than the paper's: the loss of the best rate within 3 %."""
    env = RegressionTasks(batch=256, descent=DESCENT, held_out=4000)
    learner = TrainedAttention(learning_rate=0.004, clip=1e-3)
    found = rx.simulate(env, learner, 2500, 8, checkpoints=[2500], progress=False).metrics
    ratio = found["test_loss"][-1, :, 0].mean() / found["descent_loss"][-1, :, 0].mean()
    assert ratio == pytest.approx(1, abs=0.03)
    assert found["cosine"][-1].mean() > 0.98


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="TrainedAttention: clip is positive, got 0"):
        TrainedAttention(clip=0.0)
    with pytest.raises(ValueError, match="TrainedAttention: repeats is a whole number from one"):
        TrainedAttention(repeats=0)
    with pytest.raises(ValueError, match="RegressionTasks: batch is a whole number from one"):
        RegressionTasks(batch=0)
    with pytest.raises(ValueError, match="RegressionTasks: input_range is positive, got -1"):
        RegressionTasks(input_range=-1.0)
    assert complete(TrainedAttention(), RegressionTasks(7), 5).dimension == 7
