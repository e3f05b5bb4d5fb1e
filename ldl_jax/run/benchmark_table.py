"""The tables of a benchmark's page, as its JSON has them, and those of an earlier page."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.evaluation import scored
from ldl_jax.evaluation.compare import Contrast
from ldl_jax.evaluation.scored import Scored
from ldl_jax.run.reading import Content
from ldl_jax.workdir import read_json


@dataclasses.dataclass(frozen=True)
class PageRow:
    """A finished row, or one of its generations.

    Attributes:
      name: in the table.
      reference: the name of the line that it is compared with.
      scored: what its runs are worth.
      seeds: how many are finished, and how many there are to be.
      chosen: what the validation part chose, as text.
      seconds: of training.
    """

    name: str
    reference: str
    scored: Scored
    seeds: tuple[int, int]
    chosen: str = ""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
      row: its name.
      seeds: how many runs are finished.
      of: how many there are to be.
      chosen: what the validation part chose, as text.
      seconds: of training.
      error: the mean of |ŷ - y| over pictures and runs, which orders the lines.
      metrics: of each run.
      reference: the row that it is compared with, "" for none.
      difference: of its MAE from that row's; None where there is none.
      p: of that difference, adjusted for all lines of the table.
    """

    row: str
    seeds: int
    of: int
    chosen: str
    seconds: float
    error: float
    metrics: Mapping[str, Sequence[float]]
    reference: str = ""
    difference: Contrast | None = None
    p: float = 1.0


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """A part of the page; `missing` says what is not computed yet."""

    key: str
    title: str
    lines: tuple[Line, ...]
    missing: tuple[str, ...]


def compared(key: str, title: str, rows: Sequence[PageRow], missing: Sequence[str]) -> ResultTable:
    """Returns the table of a part's finished rows, each compared with its reference."""
    by_name = {row.name: row.scored for row in rows}
    references = {row.name: by_name[row.reference] for row in rows if row.reference in by_name}
    contrasts = scored.contrasts(by_name, references)
    lines = []
    for row in rows:
        difference, p = contrasts.get(row.name, (None, 1.0))
        metrics = {name: [round(x, 6) for x in runs] for name, runs in row.scored.numbers.items()}
        error = round(float(row.scored.errors.mean()), 6)
        lines.append(
            Line(
                row=row.name,
                seeds=row.seeds[0],
                of=row.seeds[1],
                chosen=row.chosen,
                seconds=row.seconds,
                error=error,
                metrics=metrics,
                reference=row.reference,
                difference=difference,
                p=p,
            )
        )
    return ResultTable(key, title, tuple(lines), tuple(missing))


def content(table: ResultTable) -> Content:
    """Returns a table as the page's JSON has it."""
    lines = []
    for line in table.lines:
        values = dataclasses.asdict(line)
        del values["difference"], values["p"]
        if line.difference is not None:
            values["difference"] = line.difference._asdict() | {"p_holm": line.p}
        lines.append(values)
    return {"title": table.title, "rows": lines, "missing": list(table.missing)}


@dataclasses.dataclass(frozen=True)
class EarlierPage:
    """A page that was written elsewhere.

    Attributes:
      path: of its JSON.
      title: of the benchmark.
      facts: above the tables, the split first.
      tables: by the names of the parts.
    """

    path: Path
    title: str
    facts: tuple[str, ...]
    tables: Mapping[str, ResultTable]

    def check(self, title: str, split: str) -> None:
        """Checks that the page is of this benchmark.

        Raises:
          ValueError: it is of another one, or of another split.
        """
        for what, theirs, ours in (
            ("benchmark", self.title, title),
            ("split", self.facts[0], split),
        ):
            if theirs != ours:
                raise ValueError(
                    f"--earlier: {self.path} is of another {what}: {theirs!r}, here {ours!r}"
                )


def read(path: Path) -> EarlierPage:
    """Reads a page's JSON.

    Raises:
      ValueError: it is no benchmark's page, or there is none.
    """
    if not path.is_file():
        raise ValueError(f"--earlier: there is no file {path}; expected a benchmark.json")
    try:
        page = read_json(path)
        tables = {key: _table(key, part) for key, part in page["parts"].items()}
        facts = tuple(map(str, page["facts"]))
        if not facts:
            raise ValueError("it has no facts")
        return EarlierPage(path, str(page["title"]), facts, tables)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        fault = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"--earlier: {path} is no page of a benchmark ({fault})") from None


def _table(key: str, part: Content) -> ResultTable:
    lines = tuple(_line(row) for row in part["rows"])
    return ResultTable(key, str(part["title"]), lines, tuple(map(str, part["missing"])))


def _line(row: Content) -> Line:
    metrics = {str(name): [float(x) for x in runs] for name, runs in row["metrics"].items()}
    values = row.get("difference", {})
    difference = Contrast(*(float(values[name]) for name in Contrast._fields)) if values else None
    # Pages of before these two were kept say the one with the difference, and the other as the MAE.
    reference = row["reference"] if "reference" in row else values.get("from", "")
    error = row["error"] if "error" in row else np.mean(metrics["mae"])
    line = Line(
        row=str(row["row"]),
        seeds=int(row["seeds"]),
        of=int(row["of"]),
        chosen=str(row["chosen"]),
        seconds=float(row["seconds"]),
        error=float(error),
        metrics=metrics,
        reference=str(reference),
        difference=difference,
        p=float(values.get("p_holm", 1.0)),
    )
    numbers = [
        line.seconds,
        line.error,
        line.p,
        *(difference or ()),
        *itertools.chain(*metrics.values()),
    ]
    if not np.isfinite(numbers).all():
        raise ValueError(f"{line.row} has a number that is not finite")
    return line
