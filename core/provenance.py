"""Where a result comes from: code, versions, machine, time."""

from __future__ import annotations

import datetime
import functools
import numbers
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from .sources import PACKAGE, ROOT, version


def collect() -> dict[str, str]:
    """Provenance of what this process makes now, as text by name.

    `git_commit` and `git_dirty` are those of the repository that holds this package; "unknown"
    for an installed copy. `time` is UTC.
    """
    commit, dirty = _git()
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        f"{PACKAGE}_version": version(PACKAGE),
        "jax_version": version("jax"),
        "jaxlib_version": version("jaxlib"),
        "numpy_version": version("numpy"),
        "python_version": platform.python_version(),
        "prng": "threefry2x32",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def merge(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Provenance of a data set that is put together from blocks: numbers add up, times become a
    span, and of anything else every value that occurs is named."""
    values: dict[str, list[Any]] = {}
    for part in parts:
        for name, value in part.items():
            values.setdefault(name, []).append(value)
    merged: dict[str, Any] = {}
    for name, found in values.items():
        distinct = sorted(set(map(str, found)))
        if isinstance(found[0], numbers.Real):
            merged[name] = float(sum(found))
        elif name == "time":
            merged[name] = " to ".join(dict.fromkeys((distinct[0], distinct[-1])))
        else:
            merged[name] = ", ".join(distinct)
    return merged


@functools.cache
def _git() -> tuple[str, str]:
    if not (ROOT / ".git").exists():
        return "unknown", "unknown"
    try:
        commit = _ask_git("rev-parse", "HEAD")
        return commit, "yes" if _ask_git("status", "--porcelain") else "no"
    except (OSError, subprocess.SubprocessError):
        return "unknown", "unknown"


def _ask_git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
