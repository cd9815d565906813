import io
import sys

import numpy as np
import pytest
import xarray as xr

from regrax.core import plotting
from regrax.core.statistics import mean


def make(learners=3, seeds=20, environments=("easy",), checkpoints=(1, 10, 100, 1000)):
    """Regret 10 i ln(t + 1) of learner i with noise, and pulls that favour arm 2."""
    rng = np.random.default_rng(0)
    rounds = np.array(checkpoints)
    base = 10 * np.arange(1, learners + 1)[:, None, None] * np.log(rounds + 1)[:, None]
    shape = (len(environments), learners, len(rounds), seeds)
    values = base * (1 + 0.1 * rng.standard_normal(shape))
    pulls = np.zeros((*shape, 5), np.int32)
    pulls[..., 0], pulls[..., 2] = rounds[:, None] // 4, rounds[:, None] - rounds[:, None] // 4
    dims = ("environment", "learner", "checkpoint", "seed")
    return xr.Dataset(
        {"regret": (dims, values), "pulls": ((*dims, "arm"), pulls)},
        {
            "environment": list(environments),
            "learner": [f"L{i}" for i in range(learners)],
            "checkpoint": rounds,
            "seed": np.arange(seeds),
        },
    )


def text(figure):
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_regret_draws_the_mean_and_its_t_band():
    data = make()
    figure = plotting.regret(data, level=0.9)
    (ax,) = figure.axes
    line = next(x for x in ax.get_lines() if x.get_label() == "L1")
    want = mean(data.regret.sel(environment="easy", learner="L1").values, level=0.9)
    np.testing.assert_allclose(line.get_ydata(), want.value)
    band = ax.collections[1].get_paths()[0].vertices
    assert np.isclose(band[:, 1].min(), want.low.min())
    assert np.isclose(band[:, 1].max(), want.high.max())
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear"
    assert ax.get_xlabel() == "rounds" and ax.get_ylabel() == "regret"
    assert "mean of 20 seeds; bands: 90 % t intervals" in text(figure)


def test_legend_of_one_panel_is_in_the_order_of_the_last_values():
    (legend,) = plotting.regret(make()).legends
    assert [label.get_text() for label in legend.get_texts()] == ["L2", "L1", "L0"]


def test_one_seed_has_no_band_and_says_so():
    figure = plotting.regret(make(seeds=1))
    assert not figure.axes[0].collections
    assert "one seed, no bands" in text(figure)
    plotting.final(make(seeds=1))


def test_one_checkpoint_is_a_dot_with_its_interval():
    figure = plotting.regret(make(checkpoints=(500,)))
    assert len(figure.axes[0].containers) == 3
    assert "lines: 95 %" in text(figure)


def test_several_environments_get_a_panel_each():
    figure = plotting.regret(make(environments=("a", "b", "c", "d")))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b", "c", "d"]
    figure = plotting.regret(make(environments=("a", "b")), environment="b")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["b"]


def test_learners_look_the_same_in_every_panel_and_differ_from_each_other():
    looks = [str(plotting.line_style(i)) for i in range(28)]
    assert len(set(looks)) == 28
    data = make(environments=("a", "b"))
    data["regret"][0, 0] = np.nan  # in the first panel L0 is left out
    figure = plotting.regret(data)
    colours = [{x.get_label(): x.get_color() for x in ax.get_lines()} for ax in figure.axes]
    assert "L0" not in colours[0] and colours[0]["L2"] == colours[1]["L2"]
    assert "no regret for L0 in a" in text(figure)


def test_environments_without_the_metric_are_skipped_with_a_note():
    data = make(environments=("a", "b"))
    data["regret"][1] = np.nan
    figure = plotting.regret(data)
    assert len(figure.axes) == 1 and "no regret for b" in text(figure)


def test_axes_of_others_are_drawn_into_and_returned():
    mine = plotting.figure(1, 2)
    assert plotting.regret(make(), ax=mine.axes[1]) is mine
    assert not mine.axes[0].get_lines() and len(mine.axes[1].get_lines()) == 3
    with pytest.raises(ValueError, match="one ax for 2 environments"):
        plotting.regret(make(environments=("a", "b")), ax=mine.axes[0])


@pytest.mark.parametrize("log, scales", [("xy", ("log", "log")), (False, ("linear", "linear"))])
def test_log_axes(log, scales):
    ax = plotting.regret(make(), log=log).axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == scales


def test_final_has_the_smallest_on_top():
    figure = plotting.final(make())
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["L2", "L1", "L0"]
    assert "after 1,000 rounds" in ax.get_xlabel()


def test_pulls_shows_shares_without_padding():
    figure = plotting.pulls(make())
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(image, np.tile([0.25, 0, 0.75], (3, 1)))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda d: plotting.regret(d, "regrett"), "no metric 'regrett'.*did you mean 'regret'"),
        (lambda d: plotting.regret(d, environment="eazy"), "no environment.*did you mean 'easy'"),
        (lambda d: plotting.regret(d, "pulls"), "has dimensions"),
        (lambda d: plotting.regret(d, log="z"), "'', 'x', 'y' or 'xy'"),
        (lambda d: plotting.regret(d * np.nan), "all NaN.*there is"),
        (lambda d: plotting.pulls(d.drop_vars("pulls")), "no metric 'pulls'"),
        (lambda d: plotting.regret(d, level=95), "between 0 and 1"),
    ],
)
def test_errors_say_what_there_is(call, message):
    with pytest.raises(ValueError, match=message):
        call(make())


def test_save_writes_both_files_and_the_same_bytes_again(tmp_path):
    for folder in ("a", "b"):
        png, svg = plotting.save(plotting.regret(make()), tmp_path / folder / "curve")
        assert png.read_bytes()[:4] == b"\x89PNG" and b"<svg" in svg.read_bytes()
    assert svg.read_bytes() == (tmp_path / "a" / "curve.svg").read_bytes()
    assert png.read_bytes() == (tmp_path / "a" / "curve.png").read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["curve.png", "curve.svg"]


def test_notebooks_show_a_figure_and_nothing_is_left_behind():
    import matplotlib

    before, there = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    content, size = plotting.regret(make())._repr_png_()
    assert io.BytesIO(content).read(4) == b"\x89PNG" and size["width"] > 300
    assert dict(matplotlib.rcParams) == before
    assert there or "matplotlib.pyplot" not in sys.modules
