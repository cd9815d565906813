"""Learners on the simplex whose distance is the relative entropy: what they share."""

from __future__ import annotations

import math
from typing import Any

import jax

from ...domains import Simplex
from ..parameters import filled, require
from .rates import domain_of


def check_choice(learner: Any, name: str, choices: tuple[str, ...]) -> None:
    """Check a static choice, and that the entropic one comes with a Simplex.

    Raises:
      ValueError: an unknown choice, another domain, or a range that is not positive.
    """
    given, domain, kind = getattr(learner, name), learner.domain, type(learner).__name__
    if given not in choices:
        known = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{kind}: {name} is {known}, got {given!r}")
    if given == "entropic" and hasattr(domain, "project") and not isinstance(domain, Simplex):
        raise ValueError(
            f'{kind}: {name}="entropic" is for points of a Simplex, got {domain!r}; '
            f"{choices[0]!r} plays on any domain"
        )
    require(learner, "loss_range", lambda x: x > 0, "positive")


def hedge_rate(learner: Any, t: jax.Array) -> jax.Array:
    """sqrt(8 ln d / t) / range, the rate of Hedge over d coordinates: for t = T a fixed one, Cesa-
    Bianchi and Lugosi, "Prediction, learning, and games", 2006, Theorem 2.2; changing with t,
    Theorem 2.3. The range is `loss_range`, left blank sqrt(2) gradient_bound: no two coordinates
    of a gradient of length G are further apart."""
    width = learner.loss_range
    width = math.sqrt(2) * filled(learner, "gradient_bound") if width is None else width
    return math.sqrt(8 * math.log(domain_of(learner).dimension)) / width * jax.lax.rsqrt(t)
