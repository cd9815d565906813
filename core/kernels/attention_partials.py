"""Attention over a part of a context, and how parts add up to the whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .stream_k import Schedule


class Partials(NamedTuple):
    """Attention over some keys, not divided yet: m = max z, l = sum e^(z - m), o = sum e^(z - m) v.

    Of no key at all: (-inf, 0, 0), the neutral element. `combine` is associative and commutative,
    so a context may be cut anywhere, into parts as unequal as one likes (Sanovar et al. 2024).
    """

    m: jax.Array  # [...]
    l: jax.Array  # [...]  # noqa: E741
    o: jax.Array  # [..., D]


def merge_attention_partials(
    m: jax.Array,
    l: jax.Array,  # noqa: E741
    o: jax.Array,
    *,
    axis: int = 0,
    axis_name: Any = None,
    return_partials: bool = False,
) -> Any:
    """The attention over a whole context from that over its parts, as `decode_attention` gives it.

    Sharding: to merge parts that lie on different devices, call it inside `jax.shard_map` with the
    `axis_name` of the mesh that the context is cut along. One maximum of m and one sum of l and o
    are sent, whatever the length of the context; every device has the result.

    Args:
      m, l, o: [parts, ...], [parts, ...] and [parts, ..., D]; the parts along `axis` (not the last
        axis of o). With `axis_name` there is no axis of parts: each device holds one.
      axis_name: a name, or several.
      return_partials: whether to give (m, l, o) of the whole context, for further merging.

    Returns:
      o / l [..., D]; 0 where there was no key in any part.

    Raises:
      ValueError: shapes that do not belong together, or an axis that there is not.
    """
    m, l, o = (jnp.asarray(x) for x in (m, l, o))  # noqa: E741
    if m.shape != l.shape or o.ndim != m.ndim + 1 or o.shape[:-1] != m.shape:
        raise ValueError(
            "merge_attention_partials: m and l have one shape, o has one more axis at the end, got "
            f"m {list(m.shape)}, l {list(l.shape)} and o {list(o.shape)}"
        )
    if axis_name is not None:
        top = lax.pmax(lax.stop_gradient(m), axis_name)
        scale = _shrinkage(m, top)
        whole = Partials(
            top, lax.psum(l * scale, axis_name), lax.psum(o * scale[..., None], axis_name)
        )
    else:
        if not -m.ndim <= axis < m.ndim:
            raise ValueError(
                f"merge_attention_partials: m has {m.ndim} axes, there is no axis {axis} of parts"
            )
        axis %= m.ndim
        top = jnp.max(m, axis=axis, keepdims=True, initial=-jnp.inf)
        scale = _shrinkage(m, top)
        whole = Partials(
            jnp.squeeze(top, axis),
            jnp.sum(l * scale, axis=axis),
            jnp.sum(o * scale[..., None], axis=axis),
        )
    return whole if return_partials else divided(whole)


def combine(a: Partials, b: Partials) -> Partials:
    """Attention over the keys of both."""
    m = jnp.maximum(a.m, b.m)
    left, right = _shrinkage(a.m, m), _shrinkage(b.m, m)
    return Partials(m, a.l * left + b.l * right, a.o * left[..., None] + b.o * right[..., None])


def divided(partials: Partials) -> jax.Array:
    """o / l, and 0 over no key."""
    some = partials.l > 0
    return jnp.where(some[..., None], partials.o / jnp.where(some, partials.l, 1)[..., None], 0)


def merge_slots(plan: Schedule, whole: Partials, slots: Partials) -> Partials:
    """What every output adds up to, from what the workers of a schedule wrote down.

    whole: [N, G], [N, G], [N, G, D], good where `plan.whole`. slots: [W, 2, G] ..., good where
    `plan.owners` names an output. Anything may stand elsewhere. The order of the sum is that of
    the workers, whichever of them came first.
    """
    outputs = whole.m.shape[0]
    owners = plan.owners.reshape(-1)
    m, l, o = (x.reshape(-1, *x.shape[2:]) for x in slots)  # noqa: E741
    used = owners < outputs
    m = jnp.where(used[:, None], m, -jnp.inf)
    l = jnp.where(used[:, None], l, 0)  # noqa: E741
    o = jnp.where(used[:, None, None], o, 0)
    mine = (owners == jnp.arange(outputs)[:, None])[:, :, None]  # [N, slots, 1]
    top = jnp.max(jnp.where(mine, m, -jnp.inf), axis=1)
    share = jnp.where(mine, _shrinkage(m, top[:, None]), 0)  # [N, slots, G]
    total = jnp.sum(share * l, axis=1)
    # Slots with the heads in front: a sum over slots of [N, slots] x [slots, D] for every head.
    summed = lax.dot_general(
        share.transpose(2, 0, 1),
        o.transpose(1, 0, 2),
        (((2,), (1,)), ((0,), (0,))),
        precision=lax.Precision.HIGHEST,
    ).transpose(1, 0, 2)
    one = plan.whole[:, None]
    return Partials(
        jnp.where(one, whole.m, top),
        jnp.where(one, whole.l, total),
        jnp.where(one[..., None], whole.o, summed),
    )


def _shrinkage(m: jax.Array, top: jax.Array) -> jax.Array:
    """e^(m - top), and 0 where both are -inf."""
    return jnp.exp(m - jnp.where(top == -jnp.inf, 0, top))
