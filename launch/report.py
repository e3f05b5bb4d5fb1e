"""Puts finished runs into one table, with the difference from the first, picture by picture.

python -m launch.report runs/mine runs/dldl_v2 runs/dex
python -m launch.report runs/my_sweep

Of the folder of a sweep or of folds the runs in it are taken.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from ldl_jax.evaluation import compare, grid, predictions, report
from ldl_jax.evaluation.cells import plain
from ldl_jax.run.command import fail, start
from ldl_jax.run.listed import runs_in
from ldl_jax.run.named import short_names
from ldl_jax.run.progress import teller
from ldl_jax.workdir import Row, check_links, read_json, read_results

_GENERATION = flags.DEFINE_integer("generation", 0, "which one; 0 for each run's last")
_MARKDOWN = flags.DEFINE_boolean("markdown", False, "print the table in Markdown")


def main(arguments: Sequence[str]) -> None:
    """Prints the table of the runs named; ends the process with 1 where one is not there."""
    if not arguments[1:]:
        fail("give the workdirs of finished runs: python -m launch.report runs/a runs/b")
    try:
        workdirs, unfinished = _workdirs([Path(name) for name in arguments[1:]])
        rows, unit = rows_of(workdirs, _GENERATION.value)
        protocols = protocols_of(workdirs)
    except (ValueError, OSError) as error:
        fail(str(error))
    if _MARKDOWN.value:
        print(report.page(rows, unit, protocols), end="")
    else:
        console = Console()
        grid.show(console, report.table(rows, unit))
        for line in protocols:
            teller(console)(line)
    if unfinished:
        names = ", ".join(unfinished)
        sys.stderr.write(f"left out, as they have not finished a generation: {plain(names)}\n")


def _workdirs(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Returns the runs that folders hold, and the names of those that have no result yet.

    A folder that holds a single run is that run, finished or not.
    """
    workdirs: list[Path] = []
    unfinished: list[str] = []
    for folder in folders:
        check_links(folder)
        runs = runs_in(folder)
        finished = [run for run in runs if runs == [folder] or read_results(run)]
        if not finished:
            raise ValueError(f"{folder}: none of its {len(runs)} runs has finished a generation")
        workdirs += finished
        unfinished += [run.name for run in runs if run not in finished]
    return workdirs, unfinished


def rows_of(workdirs: Sequence[Path], generation: int) -> tuple[list[Row], str]:
    """Returns a row a run, and the unit of their labels; what is the same of all is left out.

    Raises:
      ValueError: a folder is no run, or has not finished that generation; units differ.
    """
    results = [_result(workdir, generation) for workdir in workdirs]
    answers = [
        predictions.read(workdir / "predictions" / f"generation_{row['generation']}.csv")
        for workdir, row in zip(workdirs, results, strict=True)
    ]
    units = sorted({answer.unit for answer in answers})
    if len(units) > 1:
        raise ValueError(f"the runs' labels are in different units: {', '.join(units)}")
    rows = []
    names = short_names(workdirs)
    for name, workdir, result, answer in zip(names, workdirs, results, answers, strict=True):
        method = read_json(workdir / "config.json")["method"]["name"]
        rows.append({"run": name, "method": method, **result})
        if answer is not answers[0]:
            difference = compare.paired_difference(answer, answers[0])
            rows[-1]["MAE - first's [95 %]"] = compare.text(difference)
    for key in ("generation", "test pictures"):
        if len({row[key] for row in rows}) == 1:
            rows = [{name: x for name, x in row.items() if name != key} for row in rows]
    return rows, units[0]


def protocols_of(workdirs: Sequence[Path]) -> list[str]:
    """Returns a line on each run whose numbers may not go by its protocol's plain name."""
    protocols = [
        read_json(workdir / "config.json").get("resolved", {}).get("protocol", "")
        for workdir in workdirs
    ]
    named = zip(short_names(workdirs), protocols, strict=True)
    return [f"{run}: {name}" for run, name in named if " " in name]


def _result(workdir: Path, generation: int) -> Row:
    finished = read_results(workdir)
    if not finished:
        raise ValueError(f"{workdir}: is not the workdir of a run with a finished generation")
    count = len(finished)
    if not 0 <= generation <= count:
        raise ValueError(f"--generation: {workdir} has finished {count} of them, got {generation}")
    return finished[generation - 1]  # of 0 the last


def cli() -> None:
    """Runs the command, for `python -m launch.report` and for `ldl-report`."""
    start(main)


if __name__ == "__main__":
    cli()
