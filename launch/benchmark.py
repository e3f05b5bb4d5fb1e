"""Compares methods on one dataset with many seeds, beside the models of other projects.

python -m launch.benchmark --config=configs/benchmarks/drawn.py --workdir=runs/drawn
python -m launch.benchmark --config=configs/benchmarks/aaf.py --workdir=runs/aaf \\
    --config.data.root=DIR --config.weights=faceres-deep.json --config.peers.root=DIR

Every finished run is kept: stopped at any time, the same command goes on. --only=frozen,peers does
some of the parts, --only=frozen:crps,frozen:dex some rows, --minutes=60 as much as fits into an
hour, and --minutes=0 writes the page of what is there. --earlier=FILE, the benchmark.json of
another folder, fills the page's parts that this one has nothing of. The page is
WORKDIR/benchmark.md, .html and .json.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags
from rich.console import Console

from ldl_jax.run import (
    benchmark,
    benchmark_table,
    benchmarking,
    config_names,
    devices,
    jobs,
    launching,
)
from ldl_jax.run.command import fail, flag_errors, only_flags, quiet, start
from ldl_jax.run.compile_cache import compile_cache
from ldl_jax.run.progress import teller
from ldl_jax.train.interrupt import Interrupted


def define_flags() -> None:
    """Defines the flags when the command starts: other commands have some of these names."""
    config_flags.DEFINE_config_file("config", None, "a name, as benchmarks/aaf, or a file")
    flags.DEFINE_string("workdir", None, "the folder; by default runs/NAME of the config")
    flags.DEFINE_list("only", [], "parts, rows as PART:ROW, and peers; all by default")
    flags.DEFINE_float("minutes", None, "stop after so many; 0 writes the page alone")
    flags.DEFINE_string(
        "earlier", None, "a benchmark.json, for parts that this folder has nothing of"
    )
    flags.DEFINE_string(
        "compile_cache", "", "a folder for compiled programs, so that the next call finds them"
    )


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark of the flags; ends the process with 1 where something is wrong."""
    quiet()
    only_flags(arguments)
    values = flags.FLAGS
    if not flags.FLAGS["config"].present:
        fail("--config: give a config, e.g. --config=benchmarks/drawn")
    minutes = values.minutes
    if minutes is not None and not minutes >= 0:
        fail(f"--minutes: expected 0 or more, got {minutes}")
    console = Console()
    try:
        shown = benchmark.parse(values.config, training=False)
        wanted = benchmark.parse(values.config, values.only, training=minutes != 0)
        earlier = benchmark_table.read(Path(values.earlier)) if values.earlier is not None else None
        with compile_cache(values.compile_cache):
            workers = launching.wanted(values.compile_cache) if minutes != 0 else None
            if workers is None:  # else each of them says what it computes on
                devices.check(teller(console))
            jobs.say_left_out(teller(console), [part.run for part in wanted.parts])
            workdir = config_names.workdir(values.workdir, values["config"])
            benchmarking.run(shown, wanted, workdir, minutes, console, workers, earlier)
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
    with flag_errors():
        define_flags()
    start(main)


if __name__ == "__main__":
    cli()
