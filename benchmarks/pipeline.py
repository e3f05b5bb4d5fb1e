"""Measures what pictures cost on their way to the network, beside a reference for each.

    python -m benchmarks.pipeline [--quick] [--no-torch] [--only stream augment device memory]

- stream: streams of JPEGs of 224x224, in files and in an ArrayRecord, against a bare loop in which
  as many threads decode the same files. Streams that are also augmented to the network's normalised
  input (CEN's recipe, on JAX's device) run against a PyTorch DataLoader with as many workers.
- augment: every paper's recipe at 64x64 as a share of a whole training step of ResNet10-Tiny.
- device: a training step that takes its pictures from device memory (a copy, and with several
  devices also shares of them) against the same step on one fixed batch.
- memory: resident memory while the records of a simulated index (5 million) are streamed, after
  half of them and after all, against that after the first batches.

Both sides are measured in turns; a ratio is the median over the turns.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax

from benchmarks import printing
from benchmarks.pipeline_rows import FULL, QUICK, Sizes
from benchmarks.pipeline_steps import augment_rows, device_rows
from benchmarks.pipeline_streams import memory_rows, stream_rows


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = printing.parser("pipeline", __doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pictures: two minutes")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    groups = ("stream", "augment", "device", "memory")
    parser.add_argument("--only", nargs="+", choices=groups, default=groups)
    options = parser.parse_args(arguments)
    sizes = sizes or (QUICK if options.quick else FULL)
    version = None if options.no_torch else _torch_version()
    torch = version or ("left out" if options.no_torch else "not installed, no comparison")
    print(f"{printing.device()}; jax {jax.__version__}; PyTorch: {torch}\n")
    print(printing.head("case|unit|ldl_jax:|beside it:||ratio:|wanted"), flush=True)
    streams = functools.partial(stream_rows, torch_too=version is not None)
    measures: tuple[Callable[[Sizes], Iterator[str]], ...]
    measures = streams, augment_rows, device_rows, memory_rows
    for name, rows in zip(groups, measures, strict=True):
        for row in rows(sizes) if name in options.only else ():
            print(row, flush=True)


def _torch_version() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__)


if __name__ == "__main__":
    main()
