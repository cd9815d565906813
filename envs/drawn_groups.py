"""Groupwise regression on data that every seed draws anew."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ..core import noise as tapes
from ..core.losses import SquaredLoss
from ..core.progress import Progress, bar
from ..core.protocol import GroupContext, Key
from ..core.tables import Table
from ..core.tapes import environment_keys, environment_tape
from . import group_accounts
from .group_accounts import METRIC_DIMS, Accounts, no_rounds

KINDS = ("mean", "min", "max", "perm")
SHAPES_AND_COLOURS = ("circle", "square", "triangle", "green", "red")
_POINTS, _NOISE = 20, 0.16
_LATER_SHAPES = (0.5, 0.8)  # a uniform above: a square, a triangle
_RED = 0.6
_TAPE_FLOATS = 5e7  # of noise drawn at once for the scales: 200 MB


class ShapesNoise(NamedTuple):
    """Of one round."""

    points: jax.Array  # [20] uniform
    look: jax.Array  # [2] uniform: of shape and colour
    errors: jax.Array  # [2] normal: of the labels of the two groups


class Law(NamedTuple):
    """What a seed keeps throughout."""

    weights: jax.Array  # [20, 5]
    rank: jax.Array  # [5] int32: place of each group in the random order


class DrawnShapesState(NamedTuple):
    law: Law
    low: jax.Array  # [] of the labels before they are scaled
    high: jax.Array  # []
    accounts: Accounts


def draw_law(key: Key) -> Law:
    groups = len(SHAPES_AND_COLOURS)
    weights = tapes.uniform(tapes.stream(key, "weights"), (_POINTS, groups))
    marks = tapes.uniform(tapes.stream(key, "rank"), (groups,))
    return Law(weights, jnp.sum(marks[:, None] > marks, axis=1, dtype=jnp.int32))


def draw_rounds(key: Key, num_rounds: int) -> ShapesNoise:
    points = tapes.uniform(tapes.stream(key, "points"), (num_rounds, _POINTS))
    look = tapes.uniform(tapes.stream(key, "look"), (num_rounds, 2))
    errors = tapes.normal(tapes.stream(key, "errors"), (num_rounds, 2))
    return ShapesNoise(points, look, _NOISE * errors)


def inside(noise: ShapesNoise) -> jax.Array:
    """[5] bool: which groups the round's point is in."""
    shape = sum((noise.look[0] > at).astype(jnp.int32) for at in _LATER_SHAPES)
    colour = 3 + (noise.look[1] > _RED).astype(jnp.int32)
    group = jnp.arange(len(SHAPES_AND_COLOURS))
    return (group == shape) | (group == colour)


def raw_label(kind: str, law: Law, noise: ShapesNoise) -> jax.Array:
    """The label before it is scaled."""
    groups = inside(noise)
    means = jnp.sum(law.weights * noise.points[:, None], axis=0)
    first = jnp.sum(jnp.where(groups[:3], means[:3], 0)) + noise.errors[0]
    second = jnp.sum(jnp.where(groups[3:], means[3:], 0)) + noise.errors[1]
    if kind == "mean":
        return (first + second) / 2
    if kind in ("min", "max"):
        return (jnp.minimum if kind == "min" else jnp.maximum)(first, second)
    places = jnp.where(groups, law.rank, 0)
    return jnp.where(jnp.sum(places[:3]) < jnp.sum(places[3:]), first, second)


class _Shapes:
    """What the recipe and the problem say to learners."""

    metric_dims = METRIC_DIMS
    groups = (*SHAPES_AND_COLOURS, "always_on")
    num_groups = len(groups)
    dimension = _POINTS + len(SHAPES_AND_COLOURS)
    feature_bound = float(np.sqrt(_POINTS + 2))


@flax.struct.dataclass
class ScaledShapes(_Shapes):
    """What `DrawnShapes` comes to: the law, with the scale of every seed's labels in a table.

    kind: as there. low, high: of the labels [R]; keys: that the seed of each row starts from.
    """

    kind: str = flax.struct.field(pytree_node=False)
    low: Any
    high: Any
    keys: Any

    def init(self, key: Key) -> DrawnShapesState:
        same = jnp.all(jnp.asarray(self.keys) == jax.random.key_data(key), axis=-1)
        row = jnp.argmax(same)
        missing = jnp.where(jnp.any(same), jnp.float32(0), jnp.nan)  # no other seed's scale
        low, high = (jnp.asarray(x)[row] + missing for x in (self.low, self.high))
        return DrawnShapesState(
            draw_law(key), low, high, no_rounds(self.num_groups, self.dimension)
        )

    def noise(self, key: Key, num_rounds: int) -> ShapesNoise:
        return draw_rounds(key, num_rounds)

    def observe(self, state, noise) -> GroupContext:
        groups = inside(noise)
        features = jnp.append(noise.points, groups.astype(jnp.float32))
        return GroupContext(features, jnp.append(groups, True))

    def step(self, state, action, noise):
        label = raw_label(self.kind, state.law, noise)
        feedback = SquaredLoss((label - state.low) / (state.high - state.low))
        seen = self.observe(state, noise)
        accounts, loss = group_accounts.settle(
            state.accounts, seen.features, seen.active, feedback, action
        )
        return state._replace(accounts=accounts), feedback, {"loss": loss}

    def evaluate(self, state, recommendation) -> dict[str, jax.Array]:
        return group_accounts.report(state.accounts)


@flax.struct.dataclass
class DrawnShapes(_Shapes):
    """The law of `grouped_data.shapes_and_colours`, a fresh data set for every seed: weights,
    points, groups and labels are all drawn anew. Metrics are those of `GroupwiseRegression`.

    Labels are scaled to [0, 1] by the smallest and largest of the seed's own rounds, as in the
    paper: they have to be known before play, so this is a recipe that `simulate` and `run` fill in.

    Args:
      kind: "mean", "min", "max" or "perm": how the labels of a point's two groups are combined.

    Raises:
      ValueError: another kind.
    """

    kind: str = flax.struct.field(pytree_node=False, default="mean")

    deterministic = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"DrawnShapes: kind is one of {', '.join(KINDS)}, got {self.kind!r}")

    def init(self, key: Key):
        raise TypeError("DrawnShapes is a recipe: simulate and run fill it in")

    step = init

    def noise(self, key: Key, num_rounds: int) -> ShapesNoise:
        return draw_rounds(key, num_rounds)

    def seeds_together(self, horizon: int) -> int:
        return 1000

    def tabulate(
        self, horizon: int, seeds: np.ndarray, root_seed: int, progress: Progress
    ) -> Table:
        """The ends of the labels of every seed, float32 [seed]."""
        group = max(1, int(_TAPE_FLOATS / (horizon * (_POINTS + 4))))
        keys, parts = environment_keys(seeds, root_seed), []
        with bar(progress, len(seeds), "labels of fresh data sets", "seeds") as update:
            for first in range(0, len(seeds), group):
                some = slice(first, first + group)
                tape = environment_tape(self, seeds[some], horizon, root_seed)
                parts.append(jax.device_get(_label_ends(keys[some], tape, kind=self.kind)))
                update(len(seeds[some]))
        low, high = (np.concatenate(x) for x in zip(*parts, strict=True))
        return {"low": low, "high": high}

    def with_table(self, table: Table, keys: np.ndarray | None) -> ScaledShapes:
        return ScaledShapes(self.kind, table["low"], table["high"], keys)


@partial(jax.jit, static_argnames="kind")
def _label_ends(words, tape, kind):
    def one(words, tape):
        law = draw_law(jax.random.wrap_key_data(words, impl="threefry2x32"))
        labels = jax.vmap(lambda noise: raw_label(kind, law, noise))(tape)
        return jnp.min(labels), jnp.max(labels)

    return jax.vmap(one)(words, tape)
