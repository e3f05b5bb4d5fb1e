"""Searches for the setting whose validation metric is best: a run for each trial, one by one."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ldl_jax import extras, processes, workdir
from ldl_jax.data.records import DataError
from ldl_jax.files import is_partial, write_json
from ldl_jax.metrics import table
from ldl_jax.run import experiment, identity, jobs, search_table, sweep
from ldl_jax.run.attempts import Attempts
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.run.data import Read
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.features import FOLDER
from ldl_jax.run.progress import ProgressBar, once, teller
from ldl_jax.run.resolved import Resolved, fold_count, resolve
from ldl_jax.run.search_section import SearchConfig, check_key
from ldl_jax.run.sweep import Point
from ldl_jax.run.tracked import PrunedError
from ldl_jax.search import Range, parse
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.job import Job
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workdir import Row, Workdir, WorkdirError

_FILE, _ABOUT = "search.db", "search.json"
_OWN = {"runs", "stages", "table.md", _FILE, f"{_FILE}-journal", _ABOUT, FOLDER}


@dataclasses.dataclass(frozen=True)
class Search:
    """A search that was checked; `points` is the config's own run, which trials are changes of."""

    config: Config
    path: Path
    points: tuple[Point, ...]
    ranges: Mapping[str, Range]
    base: Resolved
    metric: table.MetricEntry
    read: Read


def check(config: Config, path: Path, read: Read) -> Search:
    """Checks a search, and that the folder can take it or go on with it.

    Raises:
      ValueError: what is wrong with it, or with the folder; all faults at once.
    """
    attempts = Attempts()
    attempts.of(_check_place, config, read)
    texts = config.search.ranges.items()
    ranges = {key: attempts.of(_range, key, text) for key, text in texts}
    base_config = dataclasses.replace(config, sweep=(), search=SearchConfig())
    base = attempts.of(resolve, base_config, read=read)
    metric = None
    if base is not None:
        metric = attempts.of(_metric, config, base)
        for key, values in ranges.items():
            for value in () if values is None else values.ends:
                attempts.of(_check_value, base, key, value, read)
    attempts.of(_check_folder, path, config)
    attempts.end()
    assert base is not None
    assert metric is not None
    whole = {key: values for key, values in ranges.items() if values is not None}
    return Search(config, path, (Point("", base_config, {}),), whole, base, metric, read)


def run(checked: Search, console: Console) -> None:
    """Trains what is left of the trials in PATH/runs, and shows the best.

    Raises:
      ValueError: pictures or trained weights cannot be used, or the trials' file.
      Interrupted: a signal came; the same call goes on from there.
    """
    from ldl_jax.search.study import Study, reading  # Optuna is an extra

    wanted, path = checked.config.search, checked.path
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / _ABOUT, _about(checked.config))
    study = Study(
        path / _FILE,
        checked.ranges,
        more_is_better=checked.metric.better == "more",
        seed=wanted.seed,
        sampler=wanted.sampler,
        pruner=wanted.pruner,
    )
    with reading(path / _FILE), Interrupt() as interrupt:
        training = _Trials(checked, console, interrupt)
        while (trial := study.next(wanted.trials)) is not None:
            point = _point(checked.points[0].config, trial.values)
            training.log(f"--- trial {trial.number + 1} of {wanted.trials}: {point.name}")

            def report(step: int, value: float) -> None:
                trial.report(step, value)
                if wanted.pruner != "none" and trial.should_prune():
                    raise PrunedError(f"pruned after evaluation {step}")

            try:
                study.finish(trial, training.train(trial.number, point, report))
            except PrunedError as pruned:
                study.leave(trial, str(pruned), pruned=True)
                training.log(str(pruned))
            except (ConfigError, NotFiniteError) as error:
                study.leave(trial, str(error))
                training.log(f"trial {trial.number + 1} failed: {error}")
    search_table.show(checked.config, checked.metric, study.trials(), path, console)


class _Trials:
    """Trains the trials of a search, which share their data."""

    def __init__(self, checked: Search, console: Console, interrupt: Interrupt) -> None:
        self._checked, self._console, self._interrupt = checked, console, interrupt
        self._newest: Experiment | None = None
        self.log = teller(console)
        self._say_once = once(self.log)

    def train(self, number: int, point: Point, report: search_table.Report) -> float:
        """Trains what is left of a trial; returns its objective.

        Args:
          number: the trial's.
          point: its name and config.
          report: takes how many evaluations there were, and the objective then; it may raise.

        Raises:
          ConfigError, NotFiniteError: it cannot be trained, diverged, or has no objective.
        """
        path, key = self._checked.path, self._checked.metric.key
        folder = search_table.folder_of(path, number)
        resolved = _resolved(self._checked.base, point.config, self._checked.read, folder)
        jobs.check_folder(folder, resolved)
        way = path / "stages", folder, self._newest, self._interrupt.stop_now
        built = self._newest = experiment.make(resolved, self._say_once, *way)
        job = dataclasses.replace(built.job, tested=False)
        with (
            jobs.open_folder(folder, resolved, built, self.log, root=path) as opened,
            ProgressBar(self._console, job.chain.generations) as progress,
        ):
            opened.listen(lambda row, speed: _reported(job, row, key, report))
            generations.run(job, opened, self._interrupt, progress)
            return self._objective(opened, key)

    def _objective(self, opened: Workdir, key: str) -> float:
        row = search_table.validation_of(opened.path)
        if key not in row:
            raise ConfigError(f"{key} is not defined on its validation part")
        return float(row[key])


def _reported(job: Job, row: Row, key: str, report: search_table.Report) -> None:
    """Reports a row of the validation part, but for the last one, after which nothing is saved."""
    if row["kind"] != "validation" or key not in row:
        return
    length = len(job.order(row["generation"]))
    if row["generation"] == job.chain.generations and row["step"] == length:
        return
    epochs = (row["generation"] - 1) * job.epochs + row["epoch"]
    report(max(1, round(epochs / job.evaluation.every)), float(row[key]))


def _point(config: Config, values: Mapping[str, Any]) -> Point:
    """Returns a run with these values, whose name says them."""
    grid = {key: (value,) for key, value in values.items()}
    (point,) = sweep.points(dataclasses.replace(config, sweep=(grid,)))
    return point


def _check_place(config: Config, read: Read) -> None:
    """Raises ConfigError where a search cannot run as it is asked for, for all reasons."""
    faults = []
    if missing := extras.missing("optuna", "search: a search", "optuna"):
        faults.append(missing)
    if config.sweep:
        faults.append("search: a config has a sweep or a search; set sweep to None, or trials to 0")
    if processes.count() > 1:
        faults.append("search: its trials run in one process; start a single one")
    if (folds := fold_count(config, read)) > 1:
        faults.append(
            f"search: is of one split, and data.protocol={config.data.protocol!r} has {folds}; "
            "give data.fold"
        )
    if faults:
        raise ConfigError("; and ".join(faults))


def _range(key: str, given: object) -> Range:
    check_key(key, frozenset(to_dict(Config())))
    return parse(key, given)


def _metric(config: Config, base: Resolved) -> table.MetricEntry:
    """Returns the metric that is searched for.

    Raises:
      ConfigError: there is no validation part, or it has no such metric.
    """
    rows = base.parts.validation
    if not len(rows):
        raise ConfigError(
            "search: looks at the validation part, and there is none; hold some pictures out with "
            "data.validation_fraction"
        )
    key = config.search.metric or config.best or "mae"
    entries = [table.find(name) for name in base.metrics_of(rows)]
    known = {entry.key: entry for entry in entries if entry is not None and entry.better}
    if key not in known:
        raise ConfigError(f"search.metric: expected one of {', '.join(known)}, got {key!r}")
    return known[key]


def _resolved(base: Resolved, config: Config, read: Read, workdir: Path | None = None) -> Resolved:
    """Resolves a trial's config.

    Raises:
      ConfigError: its values do not go together, or it has other pictures in its parts.
    """
    try:
        resolved = resolve(config, like=base, read=read, workdir=workdir)
    except (DataError, WorkdirError):
        raise
    except ValueError as error:  # a network of one's own says so too, and another trial may do
        raise ConfigError(str(error)) from error
    if config.data != base.config.data and resolved.data["split"] != base.data["split"]:
        raise ConfigError(
            "another value puts other pictures into the parts, and trials are compared on the same "
            "ones"
        )
    return resolved


def _check_value(base: Resolved, key: str, value: object, read: Read) -> None:
    """Raises ValueError where a key cannot have a value, or it changes the split."""
    try:
        _resolved(base, _point(base.config, {key: value}).config, read)
    except ValueError as error:
        text = str(error).removeprefix("sweep: ")
        raise ConfigError(f"search.ranges: {key}={value!r}: {text}") from None


def _about(config: Config) -> dict[str, Any]:
    """Returns what a search cannot change when it goes on."""
    wanted = dataclasses.asdict(config.search)
    del wanted["trials"]
    content: dict[str, Any] = json.loads(json.dumps({"search": wanted, "config": to_dict(config)}))
    return content


def _check_folder(path: Path, config: Config) -> None:
    """Raises WorkdirError where a folder holds something else than this search."""
    if path.exists() and not path.is_dir():
        raise WorkdirError(f"workdir: {path} is a file; give a new folder")
    if "?" in str(path.absolute()):  # which ends a path in the address of a SQLite file
        raise WorkdirError(f"workdir: {path}: a search's folder has no '?' in its path")
    others = [item for item in path.glob("*") if item.name not in _OWN and not is_partial(item)]
    if others:
        raise WorkdirError(f"workdir: {path} holds other files and no search; give a new folder")
    if not (path / _ABOUT).exists():
        if (path / "runs").exists():
            raise WorkdirError(f"workdir: {path} holds runs and no search; give a new folder")
        return
    saved, new = workdir.read_json(path / _ABOUT), _about(config)
    if not isinstance(saved, dict):
        raise WorkdirError(f"{path / _ABOUT}: expected an object; nothing was changed")
    changes = workdir.differences(saved.get("search"), new["search"], "search")
    between = workdir.differences(saved.get("config"), new["config"])
    changes += [text for text in between if identity.changes_numbers(text.partition(":")[0])]
    if changes:
        raise WorkdirError(
            f"workdir: {path} holds another search ({'; '.join(changes)}); give another --workdir, "
            "or that search again to go on"
        )
