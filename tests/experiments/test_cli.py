import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

from regrax.core.store import StoreError
from regrax.experiments import catalogue, cli, commands, trial
from regrax.experiments.catalogue import UsageError, parse_value

RUN = "run BernoulliBandit --learners ThompsonGaussian --set means=0.2,0.8 --horizon 50 --seeds 20"


def test_help_imports_nothing_heavy_beyond_the_package_itself():
    code = (
        "import sys, regrax; heavy = lambda: {m.partition('.')[0] for m in sys.modules}\n"
        "before = heavy(); from regrax.experiments.cli import main\n"
        "assert main(['--help']) == 0 and main(['run', '--help']) == 0\n"
        "print(sorted((heavy() - before) & {'jax', 'flax', 'matplotlib', 'xarray', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_help_with_examples(main, capsys, name):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out and f"regrax {name}" in out.split("examples:")[1]


def test_bare_help_and_version(main, capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert "reproduce  " in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("regrax ")


@pytest.mark.parametrize(
    "words, hint",
    [
        ("rum X", "no command 'rum': did you mean 'run'?"),
        ("run X --learner UCB1", "no option --learner: did you mean --learners?"),
        ("reproduce --scal=quick", "did you mean --scale?"),
        ("run Bernoulibandit --learners A", "no environment 'Bernoulibandit': did you mean"),
        (RUN.replace("ThompsonGaussian", "ThompsonGausian"), "did you mean 'ThompsonGaussian'?"),
        (
            "run BernoulliBandit --learners ThompsonGaussian",
            "needs means: for example --set",
        ),
        (RUN.replace("means", "meens"), "no field 'meens': did you mean 'means'?"),
        (f"{RUN} --set ThompsonGausian.x=1", "is not part of this run: did you mean"),
        (f"{RUN} --set ThompsonGaussian", "--set takes name=value"),
        (RUN.replace("0.2,0.8", "0.2,8"), "BernoulliBandit"),
        (f"{RUN} --set ThompsonGaussian.num_arms=__import__('os')", "cannot read the value"),
        (f"{RUN} --learners A=ThompsonGaussian A=ThompsonGaussian", "two learners are called 'A'"),
        ("reproduce tinny", "no paper 'tinny': did you mean 'tiny'?"),
        ("reproduce tiny/kurve", "no figure 'kurve': did you mean 'curve'?"),
        ("reproduce --max-seconds 5", "go with --until-settled"),
        ("list learner", "did you mean 'learners'?"),
        ("bench bandit", "did you mean 'bandits'?"),
    ],
)
def test_what_cannot_be_meant_ends_with_2_and_a_hint(main, capsys, words, hint):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("regrax: error: ") and error.count("\n") == 1 and hint in error


@pytest.mark.parametrize(
    "words", ["run", "run X", f"{RUN} --horizon 1.5", "reproduce --scale huge", f"{RUN} --seeds 0"]
)
def test_the_parser_ends_with_2_as_well(main, words):
    assert main(words.split()) == 2


def test_list_names_everything_with_a_line_each(main, capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "tiny/curve" in out and "ThompsonGaussian" in out and "BernoulliBandit" in out
    assert all(line.split(maxsplit=1)[1:] for line in out.splitlines() if line.startswith("  "))
    assert main(["list", "papers"]) == 0
    assert "BernoulliBandit" not in capsys.readouterr().out


def test_run_writes_what_it_says_and_the_store_serves_the_second_time(main, capsys, tmp_path):
    field = next(iter(catalogue.learners()["ThompsonGaussian"].__dataclass_fields__))
    words = f"{RUN} --set wide.{field}=2".split()
    words.insert(words.index("ThompsonGaussian"), "wide=ThompsonGaussian")
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "20 seeds, 95 % intervals" in out and "minus " in out
    assert "pulls per second on" in out and "s to compile" in out
    png, svg, nc = out.split()[-3:]
    assert (tmp_path / png).exists() and (tmp_path / svg).exists()
    data = xr.load_dataset(tmp_path / nc, engine="h5netcdf")
    assert list(data.learner.values) == ["wide", "ThompsonGaussian"]
    assert data.sizes["seed"] == 20
    assert main(words) == 0
    assert "taken from results/store" in capsys.readouterr().out


def test_an_environment_whose_table_is_made_first(main, capsys):
    words = "run Tabulated --set problem=DiagonalShifts --learners TsallisTuner --horizon 12"
    assert main([*words.split(), "--seeds", "8", "--metric", "contextual_regret"]) == 0
    assert "8 seeds, 95 % intervals" in capsys.readouterr().out


def test_numbers_may_be_written_as_people_write_them(main, monkeypatch):
    seen = []
    monkeypatch.setattr(trial, "study", lambda *a: seen.append(a))
    monkeypatch.setattr(trial, "perform", lambda *a: type("Trial", (), {"text": ""}))
    for text in ("1e3", "1_000", "1000"):
        assert main(f"run X --learners A --horizon {text}".split()) == 0
    assert {arguments[2] for arguments in seen} == {1000}


def test_reproduce_prints_the_table_and_report_makes_the_page_again(main, capsys, tmp_path):
    assert main("reproduce tiny --scale smoke".split()) == 0
    out = capsys.readouterr().out
    assert "NOT REPRODUCED" in out and "Regret a round is below" in out
    page = tmp_path / "results" / "report" / "index.html"
    page.unlink()
    assert main(["report"]) == 0 and page.exists()
    assert (tmp_path / "results" / "claims.json").exists()


def test_a_figure_that_fails_ends_with_1(main, monkeypatch, broken_paper, capsys):
    from regrax.experiments import registry

    monkeypatch.setattr(registry, "PAPERS", {"broken": broken_paper})
    assert main("reproduce broken --scale smoke".split()) == 1
    out = capsys.readouterr().out
    assert "failed: broken/no_plot, broken/no_data, broken/curve" in out and "report: " in out


def test_report_without_results_ends_with_1(main, capsys):
    assert main(["report"]) == 1
    assert "run `regrax reproduce` first" in capsys.readouterr().err


def test_doctor_sees_a_damaged_store(main, capsys, tmp_path):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "jax " in out and "devices" in out and "does not exist yet" in out
    assert "decode_attention of float32 [1, 65536, 8, 64]: blocked XLA (" in out
    assert main(RUN.split()) == 0
    assert main(["doctor"]) == 0
    assert "1 of 1 blocks verified" in capsys.readouterr().out
    (block,) = (tmp_path / "results" / "store").rglob("*.nc")
    block.write_bytes(block.read_bytes()[:-200])
    assert main(["doctor"]) == 1
    assert "! damaged" in capsys.readouterr().out


def test_bench_hands_its_options_over(main, monkeypatch):
    from regrax.benchmarks import bandits

    seen = []
    monkeypatch.setattr(bandits, "main", lambda config: seen.append(config) or 0)
    assert main("bench bandits --seeds 10 20 --repeats 3 --no-peers".split()) == 0
    assert seen[0].seeds == (10, 20) and not seen[0].peers


@pytest.mark.parametrize(
    "error, code, said",
    [
        (StoreError("the disk\nis full"), 1, "regrax: error: the disk is full\n"),
        (ValueError("too small"), 1, "regrax: error: too small\n"),
        (UsageError("not so"), 2, "regrax: error: not so\n"),
        (KeyboardInterrupt("2 blocks are safe"), 130, "interrupted. 2 blocks are safe"),
    ],
)
def test_errors_are_one_line(main, monkeypatch, capsys, error, code, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(trial, "study", fail)
    assert main(RUN.split()) == code
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
    if isinstance(error, Exception):
        monkeypatch.setenv("REGRAX_DEBUG", "1")
        with pytest.raises(type(error)):
            main(RUN.split())


def test_bugs_keep_their_traceback(main, monkeypatch):
    monkeypatch.setattr(trial, "study", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(RUN.split())


def test_warnings_are_one_line(main, monkeypatch, capsys):
    monkeypatch.setattr(trial, "study", lambda *a: warnings.warn("set aside", stacklevel=1))
    monkeypatch.setattr(trial, "perform", lambda *a: type("Trial", (), {"text": ""}))
    assert main(RUN.split()) == 0
    assert capsys.readouterr().err == "regrax: warning: set aside\n"


def test_compiled_programs_are_kept_unless_the_user_says_where(monkeypatch, tmp_path):
    import jax

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        jax.config.update(names[0], None)
        cli._keep_compiled()
        assert getattr(jax.config, names[0]) == str(tmp_path / "regrax" / "jax")
        jax.config.update(names[0], "mine")
        cli._keep_compiled()
        assert getattr(jax.config, names[0]) == "mine"
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_values_are_read_and_never_evaluated():
    np.testing.assert_array_equal(parse_value("0.1, 0.5"), [0.1, 0.5])
    np.testing.assert_array_equal(parse_value("[[1,0],[0,1]]"), np.eye(2))
    assert parse_value("1e5") == 100_000 and parse_value("-2") == -2
    assert parse_value("True") is True and parse_value("rv") == "rv"
    for text in ("__import__('os').getcwd()", "1,'a'", "[1,[2,3]]", "a b", ""):
        with pytest.raises(UsageError):
            parse_value(text)


def test_every_name_of_the_catalogue_has_a_line_and_builds_or_says_what_it_needs():
    for kind, options in (
        ("environment", catalogue.environments()),
        ("learner", catalogue.learners()),
    ):
        assert options
        for name, made in options.items():
            assert catalogue.first_line(made), name
            try:
                catalogue.build(name, options, kind, {})
            except UsageError as error:
                assert " needs " in str(error), (name, error)
