"""Has workers train a benchmark's rows: all that is chosen by first, then the runs of the table."""

from pathlib import Path

from ldl_jax.run import benchmark_runs, spreading, sweeping
from ldl_jax.run.benchmark import Benchmark
from ldl_jax.run.benchmark_runs import Unit
from ldl_jax.run.data import Read
from ldl_jax.run.launching import Crew
from ldl_jax.run.shared import Shared
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir.folder import LOGS
from ldl_jax.workers import UnitEnding, UnitsFailed, WorkUnit

CHOICE, SEEDS = "choice", "seeds"  # the folders of a row's two sweeps


def train(bench: Benchmark, path: Path, read: Read, crew: Crew, interrupt: Interrupt) -> None:
    """Has workers train what is left of all rows.

    Raises:
      UnitsFailed: some runs failed, and the others are trained.
      ValueError: the pictures or trained weights cannot be used.
      WorkersStopped: a signal came, or the time is over.
    """
    faults: list[str] = []
    for below in (CHOICE, SEEDS):
        units: list[WorkUnit] = []
        row_of: dict[str, Unit] = {}
        shared = Shared()
        for row in benchmark_runs.units(bench, path):
            runs = _runs(bench, row, below, path, read, shared)
            row_of |= {unit.name: row for unit in runs}
            units += runs

        def ended(unit: WorkUnit, ending: UnitEnding, rows: dict[str, Unit] = row_of) -> None:
            seconds = rows[unit.name].folder / benchmark_runs.SECONDS
            benchmark_runs.add_seconds(seconds, ending.seconds)

        try:
            crew.run(units, interrupt, ended)
        except UnitsFailed as error:  # other rows can be done
            faults.append(str(error))
    if faults:
        raise UnitsFailed("; and ".join(faults))


def _runs(
    bench: Benchmark, row: Unit, below: str, path: Path, read: Read, shared: Shared
) -> list[WorkUnit]:
    """Returns the units of one of a row's sweeps: none where it is done, or cannot be begun."""
    config = row.part.config(row.row)
    points = benchmark_runs.planned(bench, row, read)
    if below == CHOICE:
        if points is not None:
            return []
        config = benchmark_runs.candidates(bench, config, read)
    else:
        if points is None or benchmark_runs.finished(row, points):
            return []
        config = benchmark_runs.sweep_of(config, points)
    swept = sweeping.check(config, row.folder / below, read, shared)
    logs = f"{LOGS}/{row.part.name}/{row.folder.name}/{below}"
    prefix = f"{row.name}: {below}: "
    return spreading.of_sweep(swept, path, logs, shown=False, kind=row.part.name, prefix=prefix)
