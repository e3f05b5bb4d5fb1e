"""Reads lists, CSV files and sheets row by row, and reports bad rows in the same words for all."""

import contextlib
import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets import numbers, sheets
from ldl_jax.data.records import DataError, Faults
from ldl_jax.files import content_of

DELIMITERS = (";", "\t", ",")
ROWS = 10_000_000  # of one file; each takes some 300 bytes of memory
TEXT = 512 * 2**20  # bytes of one text file
# The first line by which spreadsheets say how cells are parted.
_SEPARATOR = re.compile(r'"?sep=(?P<sign>[;,|\t])?"?', re.IGNORECASE)
_NEWLINE = re.compile("\r\n|\r|\n")
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
            result = numbers.number(value)
            if abs(result) > LARGEST:
                raise ValueError(f"must be a finite number (a float32), got {value!r}")
        except ValueError as error:
            raise DataError(f"{self.source}: {column} {error}") from None
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

    def named(self, *columns: Sequence[str]) -> tuple[str, ...]:
        """Returns the name that each column has here, given the names that it may have.

        Raises:
          DataError: columns are not there; it lists all of them.
        """
        own_names = [next((x for x in names if x in self.columns), None) for names in columns]
        absent = [
            " or ".join(map(repr, names))
            for names, name in zip(columns, own_names, strict=True)
            if name is None
        ]
        if absent:
            raise DataError(
                f"{self.file}: no column {', no column '.join(absent)}; "
                f"columns found: {', '.join(self.columns)}"
            )
        return tuple(name for name in own_names if name is not None)


def find(root: Path, *names: str) -> Path:
    """Returns the first of `names` that exists under `root`; LayoutError if none does.

    Without a CSV file of these names a spreadsheet is taken: NAME.xlsx, .xls or .ods for NAME.csv.
    """
    stems = [name.removesuffix(".csv") for name in names if name.endswith(".csv")]
    tables = [f"{stem}{suffix}" for stem in stems for suffix in sheets.SUFFIXES]
    for name in (*names, *tables):
        if (root / name).exists():
            return root / name
    also = " (.csv, .xlsx, .xls or .ods)" if tables else ""
    raise LayoutError(f"{root} has no {' or '.join(map(repr, names))}{also}")


def find_csv(root: Path, csv_name: str) -> Path:
    """Finds a CSV file relative to `root`, or else as given; LayoutError if there is neither."""
    for path in (root / csv_name, Path(csv_name)):
        if path.is_file():
            return path
    if (root / csv_name).exists() and not (root / csv_name).is_dir():
        raise DataError(f"{root / csv_name}: is no regular file")
    raise LayoutError(f"{root} has no {csv_name!r}, and neither has the working directory")


def file_name(path: Path, root: Path) -> str:
    """Returns a file's name in messages: its path below `root`, or its own name."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def read_list(path: Path, root: Path, columns: Sequence[str], faults: Faults) -> tuple[Row, ...]:
    """Reads a list without a header, cells parted by blanks; only the first may hold blanks.

    `faults` takes rows with too few cells.
    """
    file = file_name(path, root)
    rows = []
    for count, line in enumerate(read_text(path, file).splitlines(), start=1):
        cells = [cell.strip() for cell in line.rsplit(maxsplit=len(columns) - 1)]
        if cells and (row := faults.tried(_row, f"{file} row {count}", cells, columns)) is not None:
            rows.append(row)
    return tuple(rows)


def read_csv(
    path: Path,
    root: Path,
    faults: Faults,
    columns: Sequence[str] = (),
    prefer: str = "",
) -> Table:
    """Reads a CSV file or the sheet of a spreadsheet, with a header unless `columns` is given.

    CSV is separated by comma, semicolon or tab. Of a file with several sheets the first that is
    not empty is read, or the one called `prefer`. Names of columns are compared in lower case.
    `faults` takes rows with too few or too many cells for the columns.

    Raises:
      DataError: the file is empty, not UTF-8, repeats a column, has a quote out of place, or is no
        spreadsheet that can be read.
    """
    file = file_name(path, root)
    sheet = sheets.is_sheet(path)
    lines = sheets.lines(path, file, columns, prefer) if sheet else csv_lines(path, file)
    rows = []
    empty = True
    with contextlib.closing(lines):
        for source, cells in lines:
            empty = False
            if not columns:
                columns = _header(file, cells)
                continue
            if (row := faults.tried(_row, source, cells, columns)) is not None:
                rows.append(row)
    if empty:
        raise DataError(f"{file}: is empty")
    return Table(file, tuple(columns), tuple(rows))


def csv_lines(
    path: Path, file: str, delimiter: str = ""
) -> Generator[tuple[str, list[str]], None, None]:
    """Yields the rows with a cell that is not empty, each after its place, "FILE row N".

    Without a delimiter that of a first line "sep=;" is taken, as spreadsheets write it, or else the
    one that parts the first line best. DataError is raised where the file is not UTF-8, or not CSV:
    a quote is not closed, stands within a cell, or takes in the rows after it.
    """
    lines = io.StringIO(read_text(path, file), newline="")
    before, first = _first(lines)
    if (hint := _SEPARATOR.fullmatch(first.strip("\r\n "))) is not None:
        delimiter = hint["sign"] or delimiter
        skipped, first = _first(lines)
        before += skipped
    if not first:
        return
    raw: list[str] = []
    chosen = delimiter or _delimiter(first)
    reader = csv.reader(_kept(itertools.chain([first], lines), raw), delimiter=chosen, strict=True)
    line, columns = before, 0
    try:
        for record in reader:
            _check_quotes("".join(raw), record, chosen, columns)
            columns = columns or len(record)
            cells = [cell.strip() for cell in record]
            if any(cells):
                yield f"{file} row {line}", cells
            # A quoted cell may span lines; the first one counts.
            line = before + reader.line_num
            raw.clear()
            if line > ROWS:
                raise DataError(f"{file}: has more than the {ROWS:,} rows that are read")
    except csv.Error as error:
        reason = str(error).replace("unexpected end of data", "a quote is opened and not closed")
        if "expected after" in reason:
            reason = "a quote ends before its cell does: it, or one before it, is out of place"
        raise DataError(f"{file} row {line}: {reason}") from error


def _first(lines: Iterable[str]) -> tuple[int, str]:
    """Returns the first line that is not blank, and its number from 1; (0, "") without one."""
    return next(((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, ""))


def _kept(lines: Iterable[str], raw: list[str]) -> Iterator[str]:
    """Yields the lines, and keeps them in `raw` as they come."""
    for line in lines:
        raw.append(line)
        yield line


def _check_quotes(raw: str, record: Sequence[str], delimiter: str, columns: int) -> None:
    """Raises csv.Error where a row's quotes do not enclose whole cells of this row alone."""
    if '"' not in raw:
        return
    cell = f'(?:"[^"]*(?:""[^"]*)*"|[^"{delimiter}]*)'
    if re.fullmatch(f"{cell}(?:[{delimiter}]{cell})*[\r\n]*", raw) is None:
        raise csv.Error('a quote (") stands within a cell; enclose the whole cell, and double it')
    # A line that would be a row of its own, of which a quoted cell holds a part.
    rows = any(line.count(delimiter) >= columns - 1 for line in _NEWLINE.split(raw)[1:])
    if rows and any(delimiter in line for cell in record for line in _NEWLINE.split(cell)[1:]):
        raise csv.Error("a quote takes in the rows after it; close it, or leave it out")


def read_text(path: Path, file: str) -> str:
    """Reads a text file; raises DataError, with `file` as its name, if it is not UTF-8."""
    try:
        # utf-8-sig: spreadsheets start their CSV files with a byte-order mark.
        return content_of(path, TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text ({error})") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error


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
