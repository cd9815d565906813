"""What the regret is at most in expectation: the theorems with constants, as derived here.

Notation: D diameter of the domain, |g_t| <= G for the gradients g_t at the points played, F_t
L-smooth, v_t = |g_t - g_{t-1}|^2 with g_0 = 0, V = v_1 + ... + v_T; sigma^2 and Sigma^2 the sums of
sigma_t^2 from t = 1 and of Sigma_t^2 from t = 2, S the expected sum of |x_t - x_{t-1}|^2 from
t = 2. In all of them the square of a sum of four gives, for t > 1,

    E v_t <= 4 (sigma_t^2 + sigma_{t-1}^2 + Sigma_t^2 + L^2 E |x_t - x_{t-1}|^2),   v_1 <= G^2,

so E V <= W + 4 L^2 S with W = G^2 + 8 sigma^2 + 4 Sigma^2, and the part with S is paid by what a
learner gains from moving. All hold for the best fixed point in hindsight, and where F_t are only
convex in the mean, for every fixed point.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...envs.convex import SEA


class Problem(NamedTuple):
    """Constants of an environment."""

    dimension: int
    diameter: float
    gradient: float
    smoothness: float
    convexity: float  # NaN where there is none, as the next
    concavity: float
    most_variance: float  # max_t sigma_t^2
    most_variation: float  # max_t Sigma_t^2, t > 1


def problem_of(env: Any) -> Problem:
    """The two maxima are NaN where they are random, or no theorem here asks for them."""
    variance = variation = math.nan
    if isinstance(env, SEA):
        scale = 1.0 if env.loss == "linear" else float(env.curvature) ** 2
        means = np.asarray(env.means, float)
        moved = np.sum((means - np.roll(means, 1, axis=0)) ** 2, axis=1)
        variance, variation = scale * float(np.max(env.spread)) ** 2, scale * float(np.max(moved))
    convexity, concavity = env.strong_convexity, env.exp_concavity
    return Problem(
        env.dimension,
        float(env.domain.diameter),
        float(env.gradient_bound),
        float(env.smoothness),
        math.nan if convexity is None else float(convexity),
        math.nan if concavity is None else float(concavity),
        variance,
        variation,
    )


def mirror_descent(p: Problem, variance: float, variation: float) -> float:
    """OptimisticMirrorDescent, rate "convex" (Chen et al., Theorem for convex losses):

    5 sqrt(10) D^2 L + 5 sqrt(5) / 2 D G + 5 sqrt(2) D sqrt(sigma^2) + 5 D sqrt(Sigma^2).
    """
    d, g = p.diameter, p.gradient
    fixed = 5 * math.sqrt(10) * d**2 * p.smoothness + 2.5 * math.sqrt(5) * d * g
    return fixed + 5 * d * (math.sqrt(2 * variance) + math.sqrt(variation))


def regularised_leader(p: Problem, variance: float, variation: float) -> float:
    """OptimisticFTRL, rate "convex" (Sachs et al., whose constants are 6 D sqrt(sigma^2) +
    3 sqrt(2) D sqrt(Sigma^2) + O(D G + L D^2)).

    With p_t = 1 / eta_t, y_t the leader for p_t without the guess, and y'_{t+1} the next one before
    p_t grows, the sum of <g_t, x_t - u> is at most p_T D^2 plus the sum of <g_t - g_{t-1},
    x_t - y'_{t+1}> - p_t (|x_t - y_t|^2 + |y'_{t+1} - x_t|^2). Half of the squares make it v_t /
    (2 p_t), in all D^2 / 2 (p_{T+1} - p_1). The other half pays for moving: |x_{t+1} - x_t|^2 is at
    most three times the squares and |y_{t+1} - y'_{t+1}|^2, which in all costs D^2 p_T / 4, and
    p_1 S / 6 is left over. As p_{T+1} <= sqrt(p_1^2 + 2 V / D^2) + 4 G / D and p_1 = L + G / D,
    this is 5/4 p_1 D^2 + 7 D G + 7/4 sqrt(2) D sqrt(V) - p_1 S / 6, and the largest value over S of
    what it has of S is at most 3 (7/2 sqrt(2) D L)^2 / (2 p_1).
    """
    d, g, smooth = p.diameter, p.gradient, p.smoothness
    first = smooth + g / d
    moving = 1.5 * (3.5 * math.sqrt(2) * d * smooth) ** 2 / first
    spread = math.sqrt(g**2 + 8 * variance + 4 * variation)
    return 1.25 * first * d**2 + 7 * d * g + 1.75 * math.sqrt(2) * d * spread + moving


def leader_at_worst(p: Problem, horizon: int) -> float:
    """OptimisticFTRL, rate "convex", told L = G / D, whatever happens (Sachs et al.)."""
    d, g = p.diameter, p.gradient
    return 3 * math.sqrt(2) * d * g * math.sqrt(horizon) + 4 * d * g


def strongly_convex_descent(p: Problem, variance: float, variation: float) -> float:
    """OptimisticMirrorDescent, rate "strongly convex" (Chen et al., Theorem for strongly convex
    losses: of the order (sigma_max^2 + Sigma_max^2) / lambda log(...)).

    The steps 2 / (lambda t) leave lambda / 4 sum |u - xh_t|^2, which curvature pays but for
    lambda / 2 sum |x_t - xh_t|^2. So the regret is at most the sum of <g_t - g_{t-1},
    x_t - xh_{t+1}> - lambda t / 4 |x_t - xh_{t+1}|^2 - lambda (t - 2) / 4 |x_t - xh_t|^2. Half of
    the first squares make it 2 v_t / (lambda t); the rest is -lambda t / 16 |x_{t+1} - x_t|^2,
    which pays 8 L^2 / (lambda (t + 1)) |x_{t+1} - x_t|^2 once t (t + 1) >= 128 (L / lambda)^2.
    """
    return _logarithmic(p, variance, variation, 2.0, 128.0)


def strongly_convex_leader(p: Problem, variance: float, variation: float) -> float:
    """OptimisticFTRL, rate "strongly convex" (Sachs et al., with the same constants: (8 sigma_max^2
    + 4 Sigma_max^2) / lambda log T + 4 D^2 L^2 / lambda log(1 + 16 L / lambda)).

    The regret is at most the sum of <g_t - g_{t-1}, x_t - y_{t+1}> - lambda t / 2 |x_t - y_{t+1}|^2
    - lambda (t - 1) / 2 |x_t - y_t|^2, y_t being the leader without the guess. Half of the first
    squares make it v_t / (lambda t); the rest is -lambda t / 8 |x_{t+1} - x_t|^2, which pays 4 L^2
    / (lambda (t + 1)) |x_{t+1} - x_t|^2 once t (t + 1) >= 32 (L / lambda)^2.
    """
    return _logarithmic(p, variance, variation, 1.0, 32.0)


def _logarithmic(p, variance, variation, factor, late):
    """factor / lambda sum v_t / t, where moving is free once t (t + 1) >= late (L / lambda)^2.

    The terms a_t = 4 (sigma_t^2 + sigma_{t-1}^2 + Sigma_t^2) are at most a = 8 sigma_max^2 +
    4 Sigma_max^2 and add up to A = 8 sigma^2 + 4 Sigma^2 at most, so sum a_t / t is largest where
    the first A / a of them are a: a (1 + log(A / a)), the last statement of Chen et al.
    """
    most = 8 * p.most_variance + 4 * p.most_variation
    total = 8 * variance + 4 * variation
    drawn = most * (1 + math.log(max(1.0, total / most))) if most else 0.0
    early, t = 0.0, 1
    while t * (t + 1) < late * (p.smoothness / p.convexity) ** 2:
        t += 1
        early += 1 / t
    moving = 4 * (p.smoothness * p.diameter) ** 2 * early
    return factor / p.convexity * (p.gradient**2 + drawn + moving)


def newton(p: Problem, variance: float, variation: float) -> float:
    """OptimisticNewton (Chen et al., Theorem for exp-concave losses: of the order d / alpha
    log(sigma^2 + Sigma^2)).

    With h = 1 + beta G^2 / 2 and c = 1 - 1 / h, the regret is at most D^2 h / 2 + (1 + c) Q - h S /
    4, where Q is the sum of |g_t - g_{t-1}|^2 in the norm of H_t^{-1}. H_t is at least I + beta / 8
    sum_{s<=t} (g_s - g_{s-1}) (g_s - g_{s-1})', so Q <= 8 d / beta log(1 + beta V / (8 d)); then
    V <= W + 4 L^2 S, log(1 + a + b) <= log(1 + a) + log(1 + b), and the largest value over S.
    """
    d, size, g = p.diameter, p.dimension, p.gradient
    beta = min(1 / (4 * g * d), p.concavity) / 2
    h = 1 + beta * g**2 / 2
    weight = (2 - 1 / h) * 8 * size / beta
    drawn = weight * math.log1p(beta / (8 * size) * (g**2 + 8 * variance + 4 * variation))
    moving, slope = 0.0, beta * p.smoothness**2 / (2 * size)  # of S inside the logarithm
    if slope and (turn := 4 * weight * slope / h) > 1:
        moving = weight * math.log(turn) - h / 4 * (turn - 1) / slope
    return d**2 * h / 2 + drawn + moving


def two_layer(
    p: Problem, variance: float, variation: float, path: float, steps: int, horizon: int
) -> float:
    """Dynamic regret of TwoLayer with N steps against the minimisers of F_t, whose path has length
    P (Chen et al., of the order P + sqrt(1 + P) (sqrt(sigma^2) + sqrt(Sigma^2))).

    Optimistic Hedge with e = sqrt(1 + log N) costs 7/4 e D sqrt(F + V), F = 4 D^2 L^2 + 4 G^2, less
    D^2 L / (6 e) sum |p_t - p_{t-1}|_1^2, and moving costs 2 L per square of the moves; together
    that is -L S / (3 e) at most. Base learner i adds (D^2 / 2 + D P) / eta_i + eta_i V. With
    eta_i <= 1 / (24 e L) half of L S / (3 e) pays for eta_i 4 L^2 S, and the other half for
    7/2 e D L sqrt(S), up to 147/8 e^3 D^2 L.
    """
    d, g, smooth = p.diameter, p.gradient, p.smoothness
    e = math.sqrt(1 + math.log(steps))
    spread = g**2 + 8 * variance + 4 * variation
    hedge = 1.75 * e * d * math.sqrt(4 * (d * smooth) ** 2 + 4 * g**2 + spread)
    least = d / (g * math.sqrt(8 * horizon))
    small = [eta for i in range(steps) if (eta := least * 2**i) <= 1 / (24 * e * smooth)] or [
        math.nan
    ]
    base = min((d**2 / 2 + d * path) / eta + eta * spread for eta in small)
    return hedge + base + 147 / 8 * e**3 * d**2 * smooth
