"""Reads a spreadsheet from standard input and writes its sheets, as JSON, to standard output.

It is a program of its own, since the reader takes memory for all cells between the first and the
last, however few there are, and ends its process where there is none. Usage: CELLS is the greatest
number of cells in a sheet.

python sheets_process.py CELLS < FILE
"""

import datetime
import io
import json
import sys

from python_calamine import CalamineWorkbook, SheetTypeEnum


def main() -> None:
    """Writes the rows of each sheet by its title, or a text that says why it cannot be read."""
    cells = int(sys.argv[1])
    book = CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
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
    sys.stdout.buffer.write(json.dumps(sheets).encode("ascii"))


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
