"""Compares methods on one dataset with many seeds, beside the models of other projects.

python -m launch.benchmark --config=configs/benchmarks/drawn.py --workdir=runs/drawn
python -m launch.benchmark --config=configs/benchmarks/aaf.py --workdir=runs/aaf \\
    --config.data.root=DIR --config.weights=faceres-deep.json --config.peers.root=DIR

Every finished run is kept: stopped at any time, the same command goes on. --only=frozen,peers does
some of the parts, --minutes=60 as much as fits into an hour, and --minutes=0 writes the page of
what is there. The page is WORKDIR/benchmark.md, .html and .json.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags
from rich.console import Console

from ldl_jax.processes.memory import keep_freed
from ldl_jax.run import benchmark, benchmarking, devices
from ldl_jax.run.command import fail, only_flags, quiet, start
from ldl_jax.run.compile_cache import compile_cache
from ldl_jax.run.progress import teller
from ldl_jax.train.interrupt import Interrupted

_CONFIG = config_flags.DEFINE_config_file("config", None, "a benchmark, of configs/benchmarks")
_WORKDIR = flags.DEFINE_string("workdir", None, "the folder of the benchmark, e.g. runs/aaf")
_ONLY = flags.DEFINE_list("only", [], "names of parts, and peers; all where none is given")
_MINUTES = flags.DEFINE_float("minutes", None, "stop after so many; 0 writes the page alone")
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache", "", "a folder for compiled programs, so that the next call finds them"
)


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark of the flags; ends the process with 1 where something is wrong."""
    quiet()
    keep_freed()
    only_flags(arguments)
    if _WORKDIR.value is None:
        fail("--workdir: give the folder of the benchmark, e.g. --workdir=runs/aaf")
    if not flags.FLAGS["config"].present:
        fail("--config: give a config file, e.g. --config=configs/benchmarks/drawn.py")
    minutes = _MINUTES.value
    if minutes is not None and not minutes >= 0:
        fail(f"--minutes: expected 0 or more, got {minutes}")
    console = Console()
    try:
        shown = benchmark.parse(_CONFIG.value, training=False)
        wanted = benchmark.parse(_CONFIG.value, _ONLY.value, training=minutes != 0)
        with compile_cache(_COMPILE_CACHE.value):
            devices.check(teller(console))
            benchmarking.run(shown, wanted, Path(_WORKDIR.value), minutes, console)
    except Interrupted as stop:
        command = f"python -m launch.benchmark {' '.join(sys.argv[1:])}"
        console.print(
            f"{stop}. The same command goes on:\n  {command}", soft_wrap=True, markup=False
        )
        sys.exit(128 + stop.number)
    except (ValueError, OSError) as error:
        if flags.FLAGS.verbosity >= logging.DEBUG:
            raise
        fail(str(error))


def cli() -> None:
    """Runs the command, for `python -m launch.benchmark` and for `ldl-benchmark`."""
    start(main)


if __name__ == "__main__":
    cli()
