"""Sheets of .xlsx files, as the rows of text that the same sheet saved as CSV would have."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import warnings
import zipfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from ldl_jax.data.records import DataError

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods")  # the last two are refused in clear words
# An .xlsx file is a zip archive, and a small one may unpack to anything. The largest official one,
# SCUT-FBP5500's 330,000 votes, needs about a fifth of the first and a tenth of the second.
LARGEST = 512 * 2**20  # bytes, unpacked
CELLS = 20_000_000  # in one sheet; an empty row counts as one
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how .xls files start, and encrypted .xlsx files
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclasses.dataclass(frozen=True)
class Book:
    """An open .xlsx file; `file` is its name in messages, `titles` its sheets in their order."""

    file: str
    titles: tuple[str, ...]
    _sheets: tuple[Any, ...]

    def source(self, title: str, row: int) -> str:
        """How messages name a row of a sheet."""
        return f"{self.file} sheet {title!r} row {row}"

    def rows(self, title: str) -> Iterator[tuple[int, list[str]]]:
        """The number of each row that is not empty, as the sheet counts, and its cells as text.

        A row ends with its last cell: rows may differ in length.

        Raises:
          DataError: the sheet is damaged, or too large.
        """
        sheet = self._sheets[self.titles.index(title)]
        count = 0
        try:
            # Some programs note a wrong size in the file, and openpyxl would cut the sheet to it.
            sheet.reset_dimensions()
            for number, values in enumerate(_quiet(sheet.iter_rows(values_only=True)), start=1):
                count += max(1, len(values))
                if count > CELLS:
                    raise DataError(f"{self.file} sheet {title!r}: has more than {CELLS:,} cells")
                cells = [text(value) for value in values]
                if any(cells):
                    yield number, cells
        except DataError:
            raise
        except Exception as error:  # openpyxl checks little: damage shows as any error
            raise DataError(
                f"{self.file} sheet {title!r}: cannot be read as a sheet ({_brief(error)}); "
                "open it with a spreadsheet program and save it again"
            ) from error


@contextlib.contextmanager
def opened(path: Path, file: str) -> Iterator[Book]:
    """Opens an .xlsx file, for reading only.

    Args:
      path: the file.
      file: its name in messages.

    Raises:
      DataError: it is an old .xls file, protected by a password, damaged, or unpacks to more than
        `LARGEST` bytes.
    """
    with contextlib.ExitStack() as stack:
        try:
            _check(path, file)
            book = _load(stack.enter_context(path.open("rb")))
            stack.callback(book.close)
            sheets = tuple(book.worksheets)
        except DataError:
            raise
        except Exception as error:  # as above
            raise DataError(
                f"{file}: cannot be read as an .xlsx file ({_brief(error)}); open it with a "
                "spreadsheet program and save it again, or get a new copy"
            ) from error
        if not sheets:
            raise DataError(f"{file}: has no sheet")
        yield Book(file, tuple(sheet.title for sheet in sheets), sheets)


def lines(
    path: Path, file: str, columns: Sequence[str] = (), prefer: str = ""
) -> Generator[tuple[str, list[str]], None, None]:
    """The rows of one sheet with their place: of `prefer` if there, else the first with any cell.

    Short rows are filled up with empty cells to the number of `columns`, or of the first row.
    """
    with opened(path, file) as book:
        titles = (prefer,) if prefer in book.titles else book.titles
        for title in titles:
            rows = book.rows(title)
            first = next(rows, None)
            if first is None:
                continue
            cells = first[1]
            while not cells[-1]:
                cells.pop()
            width = len(columns) or len(cells)
            for number, cells in itertools.chain([first], rows):
                while len(cells) > width and not cells[-1]:
                    cells.pop()
                filled = cells + [""] * (width - len(cells))
                yield book.source(title, number), filled
            return


def is_sheet(path: Path) -> bool:
    """Whether a file's name is that of a spreadsheet."""
    return path.suffix.lower() in SUFFIXES


def text(value: Any) -> str:
    """A cell's value as text: "3" and "3.5", "TRUE", "2001-02-28", "" for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return str(value.date() if value.time() == datetime.time() else value)
    return str(value).strip()


def _check(path: Path, file: str) -> None:
    """Refuses what openpyxl would not name, or not survive."""
    content = path.read_bytes() if _start(path) == _OLE else b""
    if _ENCRYPTED in content:
        raise DataError(f"{file}: is protected by a password; save it without one")
    if content:
        raise DataError(f"{file}: is an old .xls file; save it as .xlsx or as CSV")
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{file}: is no .xlsx file (not a zip archive), or is cut short; get a new copy, or "
            "give it the name of what it is"
        )
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > LARGEST:
        raise DataError(
            f"{file}: unpacks to {size / 2**20:,.0f} MiB, more than the {LARGEST // 2**20} that "
            "are read; save its sheet as CSV"
        )


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_OLE))


def _load(stream: Any) -> Any:
    import openpyxl  # only who has a sheet waits for it

    with warnings.catch_warnings(action="ignore"):
        return openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)


def _quiet(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows, without openpyxl's warnings of what it leaves out: styles, checks of input."""
    while True:
        with warnings.catch_warnings(action="ignore"):
            some = list(itertools.islice(rows, 256))
        if not some:
            return
        yield from some


def _brief(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
