"""What is on disk of a reproduced figure: its record (JSON) and its data (NetCDF).

Every figure has files of its own, written whole or not at all, so that two processes may reproduce
different figures into one folder; `claims.json` is put together from them.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .paper import Papers

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1


def save(output: Path, record: Mapping[str, Any]) -> Path:
    """Write the record of a figure to <output>/<paper>/<figure>.json."""
    path = output / record["paper"]["name"] / f"{record['figure']['name']}.json"
    return write_json(path, {"format": FORMAT, **record})


def load(output: Path, papers: Papers | None = None) -> list[dict[str, Any]]:
    """All records below `output`, in the order of the papers and of their figures.

    papers: those known today; a figure that has left its paper is left out. A file that is no
    record is left out too, with a warning.
    """
    found = []
    for path in sorted(output.glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise ValueError(f"it has format {record['format']}, not {FORMAT}")
            key = record["paper"]["name"], record["figure"]["name"]
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{path} is left out, it is not the record of a figure ({error}); "
                f"regrax reproduce makes it again",
                stacklevel=2,
            )
            continue
        if _is_known(key, papers):
            found.append(record)
    return sorted(found, key=lambda record: _place(record, papers))


def collect(output: Path, loaded: Iterable[Mapping[str, Any]]) -> Path:
    """Write <output>/claims.json: every claim with its paper, figure, verdict and numbers."""
    rows = [
        {
            "paper": record["paper"]["name"],
            **row,
            "scale": record["scale"],
            "alpha": record["alpha"],
            "date": record["date"],
            "command": record["command"],
        }
        for record in loaded
        for row in record["claims"]
    ]
    return write_json(output / "claims.json", {"format": FORMAT, "claims": rows})


def save_data(data: Mapping[str, xr.Dataset], path: Path) -> Path:
    """Write data sets as the groups of one NetCDF file; `xarray.open_groups` reads it."""
    import xarray as xr

    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in data.items()})
    encoding = {
        f"/{name}": {
            str(variable): {"zlib": True, "complevel": 1, "shuffle": True}
            for variable, array in dataset.data_vars.items()
            if array.size
        }
        for name, dataset in data.items()
    }
    with replacing(path) as temporary:
        tree.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write JSON that any reader takes (no NaN), atomically."""
    return write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, content: str) -> Path:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_known(key: tuple[str, str], papers: Papers | None) -> bool:
    if papers is None or key[0] not in papers:
        return True
    return key[1] in {figure.name for figure in papers[key[0]].figures}


def _place(record: Mapping[str, Any], papers: Papers | None) -> tuple[Any, ...]:
    paper, order = record["paper"]["name"], record["paper"]["order"]
    known = list(papers or ())
    figure = record["figure"]["name"]
    return (
        known.index(paper) if paper in known else len(known),
        paper,
        order.index(figure) if figure in order else len(order),
        figure,
    )
