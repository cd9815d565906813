"""Linear regression as a supply of tasks: each with examples, a query, and weights of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ..core import noise as tapes
from ..core.protocol import Key, concrete


class Tasks(NamedTuple):
    """B tasks, without the label of the query."""

    features: jax.Array  # [B, N, d]
    labels: jax.Array  # [B, N]
    queries: jax.Array  # [B, d]


class TaskLabels(NamedTuple):
    """Labels of the queries."""

    labels: jax.Array  # [B]


class Draws(NamedTuple):
    """Of one round."""

    inputs: jax.Array  # [B, N + 1, d] uniform
    weights: jax.Array  # [B, d] normal


def draw(key: Key, shape: tuple[int, ...], context: int, dimension: int) -> Draws:
    inputs = tapes.uniform(tapes.stream(key, "inputs"), (*shape, context + 1, dimension))
    return Draws(inputs, tapes.normal(tapes.stream(key, "weights"), (*shape, dimension)))


def tasks_of(draws: Draws, input_range: Any, weight_scale: Any) -> tuple[Tasks, jax.Array]:
    """The tasks, and the labels of their queries."""
    inputs = input_range * (draws.inputs - 0.5)
    weights = weight_scale * draws.weights
    labels = jnp.einsum("...nd,...d->...n", inputs, weights, precision="highest")
    return Tasks(inputs[..., :-1, :], labels[..., :-1], inputs[..., -1, :]), labels[..., -1]


@flax.struct.dataclass
class RegressionTasks:
    """Fresh tasks in every round: weights w from N(0, s^2 I), examples and a query x uniform on
    (-a/2, a/2) in each coordinate, labels <w, x> without noise.

    Von Oswald et al., ICML 2023, have d = N = 10 and, in their published code, a = s = 1. A round
    shows `batch` of them, the action is a forecast for each query, [batch], and then their labels
    are told. Metric `loss`: the mean of 1/2 (forecast - label)^2, summed over rounds.

    At checkpoints, the forecaster that a learner recommends (`predict(features, labels, query)`)
    answers `held_out` other tasks, the same ones throughout: `test_loss`, and beside it
    `descent_loss` of the forecaster `descent`, under each of the laws `tests`; and under the first
    of them how much alike the two are: `cosine` of the gradients of their forecasts in the query,
    `slope_distance` between these, `distance` between the forecasts (means over tasks).

    Args:
      dimension, context, batch: d, N and B.
      input_range, weight_scale: a and s.
      descent: what to compare with; without it there are no such metrics.
      tests: pairs (a, s).
      held_out: number of tasks.

    Raises:
      ValueError: sizes that are not whole numbers from one, scales that are not positive.
    """

    dimension: int = flax.struct.field(pytree_node=False, default=10)
    context: int = flax.struct.field(pytree_node=False, default=10)
    batch: int = flax.struct.field(pytree_node=False, default=2048)
    input_range: Any = 1.0
    weight_scale: Any = 1.0
    descent: Any = None
    tests: tuple[tuple[float, float], ...] = flax.struct.field(
        pytree_node=False, default=((1.0, 1.0),)
    )
    held_out: int = flax.struct.field(pytree_node=False, default=1000)

    metric_dims = {"test_loss": ("law",), "descent_loss": ("law",)}

    def __post_init__(self):
        for name in ("dimension", "context", "batch", "held_out"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"RegressionTasks: {name} is a whole number from one, got {value!r}"
                )
        for name in ("input_range", "weight_scale"):
            value = concrete(getattr(self, name))
            if value is not None and not (value > 0).all():
                raise ValueError(f"RegressionTasks: {name} is positive, got {value}")

    def init(self, key: Key) -> Key:
        return tapes.stream(key, "held out")

    def noise(self, key: Key, num_rounds: int) -> Draws:
        return draw(key, (num_rounds, self.batch), self.context, self.dimension)

    def observe(self, state, noise) -> Tasks:
        return tasks_of(noise, self.input_range, self.weight_scale)[0]

    def step(self, state, action, noise):
        labels = tasks_of(noise, self.input_range, self.weight_scale)[1]
        loss = jnp.mean((action - labels) ** 2) / 2
        return state, TaskLabels(labels), {"loss": loss}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        if self.descent is None:
            return {}
        draws = draw(state, (self.held_out,), self.context, self.dimension)
        found: dict[str, jax.Array] = {}
        for name, forecaster in (
            ("test_loss", recommendation),
            ("descent_loss", self.descent),
        ):
            rows = [_loss(forecaster, *tasks_of(draws, a, s)) for a, s in self.tests]
            found[name] = jnp.stack(rows)
        tasks, _ = tasks_of(draws, *self.tests[0])
        ours, slopes = _with_slopes(recommendation, tasks)
        theirs, other = _with_slopes(self.descent, tasks)
        lengths = jnp.linalg.norm(slopes, axis=-1) * jnp.linalg.norm(other, axis=-1)
        inner = jnp.sum(slopes * other, axis=-1)
        return found | {
            "cosine": jnp.mean(inner / jnp.maximum(lengths, 1e-30)),
            "slope_distance": jnp.mean(jnp.linalg.norm(slopes - other, axis=-1)),
            "distance": jnp.mean(jnp.abs(ours - theirs)),
        }


def _loss(forecaster, tasks, labels):
    return jnp.mean((jax.vmap(forecaster.predict)(*tasks) - labels) ** 2) / 2


def _with_slopes(forecaster, tasks):
    """Forecasts [B] and their gradients in the query [B, d]."""
    return jax.vmap(jax.value_and_grad(forecaster.predict, argnums=2))(*tasks)
