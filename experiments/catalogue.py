"""What there is by name: environments, learners, and how text from a command line builds them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ..core.names import did_you_mean


class UsageError(ValueError):
    """What was asked for cannot be meant; the text says what could be."""


def environments() -> dict[str, Callable[..., Any]]:
    """Environment classes, then named instances (functions that return one), by name."""
    from .. import envs

    return _with_instances(envs, _classes(envs, ("init", "noise", "step")))


def learners() -> dict[str, Callable[..., Any]]:
    """Learner classes, then named ones (functions that return one), by name."""
    from ..core import learners as package

    return _with_instances(package, _classes(package, ("init", "act", "update")))


def first_line(described: Any) -> str:
    """The first line of a docstring; all of its first sentence when that is longer."""
    paragraph = (inspect.getdoc(described) or "").split("\n\n")[0]
    line = " ".join(paragraph.split())
    end = line.find(". ")
    return line[: end + 1] if end > 0 else line


def build(
    name: str, options: Mapping[str, Callable[..., Any]], kind: str, settings: Mapping[str, str],
    label: str | None = None, **defaults: Any,
) -> Any:  # fmt: skip
    """Make an environment or a learner from text.

    Args:
      name: of one of `options`; kind: what to call them in messages; label: how the user calls it.
      settings: field to value, as text; see `parse_value`. Another of the `options` may be named.
      defaults: values for fields of these names that are left open and have no default.

    Raises:
      UsageError: an unknown name or field, a field that is missing, a value that does not fit.
    """
    if name not in options:
        raise UsageError(f"no {kind} {name!r}: {did_you_mean(name, options)}")
    label = label or name
    make, parameters = options[name], _parameters(options[name])
    for field in settings:
        if field not in parameters:
            raise UsageError(f"{label} has no field {field!r}: {did_you_mean(field, parameters)}")
    values = {field: _fit(make, field, parse_value(text)) for field, text in settings.items()}
    required = {f for f, p in parameters.items() if p.default is p.empty}
    values |= {f: v for f, v in defaults.items() if f in required and f not in values}
    for field, value in values.items():
        if isinstance(value, str) and value in options:  # a bandit inside another environment
            values[field] = build(value, options, kind, {}, **defaults)
    missing = [field for field in parameters if field in required and field not in values]
    if missing:
        examples = " ".join(f"--set {field}={_example(field)}" for field in missing)
        raise UsageError(f"{label} needs {', '.join(missing)}: for example {examples}")
    try:
        return make(**values)
    except (ValueError, TypeError, AttributeError) as error:
        text = str(error)
        raise UsageError(text if text.startswith(label) else f"{label}: {text}") from error


def parse_value(text: str) -> Any:
    """A value written as a Python literal; numbers with commas are an array; a bare word is text.

    Nothing is evaluated: "0.1,0.5" is an array, "1e5" a number, "True" a truth value, "rv" text.

    Raises:
      UsageError: none of these.
    """
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        if text.replace("_", "").replace("-", "").isalnum():
            return text
        raise UsageError(
            f"cannot read the value {text!r}: write a number, numbers with commas (0.1,0.5,0.9), "
            f"a Python literal such as [[1,0],[0,1]], or a plain word"
        ) from error
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value, np.float64)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{text!r} is not an array of numbers: {error}") from error
        return array
    return value


def split_settings(
    settings: Iterator[str] | tuple[str, ...], environment: str, labels: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """`name=value` texts, sorted into those of the environment and those of each learner.

    `field` alone, or `<environment>.field`, is the environment's; `<learner>.field` a learner's.

    Raises:
      UsageError: no "=", or a name before the dot that is neither.
    """
    own: dict[str, str] = {}
    others: dict[str, dict[str, str]] = {label: {} for label in labels}
    for text in settings:
        name, equals, value = text.partition("=")
        owner, dot, field = name.strip().rpartition(".")
        if not equals or not field:
            raise UsageError(f"--set takes name=value, such as means=0.1,0.5,0.9: got {text!r}")
        if not dot or owner == environment:
            own[field] = value
        elif owner in others:
            others[owner][field] = value
        else:
            hint = did_you_mean(owner, (environment, *labels))
            raise UsageError(f"--set {text}: {owner!r} is not part of this run: {hint}")
    return own, others


def _classes(package: ModuleType, methods: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    found = {
        name: value
        for module in _modules(package)
        for name, value in _own(module)
        if inspect.isclass(value)
        and "__dataclass_fields__" in vars(value)
        and all(callable(getattr(value, method, None)) for method in methods)
    }
    return dict(sorted(found.items()))


def _with_instances(
    package: ModuleType, classes: dict[str, Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    instances = {
        name: value
        for module in _modules(package)
        for name, value in _own(module)
        if inspect.isfunction(value) and str(value.__annotations__.get("return")) in classes
    }
    return classes | dict(sorted(instances.items()))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(info.name)


def _own(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public names that the module itself defines."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield name, value


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Those with a name of their own: not `**options`."""
    found = inspect.signature(make).parameters
    return {name: x for name, x in found.items() if x.kind is not x.VAR_KEYWORD}


def _fit(make: Callable[..., Any], field: str, value: Any) -> Any:
    """1e3 is meant as a whole number where a field holds one: static fields and `int` ones."""
    if not isinstance(value, float) or not value.is_integer():
        return value
    annotation = str(_parameters(make)[field].annotation)
    fields = dataclasses.fields(make) if dataclasses.is_dataclass(make) else ()
    static = any(f.name == field and not f.metadata.get("pytree_node", True) for f in fields)
    return int(value) if static or annotation.startswith(("int", "<class 'int'>")) else value


def _example(field: str) -> str:
    known = {
        "means": "0.1,0.5,0.9",
        "num_arms": "10",
        "gap": "0.1",
        "bandit": "garivier_cappe_2011",
    }
    return known.get(field, "...")
