"""Chicago Face Database: the attractiveness of faces, 1-7, as raters in the USA gave it."""

from __future__ import annotations

import csv as csv_files
import re
from collections.abc import Sequence
from pathlib import Path

from ldl_jax.data.dataset import Dataset
from ldl_jax.data.folders import Left, below, left_notes
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.tables import Entry, LayoutError, Row, find, find_csv, to_records

LAYOUT = (
    "'Images' with CFD-XX-NNN-NNN-N.jpg in any folders below, and 'norming.csv' (a sheet of the "
    "norming data, saved as CSV) with columns Model (or Target) and Attractive"
)
NAME = r"CFD-([A-Z]{2})-(\d+)-(\d+)(-\d+)?-N\.jpg"


def read(root: Path, csv: str = "") -> Records:
    """Lists the neutral picture of each person in the sheet, with the mean rating "Attractive".

    The sheet may start with the release's rows of title and code book: the header is the first row
    that has both columns. Pictures with another expression are not rated, and are not read.
    Subjects are the models. There is no official split, and no sigma (DLDL-v2 takes 0.5).

    Mind the question: the main sheet's R013 asks for attractiveness "with respect to other people
    of the same race and gender", the later sheets' R013B for an absolute one; do not mix them.

    Licence: non-commercial research only.
    Source: D. S. Ma, J. Correll and B. Wittenbrink, "The Chicago Face Database: A Free Stimulus
    Set of Faces and Norming Data", Behavior Research Methods 47, 2015. Names of files and columns:
    public readers of version 3.0; no copy was seen.

    Raises:
      DataError: a piece of the layout or a column is missing, a rating is not a number, a person
        is rated twice, or a rated person has no picture or two.
    """
    images = find(root, "Images")
    rows = _rows(find_csv(root, csv or "norming.csv"), root)
    files, left = _neutral(images)
    entries = []
    for row in rows:
        person = row.text("model")
        if person not in files:
            raise DataError(f"{row.source}: {person} has no neutral picture in {images.name}")
        file = files.pop(person)
        label = row.number("attractive")
        entries.append(Entry(file, images / file, label, row.source, subject=person))
    if files:
        left["the sheet does not rate the person"] = sorted(files.values())
    return to_records("cfd", entries, unit="score", notes=left_notes(left))


def _neutral(images: Path) -> tuple[dict[str, str], Left]:
    """The neutral picture of each model, by the name that the sheet gives the model."""
    files: dict[str, str] = {}
    left: Left = {}
    for file in below(images):
        match = re.fullmatch(NAME, file.rsplit("/", 1)[-1])
        if match is None:
            continue
        kind, number, second, again = match.groups(default="")
        # The Indian extension's models have two numbers and no dash after the letters.
        person = (f"{kind}{number}-{second}" if kind[0] == "I" else f"{kind}-{number}") + again
        if person in files:
            raise DataError(f"{file}: {person} has another neutral picture, {files[person]}")
        files[person] = file
    if not files:
        raise LayoutError(f"{images} has no CFD-XX-NNN-NNN-N.jpg")
    return files, left


def _rows(path: Path, root: Path) -> list[Row]:
    file = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = [[cell.strip() for cell in cells] for cells in csv_files.reader(stream)]
    except (UnicodeDecodeError, csv_files.Error) as error:
        raise DataError(f"{file}: cannot be read as CSV ({error})") from error
    header = next((row for row, cells in enumerate(lines) if _columns(cells)), None)
    columns = None if header is None else _columns(lines[header])
    if header is None or columns is None:
        raise DataError(f"{file}: no row has the columns 'Model' or 'Target' and 'Attractive'")
    model, attractive = columns
    rows: list[Row] = []
    seen: set[str] = set()
    for line, cells in enumerate(lines[header + 1 :], start=header + 2):
        if len(cells) <= max(columns) or not cells[model]:
            continue  # the sheets have rows of units and blanks after the header
        if cells[model] in seen:
            raise DataError(f"{file} row {line}: {cells[model]} is rated already")
        seen.add(cells[model])
        cell = {"model": cells[model], "attractive": cells[attractive]}
        rows.append(Row(f"{file} row {line}", cell))
    return rows


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
    layout=LAYOUT,
    takes_csv=True,
    pictures=(597, 158),
)
