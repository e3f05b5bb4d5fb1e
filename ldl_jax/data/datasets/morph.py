"""MORPH (album 2): 55,134 pictures of about 13,600 people, aged 16-77."""

import dataclasses
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import check_groups, from_table, group_name, to_records
from ldl_jax.data.datasets.tables import file_name, find, find_csv, read_csv
from ldl_jax.data.records import Faults, Records

GROUPS = {"gender": "sex", "race": "race"}  # the release's columns, where a list has them
LISTS = ("morph.csv", "morph_2008_nonCommercial.csv")


@rooted
def read(root: Path, csv: str = "") -> Records:
    """Lists the pictures of a CSV file (default: the first of `LISTS`) with path, age, subject.

    "photo" will do for "path", and "subject_id", "id_num" or "id" for "subject". Paths are relative
    to `root`. Columns gender and race, as the release has them, are groups. There is no official
    split: papers take 80-20 by picture, which shows most test subjects in training too, or by
    subject.

    The non-commercial release's columns (id_num, picture_num, dob, doa, race, gender, facial_hair,
    age, age_diff, glasses, photo) are those that public readers of it use; no copy was seen.

    Licence: academic or commercial, to be asked of the University of North Carolina Wilmington.
    Source: K. Ricanek and T. Tesafaye, "MORPH: A Longitudinal Image Database of Normal Adult
    Age-Progression", FG 2006.
    """
    file = find_csv(root, csv) if csv else find(root, *LISTS)
    faults = Faults(file_name(file, root))
    table = read_csv(file, root, faults)
    subjects = "subject", "subject_id", "id_num", "id"
    path, age, subject = table.named(["path", "photo"], ["age"], subjects)
    groups = tuple((kind, name) for name, kind in GROUPS.items() if name in table.columns)
    entries = from_table(table, root, path, age, faults, subject=subject)
    cells_of = {row.source: row.cells for row in table.rows}
    entries = [
        dataclasses.replace(
            entry,
            groups=tuple((kind, group_name(kind, cells_of[entry.source][c])) for kind, c in groups),
        )
        for entry in entries
    ]
    for kind, name in groups:
        cells = [row.cells[name] for row in table.rows]
        faults.tried(check_groups, table.file, f"column {name} ({kind})", cells)
    return to_records("morph", entries, faults=faults)


DATASET = Dataset(
    read=read,
    title="MORPH, album 2",
    paper="Ricanek and Tesafaye, MORPH: A Longitudinal Image Database of Normal Adult "
    "Age-Progression, 2006",
    licence="academic or commercial licence of the University of North Carolina Wilmington",
    where="https://uncw.edu/oic/tech/morph.html",
    layout="the pictures in any folders, and 'morph.csv' with columns path, age, subject, or the "
    "release's own 'morph_2008_nonCommercial.csv' with columns photo, age, id_num",
    takes_csv=True,
    pictures=(55134,),
)
