"""Chicago Face Database: attractiveness of faces, 1-7, rated in the USA."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ldl_jax.data.datasets import sheets
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.folders import Left, below, left_notes
from ldl_jax.data.datasets.tables import LayoutError, Row, csv_lines, file_name, find, find_csv
from ldl_jax.data.records import DataError, Faults, Records

BOOKS = "CFD*Norming*Codebook*"
EXPECTED = "the columns 'Model' or 'Target' and 'Attractive'"
NAME = r"CFD-([A-Z]{2})-(\d+)-(\d+)(-\d+)?-N\.jpg"


@rooted
def read(root: Path, csv: str = "", *, norming_sheet: str = "") -> Records:
    """Lists the neutral picture of each person in a sheet, with the mean rating "Attractive".

    A sheet starts with rows of title and code book: the header is the first row that has both
    columns. Pictures with another expression are not rated, and are not read. Subjects are the
    models. There is no official split, and no sigma (DLDL-v2 takes 0.5). 'norming.csv' is read
    before the release's .xlsx file.

    Mind the question: the main sheet's R013 asks for attractiveness "with respect to other people
    of the same race and gender", the later sheets' R013B for an absolute one; do not mix them.
    Of a spreadsheet one sheet is read, by default the main one ("CFD U.S. Norming Data" in version
    3.0); the notes name it, its question and the other sheets with ratings.

    Source: D. S. Ma, J. Correll and B. Wittenbrink, "The Chicago Face Database: A Free Stimulus
    Set of Faces and Norming Data", Behavior Research Methods 47, 2015. Names of files, sheets and
    columns: public readers of versions 2.0.3 and 3.0; no copy was seen.

    Args:
      root: the folder of the layout.
      csv: the CSV file or spreadsheet, where it has another name.
      norming_sheet: the title of another sheet of the spreadsheet: "CFD-MR U.S. Norming Data",
        "CFD-I U.S. Norming Data" or "CFD-I INDIA Norming Data" in version 3.0.

    Raises:
      DataError: it is not clear which sheet is the main one, a person is rated twice, or a rated
        person has no picture or two.
    """
    images = find(root, "Images")
    path = find_csv(root, csv) if csv else _norming(root)
    faults = Faults(file_name(path, root))
    ratings, notes = _ratings(path, file_name(path, root), norming_sheet)
    files, left = _neutral(images, faults)

    def entry(row: Row) -> Entry | None:
        person, label = row.text("model"), faults.tried(row.number, "attractive")
        file = files.pop(person, None)
        if file is None:
            faults.add(f"{row.source}: {person} has no neutral picture in {images.name}")
        if file is None or label is None:
            return None
        return Entry(file, images / file, label, row.source, subject=person)

    entries = of_rows(_rows(ratings, faults), entry, faults)
    if files:
        left["the sheet does not rate the person"] = sorted(files.values())
    notes = left_notes(left) + notes
    return to_records("cfd", entries, unit="score", notes=notes, faults=faults)


def _norming(root: Path) -> Path:
    try:
        return find(root, "norming.csv")
    except LayoutError:
        books = sorted(path for path in root.glob(BOOKS) if sheets.is_sheet(path))
    if len(books) > 1:
        names = " and ".join(repr(book.name) for book in books)
        raise DataError(f"{root} has {names}: name one as the csv")
    if not books:
        raise LayoutError(f"{root} has no 'norming.csv' and no '{BOOKS}.xlsx'")
    return books[0]


def _neutral(images: Path, faults: Faults) -> tuple[dict[str, str], Left]:
    """Finds the neutral picture of each model, by the model's name in the sheet."""
    files: dict[str, str] = {}
    left: Left = {}
    for file in below(images, left):
        if (match := re.fullmatch(NAME, file.rsplit("/", 1)[-1])) is None:
            continue
        kind, first, second, again = match.groups(default="")
        # The Indian extension's models have two numbers and no dash after the letters.
        person = (f"{kind}{first}-{second}" if kind[0] == "I" else f"{kind}-{first}") + again
        if person in files:
            faults.add(f"{file}: {person} has another neutral picture, {files[person]}")
        files.setdefault(person, file)
    if not files:
        raise LayoutError(f"{images} has no CFD-XX-NNN-NNN-N.jpg")
    return files, left


class _Ratings(NamedTuple):
    """Holds the rows below a header, each after its name in messages, and the columns to read.

    `question` is the number of the question that was asked, "" where none stands above the header.
    """

    lines: Sequence[tuple[str, Sequence[str]]]
    columns: tuple[int, int]
    question: str


def _ratings(path: Path, file: str, sheet: str) -> tuple[_Ratings, tuple[str, ...]]:
    """Reads the ratings of a CSV file or spreadsheet, and notes on where they are from."""
    if sheets.is_sheet(path):
        return _of_book(path, file, sheet)
    if sheet:
        raise DataError(f"cfd: {file} has no sheets; leave out norming_sheet, got {sheet!r}")
    if (ratings := _headed(list(csv_lines(path, file, ",")))) is None:
        raise DataError(f"{file}: no row has {EXPECTED}")
    return ratings, ()


def _of_book(path: Path, file: str, sheet: str) -> tuple[_Ratings, tuple[str, ...]]:
    book = sheets.read(path, file)
    rated: dict[str, _Ratings] = {}
    for title in book.titles:
        ratings = _headed([(book.source(title, row), cells) for row, cells in book.rows(title)])
        if ratings is not None:
            rated[title] = ratings
    if not rated:
        raise DataError(f"{file}: no row of its sheets ({', '.join(book.titles)}) has {EXPECTED}")
    known = ", ".join(map(repr, rated))
    # The extensions' sheets are called CFD-MR ... and CFD-I ...
    main = [title for title in rated if title.startswith("CFD ")]
    title = sheet or (main or list(rated))[0]
    if title not in rated:
        raise DataError(
            f"{file}: norming_sheet must be one of {known} (those with ratings), got {sheet!r}"
        )
    if not sheet and len(main or rated) > 1:
        raise DataError(
            f"{file}: sheets {known} have ratings; name one as the option norming_sheet"
        )
    others = ", ".join(repr(other) for other in rated if other != title)
    asked = f", which asks {rated[title].question}" if rated[title].question else ""
    note = f"ratings are from the sheet {title!r}{asked}"
    return rated[title], (f"{note} (not read: {others})" if others else note,)


def _headed(lines: Sequence[tuple[str, Sequence[str]]]) -> _Ratings | None:
    """Returns the rows below the header; None where no row is one."""
    for start, (_, cells) in enumerate(lines):
        columns = _columns(cells)
        if columns is not None:
            above = [row[columns[1]] for _, row in lines[:start] if len(row) > columns[1]]
            question = next((cell for cell in above if re.fullmatch(r"R\d+B?", cell)), "")
            return _Ratings(lines[start + 1 :], columns, question)
    return None


def _rows(ratings: _Ratings, faults: Faults) -> list[Row]:
    model, attractive = ratings.columns
    rows: dict[str, Row] = {}
    for source, cells in ratings.lines:
        if len(cells) <= model or not cells[model]:
            continue  # the sheets have rows of units and blanks after the header
        person = cells[model]
        if person in rows:
            faults.add(f"{source}: {person} is rated already")
            continue
        rating = cells[attractive] if len(cells) > attractive else ""
        rows[person] = Row(source, {"model": person, "attractive": rating})
    return list(rows.values())


def _columns(cells: Sequence[str]) -> tuple[int, int] | None:
    names = [cell.lower() for cell in cells]
    model = next((name for name in ("model", "target") if name in names), None)
    if model is None or "attractive" not in names:
        return None
    return names.index(model), names.index("attractive")


DATASET = Dataset(
    read=read,
    title="Chicago Face Database",
    paper="Ma et al., The Chicago Face Database: A Free Stimulus Set of Faces and Norming Data, "
    "2015",
    licence="non-commercial research only",
    where="https://www.chicagofaces.org/",
    layout="'Images' with CFD-XX-NNN-NNN-N.jpg in any folders below, and the release's 'CFD ... "
    "Norming Data and Codebook.xlsx', or one of its sheets as 'norming.csv', with columns Model "
    "(or Target) and Attractive",
    takes_csv=True,
    pictures=(597, 158),
)
