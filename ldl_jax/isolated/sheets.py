"""Reads a spreadsheet from standard input and writes its sheets, as JSON, to standard output.

It is a program of its own, since a small file may unpack to anything, and since the reader takes
memory for all cells between the first and the last, however few there are, and ends its process
where there is none. CELLS is the greatest number of cells in a sheet, and LARGEST that of the bytes
that the file may unpack to.

python -m ldl_jax.isolated.sheets CELLS LARGEST < FILE
"""

import datetime
import io
import json
import re
import sys
import zipfile

from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how .xls files start, and encrypted .xlsx files
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# The reader makes an error (as #N/A) an empty cell, unless the file calls it a text. Only an .xls
# file's errors stay empty.
_ERRORS = {
    "xl/worksheets/": (re.compile(rb'(<(?:\w+:)?c\s[^<>]*(?<=\s))t="e"'), rb'\1t="str"'),
    "content.xml": (
        re.compile(rb'office:string-value=""(?=[^<>]*calcext:value-type="error")'),
        b"",
    ),
}
# Declarations of entities, which a spreadsheet has no use for, may multiply a text.
_DECLARATION = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PASSWORD = "is protected by a password; save it without one"


class _UnreadableError(ValueError):
    """A file that is not read; the message says why."""


def main() -> None:
    """Writes the rows of each sheet by its title, or a text that says why it cannot be read."""
    cells, largest = map(int, sys.argv[1:])
    try:
        sheets: object = _sheets(_content(sys.stdin.buffer.read(), largest), cells)
    except _UnreadableError as error:
        sheets = str(error)
    except PasswordError:
        sheets = _PASSWORD
    sys.stdout.buffer.write(json.dumps(sheets).encode("ascii"))


def _content(content: bytes, largest: int) -> bytes:
    """Returns a file's bytes, with errors in its cells as texts."""
    if content.startswith(_OLE):
        if _ENCRYPTED in content:
            raise _UnreadableError(_PASSWORD)
        return content
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise _UnreadableError(
            "is no spreadsheet (neither a zip archive nor an old .xls file), or is cut short; get "
            "a new copy, or give it the name of what it is"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > largest:
                raise _UnreadableError(
                    f"unpacks to {size / 2**20:,.0f} MiB, more than the {largest // 2**20} that "
                    "are read; save its sheet as CSV"
                )
            return _with_error_texts(archive)
    except (_UnreadableError, MemoryError):
        raise
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise _UnreadableError(
            f"cannot be read as a spreadsheet ({type(error).__name__}: {error}); get a new copy"
        ) from error


def _with_error_texts(archive: zipfile.ZipFile) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as copy:
        for name in dict.fromkeys(archive.namelist()):
            member = archive.read(name)
            if name.endswith((".xml", ".rels")) and _DECLARATION.search(member):
                raise _UnreadableError(
                    f"{name} declares entities, which no spreadsheet program writes"
                )
            for start, (pattern, replacement) in _ERRORS.items():
                if name.startswith(start):
                    member = pattern.sub(replacement, member)
            copy.writestr(name, member)
    return packed.getvalue()


def _sheets(content: bytes, cells: int) -> dict[str, list[tuple[int, list[str]]] | str]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    sheets: dict[str, list[tuple[int, list[str]]] | str] = {}
    for metadata in book.sheets_metadata:
        if metadata.typ == SheetTypeEnum.WorkSheet:
            try:
                sheets[metadata.name] = _rows(book, metadata.name, cells)
            except Exception as error:
                sheets[metadata.name] = (
                    f"cannot be read as a sheet ({' '.join(str(error).split())}); open it with a "
                    "spreadsheet program and save it again"
                )
    return sheets


def text(value: object) -> str:
    """Returns a cell's value as text: "3", "3.5", "TRUE", "2001-02-28", "" for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return str(value.date() if value.time() == datetime.time() else value)
    return str(value).strip()


def _rows(book: CalamineWorkbook, title: str, cells: int) -> list[tuple[int, list[str]]] | str:
    """Returns the rows with a text, each with its number from 1, up to its last text."""
    sheet = book.get_sheet_by_name(title)
    if sheet.end is None:
        return []
    if (sheet.end[0] + 1) * (sheet.end[1] + 1) > cells:
        return f"has more than {cells:,} cells"
    filled = []
    for count, values in enumerate(sheet.to_python(skip_empty_area=False), start=1):
        texts = [text(value) for value in values]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            filled.append((count, texts))
    return filled


if __name__ == "__main__":
    main()
