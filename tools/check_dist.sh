#!/bin/sh
# Build the sdist, and the wheel from it; try both, away from the checkout, in a clean environment.

set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
python="$root/${VENV:-.venv}/bin/python"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

try() { # try WHAT: installed alone, does it import from elsewhere, and do its commands run?
  echo "regrax: trying the $1 in a clean environment"
  cd "$place"
  "$place/venv/bin/python" -c "
import importlib.metadata, pathlib, regrax
home = pathlib.Path(regrax.__file__).parent
assert home.is_relative_to(pathlib.Path('$place').resolve()), home
assert (home / 'py.typed').is_file(), 'py.typed is missing'
print('regrax', importlib.metadata.version('regrax'), 'imports from', home)
"
  "$place/venv/bin/regrax" list >list.txt
  "$place/venv/bin/regrax" doctor
  cd "$root"
}

rm -rf build dist
echo "regrax: building"
"$python" -m build --outdir dist . >"$place/build.log" 2>&1 || { cat "$place/build.log" >&2; exit 1; }

"$python" -m venv "$place/venv"
pip() {
  "$place/venv/bin/python" -m pip --disable-pip-version-check "$@"
}
pip install --quiet --constraint constraints.txt dist/regrax-*.whl
try wheel
pip uninstall --quiet --yes regrax
pip install --quiet --no-deps dist/regrax-*.tar.gz
try sdist
ls -l dist
echo "regrax: the wheel and the sdist install and run"
