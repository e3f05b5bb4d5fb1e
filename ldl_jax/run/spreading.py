"""Makes units of work of a plan and of a sweep, for workers to train."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ldl_jax import workdir
from ldl_jax.evaluation import grid, report
from ldl_jax.run import jobs, plan, sweep, sweeping
from ldl_jax.run.config import Config, to_dict
from ldl_jax.run.jobs import Checked
from ldl_jax.run.launching import Crew
from ldl_jax.run.sweep import Point
from ldl_jax.run.sweep_table import done
from ldl_jax.run.sweeping import Sweep
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir.folder import LOGS
from ldl_jax.workers import WorkUnit

_ALONE = "run"  # the name of the unit of a plan's last run, which has no folder of its own


def train(
    path: Path, checked: Sequence[Checked], swept: Sweep | None, crew: Crew, console: Console
) -> None:
    """Has workers train what is left of a plan and a sweep, and shows the results.

    Raises:
      UnitsFailed: some runs failed, and the others are trained.
      WorkersStopped: a signal came.
      NotFiniteError: runs of the sweep diverged; the others are trained, and shown.
    """
    units = of_plan(path, checked)
    if swept is not None:
        units += of_sweep(swept, path, LOGS, waiting=[unit.name for unit in units])
    with Interrupt() as interrupt:
        crew.run(units, interrupt)
    if swept is not None:
        sweeping.finish(swept, console)
    elif checked[-1].run.folder:
        jobs.show_folds(path, [job.run for job in checked], console)
    else:
        unit = workdir.read_config(path)["resolved"]["space"]["unit"]
        grid.show(console, report.table(workdir.read_results(path), unit))


def of_plan(path: Path, checked: Sequence[Checked]) -> list[WorkUnit]:
    """Returns the units of a plan's runs that are not finished: each after its stages."""
    left = [job.run for job in checked if not job.finished]
    names = [run.folder or _ALONE for run in left]
    units = []
    for name, run in zip(names, left, strict=True):
        needs = [f"stages/{stage}" for stage in _stages(run.config, checked)]
        task, arguments = "ldl_jax.run.tasks:train_run", {"path": path.absolute(), "run": run}
        log = path.absolute() / LOGS / f"{name}.log"
        units.append(WorkUnit(name, task, arguments, log, tuple(n for n in needs if n in names)))
    return units


def of_sweep(
    swept: Sweep,
    workdir_of_all: Path,
    logs: str,
    *,
    waiting: Sequence[str] = (),
    shown: bool = True,
    kind: str = "",
    prefix: str = "",
) -> list[WorkUnit]:
    """Returns the units of a sweep's runs that are not finished.

    Runs that are trained together in one program are one unit. Of runs on the features of one
    network the first unit ends before the others start, which find the features then.

    Args:
      swept: the sweep.
      workdir_of_all: the folder that the logs lie below.
      logs: the folder of the logs, below that one.
      waiting: the stages that are not trained yet.
      shown: whether the runs' errors are analysed, and figures drawn.
      kind: units of another kind share nothing in a worker.
      prefix: of the units' names.
    """
    config, path = swept.config, swept.path.absolute()
    left = {point.name for point in swept.points if not done(path, point)}
    firsts: dict[str, str] = {}  # of each setting the run that draws its figures
    for point in swept.points:
        firsts.setdefault(sweep.program(point.config), point.name)
    computing: dict[str, str] = {}  # by the features, the unit that computes them
    units = []
    for points in _units(config, swept.points):
        if left.isdisjoint(point.name for point in points):
            continue
        settings = {sweep.program(point.config): point.name for point in points}
        names = {point.name for point in points}
        others = f" and {len(points) - 1} more" if len(points) > 1 else ""
        name = f"{prefix}{points[0].name}{others}"
        after = []
        if points[0].config.init.features:
            first = computing.setdefault(_features(points[0].config), name)
            after = [] if first == name else [first]
        needs = [f"stages/{stage}" for point in points for stage in plan.chain(point.config)]
        arguments = {
            "path": path,
            "config": _alone(config, points),
            "shown": shown,
            "drawn": [setting for setting in settings if firsts[setting] not in names],
            "kind": kind,
        }
        log = workdir_of_all.absolute() / logs / f"{points[0].name}.log"
        task, known = "ldl_jax.run.tasks:train_points", tuple(n for n in needs if n in waiting)
        units.append(
            WorkUnit(name, task, arguments, log, tuple(dict.fromkeys(known)), tuple(after))
        )
    return units


def _stages(config: Config, checked: Sequence[Checked]) -> list[str]:
    """Returns the stages that a run of a plan starts from, one after the other."""
    configs = {job.run.folder.removeprefix("stages/"): job.run.config for job in checked}
    names, name = [], config.init.stage
    while name:
        names.append(name)
        name = configs[name].init.stage
    return names


def _units(config: Config, points: Sequence[Point]) -> list[tuple[Point, ...]]:
    """Returns the runs that one worker trains: one, or those that are one program.

    Runs whose program would be chosen by measuring are one each.
    """
    units: list[tuple[Point, ...]] = []
    for group in sweep.groups(points):
        dense = config.replicas == "auto" and group[0].config.init.features
        units += [group] if dense or config.replicas == "together" else [(p,) for p in group]
    return units


def _alone(config: Config, points: Sequence[Point]) -> Config:
    """Returns the sweep of these runs alone; its table is the whole sweep's to show."""
    grids = tuple({key: (value,) for key, value in point.values.items()} for point in points)
    table = dataclasses.replace(config.table, columns="")
    return dataclasses.replace(config, sweep=grids, table=table)


def _features(config: Config) -> str:
    """Returns what the features of a run depend on, but for the fold, which only chooses some."""
    content = to_dict(config)
    content["data"] = {key: x for key, x in content["data"].items() if key != "fold"}
    return json.dumps([content[key] for key in ("data", "init", "model", "augment")])
