"""Checks and trains one run of a plan, and shows its results on the screen."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from ldl_jax import processes, workdir
from ldl_jax.data.splits import audit, split_file
from ldl_jax.evaluation import analysis, gallery, grid, predictions, report, spread, trust_tables
from ldl_jax.files import write_json
from ldl_jax.run import experiment, identity, plan, started, tracked
from ldl_jax.run.attempts import Attempts
from ldl_jax.run.config import Config
from ldl_jax.run.data import LogLine, Read
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.joining import check_same
from ldl_jax.run.plan import Run
from ldl_jax.run.progress import ProgressBar, teller
from ldl_jax.run.resolved import Resolved, resolve
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.trace import Trace
from ldl_jax.workdir import Workdir, events


@dataclasses.dataclass(frozen=True)
class Checked:
    """A run of a plan that was checked, its folder, and the objects that its config names."""

    folder: Path
    run: Run
    resolved: Resolved

    @property
    def finished(self) -> bool:
        """True where nothing is left to train."""
        return generations.finished(self.run.config.chain, workdir.read_results(self.folder))


def check(path: Path, run: Run, read: Read) -> Checked:
    """Checks a run of a plan in the workdir of all runs; `read` reads datasets.

    Raises:
      ValueError: the config cannot be used, or the run's folder holds another one.
    """
    if run.folder.startswith("folds/") and (path / "config.json").exists():
        raise ValueError(f"workdir: {path} holds a single run, not one of folds; give a new folder")
    with plan.keys_of(run):
        folder = path / run.folder
        checked = Checked(folder, run, resolve(run.config, read=read, workdir=folder))
    check_folder(checked.folder, checked.resolved, run.key)
    return checked


def check_all(path: Path, runs: Sequence[Run], read: Read) -> list[Checked]:
    """Checks all runs of a plan; raises ValueError with the faults of all of them."""
    attempts = Attempts()  # folds have the same faults
    checked = [attempts.of(check, path, run, read) for run in runs]
    attempts.end()
    return [each for each in checked if each is not None]


def say_left_out(log: LogLine, configs: Iterable[Config]) -> None:
    """Says what is left out of runs, since the packages that write it are not installed."""
    asked = any("tensorboard" in config.log.to for config in configs)
    for text in filter(None, (gallery.left_out(), events.left_out() if asked else "")):
        log(f"left out: {text}")


def check_folder(folder: Path, resolved: Resolved, key: str = "") -> None:
    """Checks that a folder can take a run, or go on with it, before its pictures are read."""
    admit = identity.admission(resolved.records, resolved.parts, key)
    workdir.check(folder, resolved.description | {"resolved": resolved.data}, admit)
    started.read(folder)  # which is to be written again
    tracked.check(resolved.config, folder, key)


def train(
    path: Path,
    checked: Checked,
    console: Console,
    interrupt: Interrupt,
    profile: str,
    *,
    figures: bool = True,
) -> None:
    """Trains what is left of a run in the workdir of all runs, and shows its results.

    `profile` is a folder for a trace of process 0; "" for none. `figures` are drawn or left out.
    """
    folder, run, log = checked.folder, checked.run, teller(console)
    if run.folder:
        log(f"--- {run.folder}")
    with plan.keys_of(run):
        built = experiment.make(
            checked.resolved, log, path / "stages", folder, stop=interrupt.stop_now
        )
    check_same(built.description)
    if processes.count() > 1:
        log(f"{processes.count()} processes with {built.job.placement.devices} devices")
    with (
        _going_on(folder),
        Trace(profile if processes.primary() else "", log) as trace,
        open_folder(folder, checked.resolved, built, log, run.key, path) as opened,
        ProgressBar(console, run.config.chain.generations) as progress,
    ):
        job = dataclasses.replace(built.job, trace=trace)
        with plan.keys_of(run):
            results = generations.run(job, opened, interrupt, progress)
        if not processes.primary():
            return
        look(built, opened, figures=figures)
    unit = built.job.method.space.unit
    grid.show(console, report.table(results, unit))
    show_groups(folder, results[-1]["generation"], console, log)
    log(f"protocol: {built.protocol}")
    if unit != "identity":
        log(f"always answering the training mean: MAE {built.baseline:.3f} {unit}")
    drawn = figures and not gallery.left_out()
    files = "predictions, checkpoints and figures" if drawn else "predictions and checkpoints"
    log(f"results, {files}: {folder}")


@contextlib.contextmanager
def open_folder(
    path: Path,
    resolved: Resolved,
    built: Experiment,
    log: LogLine,
    key: str = "",
    root: Path | None = None,
) -> Iterator[Workdir]:
    """Opens a run's folder, keeps the run's files in it, and sends its rows to its trackers.

    `log` takes a line on each key that has another value than when the run began. `root` is the
    folder of all runs of a plan or a sweep; without it the run is alone.
    """
    if (path / "config.json").exists():
        identity.check_pictures(path, built.files, resolved.records)
        for text in identity.harmless(workdir.read_config(path), built.description):
            log(f"the run goes on with another value, which changes no number: {text}")
    admit = identity.admission(resolved.records, resolved.parts, key)
    events = "tensorboard" in resolved.config.log.to
    with Workdir(path, built.description, admit, events=events) as opened:
        for name, content in built.files.items():
            opened.keep(name, content, shared=root not in (None, path))
        if processes.primary():
            opened.keep(started.NAME, started.dumped(path))
        with tracked.tracked(opened, resolved.config, built.description, root or path, log):
            yield opened


def look(built: Experiment, opened: Workdir, *, figures: bool = True) -> None:
    """Analyses a run's errors, and draws its figures."""
    # From the files: `opened.results` is for all processes to ask together, and this is for one.
    results, part = workdir.read_results(opened.path), built.job.data.test.part
    answers = [predictions.read(opened.predictions(row["generation"])) for row in results]
    analyses = {
        row["generation"]: analysis.analyse(answer)
        for row, answer in zip(results, answers, strict=True)
        if answer.space_values.size
    }
    for generation, content in analyses.items():
        opened.keep_analysis(generation, content)
    if figures:
        gallery.draw(opened.path / "figures", answers, opened.rows(), part, [*analyses.values()])


def show_groups(folder: Path, generation: int, console: Console, log: LogLine) -> None:
    """Shows a generation's errors by group of people, where groups are known.

    They are those of the run's analysis, and docs/decisions.md says how they are read.
    """
    path = folder / "analysis" / f"generation_{generation}.json"
    content = workdir.read_json(path) if path.is_file() else {}
    if rows := trust_tables.groups({f"generation {generation}": content}):
        console.print()
        grid.show(console, report.table(rows, keep=2))
        for line in trust_tables.group_lines(content):
            log(line)


@contextlib.contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """Names the checkpoint that a run goes on from, where the disk refuses something."""
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

    It says whether their test parts share pictures, for then the spread is too small.
    """
    folders = [path / run.folder for run in runs if run.folder.startswith("folds/")]
    last = [workdir.read_results(folder)[-1] for folder in folders]
    rows = [{"fold": folder.name, **row} for folder, row in zip(folders, last, strict=True)]
    space = workdir.read_config(folders[0])["resolved"]["space"]
    table = spread.with_mean(rows, "fold")
    write_json(path / "folds.json", table)
    grid.show(console, report.table(table, space["unit"]))
    log = teller(console)
    tests = {f"fold {fold.name}": split_file.ids(fold / "split.json", "test") for fold in folders}
    shared = audit.overlapping_tests(tests)
    for line in shared or ("each picture is tested in one fold at most",):
        log(f"{'OVERLAP: ' if shared else ''}{line}")
    log(f"the folds, their mean and spread: {path / 'folds.json'}")
