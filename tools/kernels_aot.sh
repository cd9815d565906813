#!/bin/sh
# Compile the kernels for TPU v5e, TPU v6e and the H200, with none of them at hand.
#
#   tools/kernels_aot.sh [--only TEXT] [--targets v5e v6e h200] [--output FILE.json]
#
# The compilers, libtpu and CUDA's, come as packages into an environment of their own (2.5 GB).
# Spills depend on ptxas and so on its version: it is pinned here, jax by constraints.txt.

set -eu
cd "$(dirname "$0")/.."
VENV=.venv-aot
export VENV
tools/setup.sh run

cuda=13.5.37
jax=$(sed -n 's/^jax==//p' constraints.txt)
pip() {
  "$VENV/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}
pip install --constraint constraints.txt "jax[tpu]==$jax" absl-py
# Without what these depend on: gigabytes of libraries that are for running, not for compiling.
pip install --no-deps "jax-cuda13-plugin==$jax" "jax-cuda13-pjrt==$jax" \
  "nvidia-cuda-nvcc==$cuda" "nvidia-nvvm==$cuda" "nvidia-cuda-nvdisasm==$cuda"

home=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/cu13
PATH="$home/bin:$PATH"
XLA_FLAGS="${XLA_FLAGS:-} --xla_gpu_cuda_data_dir=$home"
export PATH XLA_FLAGS
exec "$VENV/bin/python" tools/kernels_aot/compile.py "$@"
