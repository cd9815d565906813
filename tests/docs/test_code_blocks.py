"""Every code block of the documentation runs, or at least is understood.

Python blocks of a page run in order, as one script, in an empty folder. In shell blocks, `make`
lines are tried with `make -n`; `regrax run`, `list` and `doctor` are run at a reduced size, the
other `regrax` commands parsed; set-up lines (git, pip, cd ...) are let through. A block after a
line `<!-- not run by the tests -->` is left alone; `<!-- the tests run this with 64 for 4096 -->`
says which number is too large for a test, and what stands for it there.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import regrax  # noqa: F401  (the package must be whole before its parts)
from regrax.experiments import cli, commands, registry
from regrax.experiments.reproduce import select

ROOT = Path(__file__).parents[2]
PAGES = [p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if p.exists()]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SKIP = "<!-- not run by the tests -->"
SMALLER = re.compile(r"<!-- the tests run this with (\w+) for (\w+) -->")
SETUP = {"git", "pip", "cd", "source", "pytest", "jupyter", "python", "python3", "sudo", "apt"}


def blocks(page, languages):
    """(number of the first line, code) of each block in one of the languages."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2].strip()
        code = match[2]
        if smaller := SMALLER.fullmatch(before):
            assert re.search(rf"\b{smaller[2]}\b", code), f"{page.name}: no {smaller[2]} in\n{code}"
            code = re.sub(rf"\b{smaller[2]}\b", smaller[1], code)
        if match[1] in languages and before != SKIP:
            yield text.count("\n", 0, match.start(2)) + 1, code


def shell_lines():
    for page in PAGES:
        for first, code in blocks(page, {"sh", "bash", "shell", "console"}):
            joined = re.sub(r"\\\n\s*", lambda m: " " * len(m[0]), code)
            for number, line in enumerate(joined.splitlines(), first):
                words = shlex.split(line.strip().removeprefix("$ "), comments=True)
                if words:
                    yield pytest.param(words, id=f"{page.name}:{number}: {shlex.join(words)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page, tmp_path):
    lines = [""] * (page.read_text(encoding="utf-8").count("\n") + 1)
    for first, code in blocks(page, {"python", "py"}):
        for offset, line in enumerate(code.splitlines()):
            lines[first - 1 + offset] = line
    if not any(lines):
        pytest.skip("no Python on this page")
    # A line of the script is the same line of the page, so that a traceback points into the page.
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", list(shell_lines()))
def test_shell_lines_are_understood(words, tmp_path, monkeypatch):
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "make":
        done = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "regrax":
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(cli, "_keep_compiled", lambda: None)
        check_regrax(rest)
    else:
        assert program in SETUP, f"what is {program!r}? If it cannot run in a test: {SKIP}"


def check_regrax(words):
    command = words[0]
    if command in ("list", "doctor") or command.startswith("-") or "--help" in words:
        assert cli.main(words) == 0
    elif command == "run":
        assert cli.main([*words, "--horizon", "100", "--seeds", "8"]) == 0
    elif command == "bench":
        tyro = pytest.importorskip("tyro")
        assert words[1] in commands.BENCHMARKS
        benchmark = importlib.import_module(f"regrax.benchmarks.{words[1]}")
        tyro.cli(benchmark.Config, args=words[2:])
    else:
        cli._check_words(words, commands.COMMANDS)
        asked = cli._parse(command, commands.COMMANDS[command], words[1:])
        if command == "reproduce":
            select(asked.papers, registry.PAPERS)
