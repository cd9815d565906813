"""Compile the package's kernels for TPU v5e, TPU v6e and the H200, with none of them at hand.

    make kernels-aot ARGS="--only decode --targets h200 --output kernels.json"

The public functions go through `jax.jit` as they do for a user, under an abstract mesh of the
target, so that choosing a kernel is tested as well. A case is broken where

- nothing of the kernel is in the compiled program, or `implementation` promises another;
- it does not compile: too much VMEM or shared memory is an error of the compilers;
- registers are spilled;
- it takes a byte of temporary memory an entry of x, or of the keys: there may be a copy of them;
- XLA moves half a pass over that array more than the plan has, beside the kernel (asked of TPUs,
  and of arrays that are no smaller than their VMEM, into which XLA fetches others beforehand).

Exits with 1 where a case is broken. The figures are the compilers'; nothing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DUMPED = tempfile.TemporaryDirectory(prefix="kernels-aot-")
os.environ.update(
    JAX_PLATFORMS="cpu",
    MOSAIC_GPU_DUMP_TO=DUMPED.name,
    MOSAIC_GPU_DUMP_PTXAS="1",
    MOSAIC_GPU_DUMP_MLIR_PASSES="1",  # shared memory is asked for at launch: ptxas does not know
    # There is no TPU, so libtpu need not look for one, nor complain.
    TPU_SKIP_MDS_QUERY="1",
    TPU_ACCELERATOR_TYPE="v5litepod-4",
    TPU_WORKER_HOSTNAMES="localhost",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # two of them may compile side by side
)

import jax  # noqa: E402
from cases import Case, cases, entries  # noqa: E402
from targets import TARGETS, Target  # noqa: E402

VMEM = 2**27  # bytes, of a core of any TPU here
CALLS = {"tpu": 'custom_call_target="tpu_custom_call"', "cuda": 'custom_call_target="mosaic_gpu'}
COLUMNS = {  # of the table: heading, width
    "kernel": ("kernel", 34),
    "shape": ("x or keys", 24),
    "target": ("target", 6),
    "seconds": ("s", 6),
    "registers": ("registers", 9),
    "spilled": ("spilled", 7),
    "shared": ("shared", 7),
    "vmem": ("VMEM", 9),
    "temporary": ("temporary", 10),
    "beside": ("XLA moves", 12),
}


def compiled(case: Case, target: Target, resources: dict[str, dict[str, int]]) -> dict[str, Any]:
    """One row of the table: what was measured, and what is wrong."""
    x, (name, why) = case.large, case.implementation
    shape = f"{jax.numpy.dtype(x.dtype).name.replace('float', 'f')}{list(x.shape)}".replace(" ", "")
    row: dict[str, Any] = dict(kernel=case.kernel, shape=shape, target=target.name)
    row |= dict(implementation=name, faults=[])
    wrong = row["faults"].append
    if case.expected not in name:
        wrong(f"implementation is {name!r} ({why}), not {case.expected!r}")
    arguments = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=target.where) for a in case.arguments
    ]
    for file in Path(DUMPED.name).iterdir():
        file.unlink()
    try:
        with jax.sharding.use_abstract_mesh(target.where.mesh.abstract_mesh):
            lowered = jax.jit(case.call).lower(*arguments)
        started = time.perf_counter()
        program = lowered.compile()
    except Exception as error:  # whatever a compiler raises is a finding
        wrong(f"does not compile: {type(error).__name__}: {str(error).strip()[:1000]}")
        return row
    row["seconds"] = round(time.perf_counter() - started, 2)
    text = program.as_text() or ""
    calls = [line for line in text.splitlines() if CALLS[target.platform] in line]
    if not calls:
        wrong("the compiled program has no kernel of Pallas in it")
    row["temporary"] = program.memory_analysis().temp_size_in_bytes
    if row["temporary"] >= entries(x):
        wrong(f"{row['temporary']} bytes of temporary memory for {entries(x)} entries")
    if target.platform == "cuda":
        row |= of_gpu(calls, resources)
        if row.get("registers") is None:
            wrong("the compiler says nothing about registers")
        if row.get("spilled"):
            wrong(f"{row['spilled']} bytes of registers are spilled")
    else:
        row |= of_tpu(calls)
        # Of what a kernel takes in and gives out it counts nothing.
        row["beside"] = round(program.cost_analysis().get("bytes accessed", 0))
        size = entries(x) * x.dtype.itemsize
        if size >= VMEM and row["beside"] > (case.passes + 0.5) * size:
            wrong(f"XLA moves {row['beside']} bytes beside the kernel, not {case.passes} passes")
    return row


def of_tpu(calls: list[str]) -> dict[str, int]:
    """The memory of a core that the kernels of a program take, the largest, where it is said."""
    of_memory = re.compile(r'"used_scoped_memory_configs":\[\{[^}]*"size":"(\d+)"')
    sizes = [int(found[1]) for call in calls if (found := of_memory.search(call))]
    return dict(vmem=max(sizes)) if sizes else {}


def of_gpu(calls: list[str], resources: dict[str, dict[str, int]]) -> dict[str, int]:
    """What the compiler wrote down of the kernels of a program, the largest of each.

    A kernel is compiled once in a process; for the next program `resources` has what was written
    of it then, by its hash.
    """
    of_kernel = re.compile(r'kernel_hash = "(.*?)", module = ')
    names = [found[1] for call in calls if (found := of_kernel.search(call))]
    reports = sorted(Path(DUMPED.name).glob("*.ptxas"))
    fresh = [name for name in dict.fromkeys(names) if name not in resources]
    for name, report in zip(fresh, reports, strict=False):
        resources[name] = used_by(report.read_text(), report.with_suffix(".mlir-passes.log"))
    known = [resources[name] for name in names if name in resources]
    return {key: max(used[key] for used in known) for key in known[0]} if known else {}


def used_by(report: str, passes: Path) -> dict[str, int]:
    registers = re.findall(r"Used (\d+) registers", report)
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", report)
    shared = re.findall(r"dynamic_shared_memory_size %c(\d+)_i32", passes.read_text())
    return dict(
        registers=max(map(int, registers)),
        spilled=sum(map(int, spills)),
        shared=max(map(int, shared), default=0),
    )


def line(cells: dict[str, Any]) -> str:
    out = []
    for key, (_, width) in COLUMNS.items():
        text = str(cells.get(key, "-"))
        out.append(text.ljust(width) if key in ("kernel", "shape", "target") else text.rjust(width))
    return "  ".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="kernels whose name has this in it")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    options = parser.parse_args()

    print(f"jax {jax.__version__}. All sizes are bytes.")
    print(line({key: heading for key, (heading, _) in COLUMNS.items()}))
    rows, resources = [], {}
    for name in options.targets:
        target = TARGETS[name](name)
        for case in cases(target.platform):
            if options.only in case.kernel:
                rows.append(compiled(case, target, resources))
                print(line(rows[-1]), flush=True)
                for fault in rows[-1]["faults"]:
                    print(f"    BROKEN: {fault}", flush=True)
    if options.output:
        options.output.write_text(json.dumps({"jax": jax.__version__, "cases": rows}, indent=1))
    broken = sum(bool(row["faults"]) for row in rows)
    print(f"{len(rows)} cases compiled for {', '.join(options.targets)}; {broken} broken.")
    return 1 if broken or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
