"""Optimisers of optax as learners: against plain formulas, and their addresses in the store."""

from __future__ import annotations

import numpy as np
import optax
import pytest

from regrax.core.domains import Ball
from regrax.core.fingerprint import configuration
from regrax.core.learners.convex import OGD, FromOptax

from . import reference_convex as reference
from .games import DOMAINS, STREAMS, TOLERANCE, agree, every_game, play


class Momentum:
    """Heavy ball: m <- decay m + g, x <- projection of x - rate m."""

    def __init__(self, domain, rate, decay):
        self.domain, self.rate, self.decay = domain, rate, decay
        self.x, self.m = domain.start, np.zeros_like(domain.start)

    def point(self):
        return self.x

    def update(self, g):
        self.m = self.decay * self.m + g
        self.x = self.domain.project(self.x - self.rate * self.m)


class Adam:
    def __init__(self, domain, rate):
        self.domain, self.rate, self.x, self.t = domain, rate, domain.start, 0
        self.m, self.v = np.zeros_like(self.x), np.zeros_like(self.x)

    def point(self):
        return self.x

    def update(self, g):
        self.t += 1
        self.m, self.v = 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        self.x = self.domain.project(self.x - self.rate * m / (np.sqrt(v) + 1e-8))


@every_game
def test_optimisers_agree_with_plain_formulas(domain, stream):
    """Adam divides by a root that starts from one gradient: ten times the rounding."""
    domain = DOMAINS[domain]
    ours = reference.domain(domain)
    heavy = FromOptax(optax.sgd(0.1, momentum=0.8), domain)
    agree(heavy, Momentum(ours, 0.1, 0.8), stream, 10 * TOLERANCE)
    agree(FromOptax(optax.adam(0.1), domain), Adam(ours, 0.1), stream, 10 * TOLERANCE)


@pytest.mark.parametrize("domain", DOMAINS)
def test_plain_descent_is_gradient_descent(domain):
    losses = STREAMS["logistic"][0]
    ours = play(OGD(DOMAINS[domain], "fixed", step_size=0.2), losses).points
    theirs = play(FromOptax(optax.sgd(0.2), DOMAINS[domain]), losses).points
    np.testing.assert_allclose(theirs, ours, atol=1e-6)


def address(optimiser):
    return configuration(Ball(2), FromOptax(optimiser, Ball(2)), 10, [10], 0).address


OPTIMISERS = {
    "sgd": lambda x: optax.sgd(x),
    "momentum": lambda x: optax.sgd(0.1, momentum=x),
    "adam": lambda x: optax.adam(x),
    "chain": lambda x: optax.chain(optax.clip_by_global_norm(x), optax.scale(-0.1)),
    "schedule": lambda x: optax.sgd(optax.exponential_decay(0.1, 10, x)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_results_are_filed_under_the_optimisers_numbers(name):
    """Made twice from the same numbers, an optimiser has one address; from others, another."""
    build = OPTIMISERS[name]
    assert address(build(0.5)) == address(build(0.5)) != address(build(0.25))


class Schedule:
    def __call__(self, count):
        return 0.1


def test_what_has_no_description_is_refused():
    with pytest.raises(ValueError, match="or run with store=None"):
        address(optax.sgd(Schedule()))


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="FromOptax wraps an optimiser.*got 0.1"):
        FromOptax(0.1)
    with pytest.raises(ValueError, match="FromOptax does not know its domain"):
        FromOptax(optax.sgd(0.1)).init(None)
