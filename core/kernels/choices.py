"""What the functions of this package would run on a platform, and why: examples for `doctor`."""

from __future__ import annotations

from typing import NamedTuple

from . import platforms
from .attention import implementation as of_attention
from .cross_entropy import implementation as of_cross_entropy
from .decode_attention import implementation as of_decode_attention
from .decoupled_softmax import implementation as of_decoupled_softmax
from .log_softmax import implementation as of_log_softmax
from .logsumexp import implementation as of_logsumexp
from .soft_topk import implementation as of_soft_topk
from .softmax import implementation as of_softmax
from .speculative import implementation as of_speculative
from .z_loss import implementation as of_z_loss

_ROWS = ((1, 2**26), (512, 2**17), (2**16, 2**10))
_KEYS = ((1, 2**16, 8, 64), (1, 2**16, 8, 128))
_EXAMPLES = (
    *(("softmax", of_softmax, shape) for shape in _ROWS),
    *(("log_softmax", of_log_softmax, shape) for shape in _ROWS[1:]),
    ("logsumexp", of_logsumexp, _ROWS[1]),
    ("softmax_cross_entropy", of_cross_entropy, _ROWS[1]),
    *(("decode_attention", of_decode_attention, shape) for shape in _KEYS),
    ("attention", of_attention, _KEYS[1]),
    ("z_loss_spherical", of_z_loss, _ROWS[1]),
    ("decoupled_softmax", of_decoupled_softmax, _ROWS[1]),
    ("soft_topk", of_soft_topk, _ROWS[1]),
    ("kseq, greedy_verify", of_speculative, (2**17,)),
)


class Choice(NamedTuple):
    function: str
    shape: tuple[int, ...]
    dtype: str
    name: str  # of the implementation
    why: str

    def __str__(self) -> str:
        return f"{self.function} of {self.dtype} {list(self.shape)}: {self.name} ({self.why})"


def choices(platform: str | None = None) -> list[Choice]:
    """One for every function, more where it depends on the shape; of the default device if no
    platform is named: "cpu", "cuda", "rocm" or "tpu". Arrays are of float32 on CPUs, else of
    bfloat16.

    Raises:
      ValueError: an unknown platform.
    """
    platform = platforms.known(platform)
    dtype = "float32" if platform == "cpu" else "bfloat16"
    return [
        Choice(function, shape, dtype, *implementation(shape, dtype, platform))
        for function, implementation, shape in _EXAMPLES
    ]
