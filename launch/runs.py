"""Lists the runs under a folder: each one's method, how far it has come, and its results.

python -m launch.runs runs/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from ldl_jax.evaluation import grid, report
from ldl_jax.evaluation.cells import plain
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.metrics import table as metrics_table
from ldl_jax.run.command import fail, start
from ldl_jax.run.progress import teller
from ldl_jax.workdir import (
    Row,
    WorkdirError,
    check_links,
    differences,
    read_json,
    read_results,
    read_rows,
)

_SORT = flags.DEFINE_string("sort", "", "a result to sort by, the least first, e.g. mae")
DIFFERS = "differs from the first in"
# So many differences of a run are said, each so long, and of so many runs.
_CHANGES, _LONG, RUNS = 6, 60, 20


def shown() -> tuple[str, ...]:
    """Returns the results that the list has; launch.report has the rest."""
    return tuple(entry.key for entry in metrics_table.TABLE if entry.brief)


def main(arguments: Sequence[str]) -> None:
    """Prints the table; ends the process with 1 where there is no run."""
    folders = [Path(name) for name in arguments[1:]] or [Path("runs")]
    for folder in folders:
        if not folder.is_dir():
            fail(f"{folder}: no such folder; give one that holds runs: python -m launch.runs runs/")
    workdirs = {str(run): run for folder in folders for run in find(folder)}
    if len(folders) == 1:  # where they all lie needs no saying in each row
        workdirs = {str(run.relative_to(folders[0])): run for run in workdirs.values()}
    if not workdirs:
        fail(f"{', '.join(map(str, folders))}: no run in it (a folder with config.json)")
    rows, shared = rows_of(workdirs)
    if key := _SORT.value:
        if not any(key in row for row in rows):
            fail(f"--sort: no run has {key!r}; results: {', '.join(shown())}")
        rows = sorted(rows, key=lambda row: row.get(key, float("inf")))
    console = Console()
    grid.show(console, table(rows))
    for line in [*_differences(rows), *([f"the same in all: {shared}"] if shared else [])]:
        teller(console)(plain(line))


def _differences(rows: Sequence[Row]) -> list[str]:
    """Returns a line a run that differs from the first, of RUNS at most, and of how many more."""
    different = [row for row in rows if row.get(DIFFERS)]
    lines = []
    for row in different[:RUNS]:
        changes = [_cut(change) for change in row[DIFFERS] if not change.endswith("-> None")]
        changes = [change for change in changes if ": None -> " not in change][:_CHANGES]
        if rest := len(row[DIFFERS]) - len(changes):
            changes.append(f"{rest} more")
        lines.append(f"{row['run']}: {', '.join(changes)}")
    if len(different) > RUNS:
        lines.append(f"and {len(different) - RUNS} more runs differ from the first")
    return lines


def _cut(change: str) -> str:
    return change if len(change) <= _LONG else f"{change[: _LONG - 1]}…"


def find(folder: Path) -> list[Path]:
    """Returns the workdirs in a folder, to its depth, in the order of their names."""
    return sorted(file.parent for file in folder.rglob("config.json"))


def rows_of(workdirs: Mapping[str, Path]) -> tuple[list[Row], str]:
    """Returns a row a run by its name, and what of dataset, network and method is the same in all.

    `DIFFERS` lists how a run's config differs from the first's. A folder whose files cannot be
    read has a row that says so.
    """
    rows: list[Row] = []
    first: Row | None = None
    for name, workdir in workdirs.items():
        rows.append({"run": name})
        try:
            check_links(workdir)
            config = read_json(workdir / "config.json")
            rows[-1] |= _about(workdir, config)
            content = {key: value for key, value in config.items() if key != "resolved"}
        except (WorkdirError, KeyError, TypeError, AttributeError) as error:
            rows[-1]["state"] = f"cannot be read ({error})"
            continue
        if first is None:
            first = content
        else:
            rows[-1][DIFFERS] = differences(first, content)
    shared = []
    for key in ("dataset", "network", "method"):
        values = {row.get(key) for row in rows}
        if len(rows) > 1 and len(values) == 1:
            shared.append(f"{key} {values.pop()}")
            rows = [{k: v for k, v in row.items() if k != key} for row in rows]
    return rows, ", ".join(shared)


def table(rows: Sequence[Row]) -> Grid:
    """Returns the rows for the terminal."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != DIFFERS))
    columns = [Column(report.heading(name)[0], right=name in shown()) for name in names]
    return Grid(columns, [[report.cell(row, name) for name in names] for row in rows])


def _about(workdir: Path, config: Row) -> Row:
    results, wanted = read_results(workdir), config["chain"]["generations"]
    state, last = "not begun", results[-1] if results else {}
    if len(results) >= wanted:
        state = "finished"
    elif logged := read_rows(workdir / "metrics.jsonl"):
        state = f"step {logged[-1]['total_step']}"
    return {
        "dataset": str(config["data"]["name"]),
        "network": str(config["model"]["name"]),
        "method": str(config["method"]["name"]),
        "generations": f"{len(results)}/{wanted}",
        "state": state,
        **{name: last[name] for name in shown() if name in last},
    }


def cli() -> None:
    """Runs the command, for `python -m launch.runs` and for `ldl-runs`."""
    start(main)


if __name__ == "__main__":
    cli()
