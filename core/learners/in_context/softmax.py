"""Online regression by softmax attention over the rounds so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from ...kernels.decode_attention import decode_attention
from ..parameters import filled, nonnegative, require


class Tokens(NamedTuple):
    """Keys and values of the rounds so far, as `decode_attention` has them; zeros beyond."""

    keys: jax.Array  # [1, 1, T, d]: features
    values: jax.Array  # [1, 1, T, d]: the label, and zeros
    rounds: jax.Array  # [] int32


@flax.struct.dataclass
class InContextSoftmax:
    """Forecasts a label by two heads of softmax attention whose difference is a step of gradient
    descent, as their sharpness b goes to zero.

    The heads read the N examples so far with queries b x and -b x; the forecast is

        rate / (2 b) * N / (N + offset) * sum_i (p_i - q_i) y_i,      p, q = softmax(+-b <x_i, x>).

    To first order in b that is rate / (N + offset) sum_i y_i <x_i - mean, x>, the step of
    `InContext` on features without their mean; what is missing is of the order b^2. One head alone
    has no such limit (von Oswald et al., ICML 2023, use two or more; the pair is our reading).

    A round is one token, written into a cache that `kernels.decode_attention` reads; both heads
    share its keys and values. The state grows with the horizon.

    Args:
      dimension: number of features d; taken from the environment.
      rate: of the step; left blank, 1 / feature_bound^2.
      sharpness: b, positive, times 1 / feature_bound^2: at 1, scores differ by 2 at most.
      offset: zero or more, added to the number of examples.
      feature_bound: on |x|; taken from the environment.
      horizon: most rounds that can be kept; taken from the run.
    """

    dimension: int | None = flax.struct.field(pytree_node=False, default=None)
    rate: Any = None
    sharpness: Any = 0.1
    offset: Any = 0.0
    feature_bound: Any = None
    horizon: int | None = flax.struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        require(self, "rate", nonnegative, "zero or more")
        require(self, "offset", nonnegative, "zero or more")
        require(self, "sharpness", lambda x: x > 0, "positive")

    def init(self, key):
        rows = jnp.zeros((1, 1, filled(self, "horizon"), filled(self, "dimension")), jnp.float32)
        return Tokens(rows, rows, jnp.int32(0))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        safe = jnp.asarray(filled(self, "feature_bound"), jnp.float32) ** -2
        sharpness = self.sharpness * safe
        turned = sharpness * observation.features
        queries = jnp.stack([turned, -turned])[None]  # [1, 2, d]: two heads, one of keys
        lengths = state.rounds[None]
        read = decode_attention(
            queries, state.keys, state.values, lengths, scale=1.0, layout="BHSD"
        )
        # Else jax 0.11 fuses the quotients of the heads with their difference, in some batches, and
        # a seed's last bit hangs on its company.
        first, second = jax.lax.optimization_barrier((read[0, 0, 0], read[0, 1, 0]))
        rate = safe if self.rate is None else self.rate
        count = state.rounds.astype(jnp.float32)
        share = count / jnp.maximum(count + self.offset, 1)
        return rate * share * (first - second) / (2 * sharpness)

    def update(self, state, observation, prediction, feedback):
        value = jnp.zeros_like(observation.features).at[0].set(feedback.label)
        at = (0, 0, state.rounds)
        keys, values = state.keys.at[at].set(observation.features), state.values.at[at].set(value)
        return Tokens(keys, values, state.rounds + 1)

    def recommend(self, state):
        return ()
