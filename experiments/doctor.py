"""`regrax doctor`: what is installed, what it runs on, and whether stored results are sound."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..core.sources import version
from ..core.store import Store, StoreError

_LIBRARIES = (
    "jax jaxlib flax numpy scipy statsmodels xarray h5netcdf h5py matplotlib Jinja2 tqdm tyro"
).split()


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and whether that is well."""

    topic: str
    text: str
    well: bool = True


def examine(store: Path) -> list[Finding]:
    """Look at everything. Nothing is changed, and whatever goes wrong is a finding."""
    return [*_versions(), *_devices(), *_store(store)]


def as_text(findings: list[Finding]) -> str:
    """The findings as lines, the bad ones marked."""
    width = max(len(finding.topic) for finding in findings)
    return "\n".join(
        f"{'  ' if finding.well else '! '}{finding.topic.ljust(width)}  {finding.text}"
        for finding in findings
    )


def _versions() -> list[Finding]:
    missing = [name for name in _LIBRARIES if version(name) == "unknown"]
    there = [f"{name} {version(name)}" for name in _LIBRARIES if name not in missing]
    findings = [
        Finding("regrax", f"{version('regrax')}, in {Path(__file__).parents[1]}"),
        Finding("Python", f"{platform.python_version()}, {sys.executable}"),
        Finding("libraries", ", ".join(there)),
    ]
    if missing:
        findings.append(Finding("missing", f"install {' '.join(missing)}", well=False))
    return findings


def _devices() -> list[Finding]:
    try:
        import jax

        from ..core.devices import devices

        found = devices()
    except Exception as error:  # a broken driver must not end the examination
        return [Finding("devices", f"JAX does not start: {error}", well=False)]
    kinds = sorted({f"{device.platform} ({device.device_kind})" for device in found})
    cache = getattr(jax.config, "jax_compilation_cache_dir", None)
    return [
        Finding("machine", f"{platform.platform()}, {os.cpu_count()} cores"),
        Finding("devices", f"{len(found)} x {', '.join(kinds)}"),
        *_kernels(),
        Finding("XLA flags", os.environ.get("XLA_FLAGS") or "none"),
        Finding("compiled", f"programs are kept in {cache}" if cache else "programs are not kept"),
    ]


def _kernels() -> list[Finding]:
    """What every kernel would run on the default device, and why."""
    from ..core.kernels.choices import choices

    return [Finding("kernels", str(choice)) for choice in choices()]


def _store(path: Path) -> list[Finding]:
    if not path.exists():
        return [Finding("store", f"{path} does not exist yet; it is made by the first run")]
    try:
        report = Store(path).check()
    except StoreError as error:
        return [Finding("store", str(error), well=False)]
    findings = [
        Finding(
            "store",
            f"{path}: {report.verified} of {report.blocks} blocks verified, of "
            f"{report.configurations} configurations, {report.bytes / 1e6:.1f} MB",
        )
    ]
    for damaged, reason in report.damaged:
        text = f"{damaged}: {reason}; it will be set aside and its seeds run again"
        findings.append(Finding("damaged", text, well=False))
    for path_aside in report.set_aside:
        findings.append(Finding("set aside", f"{path_aside}: damaged earlier; it may be deleted"))
    if report.temporaries:
        count = len(report.temporaries)
        findings.append(Finding("unfinished", f"{count} files that are being written or were left"))
    if not os.access(path, os.W_OK):
        findings.append(Finding("store", f"{path} cannot be written to", well=False))
    free = shutil.disk_usage(path).free
    findings.append(Finding("disk", f"{free / 1e9:.1f} GB free", well=free > 1e8))
    return findings
