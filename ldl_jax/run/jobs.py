"""One run of a plan: whether it is done, its training, its results on the screen."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from ldl_jax import processes, workdir
from ldl_jax.data.splits import audit, split_file
from ldl_jax.evaluation import analysis, gallery, predictions, report, spread
from ldl_jax.run import experiment
from ldl_jax.run.data import Read
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.joining import check_same
from ldl_jax.run.plan import Run
from ldl_jax.run.progress import ProgressBar
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.trace import Trace
from ldl_jax.workdir import Workdir


def check(path: Path, run: Run, read: Read) -> bool:
    """Whether there is something left to train of a run; `read` reads datasets.

    Raises:
      ValueError: the config cannot be used, or the run's folder holds another one.
    """
    if run.folder.startswith("folds/") and (path / "config.json").exists():
        raise ValueError(f"workdir: {path} holds a single run, not one of folds; give a new folder")
    folder = path / run.folder
    workdir.check(folder, experiment.check(run.config, read=read))
    return not generations.finished(run.config.chain, workdir.read_results(folder))


def train(
    path: Path, run: Run, console: Console, interrupt: Interrupt, profile: str, read: Read
) -> None:
    """Trains what is left of a run, and shows its results.

    Args:
      path: the workdir of all runs.
      run: one of them.
      console: takes what the user is told.
      interrupt: asks whether to stop.
      profile: a folder for a trace of process 0; "" for none.
      read: reads datasets.
    """
    folder = path / run.folder

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if run.folder:
        say(f"--- {run.folder}")
    made = experiment.build(run.config, say, stages=path / "stages", workdir=folder, read=read)
    check_same(made.description)
    if processes.count() > 1:
        say(f"{processes.count()} processes with {made.job.placement.devices} devices")
    with (
        _going_on(folder),
        Trace(profile if processes.primary() else "", say) as trace,
        Workdir(folder, made.description) as opened,
        ProgressBar(console, run.config.chain.generations) as progress,
    ):
        for name, content in made.files.items():
            opened.keep(name, content)
        job = dataclasses.replace(made.job, trace=trace)
        results = generations.run(job, opened, interrupt, progress)
        if not processes.primary():
            return
        look(made, opened)
    unit = made.job.method.space.unit
    console.print(report.table(results, unit))
    say(f"protocol: {made.protocol}")
    if unit != "identity":
        say(f"always answering the training mean: MAE {made.baseline:.3f} {unit}")
    say(f"results, predictions, checkpoints and figures: {folder}")


def look(made: Experiment, opened: Workdir) -> None:
    """Draws a run's figures, and analyses its errors."""
    # From the files: `opened.results` is for all processes to ask together, and this is for one.
    results, part = workdir.read_results(opened.path), made.job.test.part
    answers = [predictions.read(opened.predictions(row["generation"])) for row in results]
    analyses = {
        row["generation"]: analysis.analyse(answer, part.groups)
        for row, answer in zip(results, answers, strict=True)
        if answer.space_values.size
    }
    for generation, found in analyses.items():
        opened.keep_analysis(generation, found)
    gallery.draw(opened.path / "figures", answers, opened.rows(), part, [*analyses.values()])


@contextlib.contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """What the disk refuses stops the run with the checkpoint that it goes on from."""
    try:
        yield
    except OSError as error:
        last = workdir.last_checkpoint(folder)
        good = "there is no checkpoint yet" if last is None else f"the last good one is {last}"
        raise OSError(
            f"{error.strerror or error} ({error.filename or folder}); {good}; make room, or "
            "mend what is wrong with the disk, and run the same command again"
        ) from error


def show_folds(path: Path, runs: Sequence[Run], console: Console) -> None:
    """Shows the folds' last generations with mean and spread, and keeps them in folds.json.

    And says whether their test parts share pictures, for then the spread is too small.
    """
    folders = [path / run.folder for run in runs if run.folder.startswith("folds/")]
    last = [workdir.read_results(folder)[-1] for folder in folders]
    rows = [{"fold": folder.name, **row} for folder, row in zip(folders, last, strict=True)]
    space = workdir.read_json(folders[0] / "config.json")["resolved"]["space"]
    table = spread.with_mean(rows, "fold")
    workdir.write_json(path / "folds.json", table)
    console.print(report.table(table, space["unit"]))
    tests = {f"fold {one.name}": split_file.ids(one / "split.json", "test") for one in folders}
    shared = audit.overlapping_tests(tests)
    for line in shared or ("each picture is tested in one fold at most",):
        console.print(f"{'OVERLAP: ' if shared else ''}{line}", markup=False, highlight=False)
    console.print(f"the folds, their mean and spread: {path / 'folds.json'}", markup=False)
