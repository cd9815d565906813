"""Softmax, attention and losses that run anywhere: Pallas on GPUs and TPUs, XLA on CPUs.

Every function is pure, differentiable and batched by `jax.vmap`; the reference beside each is in
the tests. `regrax doctor` says what each of them runs here, and why.
"""

from . import monoids as monoids
from . import spherical as spherical
from . import stream_k as stream_k
from .alpha_star import alpha_star as alpha_star
from .attention import attention as attention
from .attention_partials import Partials as Partials
from .attention_partials import merge_attention_partials as merge_attention_partials
from .cross_entropy import softmax_cross_entropy as softmax_cross_entropy
from .decode_attention import decode_attention as decode_attention
from .decoupled_softmax import decoupled_softmax as decoupled_softmax
from .log_softmax import log_softmax as log_softmax
from .logsumexp import logsumexp as logsumexp
from .soft_topk import soft_topk as soft_topk
from .soft_topk import soft_topk_loss as soft_topk_loss
from .softmax import softmax as softmax
from .speculative import greedy_acceptance as greedy_acceptance
from .speculative import greedy_drafts as greedy_drafts
from .speculative import greedy_verify as greedy_verify
from .speculative import kseq as kseq
from .speculative import kseq_acceptance as kseq_acceptance
from .z_loss import z_loss_of_sums as z_loss_of_sums
from .z_loss import z_loss_spherical as z_loss_spherical
