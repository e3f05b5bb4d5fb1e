"""Trains all runs of a sweep, the quicker way, and puts them into one table."""

import contextlib
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
from rich.console import Console

from ldl_jax import processes, workdir
from ldl_jax.files import is_partial, write_json
from ldl_jax.run import experiment, jobs, plan, sweep
from ldl_jax.run.attempts import Attempts
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.data import Read
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.features import FOLDER
from ldl_jax.run.joining import check_same
from ldl_jax.run.progress import ProgressBar, once, teller
from ldl_jax.run.resolved import Resolved, fold_count, resolve
from ldl_jax.run.shared import Shared
from ldl_jax.run.sweep import Point
from ldl_jax.run.sweep_table import STOPPED, check_columns, done, folder_of, show_good
from ldl_jax.train import generations, programs
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.log import NotFiniteError
from ldl_jax.train.together import group, replicas
from ldl_jax.train.together.group import Replica, Replicas
from ldl_jax.workdir import Workdir, WorkdirError
from ldl_jax.workdir.folder import LOGS

Built = tuple[Point, Experiment]  # a run of a sweep, ready to start
_OWN = {"runs", "stages", "table.md", "ways.json", FOLDER, LOGS}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that was checked, and the objects that each run's config names, by its name."""

    config: Config
    path: Path
    points: tuple[Point, ...]
    resolved: Mapping[str, Resolved]
    shared: Shared


def run(checked: Sweep, console: Console, *, shown: bool = True, brief: bool = False) -> None:
    """Trains what is left of the sweep in PATH/runs/NAME.

    With `shown` it shows the sweep's table, analyses each run's errors, and draws the figures of
    each setting's first seed; with `brief` those of the first run alone.

    Raises:
      ValueError: pictures or trained weights cannot be used.
      Interrupted: a signal came; the same call goes on from there.
      NotFiniteError: runs diverged; the others are trained, and shown.
    """
    with Interrupt() as interrupt:
        drawn: set[str] = set()
        if brief:  # all settings but the first are taken to have their figures
            first, *others = (sweep.program(point.config) for point in checked.points)
            drawn = {*others} - {first}
        train(checked, console, interrupt, shown=shown, drawn=drawn)
    finish(checked, console, shown=shown)


def train(
    checked: Sweep,
    console: Console,
    interrupt: Interrupt,
    *,
    shown: bool = True,
    drawn: Iterable[str] = (),
) -> None:
    """Trains what is left of the sweep; `drawn` are settings that have their figures elsewhere."""
    training = _Training(checked, console, interrupt, shown, drawn)
    for group_points in sweep.groups(checked.points):
        training.train(group_points)


def finish(checked: Sweep, console: Console, *, shown: bool = True) -> None:
    """Shows the table of a sweep that is trained; raises NotFiniteError where runs diverged."""
    show_good(checked.config, checked.points, checked.path, console, shown=shown)


def check(config: Config, path: Path, read: Read, shared: Shared | None = None) -> Sweep:
    """Checks the runs of a sweep, and that the folder can take them or go on with them.

    What other sweeps have `shared` is taken, where it is of the same data.

    Raises:
      ValueError: what is wrong with them, or with the folder; the faults of all runs at once.
    """
    grids, folds = config.sweep, fold_count(config, read)
    if folds > 1:  # a run for each, where the sweep names none
        every = {"data.fold": tuple(range(folds))}
        grids = tuple(grid if "data.fold" in grid else grid | every for grid in grids)
    points = sweep.points(dataclasses.replace(config, sweep=grids))
    if config.replicas == "together":
        sweep.check_together(points)
    check_same({"runs": [point.name for point in points]})  # the folds are of the data
    attempts = Attempts()
    attempts.of(_check_folder, path)
    resolved: dict[str, Resolved] = {}
    shared = shared or Shared()
    for point in points:
        folder, like = folder_of(path, point), shared.resolved(point.config)
        objects = attempts.of(resolve, point.config, read=read, like=like, workdir=folder)
        if objects is not None:
            resolved[point.name] = objects
            shared.keep_resolved(objects)
            attempts.of(jobs.check_folder, folder, objects)
    if resolved:
        attempts.of(check_columns, config.table.columns.split(), resolved.values())
    attempts.end()
    return Sweep(config, path, points, resolved, shared)


def stages(config: Config, points: Sequence[Point]) -> tuple[plan.Run, ...]:
    """Returns the stages that the runs start from, each once, in the order of their training.

    Without runs, as their own settings cannot be used, it is all stages of the config.

    Raises:
      ConfigError: a stage is not there, or no run starts from it.
    """
    if not points:
        return tuple(plan.Run(f"stages/{name}", stage) for name, stage in config.stages.items())
    chains = [plan.chain(point.config) for point in points]
    names = dict.fromkeys(name for chain in chains for name in chain)
    for name in config.stages:
        if name not in names:
            raise ConfigError(f"stages.{name}: no run of the sweep starts from it")
    return tuple(plan.Run(f"stages/{name}", config.stages[name]) for name in names)


class _Training:
    """The sweep's folder, and what its runs share."""

    def __init__(
        self,
        checked: Sweep,
        console: Console,
        interrupt: Interrupt,
        shown: bool,
        drawn: Iterable[str],
    ) -> None:
        self._config, self._path, self._resolved = checked.config, checked.path, checked.resolved
        self._console, self._interrupt, self._log = console, interrupt, teller(console)
        self._shared, self._shown, self._drawn = checked.shared, shown, {*drawn}
        self._say_once = once(self._log)  # lines on the data, which runs share

    def train(self, points: Sequence[Point]) -> None:
        """Trains what is left of runs that may be put together."""
        names = processes.broadcast([p.name for p in points if not done(self._path, p)])
        left = [point for point in points if point.name in names]
        if self._config.replicas == "one_by_one" or (
            self._config.replicas == "auto" and (len(left) < 2 or _slower_together(left[0].config))
        ):
            for point in left:
                self._one(point, self._build(point))
            return
        by_kind: dict[Hashable, list[Built]] = {}
        for point in left:
            built = self._build(point)
            kind = experiment.kind(point.config, built.job)
            by_kind.setdefault(kind, []).append((point, built))
        for members in by_kind.values():
            self._several(members)

    def _several(self, members: list[Built]) -> None:
        """Trains runs of one kind, together where they are to be."""
        if self._config.replicas == "together":
            whole = _group(members)
            group.check_memory(whole)
            self._together(members, whole)
            return
        job = members[0][1].job
        possible = bool(job.data.train.store) and not job.placement.splits
        possible = possible and job.init.ensemble is None
        fits = group.fitting(_group(members)) if possible and processes.count() == 1 else 1
        for some in (members[i : i + fits] for i in range(0, len(members), max(1, fits))):
            if len(some) > 1 and self._together_is_quicker(_group(some), some[0][0].config):
                self._together(some, _group(some))
            else:
                for point, built in some:
                    self._one(point, built)

    def _together_is_quicker(self, whole: Replicas, config: Config) -> bool:
        """Chooses how the runs train by timing both ways once; a resumed sweep keeps the choice.

        Dense layers alone are always quicker together.
        """
        if config.init.features:
            return True
        path, name = self._path / "ways.json", whole.replicas[0].name
        ways = workdir.read_json(path) if path.exists() else {}
        if name not in ways:
            ways[name] = replicas.measure(whole)._asdict() | {"runs": len(whole.replicas)}
            self._path.mkdir(parents=True, exist_ok=True)
            write_json(path, ways)
        seconds = ways[name]
        self._log(
            f"a step of {seconds['runs']} runs: {seconds['together'] * 1e3:.1f} ms together, "
            f"{seconds['one_by_one'] * 1e3:.1f} ms one by one"
        )
        return bool(seconds["together"] < seconds["one_by_one"])

    def _together(self, members: Sequence[Built], whole: Replicas) -> None:
        names = [point.name for point, _ in members]
        self._log(f"--- {len(names)} runs together: {'; '.join(names)}")
        with contextlib.ExitStack() as opened:
            folders = [opened.enter_context(self._open(point, built)) for point, built in members]
            count = members[0][0].config.chain.generations
            progress = opened.enter_context(ProgressBar(self._console, count))
            lost = replicas.run(whole, folders, self._interrupt, progress)
            for folder, (point, built) in zip(folders, members, strict=True):
                if point.name in lost:
                    self._stopped(folder.path, point.name, lost[point.name])
                else:
                    self._look(point, built, folder)
        self._check_signal(members[-1][1])

    def _one(self, point: Point, built: Experiment) -> None:
        self._log(f"--- {point.name}")
        check_same(built.description)
        key = sweep.program(point.config), experiment.kind(point.config, built.job)
        known = self._shared.programs
        if key not in known:  # runs that differ in their seeds alone share them
            known.clear()
            known[key] = programs.jitted(built.job)
        count = point.config.chain.generations
        with (
            self._open(point, built) as folder,
            ProgressBar(self._console, count) as progress,
        ):
            try:
                generations.run(built.job, folder, self._interrupt, progress, known[key])
                if processes.primary():
                    self._look(point, built, folder)
            except NotFiniteError as error:
                self._stopped(folder.path, point.name, str(error))
        self._check_signal(built)

    def _look(self, point: Point, built: Experiment, folder: Workdir) -> None:
        """Analyses a run; draws its figures where no other run of its setting has some."""
        setting = sweep.program(point.config)
        if self._shown:
            jobs.look(built, folder, figures=setting not in self._drawn)
            self._drawn.add(setting)

    def _open(self, point: Point, built: Experiment) -> contextlib.AbstractContextManager[Workdir]:
        folder, resolved = folder_of(self._path, point), self._resolved[point.name]
        return jobs.open_folder(folder, resolved, built, self._log, root=self._path)

    def _check_signal(self, built: Experiment) -> None:
        if self._interrupt.check(now=True) is not None:
            self._interrupt.stop(built.job.chain.generations, len(built.job.order(1)))

    def _stopped(self, folder: Path, name: str, why: str) -> None:
        if processes.primary():
            write_json(folder / STOPPED, {"why": why})
        self._log(f"{name}: {why}")

    def _build(self, point: Point) -> Experiment:
        like, stop = self._shared.experiment(point.config), self._interrupt.stop_now
        way = self._path / "stages", folder_of(self._path, point), like, stop
        built = experiment.make(self._resolved[point.name], self._say_once, *way)
        self._shared.keep_experiment(point.config, built)
        return built


def _slower_together(config: Config) -> bool:
    """Returns whether it is known that a config's runs are slower together."""
    # On CPUs convolutions of several runs are: see benchmarks/replicas.py.
    return jax.default_backend() == "cpu" and not config.init.features


def _group(members: Sequence[Built]) -> Replicas:
    points = [point for point, _ in members]
    first = members[0][1].job
    return Replicas(
        tuple(
            Replica(point.name, built.job, numbers)
            for (point, built), numbers in zip(members, sweep.numbers(points), strict=True)
        ),
        experiment.rebuild(points[0].config, first),
        tuple(first.placement.replicated.mesh.devices.flat),
    )


def _check_folder(path: Path) -> None:
    """Raises WorkdirError where a folder holds something else than a sweep."""
    if path.exists() and not path.is_dir():
        raise WorkdirError(f"workdir: {path} is a file; give a new folder")
    others = [item for item in path.glob("*") if item.name not in _OWN and not is_partial(item)]
    if others:
        raise WorkdirError(f"workdir: {path} holds other files and no sweep; give a new folder")
