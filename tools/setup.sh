#!/bin/sh
# Bring the virtual environment to what this checkout asks for; do nothing when it is there already.
#
#   tools/setup.sh run    what `make reproduce` needs
#   tools/setup.sh dev    the same, and what the tests and the linters need
#
# VENV names the environment (.venv), PYTHON the interpreter to build it with (the first fitting one).
# A stamp is written last: it holds all that the set-up depends on, so an edited pin or a moved
# checkout is noticed by comparing text, whatever the files' times say. While the work is under way
# a second file holds its process number: found without that process, it means an interruption.

set -eu
trap 'exit 130' INT TERM # pip ends with an ordinary error on Ctrl-C; this does not
cd "$(dirname "$0")/.."

kind=${1:-}
venv=${VENV:-.venv}
unfinished="$venv/.regrax-unfinished"
case $kind in
  run) target="." ;;
  dev) target=".[test,dev]" ;;
  *) echo "usage: tools/setup.sh run or dev" >&2; exit 2 ;;
esac

say() {
  printf 'regrax: %s\n' "$1"
}

fail() {
  printf 'regrax: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

wanted() {
  pwd
  cat pyproject.toml constraints.txt
}

finished() { # finished KIND: was that set-up completed, in this place, for these versions?
  [ -x "$venv/bin/python" ] && [ ! -e "$unfinished" ] && [ -f "$venv/.regrax-$1" ] &&
    [ "$(cat "$venv/.regrax-$1")" = "$(wanted)" ]
}

ready() { # a complete `dev` environment serves `run` as well
  finished dev || { [ "$kind" = run ] && finished run; }
}

version() { # version PYTHON: prints 3.11.7, or fails when it does not start
  "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() { # sets $python to the first that is recent enough
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
  else
    set -- python3 python3.13 python3.12 python3.11
  fi
  tried=""
  for python in "$@"; do
    if found=$(version "$python"); then
      recent "$python" && return 0
      tried="$tried, $python is $found"
    else
      tried="$tried, $python does not start"
    fi
  done
  fail "Python 3.11 or newer is needed, and none was found (${tried#, })." \
    "Install one (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python)," \
    "or name one that is elsewhere: make PYTHON=/path/to/python3.11 ..."
}

make_venv() {
  find_python
  found=$(version "$python")
  # Debian and its descendants hold `ensurepip` back in a package of its own.
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python ($found) comes without the venv module." \
      "Debian, Ubuntu: sudo apt install python${found%.*}-venv (or python3-venv)," \
      "or name another Python: make PYTHON=/path/to/python3.11 ..."
  say "making $venv with $python ($found)"
  rm -rf "$venv"
  mkdir -p "$venv"
  echo $$ >"$unfinished"
  "$python" -m venv "$venv" || fail "$python -m venv $venv failed; the reason is above."
}

wait_for_others() {
  told=""
  while other=$(cat "$unfinished" 2>/dev/null) && [ "$other" != $$ ] && kill -0 "$other" 2>/dev/null; do
    [ -n "$told" ] || say "process $other is setting $venv up; waiting for it (if it is not: rm -rf $venv)"
    told=yes
    sleep 1
  done
}

sound() { # may what is there be built upon?
  [ -x "$venv/bin/python" ] && [ ! -e "$unfinished" ] &&
    [ "$(head -n 1 "$venv/.regrax-run" 2>/dev/null)" = "$(pwd)" ] || return 1 # scripts hold absolute paths
  [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$venv/bin/python")" ]
}

if [ -z "${PYTHON:-}" ] || sound; then
  ready && exit 0
fi
wait_for_others
if [ -e "$venv" ] && [ ! -e "$unfinished" ] && [ ! -e "$venv/.regrax-run" ]; then
  fail "$venv is there, but make did not make it, so it is left alone." \
    "Remove it, or have another one made: make VENV=.venv-regrax ..."
fi
if sound; then
  ready && exit 0
  echo $$ >"$unfinished"
else
  make_venv
fi

say "installing the pinned packages into $venv (some minutes the first time)"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt --editable "$target"; then
  # What an earlier set-up completed still stands: pip installs nothing before it has everything.
  [ ! -e "$venv/.regrax-run" ] || rm -f "$unfinished"
  fail "pip could not install the packages; the reason is above." \
    "Is the network there? Once it is, the same command goes on; what was downloaded is kept."
fi

# Type checkers do not follow the import hook of an editable install; they follow a link.
mkdir -p "$venv/src"
ln -sfn "$(pwd)" "$venv/src/regrax"

wanted >"$venv/.regrax-run"
[ "$kind" != dev ] || wanted >"$venv/.regrax-dev"
rm -f "$unfinished"
say "$venv is ready"
