"""Puts finished runs into one table, with the difference from the first, picture by picture.

python -m launch.report runs/mine runs/dldl_v2 runs/dex
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from ldl_jax.evaluation import compare, predictions, report
from ldl_jax.run.command import fail, start
from ldl_jax.workdir import Row, read_json, read_results

_GENERATION = flags.DEFINE_integer("generation", 0, "which one; 0 for each run's last")
_MARKDOWN = flags.DEFINE_boolean("markdown", False, "print the table in Markdown")


def main(arguments: Sequence[str]) -> None:
    """Prints the table of the runs named; ends the process with 1 where one is not there."""
    workdirs = [Path(name) for name in arguments[1:]]
    if not workdirs:
        fail("give the workdirs of finished runs: python -m launch.report runs/a runs/b")
    try:
        rows, unit = rows_of(workdirs, _GENERATION.value)
    except (ValueError, OSError) as error:
        fail(str(error))
    if _MARKDOWN.value:
        print(report.markdown(rows, unit), end="")
    else:
        console = Console()
        # A table that is cut off says less than one whose lines are folded by the terminal.
        console.width = max(console.width, 120)
        console.print(report.table(rows, unit))
    for line in protocols_of(workdirs):
        print(line)


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
    for workdir, result, answer in zip(workdirs, results, answers, strict=True):
        method = read_json(workdir / "config.json")["method"]["name"]
        rows.append({"run": workdir.name, "method": method, **result})
        if answer is not answers[0]:
            difference = compare.paired_difference(answer, answers[0])
            rows[-1]["MAE - first's [95 %]"] = compare.text(difference)
    for key in ("generation", "test pictures"):
        if len({row[key] for row in rows}) == 1:
            rows = [{name: x for name, x in row.items() if name != key} for row in rows]
    return rows, units[0]


def protocols_of(workdirs: Sequence[Path]) -> list[str]:
    """Returns a line on each run whose numbers may not go by its protocol's plain name."""
    protocols = {
        workdir.name: read_json(workdir / "config.json").get("resolved", {}).get("protocol", "")
        for workdir in workdirs
    }
    return [f"{run}: {name}" for run, name in protocols.items() if " " in name]


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
