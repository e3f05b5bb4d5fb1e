"""Reads lists, CSV files and sheets row by row, and reports bad rows in the same words for all."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets import sheets
from ldl_jax.data.records import DataError, FoldSplit, Records

DELIMITERS = (";", "\t", ",")
LARGEST = float(np.finfo(np.float32).max)


class LayoutError(DataError):
    """Raised for a root that lacks a file or folder of the dataset's layout."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Holds a row's cells by column, and its source "FILE row N" (N counts lines from 1)."""

    source: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Returns the cell of a column; raises DataError where it is empty."""
        value = self.cells[column]
        if not value:
            raise DataError(f"{self.source}: {column} is empty")
        return value

    def number(self, column: str) -> float:
        """Returns the cell of a column as a finite number (a float32); DataError if it is none."""
        value = self.text(column)
        try:
            result = float(value)
        except ValueError:
            result = math.nan
        if not abs(result) <= LARGEST:
            raise DataError(f"{self.source}: {column} must be a finite number, got {value!r}")
        return result

    def deviation(self, column: str) -> float:
        """Returns the cell of a column as a standard deviation; DataError if it is negative."""
        sigma = self.number(column)
        if sigma < 0:
            raise DataError(f"{self.source}: {column} must not be negative, got {sigma:g}")
        return sigma


@dataclasses.dataclass(frozen=True)
class Table:
    """Holds the rows of one CSV file or sheet; `file` is its name in messages."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, *names: str) -> str:
        """Returns the first of `names` that is a column; DataError lists them if none is."""
        for name in names:
            if name in self.columns:
                return name
        raise DataError(
            f"{self.file}: no column {' or '.join(map(repr, names))}; "
            f"columns found: {', '.join(self.columns)}"
        )


@dataclasses.dataclass(frozen=True)
class Entry:
    """Describes one labelled picture, as a reader lists it.

    `quad` has x and y of four corners, `points` those of five points; either may be empty.
    """

    id: str
    path: Path
    label: float
    source: str
    sigma: float = math.nan
    subject: str = ""
    split: str = ""
    fold: int = -1
    quad: tuple[float, ...] = ()
    points: tuple[float, ...] = ()


def find(root: Path, *names: str) -> Path:
    """Returns the first of `names` that exists under `root`; LayoutError if none does.

    Without a CSV file of these names a spreadsheet is taken: NAME.xlsx for NAME.csv.
    """
    tables = [name.removesuffix(".csv") + ".xlsx" for name in names if name.endswith(".csv")]
    for name in (*names, *tables):
        if (root / name).exists():
            return root / name
    also = " (.csv or .xlsx)" if tables else ""
    raise LayoutError(f"{root} has no {' or '.join(map(repr, names))}{also}")


def find_csv(root: Path, csv_name: str) -> Path:
    """Finds a CSV file relative to `root`, or else as given; LayoutError if there is neither."""
    for path in (root / csv_name, Path(csv_name).expanduser()):
        if path.is_file():
            return path
    raise LayoutError(f"{root} has no {csv_name!r}, and neither has the working directory")


def file_name(path: Path, root: Path) -> str:
    """Returns a file's name in messages: its path below `root`, or its own name."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def read_list(path: Path, root: Path, columns: Sequence[str]) -> tuple[Row, ...]:
    """Reads a list without a header, cells parted by blanks; only the first may hold blanks."""
    file = file_name(path, root)
    rows = []
    for count, line in enumerate(read_text(path, file).splitlines(), start=1):
        cells = line.rsplit(maxsplit=len(columns) - 1)
        if cells:
            rows.append(_row(f"{file} row {count}", [cell.strip() for cell in cells], columns))
    return tuple(rows)


def read_csv(path: Path, root: Path, columns: Sequence[str] = (), prefer: str = "") -> Table:
    """Reads a CSV file or the sheet of a spreadsheet, with a header unless `columns` is given.

    CSV is separated by comma, semicolon or tab. Of a file with several sheets the first that is
    not empty is read, or the one called `prefer`. Names of columns are compared in lower case.

    Raises:
      DataError: the file is empty, not UTF-8, repeats a column, or is no spreadsheet that can
        be read; or a row's cells are too few or too many for the columns.
    """
    file = file_name(path, root)
    sheet = sheets.is_sheet(path)
    lines = sheets.lines(path, file, columns, prefer) if sheet else csv_lines(path, file)
    rows = []
    empty = True
    with contextlib.closing(lines):
        for source, cells in lines:
            empty = False
            if columns:
                rows.append(_row(source, cells, columns))
            else:
                columns = _header(file, cells)
    if empty:
        raise DataError(f"{file}: is empty")
    return Table(file, tuple(columns), tuple(rows))


def csv_lines(
    path: Path, file: str, delimiter: str = ""
) -> Generator[tuple[str, list[str]], None, None]:
    """Yields the rows with a cell that is not empty, each after its place, "FILE row N".

    Without a delimiter the one is taken that parts the first line best.

    Raises:
      DataError: the file is not UTF-8, or not CSV.
    """
    text = read_text(path, file)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return
    line = 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(first))
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells):
                yield f"{file} row {line}", cells
            line = reader.line_num + 1  # a quoted cell may span lines; the first one counts
    except csv.Error as error:
        raise DataError(f"{file} row {line}: {error}") from error


def to_records(
    name: str,
    entries: Iterable[Entry],
    unit: str = "years",
    notes: Sequence[str] = (),
    fold_splits: Sequence[FoldSplit] = (),
) -> Records:
    """Makes records of entries.

    The optional fields (sigma, subjects, split, folds, quads, points) are there if some entry has
    its own.

    Raises:
      DataError: no entry, an id twice, or a picture that does not exist.
    """
    rows = tuple(entries)
    _check_unique(rows)
    _check_exist(name, rows)
    sigma = np.asarray([row.sigma for row in rows], np.float32)
    subjects = tuple(row.subject for row in rows)
    split = tuple(row.split for row in rows)
    folds = np.asarray([row.fold for row in rows], np.int64)
    return Records(
        name=name,
        ids=tuple(row.id for row in rows),
        labels=np.asarray([row.label for row in rows], np.float32),
        sources=tuple(row.source for row in rows),
        paths=tuple(row.path for row in rows),
        sigma=None if np.isnan(sigma).all() else sigma,
        subjects=subjects if any(subjects) else (),
        split=split if any(split) else (),
        unit=unit,
        folds=None if (folds < 0).all() else folds,
        fold_splits=tuple(fold_splits),
        quads=_coordinates([row.quad for row in rows], 4),
        points=_coordinates([row.points for row in rows], 5),
        notes=tuple(notes),
    )


def _coordinates(values: Sequence[tuple[float, ...]], count: int) -> np.ndarray | None:
    """Returns x and y of points in each picture, float32 [N, count, 2]; None if none has any."""
    if not any(values):
        return None
    unknown = (math.nan,) * (2 * count)
    return np.asarray([points or unknown for points in values], np.float32).reshape(-1, count, 2)


def _check_unique(rows: Sequence[Entry]) -> None:
    sources: dict[str, str] = {}
    for row in rows:
        if row.id in sources:
            raise DataError(f"{row.source}: {row.id!r} is listed already in {sources[row.id]}")
        sources[row.id] = row.source


def _check_exist(name: str, rows: Sequence[Entry]) -> None:
    # A folder is listed once: a stat a picture takes minutes for 100k pictures on a network disk.
    folders: dict[Path, set[str]] = {}
    missing = []
    for row in rows:
        folder = row.path.parent
        if folder not in folders:
            folders[folder] = _files(folder)
        if row.path.name not in folders[folder]:
            missing.append(row)
    if missing:
        raise DataError(
            f"{name}: {len(missing)} of {len(rows)} listed pictures do not exist; "
            f"the first is {missing[0].path} ({missing[0].source})"
        )


def _files(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except PermissionError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    except (OSError, ValueError):  # it is not there, or its name could be no folder's
        return set()


def read_text(path: Path, file: str) -> str:
    """Reads a text file; raises DataError, with `file` as its name, if it is not UTF-8."""
    try:
        # utf-8-sig: spreadsheets start their CSV files with a byte-order mark.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text ({error})") from error


def _row(source: str, cells: Sequence[str], columns: Sequence[str]) -> Row:
    if len(cells) != len(columns):
        raise DataError(
            f"{source}: expected {len(columns)} cells ({', '.join(columns)}), got {len(cells)}: "
            f"{list(cells)}"
        )
    return Row(source, dict(zip(columns, cells, strict=True)))


def _header(file: str, cells: Sequence[str]) -> tuple[str, ...]:
    names = tuple(cell.lower() for cell in cells)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{file}: column {name!r} is there twice; columns: {', '.join(names)}")
    return names


def _delimiter(line: str) -> str:
    # This is the one that gives the most cells, at a tie not the comma, which may be a decimal one.
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter))))
