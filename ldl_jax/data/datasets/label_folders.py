"""Reads any pictures that are sorted into folders by their label."""

import math
from collections.abc import Iterator
from pathlib import Path

from ldl_jax.data.datasets.csv_folder import SPLITS
from ldl_jax.data.datasets.dataset import Dataset
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, below, left_notes, subfolders
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import Records


def read(root: Path) -> Records:
    """Lists the pictures in folders named by a number, at any depth below that folder.

    With folders train and test the split is theirs ("official"). Pictures in folders that are no
    number are counted in the notes. Subjects are not known; for those, list the pictures in a CSV
    file.
    """
    parts = [name for name in subfolders(root) if SPLITS.get(name.lower())]
    left: Left = {}
    entries: list[Entry] = []
    for part in parts or [""]:
        entries += _entries(root, part, SPLITS[part.lower()], left)
    if not entries:
        raise LayoutError(f"{root} has no folder of pictures named by a number")
    return to_records("label_folders", entries, notes=left_notes(left))


def _entries(root: Path, part: str, split: str, left: Left) -> Iterator[Entry]:
    for name in subfolders(root / part):
        for file in below(root / part / name):
            path = Path(part) / name / file
            try:
                label = float(name)
            except ValueError:
                label = math.nan
            if not math.isfinite(label):
                left.setdefault("the folder's name is no number", []).append(path.as_posix())
            else:
                yield Entry(path.as_posix(), root / path, label, path.as_posix(), split=split)


DATASET = Dataset(
    read=read,
    title="pictures of your own, in folders named by their label",
    layout="folders named by a label (as '25' or '3.5') of pictures, in folders 'train', 'test' "
    "and, if any, 'validation' (or 'val') for a split, or else in the root itself",
)
