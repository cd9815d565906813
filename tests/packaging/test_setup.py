"""The set-up behind `make`: what it says when it cannot, and that it never trusts half a set-up.

No package is installed here: `python3` is a shell script that answers what setup.sh asks it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("python3", "python3.13", "python3.12", "python3.11")

# $LOG, $PIP and $SETUP_PID come from the test through the environment.
FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >>"$LOG"
case "$*" in
  *"< (3, 11)"*) exit {old} ;;
  *version_info*) echo {version} ;;
  *ensurepip*) exit {no_venv} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip "*) eval "$PIP" ;;
esac
"""


class Checkout:
    """A copy of what setup.sh reads, and a PATH on which every Python is a fake."""

    def __init__(self, root: Path):
        self.root, self.fakes, self.log = root / "checkout", root / "fakes", root / "log"
        (self.root / "tools").mkdir(parents=True)
        self.fakes.mkdir()
        shutil.copy(ROOT / "tools/setup.sh", self.root / "tools")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.root)
        for name in NAMES:
            self.python(name, None)

    def python(self, name: str, version: str | None, no_venv: int = 0) -> Path:
        """Put a Python on the PATH; without a version, one that does not start."""
        path = self.fakes / name
        if version is None:
            text = "#!/bin/sh\nexit 127\n"
        else:
            old = int(tuple(map(int, version.split("."))) < (3, 11))
            text = FAKE.format(old=old, version=version, no_venv=no_venv)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def setup(self, kind: str = "run", pip: str = "true", **env: str):
        """Run setup.sh; `.calls` of the result are the pip and venv calls it made."""
        self.log.write_text("")
        path = f"{self.fakes}{os.pathsep}{os.environ['PATH']}"
        clean = {k: v for k, v in os.environ.items() if k not in ("VENV", "PYTHON")}
        done = subprocess.run(
            ["sh", "tools/setup.sh", kind],
            cwd=self.root,
            env=clean | {"PATH": path, "LOG": str(self.log), "PIP": pip} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        done.calls = [line for line in self.log.read_text().splitlines() if " -m " in line]
        return done


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_old_python_is_named_and_so_is_the_way_out(checkout):
    checkout.python("python3", "3.9.18")
    done = checkout.setup()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "python3 is 3.9.18" in done.stderr and "python3.13 does not start" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_a_later_candidate_serves_when_the_first_is_too_old(checkout):
    checkout.python("python3", "3.9.18")
    checkout.python("python3.12", "3.12.1")
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert done.calls[0] == "python3.12 -m venv .venv"


def test_the_python_asked_for_is_used_or_refused(checkout):
    checkout.python("python3", "3.11.7")
    other = checkout.python("my python", "3.13.0")
    done = checkout.setup(PYTHON=str(other))
    assert done.returncode == 0, done.stderr
    assert done.calls[0] == "my python -m venv .venv"
    old = checkout.python("old", "3.10.0")
    done = checkout.setup(PYTHON=str(old))
    assert done.returncode == 1 and "old is 3.10.0" in done.stderr
    assert checkout.setup().calls == []  # the refusal left the environment as it was


def test_another_python_makes_the_environment_again(checkout):
    checkout.python("python3", "3.11.7")
    other = checkout.python("python3.13", "3.13.0")
    assert checkout.setup().returncode == 0
    assert checkout.setup(PYTHON=str(other)).calls[0] == "python3.13 -m venv .venv"
    assert checkout.setup(PYTHON=str(other)).calls == []


def test_missing_venv_module_names_the_package(checkout):
    checkout.python("python3", "3.12.3", no_venv=1)
    done = checkout.setup()
    assert done.returncode == 1
    assert "without the venv module" in done.stderr and "python3.12-venv" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_failing_pip_is_said_and_the_next_run_begins_again(checkout):
    checkout.python("python3", "3.11.7")
    done = checkout.setup(pip="echo 'no route to host' >&2; exit 1")
    assert done.returncode == 1
    assert "no route to host" in done.stderr and "Is the network there?" in done.stderr
    done = checkout.setup()
    assert done.returncode == 0
    assert [call.split()[2] for call in done.calls] == ["venv", "pip"]


def test_second_runs_skip_the_set_up(checkout):
    checkout.python("python3", "3.11.7")
    for kind, pips in (("run", 1), ("run", 0), ("dev", 1), ("dev", 0), ("run", 0)):
        done = checkout.setup(kind)
        assert done.returncode == 0, done.stderr
        assert sum("-m pip" in call for call in done.calls) == pips
        assert bool(done.stdout) == bool(pips)
        target = "." if kind == "run" else ".[test,dev]"
        assert all(call.endswith(f"--editable {target}") for call in done.calls if "pip" in call)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_an_edit_installs_again_into_the_same_environment(checkout, name):
    checkout.python("python3", "3.11.7")
    checkout.setup()
    with open(checkout.root / name, "a") as file:
        file.write("# edited\n")
    assert [call.split()[2] for call in checkout.setup().calls] == ["pip"]
    assert checkout.setup().calls == []


def test_interrupted_set_up_is_not_taken_for_a_complete_one(checkout):
    checkout.python("python3", "3.11.7")
    assert checkout.setup(pip="kill -TERM $PPID; exit 1").returncode == 130
    done = checkout.setup()
    assert [call.split()[2] for call in done.calls] == ["venv", "pip"]
    # The same when something complete was there before.
    assert checkout.setup("dev", pip="kill -TERM $PPID; exit 1").returncode == 130
    done = checkout.setup()
    assert [call.split()[2] for call in done.calls] == ["venv", "pip"]


def test_without_a_network_what_was_complete_stays(checkout):
    checkout.python("python3", "3.11.7")
    checkout.setup("run")
    assert checkout.setup("dev", pip="exit 1").returncode == 1
    assert checkout.setup("run").calls == []


def test_moved_checkout_gets_a_new_environment(checkout):
    checkout.python("python3", "3.11.7")
    checkout.setup()
    checkout.root = checkout.root.rename(checkout.root.parent / "elsewhere, with spaces")
    done = checkout.setup()
    assert [call.split()[2] for call in done.calls] == ["venv", "pip"], done.stderr
    assert (checkout.root / ".venv/src/regrax/pyproject.toml").is_file()


def test_an_environment_made_by_hand_is_left_alone(checkout):
    checkout.python("python3", "3.11.7")
    mine = checkout.root / ".venv/mine"
    mine.parent.mkdir()
    mine.touch()
    done = checkout.setup()
    assert done.returncode == 1 and "left alone" in done.stderr
    assert mine.exists()
    assert checkout.setup(VENV=".venv-regrax").returncode == 0


def test_two_set_ups_at_once_take_turns(checkout):
    checkout.python("python3", "3.11.7")
    other = subprocess.Popen(["sleep", "0.5"])
    threading.Thread(target=other.wait).start()  # so that it does not stay as a zombie
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv/.regrax-unfinished").write_text(str(other.pid))
    done = checkout.setup()
    assert f"process {other.pid} is setting .venv up" in done.stdout
    assert done.returncode == 0


def make(*arguments: str) -> str:
    """What make prints, free of the settings of a make that runs these tests."""
    settings = ("MAKEFLAGS", "MFLAGS", "VENV", "PYTHON", "PAPER", "SCALE", "ARGS")
    clean = {k: v for k, v in os.environ.items() if k not in settings}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    ).stdout


def test_make_alone_explains_itself():
    for target in ("reproduce", "test", "lint", "bench", "dist", "clean"):
        assert f"make {target}" in make()


def test_make_reproduce_passes_its_choices_on():
    assert make("-n", "reproduce").split()[-4:] == [
        ".venv/bin/regrax",
        "reproduce",
        "--scale",
        "quick",
    ]
    choices = ("PAPER=a_paper/figure_1", "SCALE=smoke", "ARGS=--until-settled")
    assert make("-n", "reproduce", *choices).split()[-5:] == [
        "reproduce",
        "a_paper/figure_1",
        "--scale",
        "smoke",
        "--until-settled",
    ]
