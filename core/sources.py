"""Which source code determines a result, reduced to what Python makes of it.

A module is followed through the imports it makes to every module of this package and of the
user's own; installed libraries are left to their version. What is hashed is the parsed code,
without comments, docstrings and layout.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).resolve().parent.parent
# Modules that handle results and never make them: an edit there must not throw results away.
_HANDLERS = frozenset(
    f"{PACKAGE}.core.{name}"
    for name in (
        "checks claims devices executors fingerprint names plotting progress provenance "
        "results sources store study"
    ).split()
)
# Libraries whose own numbers end up in results; JAX is always counted.
_NUMERICAL = ("optax",)
_LIBRARIES = frozenset(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
# When the files of this package were written, as of the moment it was imported.
_STAMPS = {
    path: path.stat().st_mtime_ns
    for room in ("core", "envs")
    for path in (ROOT / room).rglob("*.py")
}


class _Facts(NamedTuple):
    spec: Any  # kept alive, so that no later spec can have its id
    digest: str
    imports: frozenset[str]


# What was read of a module holds while the module stays loaded, whatever happens to its file: it
# is the loaded code that runs. A reload makes a new spec, and the module is read again.
_known: dict[tuple[str, int], _Facts] = {}


def closure(modules: Iterable[str]) -> dict[str, str]:
    """The digest of every module that `modules` run through, themselves included, by name; for a
    library whose numbers count, its version.

    Raises:
      ValueError: the source of a module cannot be read, or it is not what is running.
    """
    digests: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in _NUMERICAL:
            digests[name] = version(name)
        elif name not in digests and name not in _HANDLERS:
            facts = _read(name)
            digests[name] = facts.digest
            waiting += facts.imports
    return digests


def is_ours(name: str) -> bool:
    """Whether a module belongs to this package or to the user, not to an installed library."""
    top = name.partition(".")[0]
    if top in (PACKAGE, "__main__", "builtins"):
        return top == PACKAGE
    spec = _spec(name if name in sys.modules else top)
    folders = getattr(spec, "submodule_search_locations", None) or []
    places = [getattr(spec, "origin", None), *folders]
    files = [Path(place).resolve() for place in places if place and Path(place).exists()]
    return bool(files) and not any(
        path in _LIBRARIES or path.name in ("site-packages", "dist-packages")
        for path in files[0].parents
    )


def home(value: Any) -> str:
    """Name of the module in which a class or function was written."""
    return getattr(value, "__module__", None) or "builtins"


def sha256(content: str | bytes) -> str:
    """Hexadecimal SHA-256 digest."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def version(library: str) -> str:
    """Version of an installed library, by the name of its package; "unknown" if it has none."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(library), "__version__", "unknown"))


def owners(package: str, names: Iterable[str]) -> Iterator[str]:
    """The modules of ours in which `package.names[0].names[1]...` is written: a package is walked
    through, so that what it exports counts and the rest of it does not."""
    value: Any = sys.modules.get(package) or importlib.import_module(package)
    for name in names:
        if not isinstance(value, ModuleType):
            break
        found = getattr(value, name, None)
        if found is None and _spec(f"{value.__name__}.{name}") is not None:
            found = importlib.import_module(f"{value.__name__}.{name}")
        if not (isinstance(found, ModuleType) or hasattr(found, "__qualname__")):
            break  # a plain value: it is the module around it that determines it
        value = found
    owner = value.__name__ if isinstance(value, ModuleType) else home(value)
    if is_ours(owner):
        yield owner


def _read(name: str) -> _Facts:
    spec = _spec(name)
    if (name, id(spec)) not in _known:
        source = _read_source(name)
        if source is None:
            raise ValueError(
                f"the source of module {name!r} cannot be read, so that results made with it "
                f"cannot be filed: put the code in a .py file, or run with store=None"
            )
        _check_unchanged(name, spec)
        tree = ast.parse(source)
        imports = frozenset(_imports(name, tree)) - {name}
        _known[name, id(spec)] = _Facts(spec, sha256(_normal_form(tree)), imports)
    return _known[name, id(spec)]


def _read_source(name: str) -> str | None:
    spec = _spec(name)
    path = Path(getattr(spec, "origin", None) or "")
    if path.suffix == ".py" and path.is_file():
        return importlib.util.decode_source(path.read_bytes())
    read = getattr(getattr(spec, "loader", None), "get_source", None)  # in a zip file, say
    return read(name) if read is not None else None


def _spec(name: str) -> Any:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _check_unchanged(name: str, spec: Any) -> None:
    path = Path(getattr(spec, "origin", None) or "").resolve()
    if name in sys.modules and path in _STAMPS and path.stat().st_mtime_ns != _STAMPS[path]:
        raise ValueError(
            f"{path} has changed since Python loaded it, so that results would be filed under "
            f"code that did not make them: restart Python, or run with store=None"
        )


def _normal_form(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _imports(name: str, tree: ast.Module) -> Iterator[str]:
    package = name if _is_package(name) else name.rpartition(".")[0]
    spaces: dict[str, str] = {}  # name of a variable -> the package it stands for
    for node in _running(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            if base.partition(".")[0] in _NUMERICAL:
                yield base.partition(".")[0]
            for item in node.names if is_ours(base) else ():
                if _is_package(full := f"{base}.{item.name}"):
                    spaces[item.asname or item.name] = full
                elif _spec(full) is not None:
                    yield full
                elif _is_package(base) and base != name:
                    yield from owners(base, [item.name])
                else:
                    yield base
        elif isinstance(node, ast.Import):
            for item in node.names:
                top = item.name.partition(".")[0]
                if top in _NUMERICAL or is_ours(item.name) and not _is_package(item.name):
                    yield top if top in _NUMERICAL else item.name
                elif is_ours(item.name):
                    spaces[item.asname or top] = item.name if item.asname else top
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            start, *names = _dotted(node)
            if start in spaces:
                yield from owners(spaces[start], names)


def _is_package(name: str) -> bool:
    return getattr(_spec(name), "submodule_search_locations", None) is not None


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, but for imports that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _running(node)


def _dotted(node: ast.expr) -> list[str]:
    """Names of `a.b.c`; a lone empty name when it does not start with a plain variable."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else [""]
