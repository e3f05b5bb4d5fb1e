"""Trains all runs of a sweep, the quicker way, and puts them into one table."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from ldl_jax import processes, workdir
from ldl_jax.evaluation import ablation, report
from ldl_jax.files import is_partial, write
from ldl_jax.run import experiment, jobs, plan, sweep
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.data import Read
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.joining import check_same
from ldl_jax.run.progress import ProgressBar
from ldl_jax.run.sweep import Point
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.train.together import group, replicas
from ldl_jax.train.together.group import Group, Replica
from ldl_jax.workdir import Workdir, WorkdirError

_OWN = {"runs", "stages", "table.md", "ways.json"}
_STOPPED = "stopped.json"  # in the folder of a run that diverged


def run(config: Config, path: Path, console: Console, read: Read) -> None:
    """Trains what is left of the sweep in PATH/runs/NAME, and shows its table.

    `read` reads datasets.

    Raises:
      ConfigError, WorkdirError, ValueError: something is wrong; nothing was trained.
      Interrupted: a signal came; the same call goes on from there.
      NotFiniteError: runs diverged; the others are trained, and shown.
    """
    points = check(config, path, read)
    with Interrupt() as interrupt:
        training = _Training(config, path, console, interrupt, read)
        for some in sweep.groups(points):
            training.train(some)
    lost = [point.name for point in points if (_folder(path, point) / _STOPPED).exists()]
    lost = processes.broadcast(lost)
    shown = [point for point in points if point.name not in lost]
    if shown and processes.primary():
        _show(config, points, shown, path, console)
    processes.all_gather(None)  # another process's error would end the one that shows the table
    if lost:
        raise NotFiniteError(
            f"{len(lost)} of {len(points)} runs diverged: {'; '.join(lost)}. Delete {_STOPPED} in "
            f"their folders below {path / 'runs'} to go on with them"
        )


def check(config: Config, path: Path, read: Read) -> tuple[Point, ...]:
    """The runs of a sweep, which the folder can take or go on with.

    Raises:
      ConfigError, WorkdirError: something is wrong with them, or with the folder.
    """
    grids, folds = config.sweep, experiment.fold_count(config, read)
    if folds > 1:  # a run for each, where the sweep names none
        every = {"data.fold": tuple(range(folds))}
        grids = tuple(grid if "data.fold" in grid else grid | every for grid in grids)
    points = sweep.points(dataclasses.replace(config, sweep=grids))
    if config.replicas == "together":
        if processes.count() > 1:
            raise ConfigError(
                "replicas: runs are trained together in one process, and these are "
                f"{processes.count()}; take replicas='auto', or start a single process"
            )
        sweep.check_together(points)
    check_same({"runs": [point.name for point in points]})  # the folds are of the data
    _check(path, points, read)
    _check_columns(config.table.columns.split(), points, read)
    return points


def stages(config: Config, points: Sequence[Point]) -> tuple[plan.Run, ...]:
    """The stages that the runs start from, each once, in the order in which they are trained.

    Raises:
      ConfigError: a stage is not there, or no run starts from it.
    """
    found: dict[str, plan.Run] = {}
    for point in points:
        needed: dict[str, Config] = {}
        name = point.config.init.stage
        while name in config.stages and name not in needed:
            needed[name] = config.stages[name]
            name = needed[name].init.stage
        runs = plan.runs(dataclasses.replace(point.config, stages=needed))
        found |= {one.folder: one for one in runs if one.folder}
    for name in config.stages:
        if f"stages/{name}" not in found:
            raise ConfigError(f"stages.{name}: no run of the sweep starts from it")
    return tuple(found.values())


class _Training:
    """The sweep's folder, and what its runs share."""

    def __init__(
        self, config: Config, path: Path, console: Console, interrupt: Interrupt, read: Read
    ) -> None:
        self._config, self._path, self._console = config, path, console
        self._interrupt, self._read = interrupt, read
        self._like: Experiment | None = None
        self._programs: dict[Any, Any] = {}
        self._said: set[str] = set()

    def train(self, points: Sequence[Point]) -> None:
        """Trains what is left of runs that may be put together."""
        names = [point.name for point in points if not _done(self._path, point)]
        names = processes.broadcast(names)
        left = [point for point in points if point.name in names]
        if self._config.replicas == "one_by_one" or (
            # On CPUs convolutions of several runs are slower: see benchmarks/replicas.py.
            self._config.replicas == "auto" and (len(left) < 2 or jax.default_backend() == "cpu")
        ):
            for point in left:
                self._one(point, self._build(point))
            return
        made = [(point, self._build(point)) for point in left]
        kinds = [experiment.kind(point.config, one.job) for point, one in made]
        for kind in dict.fromkeys(kinds):
            self._several([one for one, other in zip(made, kinds, strict=True) if other == kind])

    def _several(self, made: list[tuple[Point, Experiment]]) -> None:
        """Trains runs of one kind, together where they are to be."""
        if self._config.replicas == "together":
            whole = _group(made)
            group.check_memory(whole)
            self._together(made, whole)
            return
        job = made[0][1].job
        possible = bool(job.train.store) and not job.placement.splits and processes.count() == 1
        fits = group.fitting(_group(made)) if possible else 1
        for some in (made[i : i + fits] for i in range(0, len(made), max(1, fits))):
            if len(some) > 1 and self._together_is_quicker(_group(some)):
                self._together(some, _group(some))
            else:
                for point, one in some:
                    self._one(point, one)

    def _together_is_quicker(self, whole: Group) -> bool:
        """By a trial, once: a run that goes on goes on in the same way."""
        path, name = self._path / "ways.json", whole.replicas[0].name
        ways = workdir.read_json(path) if path.exists() else {}
        if name not in ways:
            ways[name] = replicas.measure(whole)._asdict() | {"runs": len(whole.replicas)}
            self._path.mkdir(parents=True, exist_ok=True)
            workdir.write_json(path, ways)
        seconds = ways[name]
        self._say(
            f"a step of {seconds['runs']} runs: {seconds['together'] * 1e3:.1f} ms together, "
            f"{seconds['one_by_one'] * 1e3:.1f} ms one by one"
        )
        return bool(seconds["together"] < seconds["one_by_one"])

    def _together(self, made: Sequence[tuple[Point, Experiment]], whole: Group) -> None:
        names = [point.name for point, _ in made]
        self._say(f"--- {len(names)} runs together: {'; '.join(names)}")
        with contextlib.ExitStack() as opened:
            folders = [
                opened.enter_context(Workdir(_folder(self._path, point), one.description))
                for point, one in made
            ]
            count = made[0][0].config.chain.generations
            progress = opened.enter_context(ProgressBar(self._console, count))
            for folder, (_, one) in zip(folders, made, strict=True):
                _keep(folder, one)
            lost = replicas.run(whole, folders, self._interrupt, progress)
            for folder, (point, one) in zip(folders, made, strict=True):
                if point.name in lost:
                    self._stopped(folder.path, point.name, lost[point.name])
                else:
                    jobs.look(one, folder)
        self._check_signal(made[-1][1])

    def _one(self, point: Point, made: Experiment) -> None:
        self._say(f"--- {point.name}")
        check_same(made.description)
        key = sweep.program(point.config), experiment.kind(point.config, made.job)
        if key not in self._programs:  # runs that differ in their seeds alone share them
            self._programs = {key: generations.jitted(made.job)}
        count = point.config.chain.generations
        with (
            Workdir(_folder(self._path, point), made.description) as folder,
            ProgressBar(self._console, count) as progress,
        ):
            _keep(folder, made)
            try:
                generations.run(made.job, folder, self._interrupt, progress, self._programs[key])
                if processes.primary():
                    jobs.look(made, folder)
            except NotFiniteError as error:
                self._stopped(folder.path, point.name, str(error))
        self._check_signal(made)

    def _check_signal(self, made: Experiment) -> None:
        if self._interrupt.check(now=True) is not None:
            assert self._interrupt.number is not None
            job = made.job
            raise Interrupted(self._interrupt.number, job.chain.generations, len(job.order(1)))

    def _stopped(self, folder: Path, name: str, why: str) -> None:
        if processes.primary():
            workdir.write_json(folder / _STOPPED, {"why": why})
        self._say(f"{name}: {why}")

    def _build(self, point: Point) -> Experiment:
        self._like = experiment.build(
            point.config,
            self._say_once,
            stages=self._path / "stages",
            workdir=_folder(self._path, point),
            like=self._like,
            read=self._read,
        )
        return self._like

    def _say_once(self, text: str) -> None:
        """Of the data, which runs share."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _folder(path: Path, point: Point) -> Path:
    return path / "runs" / point.name


def _done(path: Path, point: Point) -> bool:
    folder = _folder(path, point)
    finished = generations.finished(point.config.chain, workdir.read_results(folder))
    return finished or (folder / _STOPPED).exists()


def _keep(folder: Workdir, made: Experiment) -> None:
    for name, content in made.files.items():
        folder.keep(name, content)


def _group(made: Sequence[tuple[Point, Experiment]]) -> Group:
    points = [point for point, _ in made]
    first = made[0][1].job
    return Group(
        tuple(
            Replica(point.name, one.job, numbers)
            for (point, one), numbers in zip(made, sweep.numbers(points), strict=True)
        ),
        experiment.rebuild(points[0].config, first),
        tuple(first.placement.replicated.mesh.devices.flat),
    )


def _check(path: Path, points: Sequence[Point], read: Read) -> None:
    """Checks that the folder can take the sweep, or go on with it.

    Raises:
      WorkdirError: it holds something else, or runs of other configs.
    """
    if path.exists() and not path.is_dir():
        raise WorkdirError(f"workdir: {path} is a file; give a new folder")
    others = [item for item in path.glob("*") if item.name not in _OWN and not is_partial(item)]
    if others:
        raise WorkdirError(f"workdir: {path} holds other files and no sweep; give a new folder")
    for point in points:
        workdir.check(_folder(path, point), experiment.check(point.config, read=read))


def _check_columns(columns: Sequence[str], points: Sequence[Point], read: Read) -> None:
    """Checks that each column is of one of the runs, though others may lack it."""
    known: dict[str, None] = {}
    for point in points:  # as a rule the first has them all
        if known.keys() >= {*columns}:
            return
        known |= dict.fromkeys(experiment.table_columns(point.config, read))
    for column in columns:
        if column not in known:
            raise ConfigError(
                f"table.columns: no run has {column!r}; take some of {', '.join(known)}, or "
                "leave it empty for all of a table's"
            )


def _show(
    config: Config, points: Sequence[Point], shown: Sequence[Point], path: Path, console: Console
) -> None:
    """Prints the table, and keeps it in PATH/table.md."""
    runs = []
    for point, setting in zip(points, sweep.settings(points), strict=True):
        if point in shown:
            folder = _folder(path, point)
            runs.append(ablation.Tested(setting, folder, len(workdir.read_results(folder))))
    table = config.table
    rows = ablation.rows(
        runs,
        sweep.own_setting(config, points),
        columns=table.columns.split(),
        generations=table.generations,
        heads=table.heads,
    )
    space = workdir.read_json(runs[0].folder / "config.json")["resolved"]["space"]
    notes = f"Errors in {space['unit']}. {ablation.FOOTNOTE}"
    write(path / "table.md", f"{report.markdown(rows)}{notes}\n")
    console.width = max(console.width, 400)  # folded by the terminal, not cut
    console.print(report.table(rows))
    for line in (notes, f"table: {path / 'table.md'}; runs: {path / 'runs'}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
