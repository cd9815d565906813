"""Attention trained on tasks: does it become the step of descent that it could be?"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...core import learners, plotting
from ...core.claims import Claim
from ...core.learners.in_context import theory
from ...core.learners.in_context.attention import Descent
from ...core.statistics import Estimate, largest, mean, ratio_of_means, split_level
from ...core.study import Study
from ...envs.regression_tasks import RegressionTasks
from ..growth import Data
from ..paper import Figure, Scale
from .steps import LAYERS, TURNED_ALIKE, D, N

SIZES: dict[Scale, tuple[int, int, int, int]] = {  # tasks a step, steps, seeds, held-out tasks
    "smoke": (16, 20, 8, 100), "quick": (256, 1200, 8, 1000), "paper": (2048, 5000, 8, 10_000),
}  # fmt: skip
ONE, TWICE = "one layer", "one layer, twice"
PLAYERS = {ONE: learners.TrainedAttention(), TWICE: learners.TrainedAttention(repeats=2)}
# (a, s) of the held-out tasks: those of training, and then others in inputs or in weights.
LAWS = ((1.0, 1.0), (0.5, 1.0), (1.5, 1.0), (2.0, 1.0), (1.0, 2.0), (1.0, 5.0))


def _studies(scale: Scale) -> list[Study]:
    batch, steps, seeds, held_out = SIZES[scale]
    best = Descent(np.array([theory.best_rate(N, D)], np.float32))
    env = RegressionTasks(D, N, batch, descent=best, tests=LAWS, held_out=held_out)
    stops = np.unique(np.rint(np.linspace(steps / 20, steps, 20)).astype(int))
    return [Study("training", {"tasks": env}, PLAYERS, steps, seeds, tuple(map(int, stops)))]


def _values(data: Data, learner: str, metric: str, law: int | None = None) -> np.ndarray:
    """[checkpoint, seed]."""
    found = data["training"][metric].isel(environment=0).sel(learner=learner)
    found = found if law is None else found.isel(law=law)
    return found.transpose("checkpoint", "seed").values.astype(float)


def _curve(ax, steps, values, slot: int, label: str) -> None:
    value, low, high = (np.asarray(x) for x in mean(values)[:3])
    look = plotting.line_style(slot)
    ax.plot(steps, value, label=label, **look)
    ax.fill_between(steps, low, high, color=look["color"], alpha=0.2, lw=0)


def _plot(data: Data):
    drawn = plotting.figure(1, 2, width=4.6, height=3.6)
    steps = data["training"].checkpoint.values
    left, right = drawn.axes
    for slot, name in enumerate(PLAYERS):
        _curve(left, steps, _values(data, name, "test_loss", 0), slot, name)
    _curve(left, steps, _values(data, ONE, "descent_loss", 0), len(PLAYERS), "best step")
    left.axhline(LAYERS[TURNED_ALIKE][2], color="0.4", lw=1, ls=":", label=TURNED_ALIKE)
    left.set(xlabel="steps of training", ylabel="loss, half the squared error",
             title="held-out tasks")  # fmt: skip
    left.set_ylim(bottom=0)
    left.legend(fontsize="small")
    for slot, (metric, label) in enumerate(
        (("cosine", "cosine of the gradients"), ("slope_distance", "distance between them"),
         ("distance", "distance between forecasts"))
    ):  # fmt: skip
        _curve(right, steps, _values(data, ONE, metric), slot, label)
    right.set(xlabel="steps of training", title="one layer, beside the best step")
    right.legend(fontsize="small")
    return drawn


def _over_descent(data: Data, level: float) -> Estimate:
    """The loss of one trained layer over that of the best step, on the same tasks."""
    ours, best = (_values(data, ONE, name, 0)[-1] for name in ("test_loss", "descent_loss"))
    return ratio_of_means(ours, best, level)


def _elsewhere(data: Data, level: float) -> Estimate:
    """The largest of these ratios over laws that it was not trained on."""
    laws = range(1, len(LAWS))
    split = split_level(level, len(laws))
    return largest(
        [
            ratio_of_means(
                _values(data, ONE, "test_loss", i)[-1], _values(data, ONE, "descent_loss", i)[-1],
                split,
            )
            for i in laws
        ]
    )._replace(level=level)  # fmt: skip


def _last(metric: str, data: Data, level: float) -> Estimate:
    return mean(_values(data, ONE, metric)[-1], level=level)


def _over_turned(data: Data, level: float) -> Estimate:
    losses = _values(data, TWICE, "test_loss", 0)[-1]
    return mean(losses, level=level).map(lambda x: x / LAYERS[TURNED_ALIKE][2])


FIGURES = (
    Figure(
        "training", "Trained attention becomes gradient descent", _studies, _plot,
        "5,000 steps of Adam at paper scale, 2,048 fresh tasks each, as in the published code. "
        "Bands are 95 % t intervals over eight initialisations and streams of tasks; held-out "
        "tasks are the same throughout. Dotted: the expected loss of the best GD++ whose two "
        "layers are alike.",
    ),
)  # fmt: skip
CLAIMS = (
    Claim(
        "trained-loss", "One trained layer loses what a step of descent at the best rate loses",
        "Figure 2; the published code ends at 0.20789, descent at 0.20735", "training",
        "ratio 1, to 3 % (ours)", _over_descent, (0.97, 1.03),
    ),
    Claim(
        "trained-aligned", "The gradients of its forecasts in the query point the same way",
        "Figure 2; 0.9993 with the published code", "training", "cosine at least 0.99, ours",
        partial(_last, "cosine"), (0.99, np.inf),
    ),
    Claim(
        "trained-near", "And are not far away", "Figure 2; 0.097 with the published code",
        "training", "distance at most 0.2, ours", partial(_last, "slope_distance"), (0.0, 0.2),
    ),
    Claim(
        "trained-elsewhere", "Inputs and weights of other sizes than in training: it stays with "
        "descent (largest ratio of losses)",
        "Section 3, out of distribution; at most 1.07 with the published code", "training",
        "at most 1.15, ours", _elsewhere, (0.0, 1.15),
    ),
    Claim(
        "trained-twice", "A layer that is trained to be gone through twice does as well as two "
        "layers of GD++ that are alike", "Section 3, Figure 3", "training",
        "ratio at most 1, to 3 % (ours)", _over_turned, (0.0, 1.03),
    ),
)  # fmt: skip
