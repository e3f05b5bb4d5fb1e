"""Trains a benchmark's rows in pieces: what is finished is kept, the same call does the rest."""

import dataclasses
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from ldl_jax import workdir
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.evaluation.predictions import read as read_predictions
from ldl_jax.files import write_json
from ldl_jax.metrics import table
from ldl_jax.run import benchmark, sweep, sweeping
from ldl_jax.run.benchmark import Benchmark, BenchmarkPart
from ldl_jax.run.config import Config
from ldl_jax.run.data import Read
from ldl_jax.run.named import file_names
from ldl_jax.run.reading import Content
from ldl_jax.run.shared import Shared
from ldl_jax.run.sweep import Point
from ldl_jax.run.sweep_table import folder_of
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.log import NotFiniteError

CHOSEN, SECONDS = "chosen.json", "seconds.json"
LogLine = Callable[[str], None]


class Budget:
    """Minutes after which training stops as a signal would stop it; None for no end."""

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        """Returns whether the minutes have passed."""
        return self._end is not None and time.monotonic() >= self._end

    @contextmanager
    def kept(self) -> Iterator[Interrupt]:
        """While it is entered, SIGTERM comes at the end of the time, and is noted."""
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        with Interrupt() as interrupt:
            timer = None
            if left is not None:
                timer = threading.Timer(left, os.kill, (os.getpid(), signal.SIGTERM))
                timer.daemon = True
                timer.start()
            try:
                yield interrupt
            finally:
                if timer is not None:
                    timer.cancel()


class Unit(NamedTuple):
    """A row of a part, and its folder."""

    part: BenchmarkPart
    row: str
    folder: Path

    @property
    def name(self) -> str:
        """The unit's name on the screen."""
        return f"{self.part.name}: {self.row}"


class Answers(NamedTuple):
    """The runs of a row: a seed's predictions of every fold, for each generation asked for.

    `points` are the runs; those of a fold that are missing leave the seed out.
    """

    by_generation: dict[int, list[Predictions]]
    seeds: int  # finished
    diverged: int  # runs that were given up


def units(bench: Benchmark, path: Path) -> tuple[Unit, ...]:
    """Returns the rows to train, in that order: of each part its reference first."""
    result: list[Unit] = []
    for part in bench.parts:
        names = zip(part.rows, file_names([*part.rows]), strict=True)
        rows = [Unit(part, row, path / "runs" / part.name / name) for row, name in names]
        rows = [unit for unit in rows if unit.row in part.trained]
        result += sorted(rows, key=lambda unit: unit.row != part.reference)
    return tuple(result)


def train(
    bench: Benchmark, unit: Unit, read: Read, shared: Shared, console: Console, log: LogLine
) -> None:
    """Trains what is left of a row: first the runs that its hyper-parameters are chosen by.

    `shared` is what a part's rows share.

    Raises:
      ValueError: the pictures or trained weights cannot be used.
      Interrupted: a signal came, or the time is over.
    """
    start, config = time.monotonic(), unit.part.config(unit.row)
    try:
        points = _points(bench, unit, config, read)
        if points is None:
            options = candidates(bench, config, read)
            _sweep(options, unit.folder / "choice", read, shared, console, log)
            points = _points(bench, unit, config, read)
            assert points is not None
        if not finished(unit, points):
            runs = sweep_of(config, points)
            _sweep(runs, unit.folder / "seeds", read, shared, console, log)
    finally:
        add_seconds(unit.folder / SECONDS, time.monotonic() - start)


def finished(unit: Unit, points: Sequence[Point] | None) -> bool:
    """Returns whether nothing is left of a row's runs."""
    return points is not None and all(ended(unit, point) for point in points)


def planned(bench: Benchmark, unit: Unit, read: Read) -> tuple[Point, ...] | None:
    """Returns the runs of a row; None where its hyper-parameters are not chosen yet."""
    return _points(bench, unit, unit.part.config(unit.row), read)


def answers(unit: Unit, points: Sequence[Point]) -> Answers:
    """Reads the predictions of the seeds that are finished."""
    folds = len({point.values.get("data.fold", 0) for point in points})
    by_seed: dict[int, list[Point]] = {}
    diverged = 0
    for point in points:
        folder = folder_of(unit.folder / "seeds", point)
        diverged += (folder / sweeping.STOPPED).exists()
        if generations.finished(point.config.chain, workdir.read_results(folder)):
            by_seed.setdefault(point.config.seed, []).append(point)
    whole = [runs for runs in by_seed.values() if len(runs) == folds]
    last = points[0].config.chain.generations
    wanted = range(1, last + 1) if unit.part.generations else (last,)
    by_generation = {
        generation: [_joined([_read(unit, point, generation) for point in runs]) for runs in whole]
        for generation in wanted
    }
    return Answers(by_generation, len(whole), diverged)


def seconds(unit: Unit) -> float:
    """Returns how long a row's training has taken so far."""
    path = unit.folder / SECONDS
    return float(workdir.read_json(path)["seconds"]) if path.exists() else 0.0


def chosen(unit: Unit) -> Content:
    """Returns what was chosen of a row's grid, and the validation's numbers; {} before."""
    path = unit.folder / CHOSEN
    return workdir.read_json(path) if path.exists() else {}


def _points(bench: Benchmark, unit: Unit, config: Config, read: Read) -> tuple[Point, ...] | None:
    """Returns the runs of the table with the values that the validation part chose."""
    all_folds = benchmark.folds(config, read)
    grids = []
    record: Content = {}
    for fold in all_folds:
        values, numbers = _choice(bench, unit, config, fold, len(all_folds))
        if values is None:
            return None
        record[str(max(0, fold))] = {"values": values, bench.select: numbers}
        fixed = {key: x for key, x in values.items() if key != "seed"}
        of_fold = {"data.fold": fold} if len(all_folds) > 1 else {}
        grids.append({**of_fold, **fixed, "seed": tuple(range(unit.part.seeds))})
    unit.folder.mkdir(parents=True, exist_ok=True)
    if chosen(unit) != record:
        write_json(unit.folder / CHOSEN, record)
    return sweep.points(dataclasses.replace(config, sweep=tuple(grids)))


def _choice(
    bench: Benchmark, unit: Unit, config: Config, fold: int, folds: int
) -> tuple[Content | None, dict[str, float]]:
    """Returns the values of a fold's best candidate, and each one's number; None before."""
    (grid,) = config.sweep
    options = sweep.points(dataclasses.replace(config, sweep=(grid,))) if grid else ()
    if len(options) < 2:  # nothing to choose
        return (options[0].values if options else {}), {}
    entry = table.find(bench.select)
    assert entry is not None
    numbers: dict[str, float] = {}
    for option in options:
        values = {**({"data.fold": fold} if folds > 1 else {}), **option.values}
        (point,) = sweep.points(dataclasses.replace(config, sweep=(values,)))
        folder = folder_of(unit.folder / "choice", point)
        if not ended(unit, point, "choice"):
            return None, {}
        if not (folder / sweeping.STOPPED).exists():
            numbers[option.name] = _validated(folder, bench.select)
    if not numbers:
        raise ValueError(f"{unit.name}: every candidate of its grid diverged; see {unit.folder}")
    best = (max if entry.better == "more" else min)(numbers, key=lambda name: numbers[name])
    return next(option.values for option in options if option.name == best), numbers


def candidates(bench: Benchmark, config: Config, read: Read) -> Config:
    """Returns the sweep of all candidates, with a validation part cut from training."""
    all_folds = benchmark.folds(config, read)
    (grid,) = config.sweep
    of_fold = {"data.fold": all_folds} if len(all_folds) > 1 else {}
    data = dataclasses.replace(config.data, validation_fraction=bench.validation_fraction)
    # The validation part is looked at when a generation ends.
    last = dataclasses.replace(config.evaluation, every=float(config.epochs))
    return dataclasses.replace(config, data=data, evaluation=last, sweep=({**of_fold, **grid},))


def sweep_of(config: Config, points: Sequence[Point]) -> Config:
    """Returns the sweep of a row's runs."""
    values = tuple({key: (x,) for key, x in point.values.items()} for point in points)
    return dataclasses.replace(config, sweep=values)


def _sweep(
    config: Config, path: Path, read: Read, shared: Shared, console: Console, log: LogLine
) -> None:
    """Trains what is left of a sweep; a run that diverges is left, and said."""
    try:
        sweeping.run(sweeping.check(config, path, read, shared), console, shown=False)
    except NotFiniteError as error:
        log(str(error))


def ended(unit: Unit, point: Point, below: str = "seeds") -> bool:
    """Returns whether a run is finished or was given up."""
    folder = folder_of(unit.folder / below, point)
    if (folder / sweeping.STOPPED).exists():
        return True
    return generations.finished(point.config.chain, workdir.read_results(folder))


def _validated(folder: Path, metric: str) -> float:
    """Returns the last number of a run's validation part."""
    rows = [
        row
        for row in workdir.read_rows(folder / "metrics.jsonl")
        if row.get("kind") == "validation"
    ]
    return float(rows[-1][metric])


def _read(unit: Unit, point: Point, generation: int) -> Predictions:
    folder = folder_of(unit.folder / "seeds", point)
    return read_predictions(folder / "predictions" / f"generation_{generation}.csv")


def _joined(of_folds: Sequence[Predictions]) -> Predictions:
    """Returns the folds' predictions together, in the order of the pictures' names."""
    names = [name for answer in of_folds for name in answer.ids]
    order = np.argsort(names, kind="stable")

    def column(of: Callable[[Predictions], np.ndarray]) -> np.ndarray:
        return np.concatenate([of(answer) for answer in of_folds])[order]

    subjects = [name for answer in of_folds for name in answer.subjects]
    heads = {name: column(functools.partial(_head, name)) for name in of_folds[0].heads}
    some = of_folds[0]
    return Predictions(
        ids=tuple(names[row] for row in order),
        labels=column(lambda answer: answer.labels),
        values=column(lambda answer: answer.values),
        probs=column(lambda answer: answer.probs),
        space=some.space,
        heads=heads,
        sigma=None if some.sigma is None else column(lambda answer: _known(answer.sigma)),
        subjects=tuple(subjects[row] for row in order) if len(subjects) == len(names) else (),
    )


def _head(name: str, answer: Predictions) -> np.ndarray:
    return answer.heads[name]


def _known(sigma: np.ndarray | None) -> np.ndarray:
    assert sigma is not None, "all folds are of one dataset"
    return sigma


def add_seconds(path: Path, more: float) -> None:
    """Adds to the seconds that a row's training has taken."""
    before = float(workdir.read_json(path)["seconds"]) if path.exists() else 0.0
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"seconds": round(before + more, 1)})
