"""What ships: metadata that agrees with itself, pins that fit, a wheel with just the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
ROOMS = ("benchmarks", "core", "envs", "experiments")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def package_files() -> set[str]:
    """Files of the package, as the wheel is to name them."""
    files = {"__init__.py", "py.typed"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".c", ".h") or path.parent.name == "templates":
                files.add(path.relative_to(ROOT).as_posix())
    return {f"regrax/{name}" for name in files if "__pycache__" not in name}


def test_every_folder_with_code_is_a_listed_package():
    found = {"regrax"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            found.add(".".join(["regrax", *path.relative_to(ROOT).parent.parts]))
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found
    for package in found:
        assert (ROOT / Path(*package.split(".")[1:]) / "__init__.py").is_file(), package


def test_constraints_are_plain_pins():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.+]*", line)


def test_every_requirement_is_pinned_to_a_version_it_accepts():
    extras = PROJECT["optional-dependencies"].values()
    for text in sum(extras, PROJECT["dependencies"]):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name != "regrax":
            assert requirement.specifier.contains(pins()[name]), text


def test_everything_a_requirement_brings_is_pinned():
    """Walks the installed metadata, so it sees the platform and Python it runs on."""
    waiting = [Requirement("regrax[test,dev]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name == "regrax" or name in pins(), f"{name} is missing from constraints.txt"
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for text in texts:
            wanted = Requirement(text)
            marker = wanted.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""}):
                waiting.append(wanted)


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert metadata.version("regrax") == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    """Built from the sdist, so the sdist is complete too. Needs a network for setuptools."""
    command = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        entries = {name.split("/")[-1] for name in archive.namelist()} - names
    assert names == package_files()
    assert {"LICENSE", "entry_points.txt"} <= entries
    (sdist,) = tmp_path.glob("*.tar.gz")
    listing = subprocess.run(["tar", "tzf", sdist], check=True, capture_output=True, text=True)
    for name in ("Makefile", "constraints.txt", "tools/setup.sh", "tests/conftest.py"):
        assert f"/{name}\n" in listing.stdout
