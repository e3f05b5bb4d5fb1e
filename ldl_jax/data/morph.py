"""MORPH (album 2): 55,134 pictures of about 13,600 people, aged 16-77."""

from __future__ import annotations

from pathlib import Path

from ldl_jax.data.records import Records
from ldl_jax.data.tables import Entry, find_csv, read_csv, to_records

LAYOUT = "the pictures in any folders, and 'morph.csv' with columns path, age, subject"


def read(root: Path, csv: str = "") -> Records:
    """Lists the pictures of a CSV file (default: morph.csv) with columns path, age, subject.

    "subject_id" or "id" will do for "subject". Paths are relative to `root`. There is no official
    split: papers take 80-20 by picture, which shows most test subjects in training too, or by
    subject.

    Licence: academic or commercial, to be asked of the University of North Carolina Wilmington.
    Source: K. Ricanek and T. Tesafaye, "MORPH: A Longitudinal Image Database of Normal Adult
    Age-Progression", FG 2006.

    Raises:
      DataError: the CSV file, a column or a listed picture is missing, an age is not a number,
        or a picture is listed twice.
    """
    table = read_csv(find_csv(root, csv or "morph.csv"), root)
    path, age = table.column("path"), table.column("age")
    subject = table.column("subject", "subject_id", "id")
    entries = [
        Entry(
            id=row.text(path),
            path=root / row.text(path),
            label=row.number(age),
            source=row.source,
            subject=row.cells[subject],
        )
        for row in table.rows
    ]
    return to_records("morph", entries)
