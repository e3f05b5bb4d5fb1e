"""Reads a spreadsheet from standard input and writes its sheets, pickled, to standard output.

It is a program of its own, since the reader takes memory for all cells between the first and the
last, however few there are, and ends its process where there is none. Usage: CELLS is the greatest
number of cells in a sheet, BYTES the memory that the program may take.

python sheets_process.py CELLS BYTES < FILE
"""

import contextlib
import io
import pickle
import resource
import sys

from python_calamine import CalamineWorkbook, SheetTypeEnum


def main() -> None:
    """Writes the rows of each sheet by its title, or a text that says why it cannot be read."""
    cells, memory = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # where the limit is lower, or there is none
        resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    book = CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
    sheets: dict[str, list[list[object]] | str] = {}
    for metadata in book.sheets_metadata:
        if metadata.typ == SheetTypeEnum.WorkSheet:
            try:
                sheets[metadata.name] = _rows(book, metadata.name, cells)
            except Exception as error:
                sheets[metadata.name] = (
                    f"cannot be read as a sheet ({' '.join(str(error).split())}); open it with a "
                    "spreadsheet program and save it again"
                )
    pickle.dump(sheets, sys.stdout.buffer)


def _rows(book: CalamineWorkbook, title: str, cells: int) -> list[list[object]] | str:
    sheet = book.get_sheet_by_name(title)
    if sheet.end is None:
        return []
    if (sheet.end[0] + 1) * (sheet.end[1] + 1) > cells:
        return f"has more than {cells:,} cells"
    return [list(row) for row in sheet.to_python(skip_empty_area=False)]


if __name__ == "__main__":
    main()
