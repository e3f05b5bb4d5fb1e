"""Trains a chain of generations, evaluates each, and leaves all of it in a folder.

python -m launch.main --config=configs/quickstart.py --workdir=runs/quickstart
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags, logging
from ml_collections import config_flags
from rich.console import Console

from ldl_jax import processes
from ldl_jax.run import config as schema
from ldl_jax.run import (
    config_names,
    devices,
    jobs,
    launching,
    plan,
    searching,
    spreading,
    sweeping,
)
from ldl_jax.run.attempts import Attempts
from ldl_jax.run.command import fail, only_flags, quiet, start
from ldl_jax.run.compile_cache import compile_cache
from ldl_jax.run.data import Reader
from ldl_jax.run.joining import check_same, come_together, together
from ldl_jax.run.resolved import fold_count
from ldl_jax.run.smoke import quickly_compiled, smoke
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workdir import check_links

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "the run: a name, as quickstart, or a file"
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "the folder of the run; by default runs/NAME of the config"
)
_SMOKE = flags.DEFINE_boolean("smoke", False, "the same run, tiny, on a few drawn faces")
_PROFILE = flags.DEFINE_string("profile", "", "a folder for a profile of a few training steps")
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache", "", "a folder for compiled programs, so that the next run finds them"
)


def main(arguments: Sequence[str]) -> None:
    """Runs the job of the flags; ends the process with 1 where something is wrong."""
    quiet()
    only_flags(arguments)
    if not flags.FLAGS["config"].present:
        fail("--config: give a config, e.g. --config=quickstart")
    workdir = config_names.workdir(_WORKDIR.value, flags.FLAGS["config"])
    come_together(workdir)
    console = Console(quiet=not processes.primary())
    try:
        with together(ValueError, OSError, NotFiniteError):
            config = schema.parse(_CONFIG.value)
            workers = launching.wanted(_COMPILE_CACHE.value, smoke=_SMOKE.value)
            if workers is None:  # else each of them says what it computes on
                devices.check(jobs.teller(console))
            jobs.say_left_out(jobs.teller(console), [config, *config.stages.values()])
            config = smoke(config, jax.device_count()) if _SMOKE.value else config
            cached = quickly_compiled if _SMOKE.value else compile_cache
            with cached(_COMPILE_CACHE.value):
                run(config, workdir, console, _PROFILE.value, workers, _SMOKE.value)
    except Interrupted as stop:
        saved = "" if isinstance(stop, launching.WorkersStopped) else "; a checkpoint is saved"
        text = f"{stop}{saved}. The same command goes on from there:\n"
        text += f"  python -m launch.main {' '.join(sys.argv[1:])}"
        console.print(text, soft_wrap=True, markup=False)
        sys.exit(128 + stop.number)
    except (ValueError, OSError, NotFiniteError) as error:
        if flags.FLAGS.verbosity >= logging.DEBUG:
            raise
        fail(str(error))


def run(
    config: schema.Config,
    path: Path,
    console: Console,
    profile: str = "",
    workers: launching.WorkerPlan | None = None,
    brief: bool = False,
) -> None:
    """Trains what is left of all runs that a config asks for, and shows the results.

    With `brief` one of them has its figures drawn: the last one, or of a sweep the first.
    """
    check_same(dataclasses.asdict(config))
    check_links(path)  # of all runs; each run looks at its own folder again
    read, swept = Reader(), None
    many = bool(config.sweep) or config.search.wanted
    if many and profile:
        raise ValueError("--profile: a sweep is not traced; trace one of its runs alone")
    if workers and profile:
        raise ValueError("--profile: what workers train is not traced; take --launcher=local")
    if workers and config.search.wanted:
        raise ValueError("--launcher: a search's trials are trained here; take --launcher=local")
    if many:  # its runs take the place of the last one
        swept, checked = _checked_sweep(config, path, read)
    else:
        runs = plan.runs(config, fold_count(config, read))
        check_same({"runs": [run.folder for run in runs]})  # the folds are of the data
        checked = jobs.check_all(path, runs, read)
    if workers is not None:
        assert not isinstance(swept, searching.Search)  # which was refused above
        with workers.ready(path, jobs.teller(console)) as crew:
            spreading.train(path, checked, swept, crew, console)
        return
    left = processes.broadcast([job.run.folder for job in checked if not job.finished])
    with Interrupt() as interrupt:
        for job in checked:
            if job.run.folder in left or job.run.folder == "":  # a finished run shows its table
                figures = not brief or (job is checked[-1] and not swept)
                jobs.train(path, job, console, interrupt, profile, figures=figures)
            if interrupt.check(now=True) is not None and (job is not checked[-1] or swept):
                interrupt.stop(job.run.config.chain.generations)
    if isinstance(swept, searching.Search):
        searching.run(swept, console)
    elif swept is not None:
        sweeping.run(swept, console, brief=brief)
    elif runs[-1].folder and processes.primary():
        jobs.show_folds(path, runs, console)


def _checked_sweep(
    config: schema.Config, path: Path, read: Reader
) -> tuple[sweeping.Sweep | searching.Search, list[jobs.Checked]]:
    """Checks a sweep or a search, and its stages; raises ValueError with all faults."""
    attempts = Attempts()
    swept: sweeping.Sweep | searching.Search | None
    if config.search.wanted:
        swept = attempts.of(searching.check, config, path, read)
    else:
        swept = attempts.of(sweeping.check, config, path, read)
    stages = attempts.of(sweeping.stages, config, () if swept is None else swept.points) or ()
    check_same({"runs": [run.folder for run in stages]})
    checked = attempts.of(jobs.check_all, path, stages, read)
    attempts.end()
    assert swept is not None
    assert checked is not None
    return swept, checked


def cli() -> None:
    """Runs the command, for `python -m launch.main` and for `ldl-train`."""
    start(main)


if __name__ == "__main__":
    cli()
