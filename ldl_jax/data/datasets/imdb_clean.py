"""IMDB-Clean: IMDB-WIKI's pictures of IMDB with cleaned ages, one face a row, parted by person."""

import re
from pathlib import Path

from ldl_jax.data.datasets import boxes
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import Row, Table, find, read_csv
from ldl_jax.data.records import Faults, Records
from ldl_jax.files import listed

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
EDGES = ("x_min", "y_min", "x_max", "y_max")


@rooted
def read(root: Path, *, originals: bool = False, low: int = 0, high: int = 100) -> Records:
    """Lists the pictures of the three parts; the person is the IMDB number in a file's name.

    Args:
      root: the folder in which the release's script ran, or one with its lists and pictures.
      originals: IMDB-WIKI's whole pictures and the lists without "_1024", in place of the pieces
        that the release's script cuts out (the face, and as much again on each side).
      low, high: least and greatest age. Others are left out and counted, since public readers cut
        off ages beyond 0 to 100.

    `boxes` are the release's boxes of the faces: launch.prepare --align=box cuts these out, and
    "similarity" and "quad" take the landmarks that a detector finds there. A name without the
    number, as nm0000313, has no subject. That no person is in two parts is the paper's
    statement, from memory; the auditor checks it. The head's angles are not read.

    Licence: MIT for the lists; the pictures are IMDB-WIKI's, for academic research only.
    Source: Y. Lin et al., "FP-Age: Leveraging Face Parsing Attention for Facial Age Estimation in
    the Wild", IEEE TIP 2022. Names of files, the tree, and that the script keeps the columns: the
    release's README and script (yiminglin-ai/imdb-clean); the columns (filename, age, gender,
    x_min, y_min, x_max, y_max, head_roll, head_yaw, head_pitch) and the form of the names: a public
    reader that quotes rows. How many pictures there are was not found, and no copy was seen.
    """
    name, end = ("imdb", "new") if originals else ("imdb-clean-1024", "new_1024")
    # A packed copy that goes round has the folder twice, one in the other.
    folder = find(root, f"{name}/{name}", name, f"data/{name}")
    left: Left = {}
    entries: list[Entry] = []
    faults = Faults("imdb_clean")
    for part, split in SPLITS.items():
        file = f"imdb_{part}_{end}.csv"
        paths = [f"{prefix}{file}" for prefix in ("", "csvs/", f"{name}/", f"data/{name}/")]
        table = read_csv(find(root, *paths), root, faults)
        entries += _entries(table, folder, split, (low, high), left, faults)
    return to_records("imdb_clean", entries, notes=left_notes(left), faults=faults)


def _entries(
    table: Table, folder: Path, split: str, ages: tuple[int, int], left: Left, faults: Faults
) -> list[Entry]:
    edges = [[edge] for edge in EDGES]
    file, age, gender, *edge = table.named(["filename"], ["age"], ["gender"], *edges)
    low, high = ages

    def entry(row: Row) -> Entry | None:
        name, years = faults.tried(row.text, file), faults.tried(row.number, age)
        box, sex = faults.tried(boxes.box, row, edge), faults.tried(boxes.sex, row, gender)
        if name is None or years is None or box is None or sex is None:
            return None
        if not low <= years <= high:
            left.setdefault(f"the age is not {low}..{high}", []).append(row.source)
            return None
        person = re.match(r"nm[0-9]+(?=_)", name.rsplit("/", 1)[-1])
        return Entry(
            id=name,
            path=listed(folder, name),
            label=years,
            source=row.source,
            subject=person.group() if person else "",
            split=split,
            groups=(("sex", sex),),
            box=box,
        )

    return of_rows(table.rows, entry, faults)


DATASET = Dataset(
    read=read,
    title="IMDB-Clean",
    paper="Lin et al., FP-Age: Leveraging Face Parsing Attention for Facial Age Estimation in the "
    "Wild, 2022",
    licence="MIT for the lists; the pictures are IMDB-WIKI's, for academic research only",
    where="https://github.com/yiminglin-ai/imdb-clean",
    layout="'imdb-clean-1024' of NN/nmNNNNNNN_*.jpg (in the root or in 'data'), "
    "'imdb_train_new_1024.csv', 'imdb_valid_new_1024.csv' and 'imdb_test_new_1024.csv' with "
    "columns filename, age, gender, x_min, y_min, x_max, y_max (in the root, in 'csvs' or beside "
    "the pictures); with the option originals, 'imdb' and 'imdb_train_new.csv' and the like",
)
