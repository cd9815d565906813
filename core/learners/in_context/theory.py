"""What one step of gradient descent on N examples gains, in closed form.

The law of von Oswald et al. 2023: weights N(0, s^2 I) in R^d, inputs uniform on (-a/2, a/2) in each
coordinate, labels <w, x> with normal noise of deviation sigma. With m2 = a^2 / 12 and m4 = a^4 / 80
the moments of a coordinate, a step of rate r on 1 / (2N) sum (w.x_i - y_i)^2 from zero leaves half
the expected squared error (derived; checked by simulation in the tests)

    1/2 s^2 d m2 (1 - 2 r m2 + r^2 (m4 + (d - 1) m2^2 + (N - 1) m2^2 + sigma^2 m2 / s^2) / N),

noise of the query's own label apart. It is least where r m2 = N / (N + `spread`), and then it is
1/2 s^2 d m2 spread / (N + spread).
"""

from __future__ import annotations

from typing import Any


def second_moment(input_range: Any = 1.0) -> Any:
    """Of a coordinate: a^2 / 12."""
    return input_range**2 / 12


def spread(dimension: int, input_range: Any = 1.0, sigma: Any = 0.0, weight_scale: Any = 1.0):
    """m4 / m2^2 + d - 2 + sigma^2 / (s^2 m2), in examples: how many it takes until their second
    moments, and their noise, are worth more than none."""
    own = sigma**2 / (weight_scale**2 * second_moment(input_range))
    return 144 / 80 + dimension - 2 + own


def best_rate(context: Any, dimension: int, input_range: Any = 1.0, sigma: Any = 0.0):
    """The rate of least expected loss after one step on `context` examples; weights N(0, I)."""
    wide = spread(dimension, input_range, sigma)
    return context / (context + wide) / second_moment(input_range)


def one_step_loss(
    rate: Any, context: Any, dimension: int, input_range: Any = 1.0, sigma: Any = 0.0,
    weight_scale: Any = 1.0,
) -> Any:  # fmt: skip
    """Half the expected squared error, less the noise of the query's label, after a step."""
    m2 = second_moment(input_range)
    moved = rate * m2
    share = (context + spread(dimension, input_range, sigma, weight_scale)) / context
    return weight_scale**2 * dimension * m2 / 2 * (1 - 2 * moved + moved**2 * share)
