"""Measures what workers win for a sweep on this machine: seconds of the whole command.

    python -m benchmarks.workers [--launcher ray] [--workers 2] [--runs 4] [--epochs 8]
        [--network resnet10_tiny] [--size 32]

The sweep is of seeds, on 1,200 drawn faces. Each row is the command from its start to its table:
once by one process, once by workers. Where they start with nothing compiled, each worker compiles
what one process compiles once. "Table" says whether the two tables are the same, byte for byte.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks import printing

COLUMNS = "way|runs:|seconds:|of sequential:|table"


def command(workdir: Path, options: argparse.Namespace, flags: Sequence[str]) -> list[str]:
    """Returns the command that trains the sweep into a folder."""
    return [
        *(sys.executable, "-m", "launch.main", "--config=configs/sweeps/five_seeds.py"),
        f"--workdir={workdir}",
        f"--config.sweep.seed={tuple(range(options.runs))}",
        f"--config.epochs={options.epochs}",
        f"--config.model.name={options.network}",
        f"--config.data.size={options.size}",
        "--config.chain.generations=1",
        *flags,
    ]


def seconds(workdir: Path, options: argparse.Namespace, flags: Sequence[str] = ()) -> float:
    """Returns how long the command takes; raises CalledProcessError where it fails."""
    start = time.perf_counter()
    subprocess.run(command(workdir, options, flags), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both ways' seconds, each as soon as it is measured."""
    parser = printing.parser("workers", __doc__)
    parser.add_argument("--launcher", default="ray", choices=("ray", "slurm"))
    for name, default in (("workers", 2), ("runs", 4), ("epochs", 8), ("size", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--network", default="resnet10_tiny")
    options = parser.parse_args(arguments)
    flags = [f"--launcher={options.launcher}", f"--workers={options.workers}"]
    flags += ["--slurm.cluster=local"] if options.launcher == "slurm" else []
    print(printing.head(COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sequential, spread = Path(folder) / "one", Path(folder) / "several"
        alone, runs = seconds(sequential, options), str(options.runs)
        print(printing.line(["one process", runs, f"{alone:.1f}", "1.00", ""]), flush=True)
        together = seconds(spread, options, flags)
        equal = (sequential / "table.md").read_bytes() == (spread / "table.md").read_bytes()
        way = f"{options.workers} workers of {options.launcher}"
        times = [f"{together:.1f}", f"{together / alone:.2f}"]
        print(printing.line([way, runs, *times, "the same" if equal else "another"]))
    # Late, for a process whose JAX has threads is not to start others.
    print(f"\n{printing.device()}; jax {jax.__version__}")


if __name__ == "__main__":
    main()
