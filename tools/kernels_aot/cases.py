"""What is compiled: for every kernel the shapes at which it may break, as data.

Only cases that a kernel is meant for. Each says what `implementation` has to choose, so a case that
falls back to XLA is a failure, not a row that looks well.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regrax.core.kernels.cross_entropy import softmax_cross_entropy
from regrax.core.kernels.decode_attention import decode_attention
from regrax.core.kernels.decode_attention import implementation as decode_implementation
from regrax.core.kernels.log_softmax import log_softmax
from regrax.core.kernels.logsumexp import implementation as sums_implementation
from regrax.core.kernels.logsumexp import logsumexp
from regrax.core.kernels.softmax import implementation as softmax_implementation
from regrax.core.kernels.softmax import softmax

F32, BF16, F16, I32 = jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32


class Case(NamedTuple):
    kernel: str
    call: Callable
    arguments: tuple[jax.ShapeDtypeStruct, ...]
    large: jax.ShapeDtypeStruct  # the array, x or keys, of which there must be no copy
    implementation: tuple[str, str]  # what the package says it takes, and why
    expected: str  # part of that name
    passes: int  # over x that XLA makes beside the kernel


def cases(platform: str) -> Iterator[Case]:
    yield from softmaxes(platform)
    yield from sums(platform)
    yield from decodes(platform)


# ---- the softmax family ----------------------------------------------------------------------

# The longest rows that are kept on the chip, up to which `softmax` reads once.
LONGEST_KEPT = {
    "cuda": {F32: 49_152, BF16: 98_304, F16: 98_304},
    "tpu": {F32: 65_536, BF16: 49_152},
}
# The shortest rows for which there is a kernel, of `softmax` and of the sums.
SHORTEST = {"cuda": 16_384 + 8, "tpu": 1024}
SHORTEST_SUMS = {"cuda": {F32: 8192, BF16: 16_384, F16: 16_384}, "tpu": {F32: 1024, BF16: 1024}}
LONG = [(64, 50_264), (4096, 128_256), (64, 2**20), (2**26,)]  # the first two end within a tile
ANYWHERE = (64, 50_257)  # rows that do not start at multiples of 16 bytes: TPUs only


def softmaxes(platform: str) -> Iterator[Case]:
    for dtype, longest in LONGEST_KEPT[platform].items():
        shapes = [(4096, SHORTEST[platform]), (4096, 32_768), (4, 32_768), (64, longest), *LONG]
        shapes += [ANYWHERE] if platform == "tpu" else []
        for shape in shapes:
            kept = shape[-1] <= longest
            x, c = struct(dtype, *shape), struct(F32, *shape[:-1], 1)
            found = softmax_implementation(shape, dtype, platform)
            plan = found, "kept" if kept else "two-pass", 0 if kept else 2
            yield Case("softmax", softmax, (x,), x, *plan)
            if shape in ((4096, 32_768), (64, 2**20)):  # a factor of any sign for every row
                yield Case("softmax, scale", scaled, (x, c), x, *plan)


def sums(platform: str) -> Iterator[Case]:
    for dtype, shortest in SHORTEST_SUMS[platform].items():
        shapes = [(4096, shortest), (4, 32_768), *LONG]
        shapes += [ANYWHERE] if platform == "tpu" else []
        for shape in shapes:
            x, labels = struct(dtype, *shape), struct(I32, *shape[:-1])
            found = sums_implementation(shape, dtype, platform)
            plan = found, "mosaic"
            yield Case("logsumexp", logsumexp, (x,), x, *plan, 0)
            yield Case("log_softmax", log_softmax, (x,), x, *plan, 2)
            yield Case("cross-entropy", softmax_cross_entropy, (x, labels), x, *plan, 0)
            yield Case("cross-entropy, grad", loss_and_gradient, (x, labels), x, *plan, 2)


def scaled(x: jax.Array, c: jax.Array) -> jax.Array:
    return softmax(x, scale=c)


def loss_and_gradient(x: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.value_and_grad(lambda x: jnp.mean(softmax_cross_entropy(x, labels)))(x)


# ---- decode attention ------------------------------------------------------------------------

SEQUENCES, KEY_HEADS, POSITIONS, PAGE = 64, 8, 4096, 512
GROUPS = (1, 4, 8)  # query heads a key head
DTYPES = {"cuda": [BF16], "tpu": [F32, BF16]}  # tensor cores do not multiply float32


def decodes(platform: str) -> Iterator[Case]:
    """Contexts of any length up to 4096, contiguous and in pages; then what is special."""
    for layout, features, group, dtype, page in itertools.product(
        ("BSHD", "BHSD", "BHDS"), (64, 128, 256), GROUPS, DTYPES[platform], (POSITIONS, PAGE)
    ):
        # With 64 numbers last, XLA would copy the cache for a TPU: it is kept BHDS there.
        if platform == "cuda" or layout == "BHDS" or features % 128 == 0:
            yield decoding(platform, layout, features, group, dtype, page)
    more = functools.partial(decoding, platform, group=4, dtype=BF16)
    yield more("BSHD", 128, page=POSITIONS, window=1000, soft_cap=30.0)
    yield more("BSHD", 128, page=1000)  # the last tile sticks out
    yield more("BSHD", 128, page=64)
    yield more("BHSD", 128, page=64)
    yield more("BHDS", 64, page=128)
    yield more("BHSD", 128, page=2**18, sequences=1)
    if platform == "cuda":
        yield decoding(platform, "BSHD", 128, 4, F16, POSITIONS)
        yield decoding(platform, "BSHD", 128, 64, BF16, POSITIONS)  # all rows of a product


def decoding(
    platform: str,
    layout: str,
    features: int,
    group: int,
    dtype: Any,
    page: int,
    sequences: int = SEQUENCES,
    **options: Any,
) -> Case:
    """A context a sequence where a page is that long, else pages of a pool that lie anywhere."""
    paged = page < 1000
    listed = POSITIONS // page if paged else 1
    sizes = {"S": page, "H": KEY_HEADS, "D": features}
    keys = struct(dtype, sequences * listed, *(sizes[axis] for axis in layout[1:]))
    q = struct(dtype, sequences, KEY_HEADS * group, features)
    lengths, table = struct(I32, sequences), struct(I32, sequences, listed)
    call = functools.partial(decode_attention, layout=layout, **options)
    found = decode_implementation(
        keys.shape, dtype, platform, heads=KEY_HEADS * group, layout=layout
    )

    def over_pages(q, k, v, lengths, table):
        return call(q, k, v, lengths, block_tables=table)

    name = " ".join(["decode", layout, f"G={group}", *(["paged"] if paged else []), *options])
    arguments = (q, keys, keys, lengths, *((table,) if paged else ()))
    return Case(name, over_pages if paged else call, arguments, keys, found, "Pallas", 0)


def struct(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def entries(x: jax.ShapeDtypeStruct) -> int:
    return math.prod(x.shape)
