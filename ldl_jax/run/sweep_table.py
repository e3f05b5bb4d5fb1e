"""The table of a sweep: its columns are checked before the training, and it is shown after it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from ldl_jax import processes, workdir
from ldl_jax.evaluation import ablation, grid, report
from ldl_jax.files import write
from ldl_jax.run import sweep
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.progress import teller
from ldl_jax.run.resolved import Resolved
from ldl_jax.run.sweep import Point
from ldl_jax.train import generations
from ldl_jax.train.log import NotFiniteError

STOPPED = "stopped.json"  # in the folder of a run that diverged


def folder_of(path: Path, point: Point) -> Path:
    """Returns the folder of a run of the sweep in `path`."""
    return path / "runs" / point.name


def done(path: Path, point: Point) -> bool:
    """Returns whether a run of the sweep in `path` is finished, or was given up."""
    folder = folder_of(path, point)
    finished = generations.finished(point.config.chain, workdir.read_results(folder))
    return finished or (folder / STOPPED).exists()


def check_columns(columns: Sequence[str], runs: Iterable[Resolved]) -> None:
    """Checks that each column is of one of the runs, though others may lack it."""
    known: dict[str, None] = {}
    for resolved in runs:  # as a rule the first has them all
        if known.keys() >= {*columns}:
            return
        known |= dict.fromkeys(resolved.metrics_of(resolved.parts.test))
    for column in columns:
        if column not in known:
            raise ConfigError(
                f"table.columns: no run has {column!r}; take some of {', '.join(known)}, or "
                "leave it empty for all of a table's"
            )


def show_good(
    config: Config, points: Sequence[Point], path: Path, console: Console, *, shown: bool
) -> None:
    """Prints and keeps the table, with `shown`, of the runs that did not diverge.

    Raises:
      NotFiniteError: some runs diverged.
    """
    lost = [point.name for point in points if (folder_of(path, point) / STOPPED).exists()]
    lost = processes.broadcast(lost)
    good = [point for point in points if point.name not in lost]
    if shown and good and processes.primary():
        show(config, points, good, path, console)
    processes.all_gather(None)  # another process's error would end the one that shows the table
    if lost:
        raise NotFiniteError(
            f"{len(lost)} of {len(points)} runs diverged: {'; '.join(lost)}. Delete {STOPPED} in "
            f"their folders below {path / 'runs'} to go on with them"
        )


def show(
    config: Config, points: Sequence[Point], shown: Sequence[Point], path: Path, console: Console
) -> None:
    """Prints the table, and keeps it in PATH/table.md."""
    runs = []
    for point in shown:
        folder, setting = folder_of(path, point), sweep.setting(point.config, points)
        runs.append(ablation.Tested(setting, folder, len(workdir.read_results(folder))))
    reference, wanted = sweep.setting(config, points), config.table
    shape = {"generations": wanted.generations, "heads": wanted.heads}
    rows = ablation.rows(runs, reference, columns=wanted.columns.split(), **shape)
    space = workdir.read_config(runs[0].folder)["resolved"]["space"]
    notes = f"Errors in {space['unit']}. {ablation.FOOTNOTE}"
    write(path / "table.md", f"{report.markdown(rows)}{notes}\n")
    grid.show(console, report.table(rows, keep=list(rows[0]).index("runs")))
    for line in (notes, f"table: {path / 'table.md'}; runs: {path / 'runs'}"):
        teller(console)(line)
