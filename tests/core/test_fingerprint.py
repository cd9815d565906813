"""The address of a result changes with everything that determines its numbers, and only then."""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap
import types
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.core import noise, sources
from regrax.core.fingerprint import configuration


@flax.struct.dataclass
class Env:
    means: Any
    num_arms: int = flax.struct.field(pytree_node=False, default=2)


@flax.struct.dataclass
class Wrapper:
    inner: Any
    delay: int = flax.struct.field(pytree_node=False, default=0)


@flax.struct.dataclass
class Learner:
    rate: Any = 1.0
    schedule: Any = flax.struct.field(pytree_node=False, default=None)

    def act(self, state, observation, u):
        return noise.argmax(state)


def address(env=None, learner=None, horizon=100, checkpoints=(10, 100), root_seed=0) -> str:
    env = Env(np.array([0.1, 0.2])) if env is None else env
    learner = Learner() if learner is None else learner
    return configuration(env, learner, horizon, checkpoints, root_seed).address


# ---- parameters ----------------------------------------------------------------------------


def test_every_parameter_counts():
    pair = np.array([0.1, 0.2])
    different = [
        address(),
        address(Env(np.array([0.1, np.nextafter(0.2, 1)]))),
        address(Env(pair.astype(np.float32))),
        address(Env(pair[None])),
        address(Env(pair.tolist())),
        address(Env(tuple(pair))),
        address(Env(pair, num_arms=3)),
        address(Wrapper(Env(pair))),
        address(Wrapper(Env(pair), delay=1)),
        address(Wrapper(Env(pair + 1))),
        address(Wrapper(Wrapper(Env(pair)))),
        address(learner=Learner(2.0)),
        address(learner=Learner(2)),
        address(learner=Learner(np.float32(2))),
        address(learner=Learner(float("nan"))),
        address(learner=Learner(True)),
        address(learner=Learner(None)),
        address(learner=Learner({"a": 1.0})),
        address(learner=Learner(schedule="sqrt")),
        address(learner=Learner(schedule=np.float32)),
        address(learner=Learner(schedule=lambda t: 1 / t)),
        address(learner=Learner(schedule=lambda t: 2 / t)),
        address(learner=Learner(schedule=functools.partial(pow, 2))),
        address(learner=Learner(schedule=functools.partial(pow, 3))),
        address(learner=Env(pair)),
        address(horizon=101),
        address(checkpoints=(10, 50, 100)),
        address(root_seed=1),
    ]
    assert len(set(different)) == len(different)


def test_equal_problems_have_equal_addresses():
    def power(exponent):
        return lambda t: t**exponent

    pair = np.array([0.1, 0.2])
    assert address() == address()
    assert address(Env(pair)) == address(Env(pair[::-1][::-1]))
    assert address(Env(jnp.array([1.0, 2.0]))) == address(Env(np.float32([1.0, 2.0])))
    assert address(checkpoints=np.array([10, 100])) == address()
    assert address(learner=Learner(schedule=power(2))) == address(
        learner=Learner(schedule=power(2))
    )
    assert address(learner=Learner(schedule=power(2))) != address(
        learner=Learner(schedule=power(3))
    )


def test_large_arrays_count_to_the_last_entry():
    rows = np.zeros((1000, 50), np.float32)
    other = rows.copy()
    other[-1, -1] = 1e-30
    assert address(Env(rows)) != address(Env(other))
    assert len(configuration(Env(rows), Learner(), 10, [10], 0).text) < 5000


def test_versions_back_end_and_settings_count(monkeypatch):
    base = address()
    with jax.enable_x64(True):
        assert address() != base
    with monkeypatch.context() as patch:
        patch.setattr("regrax.core.fingerprint.version", lambda _: "99.0")
        assert address() != base
    with monkeypatch.context() as patch:
        gpu = types.SimpleNamespace(platform="gpu")
        patch.setattr("regrax.core.fingerprint.devices", lambda: [gpu])
        assert address() != base
    assert address() == base


def test_what_cannot_be_described_is_a_clear_error():
    for value in (object(), np.array([object()]), iter([])):
        with pytest.raises(ValueError, match="cannot be part of an address"):
            address(learner=Learner(schedule=value))


def test_the_label_says_what_it_is():
    found = configuration(Env(np.ones(2)), Learner(), 10, [10], 0)
    assert found.label.startswith("Env-Learner-") and found.address.startswith(found.label[-20:])
    assert '"horizon": 10' in found.text and '"regrax.core.simulate"' in found.text


# ---- source of this package ----------------------------------------------------------------


@pytest.fixture
def edit(monkeypatch):
    """Pretend that the source of a module reads differently."""
    edits: dict[str, Any] = {}
    read = sources._read_source

    def edited(name):
        source = read(name)
        return edits[name](source) if name in edits else source

    monkeypatch.setattr(sources, "_read_source", edited)
    monkeypatch.setattr(sources, "_known", {})

    def put(name, change):
        edits.clear()
        edits[f"regrax.core.{name}"] = change
        sources._known.clear()

    return put


@pytest.mark.parametrize("module", ["noise", "simulate", "protocol"])
def test_an_edit_of_what_determines_numbers_counts(edit, module):
    base = address()
    edit(module, lambda source: source + "\nEXTRA = 1\n")
    assert address() != base
    edit(module, lambda source: source)
    assert address() == base


def test_layout_comments_and_docstrings_do_not_count(edit):
    def rewrite(source):
        source = '"""Docstring."""\n# comment\n' + source.partition('"""')[2].partition('"""')[2]
        source = source.replace(':\n    """', ':\n    """Now: ')
        return source.replace("\n\n", "\n\n\n# comment\n\n")

    base = address()
    edit("noise", rewrite)
    assert "Now: " in (sources._read_source("regrax.core.noise") or "")
    assert address() == base


@pytest.mark.parametrize("module", ["plotting", "store", "study", "claims", "results"])
def test_an_edit_of_what_handles_results_does_not_count(edit, module):
    base = address()
    edit(module, lambda source: (source or "") + "\nEXTRA = 1\n")
    assert address() == base


def test_the_closure_holds_what_is_run_through_and_nothing_else():
    found = set(sources.closure(["regrax.core.simulate"]))
    assert {"regrax.core.simulate", "regrax.core.noise", "regrax.core.protocol"} <= found
    assert not found & {"regrax.core.store", "regrax.core.study", "regrax", "regrax.core"}
    assert all(name.startswith("regrax.") for name in found)


def test_a_file_that_changed_after_it_was_loaded_is_refused(monkeypatch):
    path = sources.ROOT / "core" / "noise.py"
    monkeypatch.setattr(sources, "_known", {})
    monkeypatch.setitem(sources._STAMPS, path, sources._STAMPS[path] - 1)
    with pytest.raises(ValueError, match="has changed since Python loaded it.*restart Python"):
        address()


def test_what_was_read_once_stays_while_the_module_is_loaded(monkeypatch):
    base = address()
    path = sources.ROOT / "core" / "noise.py"
    monkeypatch.setitem(sources._STAMPS, path, 0)
    assert address() == base


# ---- source of the user --------------------------------------------------------------------

LEARNER = """
    from typing import Any
    import flax.struct
    {imports}

    @flax.struct.dataclass
    class Mine:
        rate: Any = 1.0
        def act(self, state, observation, u):
            return {body}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write and import modules of a user."""
    monkeypatch.syspath_prepend(tmp_path)
    names = set()

    def put(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        for known in names | {name}:
            sys.modules.pop(known, None)
        names.add(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield put
    for name in names:
        sys.modules.pop(name, None)


def test_a_users_module_and_what_it_imports_count(write):
    plain = {"imports": "from helping import best", "body": "best(u)"}
    found = {}
    write("helping", "def best(x):\n    return x\n")
    found["base"] = address(learner=write("mine", LEARNER.format(**plain)).Mine())
    comment = LEARNER.format(**plain) + "    # a comment\n"
    assert address(learner=write("mine", comment).Mine()) == found["base"]
    found["body"] = address(
        learner=write("mine", LEARNER.format(**plain | {"body": "best(-u)"})).Mine()
    )
    write("helping", "def best(x):\n    return x + 1\n")
    found["helper"] = address(learner=write("mine", LEARNER.format(**plain)).Mine())
    assert len(set(found.values())) == 3


def test_a_package_is_walked_through_to_what_is_used(write):
    text = LEARNER.format(imports="import regrax.core.noise as n, regrax", body="n.argmax(u)")
    learner = write("mine", text).Mine()
    found = sources.closure(["mine"])
    assert "regrax.core.noise" in found and "regrax.core.store" not in found
    assert address(learner=learner) == address(learner=learner)


def test_code_of_a_script_or_notebook_counts_with_what_it_uses(monkeypatch):
    def in_main(code: str):
        space = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", space)
        exec(textwrap.dedent(code), space.__dict__)
        return address(learner=space.__dict__["Mine"]())

    base = LEARNER.format(
        imports="""
    from regrax.core import noise
    SCALE, state, unrelated = 2.0, object(), object()
    def helper(x):
        return noise.argmax(x.state * SCALE)
    """,
        body="helper(u) if self.rate else 0",
    )
    found = [
        in_main(base),
        in_main(base.replace("SCALE, ", "SCALE, _, ").replace("= 2.0,", "= 3.0, 0,")),
        in_main(base.replace("x.state * SCALE", "x.state + SCALE")),
        in_main(base.replace("helper(u)", "helper(u + 1)")),
        in_main(base.replace("rate: Any = 1.0", "rate: Any = 2.0")),
    ]
    assert len(set(found)) == len(found)
    same = [base.replace("object()", "[]"), base + "\n    horizon = 10\n", base + "\n    # end\n"]
    assert [in_main(code) for code in same] == [found[0]] * 3
    with pytest.raises(ValueError, match="cannot be part of an address"):
        in_main(base.replace("helper(u)", "unrelated"))


def test_code_inside_a_function_counts_with_what_it_closes_over():
    def make(power):
        @flax.struct.dataclass
        class Local:
            def act(self, state, observation, u):
                return u**power

        return Local()

    assert address(learner=make(2)) == address(learner=make(2))
    assert address(learner=make(2)) != address(learner=make(3))


def test_code_that_cannot_be_read_is_a_clear_error():
    module = types.ModuleType("made_up")
    with pytest.raises(ValueError, match="put the code in a .py file, or run with store=None"):
        sources.closure([module.__name__])
