"""Trains a chain of generations, evaluates each, and leaves all of it in a folder.

python -m launch.main --config=configs/quickstart.py --workdir=runs/quickstart
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console

from launch.command import fail, only_flags, parse_flags, quiet
from launch.compile_cache import compile_cache
from launch.memory import keep_freed
from launch.progress import ProgressBar
from ldl_jax import config as schema
from ldl_jax import experiment
from ldl_jax.evaluation import gallery, predictions, report
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.train.trace import Trace
from ldl_jax.workdir import Workdir

_CONFIG = config_flags.DEFINE_config_file("config", None, "the run, e.g. configs/quickstart.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "the folder of the run, e.g. runs/quickstart")
_PROFILE = flags.DEFINE_string("profile", "", "a folder for a profile of a few training steps")
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache", "", "a folder for compiled programs, so that the next run finds them"
)


def main(arguments: Sequence[str]) -> None:
    """Runs the job of the flags; ends the process with 1 where something is wrong."""
    quiet()
    keep_freed()
    console = Console()
    only_flags(arguments)
    if _WORKDIR.value is None:
        fail("--workdir: give the folder of the run, e.g. --workdir=runs/quickstart")
    if not flags.FLAGS["config"].present:
        fail("--config: give a config file, e.g. --config=configs/quickstart.py")
    try:
        with compile_cache(_COMPILE_CACHE.value):
            run(Path(_WORKDIR.value), console)
    except Interrupted as stop:
        console.print(
            f"{stop}; a checkpoint is saved. The same command goes on from there:\n"
            f"  python -m launch.main {' '.join(sys.argv[1:])}",
            soft_wrap=True,
            markup=False,
        )
        sys.exit(128 + stop.number)
    except (ValueError, OSError, NotFiniteError) as error:
        if flags.FLAGS.verbosity >= logging.DEBUG:
            raise
        fail(str(error))


def run(path: Path, console: Console) -> None:
    """Trains what is left to train in the workdir, and shows the results."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    config = schema.parse(_CONFIG.value)
    made = experiment.build(config, say)
    with (
        Trace(_PROFILE.value, say) as trace,
        Workdir(path, made.description) as workdir,
        ProgressBar(console, config.chain.generations) as progress,
        Interrupt() as interrupt,
    ):
        job = dataclasses.replace(made.job, trace=trace)
        results = generations.run(job, workdir, interrupt, progress)
        files = [workdir.predictions(row["generation"]) for row in results]
        answers = [predictions.read(file) for file in files]
        gallery.draw(workdir.path / "figures", answers, workdir.rows(), made.job.test.part)
    unit = made.job.method.space.unit
    console.print(report.table(results, unit))
    say(f"protocol: {made.protocol}")
    say(f"always answering the training mean: MAE {made.baseline:.3f} {unit}")
    say(f"results, predictions, checkpoints and figures: {path}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
