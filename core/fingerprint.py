"""The address of a result: a hash of everything that determines its numbers.

What goes in: the environment's and the learner's class, parameters (values, dtypes, shapes) and
static fields; horizon, checkpoints, root seed; JAX's version, back end and numeric settings; and
the source of the code they run through (see `sources.py`). What stays out: seeds (a block's file
name has them), names given in a study, plots, the command line.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import sources
from .devices import devices
from .sources import home, sha256, version

FORMAT = 1  # raise it when the meaning of a stored block changes
_SHOWN = 16  # arrays up to this size stand in the description in full, beside their hash
_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_threefry_partitionable",
)

# Methods that `dataclass` writes: all they depend on is in the fields.
_GENERATED = frozenset(
    "__init__ __repr__ __eq__ __hash__ __setattr__ __delattr__ __replace__ "
    "__lt__ __le__ __gt__ __ge__".split()
)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What one stored set of seeds is of."""

    address: str  # 64 hexadecimal digits
    label: str  # file-name friendly: the two classes and the start of the address
    text: str  # what was hashed, as JSON


def configuration(
    environment: Any, learner: Any, horizon: int, checkpoints: Sequence[int], root_seed: int
) -> Configuration:
    """Describe and address the results of a learner in an environment.

    Raises:
      ValueError: a parameter or the source of a class cannot be described.
    """
    reader = _Reader()
    content = {
        "environment": reader.describe(environment),
        "learner": reader.describe(learner),
        "horizon": int(horizon),
        "checkpoints": reader.describe(np.asarray(checkpoints, np.int64)),
        "root_seed": int(root_seed),
        "backend": devices()[0].platform,
        "settings": {name: str(getattr(jax.config, name)) for name in _SETTINGS},
        "versions": {name: version(name) for name in sorted({"jax", "jaxlib"} | reader.libraries)},
        "source": sources.closure(reader.modules | {f"{sources.PACKAGE}.core.simulate"}),
        "format": FORMAT,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    label = f"{type(environment).__name__}-{type(learner).__name__}-{sha256(text)[:20]}"
    return Configuration(sha256(text), label, json.dumps(content, sort_keys=True, indent=1))


class _Reader:
    """Turns values into JSON, and notes whose code they bring along."""

    def __init__(self) -> None:
        self.modules: set[str] = set()  # ours: their source counts
        self.libraries: set[str] = set()  # installed: their version counts
        self._seen: dict[int, Any] = {}

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if type(value) is float:
            return {"float": repr(value)}  # JSON has no NaN and no infinity
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return _describe_array(value)
        if isinstance(value, enum.Enum):
            return {self._name(type(value)): value.name}
        if isinstance(value, type):
            return self._class(value)
        if dataclasses.is_dataclass(value):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return {"class": self._class(type(value)), "fields": self._mapping(fields)}
        if isinstance(value, Mapping):
            return {self._name(type(value)): self._mapping(value)}
        if isinstance(value, list | tuple):
            return {self._name(type(value)): [self.describe(item) for item in value]}
        if isinstance(value, set | frozenset):
            return {self._name(type(value)): sorted(json.dumps(self.describe(x)) for x in value)}
        if isinstance(value, bytes | complex | range | slice | np.dtype | PurePath):
            return {self._name(type(value)): repr(value)}
        if isinstance(value, functools.partial):
            return {"partial": [self.describe(x) for x in (value.func, value.args, value.keywords)]}
        if callable(value):
            return self._function(value)
        raise ValueError(
            f"a {type(value).__qualname__} cannot be part of an address ({value!r:.80}): hold "
            f"numbers, arrays, strings or dataclasses in fields, or run with store=None"
        )

    def _mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        return {k if isinstance(k, str) else repr(k): self.describe(v) for k, v in mapping.items()}

    def _name(self, value: Any) -> str:
        """Qualified name of a class or function; takes note of where its code is."""
        module = home(value)
        if sources.is_ours(module):
            self.modules.add(module)
        elif (top := module.partition(".")[0]) not in (*sys.stdlib_module_names, "__main__"):
            self.libraries.add(top)
        return value.__qualname__ if module == "builtins" else f"{module}.{value.__qualname__}"

    def _class(self, cls: type) -> Any:
        name = self._name(cls)
        code = {}
        for base in cls.__mro__:
            if sources.is_ours(home(base)):
                self._name(base)
            if _is_live(base) and id(base) not in self._seen:
                self._seen[id(base)] = base
                code[base.__qualname__] = {
                    attribute: self.describe(inspect.unwrap(member))
                    for attribute, member in _members(base)
                }
        return {"name": name, "code": code} if code else name

    def _function(self, function: Any) -> Any:
        function = inspect.unwrap(function)
        if isinstance(function, types.MethodType):
            return {"method": [self.describe(function.__self__), self.describe(function.__func__)]}
        if not isinstance(function, types.FunctionType):
            if hasattr(function, "__qualname__"):  # written in C
                return self._name(function)
            raise ValueError(
                f"the code of {function!r:.80} cannot be read, so that results made with it cannot "
                f"be filed: put it in a function or a dataclass of a module, or run with store=None"
            )
        name = self._name(function)
        if id(function) in self._seen:
            return name
        self._seen[id(function)] = function
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
        description: dict[str, Any] = {"function": name}
        if function.__defaults__ or function.__kwdefaults__:
            description["defaults"] = self.describe(
                [function.__defaults__, function.__kwdefaults__]
            )
        if cells:
            description["closure"] = self.describe(cells)
        if _is_live(function) or sources.is_ours(home(function)):
            description["code"] = sha256(repr(_code(function.__code__, function.__doc__)))
        if home(function) == "__main__":
            description["globals"] = self._globals(function)
        return description

    def _globals(self, function: types.FunctionType) -> dict[str, Any]:
        """What code of a notebook or a script takes from around it."""
        found = {}
        for name in sorted(set(_names(function.__code__, globals_only=True))):
            value = function.__globals__.get(name)
            if isinstance(value, types.ModuleType) and sources.is_ours(value.__name__):
                self._reach(value, sorted(set(_names(function.__code__))))
            elif name in function.__globals__ and not isinstance(value, types.ModuleType):
                found[name] = self.describe(value)
        return found

    def _reach(self, module: types.ModuleType, names: list[str]) -> None:
        """Note every module of ours that code using `names` can reach through `module`."""
        if not hasattr(module, "__path__"):
            self.modules.add(module.__name__)
            return
        for name in names:
            value = getattr(module, name, None)
            if isinstance(value, types.ModuleType):
                if value.__name__.startswith(module.__name__ + "."):
                    self._reach(value, names)
            elif value is not None:
                self.modules.update(sources.owners(module.__name__, [name]))


def _describe_array(value: Any) -> Any:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        words = _describe_array(jax.random.key_data(value))
        return {"key": [str(jax.random.key_impl(value)), words]}
    array = np.asarray(value)
    if array.dtype == object:
        raise ValueError(f"an array of Python objects cannot be part of an address: {array!r:.80}")
    description = {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": sha256(array.tobytes()),
    }
    if array.size <= _SHOWN:
        description["values"] = repr(array.tolist())
    return description


def _is_live(value: Any) -> bool:
    """Whether code is not (only) in a module: in a notebook, a script, or inside a function."""
    return home(value) == "__main__" or "<locals>" in value.__qualname__


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None or True
    except ValueError:
        return False


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Functions and plain attributes that a class body defines, without what Python adds."""
    generated = _GENERATED if dataclasses.is_dataclass(cls) else ()
    for name, member in sorted(vars(cls).items()):
        if isinstance(member, staticmethod | classmethod):
            member = member.__func__
        if isinstance(member, property):
            for accessor in filter(None, (member.fget, member.fset)):
                yield f"{name}.{accessor.__name__}", accessor
        elif isinstance(member, functools.cached_property):
            yield name, member.func
        elif isinstance(member, types.FunctionType):
            if home(member) == home(cls) and name not in generated:
                yield name, member
        elif not inspect.isdatadescriptor(member) and not name.startswith(("__", "_flax")):
            yield name, member


def _code(code: types.CodeType, docstring: str | None = None) -> Any:
    """What a code object does: its instructions and constants, without lines and docstring."""
    constants = [_code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    if constants and docstring is not None and constants[0] == docstring:
        constants[0] = None
    constants = [sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in constants]
    names = (code.co_argcount, code.co_names, code.co_varnames, code.co_freevars)
    return (code.co_code.hex(), constants, names)


def _names(code: types.CodeType, globals_only: bool = False) -> Iterator[str]:
    """Names that a code object looks up (variables, or attributes too), with nested functions."""
    if globals_only:
        yield from (i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL")
    else:
        yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, globals_only)
