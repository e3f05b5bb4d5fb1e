"""Compiles the training and inference programs for a GPU without one, and counts what they do.

    python -m benchmarks.gpu_programs [--networks resnet18_tiny ssrnet] [--quick] [--write [FILE]]

It needs the extra `gpu-programs` (pip install -e '.[gpu-programs]': the two packages of JAX's CUDA
plugin, without CUDA's libraries and without a driver) and a description of the GPU
(`--description`, by default ../shared/gpu/h200.txtpb beside the repository).

Kernels, FLOPs and bytes are counted in the compiled program, for one step on one device. Images/s
are estimates and were not measured: each kernel takes the longer of its bytes at 4.3 TB/s and its
FLOPs at 790 TFLOP/s (what one H200 reached in a copy and in a bfloat16 product), and in the lower
number 2 µs at least. Temporary memory is what XLA sets aside beside arguments and results.

`--quick --write` writes the committed table, to which `tests/gpu_programs` holds these programs.
"""

import argparse
import collections
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import gpu_target, printing
from benchmarks.gpu_target import CompiledProgram, Setting
from ldl_jax import models

COLUMNS = (
    "program|batch:|kernels a step:|GFLOP:|MB a step:|temp MB:|steps known:|host calls:|"
    "may use TF32:|exchanges:|exchanged MB:|images/s, estimate:"
)
TABLE = Path(__file__).parent / "gpu_programs.json"
# Those that the tests compile.
QUICK = (
    Setting("resnet10_tiny", 64, 64, "bfloat16"),
    Setting("ssrnet", 64, None, "bfloat16"),
    Setting("resnet10_tiny", 64, 64, "bfloat16", "infer"),
)
ALL = (
    Setting("resnet18_tiny", 224, 128, "bfloat16"),
    Setting("resnet18_tiny", 224, 128, "bfloat16", devices=2),
    Setting("resnet18_tiny", 224, 128, "bfloat16", "infer"),
    Setting("thinagenet", 224, 128, "bfloat16"),
    Setting("thinagenet", 224, 128, "bfloat16", "infer"),
    Setting("ssrnet", 64, None, "bfloat16", "infer"),
    Setting("resnet10_tiny", 64, 64, "float32"),
    Setting("resnet10_tiny", 64, 64, "float32", precision="float32"),
    *QUICK,
)


def row(program: CompiledProgram) -> str:
    """Returns a program's row of the table."""
    module, case = program.module, program.case
    exchanges = module.collectives()
    megabytes = program.exchanged / 1e6
    types = sorted({shape.dtype for x in exchanges for shape in x.shapes})
    known = module.known_trip_count() or "-"
    rates = [program.batch / program.seconds(launch) for launch in (gpu_target.LAUNCH, 0.0)]
    estimate = f"{rates[0]:,.0f}-{rates[1]:,.0f}" if case.dtype == "bfloat16" else "-"
    cells = [case.name, str(program.batch), str(len(program.kernels))]
    cells += [f"{program.flops / 1e9:.1f}", f"{program.nbytes / 1e6:,.0f}"]
    cells += [f"{program.temporary / 1e6:,.0f}", str(known), str(len(module.host_calls()))]
    cells += [str(len(module.may_use_tf32())), str(len(exchanges))]
    cells += [f"{megabytes:.2f} ({', '.join(types)})" if exchanges else "-", estimate]
    return printing.line(cells)


def facts(program: CompiledProgram) -> dict[str, Any]:
    """Returns what the committed table keeps of a program, of JSON's types."""
    module = program.module
    types = collections.Counter(x.shapes[0].dtype for x in module.convolutions())
    return {
        "kernels": len(program.kernels),
        "megabytes": round(program.nbytes / 1e6, 2),
        "gigaflops": round(program.flops / 1e9, 3),
        "convolutions": dict(sorted(types.items())),
        "may_use_tf32": len(module.may_use_tf32()),
        "steps_known": module.known_trip_count(),
        "host_calls": module.host_calls(),
        "given_up": module.donated(),
        "state": program.state,
    }


def written(file: Path, programs: Sequence[CompiledProgram]) -> None:
    """Writes the facts of programs into a table, beside its other programs and JAX's versions."""
    table = json.loads(file.read_text()) if file.exists() else {}
    known = table.setdefault(jax.__version__, {})
    known |= {program.case.name: facts(program) for program in programs}
    file.write_text(json.dumps(table, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is compiled."""
    options = _parser().parse_args(arguments)
    if reason := gpu_target.missing():
        raise SystemExit(f"error: {reason}")
    jax.config.update("jax_platforms", "cpu")  # so that the plugin does not look for a GPU
    cases = [
        case
        for case in (QUICK if options.quick else ALL)
        if not options.networks or case.network in options.networks
    ]
    print(f"For {options.description.stem}, compiled by jax {jax.__version__}; nothing was run.\n")
    print(printing.head(COLUMNS), flush=True)
    programs = []
    for case in cases:
        program = gpu_target.compile_case(case, description=options.description)
        programs.append(program)
        print(row(program), flush=True)
    if options.write:
        written(options.write, programs)


def _parser() -> argparse.ArgumentParser:
    parser = printing.parser("gpu_programs", __doc__)
    parser.add_argument("--networks", nargs="+", choices=models.MODELS, metavar="NETWORK")
    parser.add_argument("--quick", action="store_true", help="the programs that the tests compile")
    parser.add_argument("--write", type=Path, nargs="?", const=TABLE, help="a table, as JSON")
    parser.add_argument("--description", type=Path, default=gpu_target.DESCRIPTION)
    return parser


if __name__ == "__main__":
    main()
