"""The table of a search, and the command that trains its best setting."""

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ldl_jax import workdir
from ldl_jax.evaluation import grid, report
from ldl_jax.files import write
from ldl_jax.metrics import table
from ldl_jax.run.config import Config
from ldl_jax.run.progress import teller
from ldl_jax.search import Tried
from ldl_jax.workdir import Row

# Takes how many evaluations of the validation part there were, and the objective then.
Report = Callable[[int, float], None]
_PICTURES = "validation pictures"
_SEARCH = re.compile(r"--?(?:config\.search\.|workdir\b)")


def folder_of(path: Path, number: int) -> Path:
    """Returns the folder of a trial of the search in `path`."""
    return path / "runs" / f"trial_{number + 1:03d}"


def validation_of(folder: Path) -> Row:
    """Returns the row of a trial's validation part: of its best weights, or else its last one."""
    rows = [x for x in workdir.read_rows(folder / "metrics.jsonl") if x["kind"] == "validation"]
    results = workdir.read_results(folder)
    if results and "best_step" in results[-1]:
        best = len(results), results[-1]["best_step"]
        rows = [row for row in rows if (row["generation"], row["step"]) == best]
    return rows[-1] if rows else {}


def show(
    config: Config,
    metric: table.MetricEntry,
    trials: Sequence[Tried],
    path: Path,
    console: Console,
) -> None:
    """Prints the table with the best trial first, and keeps it in PATH/table.md."""
    log = teller(console)
    rows = [_row(config, trial, path, metric) for trial in trials]
    unit = _unit(path, trials)
    grid.show(console, report.table(rows, unit, pictures=_PICTURES))
    notes = [
        f"{metric.heading} of the validation part: {metric.better} is better. The numbers of a "
        "trial that was pruned are its last ones.",
        "The test part was not looked at.",
    ]
    write(path / "table.md", report.page(rows, unit, notes, _PICTURES))
    for note in notes:
        log(note)
    log(f"table: {path / 'table.md'}; runs: {path / 'runs'}")
    best = trials[0]
    if best.value is None:
        log('no trial was finished; the column "state" says why')
        return
    setting = ", ".join(f"{key}={value!r}" for key, value in best.values.items())
    log(f"best: trial {best.number + 1}, {metric.key} {best.value:.6g}: {setting}")
    log("this trains it, and tests it on the test part:")
    log(f"  {command(path, best.values)}")


def command(path: Path, values: Mapping[str, Any]) -> str:
    """Returns the command of this process for one run with these values, and without a search."""
    arguments, skip = [], False
    for argument in sys.argv[1:]:
        key = argument.lstrip("-").removeprefix("config.").partition("=")[0]
        search = _SEARCH.match(argument) is not None
        if not skip and not search and key not in values:
            arguments.append(argument)
        # "--workdir PATH" is two arguments.
        skip = not skip and (search or key in values) and "=" not in argument
    chosen = [f"--config.{key}={_text(value)}" for key, value in values.items()]
    whole = [*arguments, *chosen, "--config.search.trials=0", f"--workdir={path}-best"]
    return f"python -m launch.main {shlex.join(whole)}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def _row(config: Config, trial: Tried, path: Path, metric: table.MetricEntry) -> Row:
    """Returns a row: the trial, its setting, its validation's metrics, and how it ended."""
    lasts = [key.rpartition(".")[2] for key in trial.values]
    row: Row = {"trial": str(trial.number + 1), "state": trial.why.split(";")[0] or trial.state}
    if trial.state == "failed":
        row["state"] = f"failed: {trial.why}"[:60]
    for (key, value), last in zip(trial.values.items(), lasts, strict=True):
        name = last if lasts.count(last) == 1 else key
        row[name] = f"{value:.4g}" if isinstance(value, float) else str(value)
    validation = validation_of(folder_of(path, trial.number))
    columns = config.table.columns.split()
    for key, value in validation.items():
        entry = table.find(key)
        if entry is not None and (key == metric.key or not columns or key in columns):
            row[key] = value
    return row


def _unit(path: Path, trials: Sequence[Tried]) -> str:
    """Returns the unit of the labels, which each trial's config has."""
    for trial in trials:
        folder = folder_of(path, trial.number)
        if (folder / "config.json").exists():
            return str(workdir.read_config(folder)["resolved"]["space"]["unit"])
    return "the label's unit"
