"""What the benchmarks build on the spot: a C program, a virtual environment for each library."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .harness import Unavailable, last_words

FLAGS = ("-O3", "-march=native", "-pthread")


def compile_c(source: Path, directory: Path) -> tuple[Path, str]:
    """Compiles a C file with $CC, cc, gcc or clang; returns the program and the command used.

    Raises:
        Unavailable: there is no compiler, or it fails.
    """
    names = [name for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name]
    compiler = next((found for name in names if (found := shutil.which(name))), None)
    if compiler is None:
        raise Unavailable("no C compiler (set CC, or install gcc or clang)")
    program = directory / source.stem
    complaints: list[str] = []
    for flags in (FLAGS, tuple(flag for flag in FLAGS if flag != "-march=native")):
        command = [compiler, *flags, "-o", str(program), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return program, " ".join([Path(compiler).name, *flags])
        complaints = done.stderr.splitlines()
    raise Unavailable(f"{compiler} failed: {last_words(complaints)}")


def find_python(newest: tuple[int, int], oldest: tuple[int, int] = (3, 9)) -> Path:
    """A Python from `oldest` to `newest`, the newest there is: this one, on PATH, or pyenv's.

    Raises:
        Unavailable: there is none.
    """
    if oldest <= sys.version_info[:2] <= newest:
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(newest[1], oldest[1] - 1, -1):
        found = [Path(path) for path in [shutil.which(f"python3.{minor}")] if path]
        found += sorted(pyenv.glob(f"3.{minor}.*/bin/python"))
        for python in found:  # a pyenv shim may be there and still not run
            if subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0:
                return python
    raise Unavailable(f"needs Python {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}")


def make_environment(
    directory: Path, requirements: Sequence[str], newest: tuple[int, int], timeout: float = 900.0
) -> Path:
    """A virtual environment with `requirements`, made once; returns its Python.

    Raises:
        Unavailable: it cannot be made; the text is what pip or venv said.
    """
    place = directory / hashlib.sha256(repr((*requirements, newest)).encode()).hexdigest()[:12]
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = place / "installed.txt"
    if mark.exists():
        return python
    base = find_python(newest)
    shutil.rmtree(place, ignore_errors=True)
    _check([base, "-m", "venv", place], timeout)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _check([*pip, "install", "--quiet", "--retries", "2", *requirements], timeout)
    mark.write_text(_check([*pip, "freeze"], timeout))
    return python


def _check(command: Sequence[str | Path], timeout: float) -> str:
    """Standard output of a command. Raises Unavailable when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(words[1:4])}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(last_words([*done.stdout.splitlines(), *done.stderr.splitlines()]))
    return done.stdout
