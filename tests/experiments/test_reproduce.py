import json
import math
import time

import pytest
import xarray as xr

from regrax.core.store import StoreError
from regrax.experiments import records
from regrax.experiments.paper import Figure, Paper
from regrax.experiments.reproduce import Options, make, reproduce, select


def test_select_by_paper_and_figure_with_hints(paper, broken_paper):
    papers = {p.name: p for p in (paper, broken_paper)}
    assert [s.paper.name for s in select([], papers)] == ["tiny", "broken"]
    (one,) = select(["broken/curve", "broken/no_plot"], papers)
    assert [f.name for f in one.figures] == ["no_plot", "curve"]
    with pytest.raises(ValueError, match="no paper 'tinny': did you mean 'tiny'"):
        select(["tinny"], papers)
    with pytest.raises(ValueError, match="no figure 'curv': did you mean 'curve'"):
        select(["tiny/curv"], papers)


def test_a_paper_ends_in_files_records_and_verdicts(paper, tmp_path):
    said = []
    options = Options("smoke", output=tmp_path)
    (outcome,) = reproduce(select([], {"tiny": paper}), options, said.append)
    assert outcome.errors == []
    verdicts = {r.claim.name: str(r.verdict) for r in outcome.results}
    assert verdicts["holds"] == "REPRODUCED" and verdicts["fails"] == "NOT REPRODUCED"
    folder = tmp_path / "tiny"
    names = {"curve.png", "curve.svg", "curve.nc", "curve.json"}
    assert {path.name for path in folder.iterdir()} == names
    with xr.open_dataset(folder / "curve.nc", group="one", engine="h5netcdf") as data:
        assert data.regret.dims == ("environment", "learner", "checkpoint", "seed")
        assert data.sizes["seed"] == 16
    record = json.loads((folder / "curve.json").read_text())
    assert record["scale"] == "smoke" and record["seeds"] == [16]
    assert record["command"] == f"regrax reproduce tiny/curve --scale smoke --output {tmp_path}"
    assert record["provenance"]["jax_version"] and record["claims"][0]["name"] == "holds"
    # Every claim of the paper has its share of alpha, and a look at 16 seeds its share of that.
    assert math.isclose(outcome.results[0].level, 1 - 0.05 / 3 * 6 / (math.pi * 4) ** 2)
    assert "A curve" in said[0] and "1 reproduced" in said[1]


def test_the_store_spares_a_second_run(paper, tmp_path):
    options = Options("smoke", output=tmp_path)
    make(paper, paper.figures[0], options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.nc")}
    make(paper, paper.figures[0], options)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.nc")}
    assert before and after == before


def test_until_settled_doubles_the_seeds_of_open_claims(paper, tmp_path):
    options = Options("smoke", until_settled=True, max_seeds=64, output=tmp_path)
    outcome = make(paper, paper.figures[0], options)
    seeds = {r.claim.name: r.seeds for r in outcome.results}
    assert seeds["holds"] == 16
    record = records.load(tmp_path)[0]
    assert record["seeds"] == [max(seeds.values())]
    assert f"--seeds {max(seeds.values())}" in record["command"]
    late = make(paper, paper.figures[0], options, deadline=time.monotonic() - 1)
    assert {r.seeds for r in late.results} == {16}


def test_seeds_overrule_the_studies(paper, tmp_path):
    outcome = make(paper, paper.figures[0], Options("smoke", seeds=8, output=tmp_path))
    assert {r.seeds for r in outcome.results} == {8}


def test_what_fails_does_not_stop_the_rest(broken_paper, tmp_path):
    options = Options("smoke", output=tmp_path)
    no_plot, no_data, curve = reproduce(select([], {"broken": broken_paper}), options, lambda s: 0)
    assert "RuntimeError: no picture today (conftest.py:" in no_plot.errors[0]
    assert (tmp_path / "broken" / "no_plot.nc").exists()
    assert "needs studies with different names" in no_data.errors[0]
    assert "claim 'odd': its estimator raised KeyError" in curve.errors[0]
    assert [r.claim.name for r in curve.results] == ["holds", "fails", "open"]
    loaded = records.load(tmp_path)
    assert [r["figure"]["name"] for r in loaded] == ["no_plot", "no_data", "curve"]


def test_a_store_that_cannot_be_written_ends_everything(paper, tmp_path):
    (tmp_path / "store").write_text("a file in the way")
    with pytest.raises(StoreError, match="store"):
        reproduce(select([], {"tiny": paper}), Options("smoke", output=tmp_path), lambda s: 0)


def test_records_that_are_none_are_left_out_with_a_warning(paper, tmp_path):
    make(paper, paper.figures[0], Options("smoke", output=tmp_path))
    (tmp_path / "tiny" / "other.json").write_text("{")
    with pytest.warns(UserWarning, match="other.json is left out"):
        assert len(records.load(tmp_path)) == 1
    (tmp_path / "tiny" / "other.json").unlink()
    gone = Paper(paper.name, paper.title, paper.reference, paper.summary, (), ())
    assert records.load(tmp_path, {"tiny": gone}) == []


def test_papers_are_checked(paper):
    figure, claim = paper.figures[0], paper.claims[0]
    with pytest.raises(ValueError, match="several figures called"):
        Paper("p", "", "", "", (figure, figure), ())
    with pytest.raises(ValueError, match="about figure 'curve', but its figures are"):
        Paper("p", "", "", "", (), (claim,))
    with pytest.raises(ValueError, match="keep that folder"):
        Paper("store", "", "", "", (), ())
    with pytest.raises(ValueError, match="also a file name"):
        Figure("../up", "", lambda s: [], figure.plot)
