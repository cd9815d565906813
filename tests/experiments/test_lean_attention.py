"""Lean Attention: what the figures count, against plain Python; claims on known numbers."""

import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from regrax.core import claims, noise, plotting
from regrax.core.kernels import stream_k
from regrax.core.study import run
from regrax.experiments import lean_attention as paper
from regrax.experiments.lean_schedules import CutContexts, DecodeBatches
from regrax.experiments.paper import SCALES

CLAIM = {claim.name: claim for claim in paper.CLAIMS}


@pytest.fixture(scope="module")
def smoke():
    """Results of every figure at the smallest scale."""
    return {
        figure.name: {
            study.name: run(study, store=None, progress=False) for study in figure.studies("smoke")
        }
        for figure in paper.FIGURES
    }


@pytest.mark.parametrize("figure", paper.FIGURES, ids=lambda figure: figure.name)
def test_a_figure_for_real(smoke, figure):
    data = smoke[figure.name]
    with plotting.style():
        figure.plot(data).savefig(io.BytesIO(), dpi=20)
    for claim in paper.PAPER.claims_of(figure):
        estimate = claims.judge(claim, data).estimate
        assert all(math.isfinite(part) for part in estimate[:3]), claim.name


@pytest.mark.parametrize("scale", SCALES)
def test_studies(scale):
    for figure in paper.FIGURES:
        (study,) = figure.studies(scale)
        assert study.horizon == 1 and study.seeds >= 2
    contexts = {int(name.split(", ")[1]) for name in paper.context_studies(scale)[0].environments}
    assert min(contexts) == 2**10 and max(contexts) >= 2**16
    if scale == "paper":
        assert max(contexts) == 2**19 and len(paper.SIZES[scale].outputs) == 4 * 108


step = jax.jit(lambda env, u: env.step((), 0, u)[2])


def counted(context, shortest, heads, outputs, seed=0):
    env = DecodeBatches(context, shortest, heads, outputs, most=60, workers=9, tile=16)
    uniforms = noise.uniform(noise.root(seed), (60,))
    return env, {name: int(x) for name, x in step(env, uniforms).items()}, np.asarray(uniforms)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("heads", "outputs"), [(2, 6), (3, 9), (1, 40)])
def test_a_ragged_batch(heads, outputs, seed):
    """Lengths, tiles and makespans of three schedules, one output after another."""
    context, shortest, workers, tile = 500, 0.1, 9, 16
    env, found, uniforms = counted(context, shortest, heads, outputs, seed)
    share = np.float32(shortest) + np.float32(1 - shortest) * uniforms[np.arange(60) // heads]
    lengths = np.ceil(share * np.float32(context))[:outputs].astype(int)
    tiles = [-(-n // tile) for n in lengths]
    np.testing.assert_array_equal(env.tile_counts(uniforms)[:outputs], tiles)
    assert found["tiles"] == sum(tiles) and found["lean"] == -(-sum(tiles) // workers)

    def queue(jobs):
        free_at = [0] * workers
        for job in jobs:
            free_at[free_at.index(min(free_at))] += job
        return max(free_at)

    assert found["per_head"] == queue(tiles)
    splits = found["splits"]
    assert splits == int(stream_k.wave_splits(outputs, workers, max(tiles), workers))
    parts = [[min(-(-n // splits), max(0, n - i * -(-n // splits))) for i in range(splits)]
             for n in tiles]  # fmt: skip
    assert found["fixed"] == queue([job for row in parts for job in row])
    assert found["fixed_slots"] == (outputs * splits if splits > 1 else 0)
    plan = stream_k.schedule(jnp.array(tiles, jnp.int32), workers)
    assert found["lean_slots"] == int(np.sum(np.asarray(plan.owners) < outputs))


def test_equal_contexts_in_closed_form(smoke):
    """Makespans of n outputs of t tiles: t ceil(n / W) one an output, n t / W rounded up lean."""
    for name in paper.environments(smoke["contexts"], "contexts"):
        batch, context = name.split(", ")
        n, t = paper.BATCHES[batch], -(-int(context) // 256)
        values = {
            x: paper.metric(smoke["contexts"], "contexts", name, x)
            for x in ("lean", "per_head", "fixed", "splits")
        }
        assert np.all(values["per_head"] == t * -(-n // 108))
        assert np.all(values["lean"] == -(-n * t // 108))
        part = -(-t // int(values["splits"][0]))
        if t % part == 0:  # equal jobs go out in waves
            assert np.all(values["fixed"] == part * -(-n * (t // part) // 108))


def test_cuts_add_up():
    """Errors of a few float32 units, and none larger than those of the sum of 256 terms."""
    env = CutContexts(scale=0.125, keys=256)
    draws = jax.tree.map(lambda x: x[0], env.noise(noise.root(0), 1))
    found = jax.jit(lambda u: env.step((), 0, u)[2])(draws)
    for error in found.values():
        assert 0 < float(error) < 64 * np.finfo(np.float32).eps


def invented(study, values):
    """{study: data} with metrics {name: {environment: [seed]}}."""
    names = list(next(iter(values.values())))
    dims = ("environment", "learner", "checkpoint", "seed")
    arrays = {
        metric: (dims, np.array([rows[name] for name in names], float)[:, None, None])
        for metric, rows in values.items()
    }
    return {study: xr.Dataset(arrays, {"environment": names, "learner": ["none"]})}


def test_gains_over_the_number_of_outputs():
    rows = {
        "lean": {"1": [4, 4], "20": [2, 2], "100": [10, 10]},
        "fixed": {"1": [4, 4], "20": [5, 5], "100": [12, 12]},
        "per_head": {"1": [40, 40], "20": [18, 18], "100": [11, 11]},
    }
    data = invented("outputs", rows)
    assert paper.largest_gain("fixed", data, 0.95).value == 2.5
    assert paper.mean_gain("fixed", data, 0.95).value == pytest.approx((1 + 2.5 + 1.2) / 3)
    assert paper.outputs_with_gain(8.33, data, 0.95).value == 20
    assert claims.judge(CLAIM["best-over-flash-decoding"], data).verdict == "REPRODUCED"
    assert claims.judge(CLAIM["average-over-flash-decoding"], data).verdict == "NOT REPRODUCED"


def test_occupancy_and_merging():
    names = {"8 outputs, 1024": [1, 1], "8 outputs, 65536": [19, 19]}
    tiles = {"8 outputs, 1024": [32, 32], "8 outputs, 65536": [2048, 2048]}
    slots = {"8 outputs, 1024": [9, 9], "8 outputs, 65536": [108, 108]}
    data = invented("contexts", {"lean": names, "tiles": tiles, "lean_slots": slots})
    assert paper.occupancy(0, data, 0.95).value == pytest.approx(32 / 108)
    assert paper.occupancy(2**16, data, 0.95).value == pytest.approx(2048 / (19 * 108))
    share = 108 * 2 * 66 * 4 / (2048 * 256 * 64 * 2 * 2)
    assert paper.merging(data, 0.95).value == pytest.approx(share)


def test_ragged_gains_are_paired():
    rng = np.random.default_rng(0)
    lean = rng.uniform(1, 2, 50)
    data = invented(
        "ragged",
        {"lean": {"1.0": lean, "0.01": lean}, "fixed": {"1.0": 1.2 * lean, "0.01": 1.5 * lean}},
    )
    found = paper.more_when_ragged(data, 0.99)
    assert found.value == pytest.approx(0.3) and found.high - found.low < 1e-9
