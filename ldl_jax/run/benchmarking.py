"""Runs a benchmark: what is left of it is trained while there is time, and its page is written."""

import contextlib
import importlib.metadata
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from rich.console import Console

from ldl_jax.data.records import Records
from ldl_jax.data.splits.protocols import Parts
from ldl_jax.evaluation.report import baseline_mae
from ldl_jax.files import lock
from ldl_jax.run import (
    benchmark,
    benchmark_page,
    benchmark_peers,
    benchmark_runs,
    benchmark_spread,
    benchmark_table,
    data,
    started,
)
from ldl_jax.run.benchmark import PEERS, Benchmark, PeersConfig
from ldl_jax.run.benchmark_page import duration
from ldl_jax.run.benchmark_runs import Budget, Unit
from ldl_jax.run.benchmark_table import EarlierPage, PageRow, ResultTable
from ldl_jax.run.data import Reader
from ldl_jax.run.launching import Crew, WorkerPlan
from ldl_jax.run.progress import teller
from ldl_jax.run.shared import Shared
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.workdir import read_json

LogLine = Callable[[str], None]


def run(
    shown: Benchmark,
    wanted: Benchmark,
    path: Path,
    minutes: float | None,
    console: Console,
    workers: WorkerPlan | None = None,
    earlier: EarlierPage | None = None,
) -> bool:
    """Trains what is left of a benchmark, and writes its page; returns whether all is there.

    Args:
      shown: all parts, for the page.
      wanted: the parts to train.
      path: the folder.
      minutes: after which training stops, to go on with the next call; 0 writes the page alone.
      console: for progress.
      workers: train the runs; None for this process.
      earlier: the page has its tables of those parts that the folder has nothing of.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, before the first run where it is the
        config's or the earlier page's.
      Interrupted: a signal came.
    """
    log, read, budget = teller(console), Reader(), Budget(minutes)
    records = read(shown.data)
    parts = data.parts_of(shown.data, records, path)
    training = minutes is None or minutes > 0
    if training:
        benchmark.check(wanted, read)
        benchmark_peers.check(wanted.peers, records.unit)
    split = _split(shown, path, read, records, parts)
    if earlier is not None:
        earlier.check(shown.title, split)
    ready = contextlib.nullcontext() if workers is None else workers.ready(path, log)
    with ready as crew:
        path.mkdir(parents=True, exist_ok=True)
        # The page alone can be written while another process trains.
        with lock(path) if training else contextlib.nullcontext():
            try:
                if training:
                    _peers(wanted.peers, path, records, parts, shown.data.seed, budget, log)
                    if crew is None:
                        _train(wanted, path, read, budget, console, log)
                    else:
                        _spread(wanted, path, read, budget, crew, log)
            finally:
                whole = write(shown, path, read, records, parts, split, log, earlier)
    return whole


def write(
    bench: Benchmark,
    path: Path,
    read: Reader,
    records: Records,
    parts: Parts,
    split: str,
    log: LogLine,
    earlier: EarlierPage | None = None,
) -> bool:
    """Writes the page of what is finished; returns whether that is all of it."""
    tables: list[ResultTable] = []
    rows_of_parts: list[list[PageRow]] = []
    units = benchmark_runs.units(bench, path)
    for part in bench.parts:
        rows: list[PageRow] = []
        missing = []
        for unit in (unit for unit in units if unit.part is part):
            points = benchmark_runs.planned(bench, unit, read)
            lines, left = benchmark_page.rows_of(bench, unit, points)
            rows += lines
            missing += [left] if left else []
        tables.append(benchmark_table.compared(part.name, part.title, rows, missing))
        rows_of_parts.append(rows)
    if bench.peers.files:
        answers = benchmark_peers.kept(bench.peers, _peers_folder(path))
        tables.append(benchmark_page.peer_table(bench, answers, _reference(rows_of_parts[0])))
    spent = sum(benchmark_runs.seconds(unit) for unit in units)
    facts = _facts(bench, path, records, parts, split, spent)
    if earlier is not None:
        tables, said = _with_earlier(tables, earlier)
        facts += said
    benchmark_page.write_page(path, bench, tables, facts, records.unit)
    log(f"the tables of what is finished: {path / 'benchmark.md'}, .html and .json")
    return not any(table.missing for table in tables)


def _peers(
    peers: PeersConfig,
    path: Path,
    records: Records,
    parts: Parts,
    seed: int,
    budget: Budget,
    log: LogLine,
) -> None:
    """Asks the peers that have not answered yet."""
    folder = _peers_folder(path)
    done = benchmark_peers.kept(peers, folder)
    for name in peers.files:
        if name not in done and not budget.over:
            benchmark_peers.ask(peers, name, folder, records, parts, seed, log)


def _train(
    bench: Benchmark, path: Path, read: Reader, budget: Budget, console: Console, log: LogLine
) -> None:
    """Trains the rows that are not finished; says after each how far the benchmark is."""
    units = benchmark_runs.units(bench, path)
    left = [
        u for u in units if not benchmark_runs.finished(u, benchmark_runs.planned(bench, u, read))
    ]
    if len(left) < len(units):
        log(f"{len(units) - len(left)} of {len(units)} rows are finished")
    shared, last = Shared(), None
    firsts: list[float] = []  # seconds of each part's first row, which computes what all share
    others: list[float] = []
    with budget.kept() as interrupt:
        for count, unit in enumerate(left, start=1):
            log(f"=== {unit.name} ({len(units) - len(left) + count} of {len(units)})")
            start, seconds = time.monotonic(), others
            if unit.part is not last:
                shared, last, seconds = Shared(), unit.part, firsts
            try:
                benchmark_runs.train(bench, unit, read, shared, console, log)
                if interrupt.check(now=True) is not None:
                    interrupt.stop(0)
            except Interrupted as stop:
                if budget.over and stop.number == signal.SIGTERM:
                    log("the minutes are over; the same command goes on from here")
                    return
                raise
            seconds.append(time.monotonic() - start)
            rest = statistics.fmean(others or firsts) * (len(left) - count)
            progress = f"{count} of {len(left)} rows in {duration(sum(firsts + others))}"
            _say(bench, unit, read, f"{progress}, about {duration(rest)} left at this pace", log)


def _spread(
    bench: Benchmark, path: Path, read: Reader, budget: Budget, crew: Crew, log: LogLine
) -> None:
    """Has workers train what is left, while there is time."""
    with budget.kept() as interrupt:
        try:
            benchmark_spread.train(bench, path, read, crew, interrupt)
        except Interrupted as stop:
            if not (budget.over and stop.number == signal.SIGTERM):
                raise
            log("the minutes are over; the same command goes on from here")


def _say(bench: Benchmark, unit: Unit, read: Reader, progress: str, log: LogLine) -> None:
    """Says a row's error, and how far the benchmark is."""
    lines, _ = benchmark_page.rows_of(bench, unit, benchmark_runs.planned(bench, unit, read))
    key = bench.metrics[0]
    cell = benchmark_page.scored.cell(lines[-1].scored.numbers.get(key), key) if lines else "none"
    log(f"{unit.name}: {benchmark_page.scored.heading(key)} {cell}; {progress}")


def _with_earlier(
    tables: Sequence[ResultTable], earlier: EarlierPage
) -> tuple[list[ResultTable], list[str]]:
    """Returns the tables, an earlier page's where one has no line, and what is said of those."""
    theirs = {(table.key, table.title): table for table in earlier.tables.values() if table.lines}
    filled = {
        table.key: theirs[table.key, table.title]
        for table in tables
        if not table.lines and (table.key, table.title) in theirs
    }
    spent = sum(line.seconds for table in filled.values() for line in table.lines)
    titles = "; ".join(table.title for table in filled.values())
    said = f"From an earlier page, whose trainings took {duration(spent)}: {titles}."
    return [filled.get(table.key, table) for table in tables], [said] if filled else []


def _reference(rows: Sequence[PageRow]) -> PageRow | None:
    """Returns the row that a table's others are compared with, the last of its generations."""
    names = [row.reference for row in rows]
    references = [row for row in rows if row.name in names]
    return references[-1] if references else None


def _split(bench: Benchmark, path: Path, read: Reader, records: Records, parts: Parts) -> str:
    """Returns the page's first fact: the split, as the audit calls it, and its size."""
    several = len(benchmark.folds(bench.parts[0].run, read)) > 1
    name, _ = data.audited(bench.data, records, parts, path, lambda text: None)
    return f"Split: {name}; {len(parts.train):,} training and {len(parts.test):,} test pictures" + (
        " of the first fold." if several else "."
    )


def _facts(
    bench: Benchmark, path: Path, records: Records, parts: Parts, split: str, spent: float
) -> list[str]:
    """Returns what a reader of the numbers must know: the split, its size, where and how long."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib")]
    base = baseline_mae(records.labels[parts.train], records.labels[parts.test])
    return [
        split,
        f"Always answering the training mean: MAE {base:.3f} {records.unit}.",
        f"What a row names as chosen is by the {bench.select.upper()} of a validation part "
        f"({bench.validation_fraction:.0%} of the training pictures); then all were trained on.",
        f"Training took {duration(spent)} in all, on {_where(path)}, with {', '.join(versions)}.",
    ]


def _where(path: Path) -> str:
    """Returns the devices of the runs, which workers may have trained elsewhere."""
    starts = [start for file in path.glob(f"**/{started.NAME}") for start in read_json(file)]
    kinds = dict.fromkeys(start["device"].partition(" x ")[2] for start in starts)
    kinds = kinds or {jax.devices()[0].device_kind: None}
    return ", ".join(f"{os.cpu_count()} CPU cores" if kind == "cpu" else kind for kind in kinds)


def _peers_folder(path: Path) -> Path:
    return path / "runs" / PEERS
