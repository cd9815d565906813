"""The command line. `regrax --help` says what there is.

Exit codes: 0 done; 1 something failed, or was found to be wrong; 2 the command line cannot be
meant; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.names import did_you_mean, nearest

HEAD = """usage: regrax [-h] [--version] COMMAND ...

Sequential decision-making research in JAX: run learners over thousands of seeds, and reproduce
published figures with a verdict for every claim.

commands:"""
TAIL = """`regrax COMMAND --help` shows the options of a command.
Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
With REGRAX_DEBUG=1 in the environment errors come with a traceback."""
EXAMPLES = (
    "regrax list",
    "regrax run BernoulliBandit --learners UCB1 ThompsonBeta --set means=0.1,0.5,0.9",
    "regrax reproduce --scale quick",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's); returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("REGRAX_DEBUG", "") not in ("", "0")
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            return _dispatch(words)
        except SystemExit as end:  # from tyro: help, or a command line it does not understand
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt as interrupt:
            print(f"\nregrax: interrupted. {interrupt}".rstrip(" ."), file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone: `regrax list | head`
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            code = _code(error)
            if debug or code is None:
                raise
            print(f"regrax: error: {_one_line(error)}", file=sys.stderr)
            return code


def _dispatch(words: list[str]) -> int:
    if "--version" in words[:1]:
        from ..core.sources import version

        print(f"regrax {version('regrax')}")
        return 0
    from .commands import COMMANDS, bench

    if not words or words[0] in ("-h", "--help"):
        print(_help(COMMANDS))
        return 0 if words else 2
    _check_words(words, COMMANDS)
    name, rest = words[0], words[1:]
    if name == "bench" and rest and not rest[0].startswith("-"):
        return bench(rest)
    command = _parse(name, COMMANDS[name], rest)
    if name in ("run", "reproduce", "audit", "doctor"):
        _keep_compiled()
    return command()


def _parse(name: str, command: Any, words: Sequence[str]) -> Callable[[], int]:
    """The command with its options; help comes with examples below it."""
    import tyro

    config = (tyro.conf.FlagCreatePairsOff,)
    try:
        return tyro.cli(command, prog=f"regrax {name}", args=words, config=config)
    except SystemExit as end:
        if not end.code:
            print(_examples(command.examples))
        raise


def _help(commands: Mapping[str, Any]) -> str:
    lines = [
        f"  {name.ljust(10)} {(command.__doc__ or '').strip().splitlines()[0]}"
        for name, command in commands.items()
    ]
    return "\n".join([HEAD, *lines, "", _examples(EXAMPLES), "", TAIL])


def _examples(lines: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])


def _check_words(words: Sequence[str], commands: Mapping[str, Any]) -> None:
    """Raise UsageError for a command or an option that there is not, with the nearest."""
    from .catalogue import UsageError

    name = words[0]
    if name not in commands:
        raise UsageError(f"no command {name!r}: {did_you_mean(name, commands)}")
    fields = dataclasses.fields(commands[name])
    options = ["--help", *(f"--{field.name.replace('_', '-')}" for field in fields)]
    for word in words[1:] if name != "bench" else ():
        option = word.partition("=")[0].replace("_", "-")
        if word.startswith("--") and option not in options:
            guess = nearest(option, options)
            hint = f"did you mean {guess}?" if guess else f"regrax {name} --help lists them"
            raise UsageError(f"regrax {name} has no option {option}: {hint}")


def _keep_compiled() -> None:
    """Let JAX keep compiled programs in the user's cache, unless the user has said where."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        with contextlib.suppress(OSError, RuntimeError):  # no home: then every run compiles
            folder = _cache_folder() / "regrax" / "jax"
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _cache_folder() -> Path:
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen)
    mac = Path.home() / "Library" / "Caches"
    return mac if sys.platform == "darwin" else Path.home() / ".cache"


def _code(error: Exception) -> int | None:
    """The exit code of an error that a user can do something about; None for any other."""
    from .catalogue import UsageError

    if isinstance(error, UsageError):
        return 2
    from ..core.claims import ClaimError
    from ..core.store import StoreError

    expected = (ValueError, OSError, MemoryError, ImportError, StoreError, ClaimError)
    return 1 if isinstance(error, expected) else None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if not isinstance(error, ImportError) else f"{text} (is regrax fully installed?)"


def _warn(message, category, filename, lineno, file=None, line=None) -> None:
    where = "" if issubclass(category, UserWarning) else f" ({filename}:{lineno})"
    print(f"regrax: warning: {message}{where}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
