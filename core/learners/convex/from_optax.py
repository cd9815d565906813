"""The optimisers of optax as online learners."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import jax
import optax

from .rates import domain_of


class OptaxState(NamedTuple):
    point: jax.Array  # [d], to be played next
    optimiser: Any  # its own state


@flax.struct.dataclass
class FromOptax:
    """An optax optimiser as an online learner: the parameters are the point, which takes one step
    with the gradient where it was played and is then projected on the domain.

    For instance FromOptax(optax.adam(0.1)). Whatever guarantee the optimiser has without a domain,
    it keeps none here in general; FromOptax(optax.sgd(s)) is OGD(rate="fixed", step_size=s).
    Deterministic: an optimiser that draws noise by itself (`optax.noisy_sgd`) draws the same in all
    seeds. Starts at the start of the domain. Recommends the next point it would play.

    The optimiser is a static choice, and one made twice is two: learners are one compiled program,
    or members of one `stack`, only if they share the object. Results are stored under what its
    functions are made of, the numbers in them included, and are found again by an optimiser made
    anew from the same numbers. What has no description, as a schedule that is an object of a class
    of one's own, is refused by `run`: make it a function or a dataclass, or run with store=None.

    Raises:
      ValueError: something that is not an optimiser.
    """

    optimiser: Any = flax.struct.field(pytree_node=False)
    domain: Any = None

    def __post_init__(self):
        if not (hasattr(self.optimiser, "init") and hasattr(self.optimiser, "update")):
            raise ValueError(
                f"FromOptax wraps an optimiser, as FromOptax(optax.adam(0.1)): got "
                f"{self.optimiser!r}"
            )

    def init(self, key):
        start = domain_of(self).start()
        return OptaxState(start, self.optimiser.init(start))

    def noise(self, key, num_rounds):
        return ()

    def act(self, state, observation, noise):
        return state.point

    def update(self, state, observation, point, feedback):
        gradient = feedback.gradient(point)
        moves, inner = self.optimiser.update(gradient, state.optimiser, point)
        return OptaxState(domain_of(self).project(optax.apply_updates(point, moves)), inner)

    def recommend(self, state):
        return state.point
