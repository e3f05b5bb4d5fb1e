"""Reads spreadsheets (.xlsx, .xls and .ods) as rows of text, as a sheet saved as CSV has them."""

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from ldl_jax.data.datasets import children
from ldl_jax.data.records import DataError

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods")
# An .xlsx or .ods file is a zip archive, and a small one may unpack to anything. SCUT-FBP5500's
# 330,000 votes, the largest official file, need a fifth of LARGEST and a tenth of CELLS.
LARGEST = 512 * 2**20  # bytes, unpacked
CELLS = 20_000_000  # in one sheet; empty ones count
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how .xls files start, and encrypted .xlsx files
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# The reader makes an error (as #N/A) an empty cell, unless the file calls it a text. Only an .xls
# file's errors stay empty.
_ERRORS = {
    "xl/worksheets/": (re.compile(rb'(<(?:\w+:)?c\b[^>]*\s)t="e"'), rb'\1t="str"'),
    "content.xml": (re.compile(rb'office:string-value=""(?=[^>]*calcext:value-type="error")'), b""),
}

# Declarations of entities, which a spreadsheet has no use for, may multiply a text.
_DECLARATION = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)

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
        than `LARGEST` bytes.
    """
    content = _content(children.read(path, file), file)
    try:
        sheets = json.loads(children.output("sheets_process.py", [str(CELLS)], content))
    except children.ReaderError as error:
        if "PasswordError" in str(error):
            raise DataError(f"{file}: is protected by a password; save it without one") from None
        raise DataError(
            f"{file}: cannot be read as a spreadsheet ({error}); open it with a spreadsheet "
            "program and save it again, or get a new copy"
        ) from None
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


def _content(content: bytes, file: str) -> bytes:
    """Returns a file's bytes, with errors in its cells as texts."""
    if content.startswith(_OLE):
        if _ENCRYPTED in content:
            raise DataError(f"{file}: is protected by a password; save it without one")
        return content
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise DataError(
            f"{file}: is no spreadsheet (neither a zip archive nor an old .xls file), or is cut "
            "short; get a new copy, or give it the name of what it is"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > LARGEST:
                raise DataError(
                    f"{file}: unpacks to {size / 2**20:,.0f} MiB, more than the "
                    f"{LARGEST // 2**20} that are read; save its sheet as CSV"
                )
            return _with_error_texts(archive)
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith(file) else f"{file}: {text}") from None
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise DataError(
            f"{file}: cannot be read as a spreadsheet ({type(error).__name__}: {error}); get a "
            "new copy"
        ) from error


def _with_error_texts(archive: zipfile.ZipFile) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as copy:
        for name in dict.fromkeys(archive.namelist()):
            member = archive.read(name)
            if name.endswith((".xml", ".rels")) and _DECLARATION.search(member):
                raise DataError(f"{name} declares entities, which no spreadsheet program writes")
            for start, (pattern, replacement) in _ERRORS.items():
                if name.startswith(start):
                    member = pattern.sub(replacement, member)
            copy.writestr(name, member)
    return packed.getvalue()
