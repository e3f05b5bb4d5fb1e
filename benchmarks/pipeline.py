"""What pictures cost on their way to the network, each beside what it has to be measured by.

    python -m benchmarks.pipeline [--quick] [--no-torch] [--only stream augment device memory]

- stream: JPEGs of 224x224, in files and in an ArrayRecord, against a bare loop in which as many
  threads decode the same files; and augmented to the network's normalised input (CEN's recipe, on
  the device that JAX has), against a PyTorch DataLoader that does the same with as many workers.
- augment: every paper's recipe at 64x64 as a share of a whole training step of ResNet10-Tiny.
- device: a training step that takes its pictures from device memory (a copy, and with several
  devices also shares of them) against the same step on one fixed batch.
- memory: resident memory while records of a simulated index (5 million) are streamed, after half
  of them and after all, against that after the first batches.

Both sides are measured in turns, and a ratio is the median of each turn's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import jax

from benchmarks import printing
from benchmarks.pipeline_rows import COLUMNS, FULL, QUICK, Sizes
from benchmarks.pipeline_steps import augment_rows, device_rows
from benchmarks.pipeline_streams import memory_rows, stream_rows


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer pictures: two minutes")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    groups = ("stream", "augment", "device", "memory")
    parser.add_argument("--only", nargs="+", choices=groups, default=groups)
    options = parser.parse_args(arguments)
    sizes = sizes or (QUICK if options.quick else FULL)
    word = "left out" if options.no_torch else _torch()
    print(f"{printing.device()}; jax {jax.__version__}; PyTorch: {word}\n")
    print(printing.line(COLUMNS))
    print("|---|---|--:|--:|---|--:|---|", flush=True)
    parts = {
        "stream": lambda: stream_rows(sizes, word[0].isdigit()),
        "augment": lambda: augment_rows(sizes),
        "device": lambda: device_rows(sizes),
        "memory": lambda: memory_rows(sizes),
    }
    for name in groups:
        if name in options.only:
            for row in parts[name]():
                print(row, flush=True)


def _torch() -> str:
    try:
        import torch
    except ImportError:
        return "not installed, no comparison"
    return str(torch.__version__)


if __name__ == "__main__":
    main()
