"""Reads spreadsheets (.xlsx, .xls and .ods) as rows of text, as a sheet saved as CSV has them."""

import dataclasses
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from ldl_jax import extras
from ldl_jax.data.records import DataError, file_content
from ldl_jax.isolated import children

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods")
# An .xlsx or .ods file is a zip archive, and a small one may unpack to anything. SCUT-FBP5500's
# 330,000 votes, the largest official file, need a fifth of LARGEST and a tenth of CELLS.
LARGEST = 512 * 2**20  # bytes, unpacked
CELLS = 20_000_000  # in one sheet; empty ones count

Line = tuple[int, list[str]]  # a row's number, as the sheet counts, and its cells


@dataclasses.dataclass(frozen=True)
class Book:
    """Holds the sheets of a file by their titles, in order; `file` is its name in messages."""

    file: str
    _sheets: Mapping[str, list[Line] | str]

    @property
    def titles(self) -> tuple[str, ...]:
        """The sheets' titles."""
        return tuple(self._sheets)

    def source(self, title: str, row: int) -> str:
        """Returns the name that messages give a row of a sheet."""
        return f"{self.file} sheet {title!r} row {row}"

    def rows(self, title: str) -> list[Line]:
        """Returns a sheet's rows up to their last text, no empty ones; DataError if damaged."""
        sheet = self._sheets[title]
        if isinstance(sheet, str):
            raise DataError(f"{self.file} sheet {title!r}: {sheet}")
        return sheet


def read(path: Path, file: str) -> Book:
    """Reads a spreadsheet; its kind is told from its content, whatever its name.

    Args:
      path: the file.
      file: its name in messages.

    Raises:
      DataError: the file is no spreadsheet, protected by a password, damaged, or unpacks to more
        than `LARGEST` bytes, or the package that reads it is not installed.
    """
    content = file_content(path, file)
    if missing := extras.missing("python_calamine", "reading spreadsheets", "formats"):
        raise DataError(f"{file}: {missing}")
    try:
        sheets = json.loads(children.output("sheets", [str(CELLS), str(LARGEST)], content))
    except children.ReaderError as error:
        raise DataError(
            f"{file}: cannot be read as a spreadsheet ({error}); open it with a spreadsheet "
            "program and save it again, or get a new copy"
        ) from None
    if isinstance(sheets, str):  # why it is not read
        raise DataError(f"{file}: {sheets}")
    if not sheets:
        raise DataError(f"{file}: has no sheet")
    texts = {
        title: rows if isinstance(rows, str) else [(row, cells) for row, cells in rows]
        for title, rows in sheets.items()
    }
    return Book(file, texts)


def lines(
    path: Path, file: str, columns: Sequence[str] = (), prefer: str = ""
) -> Generator[tuple[str, list[str]], None, None]:
    """Yields the rows of one sheet with their place in the file.

    The sheet is the one called `prefer` if there is one, else the first with any cell. Short rows
    are filled up with empty cells to the number of `columns`, or of the first row.
    """
    book = read(path, file)
    for title in (prefer,) if prefer in book.titles else book.titles:
        rows = book.rows(title)
        if rows:
            width = len(columns) or len(rows[0][1])
            for row, cells in rows:
                yield book.source(title, row), cells + [""] * (width - len(cells))
            return


def is_sheet(path: Path) -> bool:
    """Returns whether a file's name is that of a spreadsheet."""
    return path.suffix.lower() in SUFFIXES
