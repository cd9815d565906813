"""Online gradient descent on a network whose predictions are perturbed at random."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ... import noise as tapes
from ...protocol import Context, Key, concrete
from ..linear.ridge import shown_features
from ..parameters import filled, nonnegative, require
from .networks import (
    Weights,
    apply,
    block,
    outputs,
    played,
    random_weights,
    with_block,
)
from .regression import as_rewards, check_network, num_blocks, slope, target

PERTURBATIONS = ("none", "sampled", "expected")


class OnlineState(NamedTuple):
    weights: Weights
    start: Weights | None  # the first weights, where they are needed
    rounds: jax.Array  # [] int32
    key: Key


@flax.struct.dataclass
class OnlineNetwork:
    """Projected online gradient descent: one step a round, on the arm that was played.

    Deb, Ban, Zuo, He and Banerjee, "Contextual bandits with online neural regression", ICLR 2024,
    Algorithms 1 and 2 (in the form of our notes: the text was not at hand). A prediction is

        output(weights, x) + c m^(-1/4) sum_j (weights_j - start_j) e_j,

    averaged over `samples` draws of p signs e, with m the width of the last hidden layer; the loss
    of a round is averaged over them too. "sampled" draws signs anew every round, the same for all
    arms unless `shared` is false. "expected" takes the gradient of the expected loss instead, which
    for squared losses is the pull c^2 / sqrt(m) (weights - start), and for "kl" the same to second
    order with factor q (1 - q); predictions are then not perturbed. "none" leaves both out.

    Steps are learning_rate times the gradient of half the squared error, or of the divergence;
    with `curvature` mu, min(learning_rate, 4 / (mu t)) in round t. Then the first layer is
    projected on the ball of `radius` about its start (Frobenius), other layers each on the same,
    and the output weights on the ball of `output_radius`; None: no ball.

    Args:
      hidden, loss, of: as for `ReplayNetwork`.
      perturbation: "none", "sampled" or "expected".
      strength: c, for a perturbation. None: 0.01 sqrt(64201 / p), which is small enough to do no
        harm to a network of p weights.
      samples: draws of signs in a round.

    Raises:
      ValueError: sampled perturbations of squared losses so strong that steps must diverge: the
        first step times c^2 p / (samples sqrt(m)) is 2 or more. (Slopes of "kl" are bounded.)
    """

    num_arms: int | None = flax.struct.field(pytree_node=False, default=None)
    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    disjoint: bool | None = flax.struct.field(pytree_node=False, default=None)
    hidden: tuple[int, ...] = flax.struct.field(pytree_node=False, default=(100,))
    loss: str = flax.struct.field(pytree_node=False, default="square")
    of: str = flax.struct.field(pytree_node=False, default="losses")
    learning_rate: Any = 0.1
    curvature: Any = None
    perturbation: str = flax.struct.field(pytree_node=False, default="none")
    strength: Any = None
    samples: int = flax.struct.field(pytree_node=False, default=3)
    shared: bool = flax.struct.field(pytree_node=False, default=True)
    radius: Any = None
    output_radius: Any = None

    def __post_init__(self):
        check_network(self)
        if self.perturbation not in PERTURBATIONS:
            raise ValueError(
                f"OnlineNetwork: perturbation is one of {', '.join(map(repr, PERTURBATIONS))}, got "
                f"{self.perturbation!r}"
            )
        if not isinstance(self.samples, int) or self.samples < 1:
            raise ValueError(
                f"OnlineNetwork: samples is a whole number from one, got {self.samples!r}"
            )
        for name in ("learning_rate", "strength", "radius", "output_radius"):
            require(self, name, nonnegative, "zero or more")
        require(self, "curvature", lambda x: x > 0, "positive")
        self._check_stability()

    def init(self, key):
        first = tapes.stream(key, "weights")
        weights = random_weights(first, self.hidden, num_blocks(self), filled(self, "dimension"))
        balls = self.radius is not None or self.output_radius is not None
        keep = balls or self.perturbation != "none"
        return OnlineState(
            weights, weights if keep else None, jnp.int32(0), tapes.stream(key, "signs")
        )

    def predict(self, state, context):
        output = outputs(state.weights, Context(shown_features(self, context)))
        if self.perturbation == "sampled":
            arms = jnp.arange(1 if self.shared else filled(self, "num_arms"))
            shifts = jax.vmap(lambda arm: self._shifts(state, arm)[0])(arms)
            output = output + jnp.mean(shifts, axis=1)
        return as_rewards(self, output)

    def update(self, state, context, arm, reward):
        weights, y = state.weights, target(self, reward)
        x, index = played(context, arm)
        output, slopes = jax.value_and_grad(apply)(block(weights, index), x)
        rate = jnp.asarray(self.learning_rate, jnp.float32)
        if self.curvature is not None:
            now = (state.rounds + 1).astype(jnp.float32)
            rate = jnp.minimum(rate, 4 / (self.curvature * now))
        pull = None
        if self.perturbation == "sampled":
            shifts, signs = self._shifts(state, 0 if self.shared else arm)
            errors = slope(self.loss, output + shifts, y)  # [S]
            error = jnp.mean(errors)
            scale = self._scale() / self.samples
            pull = jax.tree.map(lambda e: scale * jnp.tensordot(errors, e, 1), signs)
        else:
            error = slope(self.loss, output, y)
            if self.perturbation == "expected":
                modulus = self._scale() ** 2
                if self.loss == "kl":
                    q = jax.nn.sigmoid(output)
                    modulus = modulus * q * (1 - q)
                pull = jax.tree.map(lambda w, a: modulus * (w - a), weights, state.start)
        descend = optax.sgd(rate)
        if pull is not None:
            weights = _moved(descend, weights, pull)
        part = block(weights, index)
        part = _moved(descend, part, jax.tree.map(lambda g: error * g, slopes))
        weights = self._projected(with_block(weights, part, index), state.start)
        return state._replace(weights=weights, rounds=state.rounds + 1)

    def _width(self) -> int:
        return self.hidden[-1]

    def _num_weights(self) -> int:
        sizes = (num_blocks(self) * filled(self, "dimension"), *self.hidden, 1)
        return sum((a + 1) * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def _strength(self) -> Any:
        if self.strength is None:
            return 0.01 * math.sqrt(64201 / self._num_weights())
        return self.strength

    def _scale(self) -> Any:
        """c m^(-1/4)."""
        return self._strength() * np.float32(self._width() ** -0.25)

    def _shifts(self, state, arm):
        """What the signs of this round add to an arm's output, [S], and the signs, [S, ...]."""
        key = tapes.stream(tapes.stream(state.key, state.rounds), arm)
        signs = _signs(key, state.weights, self.samples)
        away = jax.tree.map(jnp.subtract, state.weights, state.start)
        parts = jax.tree.map(lambda e, w: jnp.tensordot(e, w, w.ndim), signs, away)
        return self._scale() * sum(jax.tree.leaves(parts)), signs

    def _projected(self, weights, start):
        def ball(w, a, radius):
            if radius is None:
                return w
            norm = jnp.sqrt(jnp.sum(jnp.square(w - a)))
            return a + (w - a) * jnp.minimum(1, radius / jnp.maximum(norm, 1e-30))

        if start is None:
            return weights
        shared, last = dict(weights.shared), f"layer{len(self.hidden)}"
        for layer, leaves in weights.shared.items():
            if "kernel" in leaves:
                radius = self.output_radius if layer == last else self.radius
                kernel = ball(leaves["kernel"], start.shared[layer]["kernel"], radius)
                shared[layer] = leaves | {"kernel": kernel}
        return Weights(ball(weights.blocks, start.blocks, self.radius), shared)

    def _check_stability(self):
        blank = None in (self.num_arms, self.dimension, self.disjoint)
        if self.perturbation != "sampled" or self.loss != "square" or blank:
            return
        rate, strength = concrete(self.learning_rate), concrete(self._strength())
        if rate is None or strength is None:
            return
        if (slowed := concrete(self.curvature)) is not None:
            rate = np.minimum(rate, 4 / slowed)
        curvature = strength**2 * self._num_weights() / (self.samples * math.sqrt(self._width()))
        if np.any(rate * curvature >= 2):
            raise ValueError(
                f"OnlineNetwork: steps diverge when learning_rate c^2 p / (samples sqrt(m)) is 2 "
                f"or more: it is {np.max(rate * curvature):.3g}, with c = {np.max(strength):.3g} "
                f"and p = {self._num_weights():,}. Make strength or learning_rate smaller, or "
                f"samples larger"
            )


def _moved(descend, weights: Weights, slopes: Weights) -> Weights:
    moves, _ = descend.update(slopes, descend.init(weights), weights)
    return cast(Weights, optax.apply_updates(weights, moves))


def _signs(key: Key, weights: Weights, samples: int) -> Weights:
    """Independent signs +-1, [samples, ...] for every leaf: one bit each."""
    leaves, structure = jax.tree.flatten(weights)
    drawn = []
    for number, leaf in enumerate(leaves):
        count = samples * leaf.size
        words = tapes.bits(tapes.stream(key, number), (-(-count // 32),))
        ones = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
        signs = 1 - 2 * ones.reshape(-1)[:count].astype(jnp.float32)
        drawn.append(signs.reshape(samples, *leaf.shape))
    return jax.tree.unflatten(structure, drawn)
