"""Results on disk: blocks of seeds, filed under the address of what determines their numbers.

    store/BernoulliBandit-UCB1-0f3a.../0000000-0001000.nc     seeds 0 to 999
                                       0001000-0010000.nc     seeds 1,000 to 9,999

A block is a NetCDF file with its provenance in its attributes. It is written under a temporary
name and renamed, so that a file is there whole or not at all, and several processes may share a
store: at worst both compute a block and write the same numbers. The SHA-256 of all its bytes
stands at the end of the file, where NetCDF readers do not look; it is checked before anything
else is read. A block that does not verify is renamed, never used and never deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import xarray as xr

from .fingerprint import Configuration

_SEAL = b"\nregrax sha256 "  # followed by 64 hexadecimal digits, the last bytes of a file
_BLOCK = re.compile(r"(\d{7,10})-(\d{7,10})\.nc")
_TEMPORARY = re.compile(r"\.\d{7,10}-\d{7,10}\.nc\.[0-9a-f]{32}\.tmp|\.probe\.[0-9a-f]{32}\.tmp")
_STALE = 24 * 3600.0  # seconds after which a temporary file has lost its process
_TEXT = 1 << 15  # characters of the configuration kept with a block; HDF5 allows 64 KiB


class StoreError(RuntimeError):
    """The store cannot be written or read; the message says where, why, and what to do."""


class _Damaged(Exception):
    """A file is not the block it should be."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Health of a store."""

    path: Path
    configurations: int
    blocks: int  # files, damaged ones included
    bytes: int
    damaged: tuple[tuple[Path, str], ...]  # blocks that do not verify, and why
    set_aside: tuple[Path, ...]  # files found damaged earlier, kept under another name
    temporaries: tuple[Path, ...]  # files that processes are writing, or died over

    @property
    def verified(self) -> int:
        """Number of blocks that are what they should be."""
        return self.blocks - len(self.damaged)


class Store:
    """A directory of results; it is made when something is first written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def load(
        self, configuration: Configuration, seeds: range
    ) -> tuple[list[xr.Dataset], list[range]]:
        """What is stored of a range of seeds, and the ranges that are missing.

        Blocks are cut to `seeds`; together with the missing ranges they cover it exactly. What
        does not verify is set aside with a warning, and missing.

        Raises:
          StoreError: a directory or file cannot be read.
        """
        found, missing = [], [seeds]
        for path, stored in self._blocks(configuration):
            useful = [part for gap in missing if (part := _overlap(gap, stored))]
            if not useful:
                continue
            block = self._verified(path, configuration, stored)
            if block is None:
                continue
            found += [_cut(block, part) for part in useful]
            missing = subtract(missing, stored)
        return found, missing

    def save(
        self, configuration: Configuration, block: xr.Dataset, provenance: Mapping[str, Any]
    ) -> Path:
        """Write a block of consecutive seeds, whole or not at all.

        Args:
          block: variables over (checkpoint, seed, ...) with both as coordinates.

        Raises:
          StoreError: the disk is full, or the store cannot be written to.
        """
        first, last = int(block.seed[0]), int(block.seed[-1])
        path = self._directory(configuration) / f"{first:07}-{last + 1:07}.nc"
        attributes = {
            **provenance,
            "address": configuration.address,
            "checksum": checksum(block),
            "configuration": configuration.text[:_TEXT],
        }
        content = _encode(block.assign_attrs(attributes))
        with _explained(path, len(content)):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(path.parent)
            _write_atomically(path, content)
        return path

    def prepare(self, configuration: Configuration) -> None:
        """Make sure, before anything is computed, that results can be written.

        Raises:
          StoreError: they cannot.
        """
        directory = self._directory(configuration)
        with _explained(directory, 0):
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / f".probe.{uuid.uuid4().hex}.tmp"
            probe.touch()
            probe.unlink()

    def check(self) -> Report:
        """Verify every block; nothing is changed.

        Raises:
          StoreError: a directory or file cannot be read.
        """
        blocks, size, damaged, aside, temporaries = 0, 0, [], [], []
        with _explained(self.path, 0):
            directories = [p for p in sorted(self.path.glob("*")) if p.is_dir()]
            for path in (p for directory in directories for p in sorted(directory.iterdir())):
                if _TEMPORARY.fullmatch(path.name):
                    temporaries.append(path)
                elif re.search(r"\.damaged-\d+$", path.name):
                    aside.append(path)
                elif match := _BLOCK.fullmatch(path.name):
                    blocks += 1
                    size += path.stat().st_size
                    try:
                        _check_block(_decode(path.read_bytes()), None, _seeds(match))
                    except _Damaged as reason:
                        damaged.append((path, str(reason)))
        return Report(
            self.path,
            len(directories),
            blocks,
            size,
            tuple(damaged),
            tuple(aside),
            tuple(temporaries),
        )

    def _directory(self, configuration: Configuration) -> Path:
        return self.path / configuration.label

    def _blocks(self, configuration: Configuration) -> list[tuple[Path, range]]:
        """Files of a configuration with the seeds that their names promise, longest first."""
        directory = self._directory(configuration)
        with _explained(directory, 0), contextlib.suppress(FileNotFoundError):
            named = [(path, _BLOCK.fullmatch(path.name)) for path in directory.iterdir()]
            blocks = [(path, _seeds(match)) for path, match in named if match]
            return sorted(blocks, key=lambda block: (-len(block[1]), block[1].start))
        return []

    def _verified(
        self, path: Path, configuration: Configuration, seeds: range
    ) -> xr.Dataset | None:
        with _explained(path, 0):
            try:
                with open(path, "rb") as file:
                    content, identity = file.read(), os.fstat(file.fileno()).st_ino
            except FileNotFoundError:  # another process has just set it aside
                return None
        try:
            block = _decode(content)
            _check_block(block, configuration, seeds)
            return block
        except _Damaged as reason:
            with _explained(path, 0):
                _set_aside(path, identity, str(reason))
            return None


def subtract(ranges: Iterable[range], taken: range) -> list[range]:
    """What is left of ranges of step 1 without the numbers in `taken`."""
    left = []
    for whole in ranges:
        before = range(whole.start, min(whole.stop, taken.start))
        after = range(max(whole.start, taken.stop), whole.stop)
        left += [part for part in (before, after) if part] if _overlap(whole, taken) else [whole]
    return left


def checksum(block: xr.Dataset) -> str:
    """SHA-256 of names, dimensions, dtypes, shapes and bytes of all variables and coordinates."""
    digest = hashlib.sha256()
    for name in sorted(map(str, block.variables)):
        variable = block.variables[name]
        array = np.ascontiguousarray(variable.values)
        digest.update(json.dumps([name, variable.dims, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _seeds(match: re.Match[str]) -> range:
    return range(int(match[1]), int(match[2]))


def _overlap(a: range, b: range) -> range:
    return range(max(a.start, b.start), min(a.stop, b.stop))


def _cut(block: xr.Dataset, seeds: range) -> xr.Dataset:
    first = int(block.seed[0])
    return block.isel(seed=slice(seeds.start - first, seeds.stop - first))


def _encode(block: xr.Dataset) -> bytes:
    compressed = {"zlib": True, "complevel": 1, "shuffle": True, "_FillValue": None}
    plain = {"_FillValue": None}
    encoding = {
        name: compressed if variable.size else plain for name, variable in block.data_vars.items()
    }
    encoding |= {name: plain for name in block.coords}
    content = bytes(block.to_netcdf(engine="h5netcdf", encoding=encoding))
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def _decode(content: bytes) -> xr.Dataset:
    content, seal = content[: -len(_SEAL) - 64], content[-len(_SEAL) - 64 :]
    if not seal.startswith(_SEAL):
        raise _Damaged("it is cut short, or was not written by regrax")
    if seal != _SEAL + hashlib.sha256(content).hexdigest().encode():
        raise _Damaged("its bytes have changed since they were written")
    try:
        return xr.load_dataset(io.BytesIO(content), engine="h5netcdf")
    except Exception as error:  # whatever the many layers below raise, the file is no use
        raise _Damaged(f"it cannot be read as NetCDF ({error})") from error


def _check_block(block: xr.Dataset, configuration: Configuration | None, seeds: range) -> None:
    attributes = block.attrs
    if configuration and attributes.get("address") != configuration.address:
        raise _Damaged("it holds results of another configuration")
    if "seed" not in block.coords or not np.array_equal(block.seed, seeds):
        raise _Damaged("it holds other seeds than its name says")
    if attributes.get("checksum") != checksum(block):
        raise _Damaged("its arrays do not match their checksum")


def _set_aside(path: Path, identity: int, reason: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        if path.stat().st_ino != identity:
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        os.rename(path, aside)
        warnings.warn(
            f"{path} is not used: {reason}. It is now {aside.name}; its seeds are run again",
            stacklevel=5,
        )


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the rename itself must reach the disk
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _remove_stale(directory: Path) -> None:
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


@contextlib.contextmanager
def _explained(path: Path, size: int) -> Iterator[None]:
    """Turn an operating system's error into one that says what to do."""
    try:
        yield
    except OSError as error:
        _explain(error, path, size)


def _explain(error: OSError, path: Path, size: int) -> NoReturn:
    elsewhere = "choose another directory with store=..., or store=None to keep results in memory"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        needed = f" (this block needs {size / 1e6:.1f} MB)" if size else ""
        text, advice = "the disk is full", f"free some space{needed}, or {elsewhere}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        text, advice = "access is denied", f"make it readable and writable, or {elsewhere}"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        text, advice = "a file is where a directory should be, or a directory is", elsewhere
    else:
        text, advice = error.strerror or str(error), f"see to it, or {elsewhere}"
    raise StoreError(f"the store cannot use {path}: {text}. To go on, {advice}") from error
