"""Reads any pictures that are sorted into folders by their label."""

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ldl_jax.data.datasets import numbers
from ldl_jax.data.datasets.csv_folder import SPLITS
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, below, left_notes, pictures, subfolders
from ldl_jax.data.datasets.numbers import Bounds
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import Faults, Records

_FORMS = "a number (25, 3.5) or a group (4_6, 4-6, (4, 6), 60+)"


@rooted
def read(root: Path) -> Records:
    """Lists the pictures in folders named by a number or a group, at any depth below that folder.

    Where some folder names a group of values (4_6, 4-6, (4, 6), 60+), all labels are groups: a
    label is the middle of its group, and the records hold the groups' bounds. 60+ ends at 100. With
    folders train and test the split is theirs ("official"). Pictures in folders that are no number
    are counted in the notes. Subjects are not known; for those, list the pictures in a CSV file.

    Raises:
      DataError: a folder's name has digits and no letters, but is neither number nor group; or two
        groups overlap.
    """
    left: Left = {}
    folders = subfolders(root, left)
    parts = [name for name in folders if SPLITS.get(name.lower())]
    faults = Faults(str(root))
    labels = _labels(root, parts or [""], faults)
    bounds = _bounds(labels, faults)
    entries: list[Entry] = []
    for part in parts or [""]:
        entries += _entries(root, part, labels, left)
    beside = [name for name in folders if name not in parts] if parts else []
    stray = [file for name in beside for file in below(root / name, left, f"{name}/")]
    for part in {"", *parts}:
        prefix = f"{part}/" if part else ""
        stray += [f"{prefix}{file}" for file in pictures(root / part, left if part else None)]
    if stray:
        left.setdefault("it lies in no folder of a label", []).extend(sorted(stray))
    if not entries and not faults:
        raise LayoutError(f"{root} has no folder of pictures named by a number")
    notes = left_notes(left)
    return to_records("label_folders", entries, notes=notes, bounds=bounds, faults=faults)


def _labels(root: Path, parts: list[str], faults: Faults) -> dict[str, Bounds]:
    """Returns the number or group of each folder that names one; a number is a group of one."""
    labels: dict[str, Bounds] = {}
    for part in parts:
        for name in subfolders(root / part):
            group = numbers.group(name)
            with contextlib.suppress(ValueError):
                single = numbers.number(name)
                group = Bounds(single, single)
            if group is not None:
                labels[name] = group
            elif re.search(r"\d", name) and not any(letter.isalpha() for letter in name):
                folder = (Path(part) / name).as_posix()
                faults.add(f"folder {folder}: its name must be {_FORMS}, got {name!r}")
    return labels


def _bounds(labels: Mapping[str, Bounds], faults: Faults) -> tuple[tuple[float, float], ...]:
    """Returns the groups in their order; () where every folder names a single number."""
    if all(group.low == group.high for group in labels.values()):
        return ()
    names = {group: name for name, group in labels.items()}
    ordered = sorted(names)
    for first, second in itertools.pairwise(ordered):
        if second.low <= first.high:
            faults.add(
                f"folders {names[first]!r} and {names[second]!r}: overlap; groups of labels must "
                "not share a value"
            )
    return tuple((group.low, group.high) for group in ordered)


def _entries(root: Path, part: str, labels: Mapping[str, Bounds], left: Left) -> Iterator[Entry]:
    for name in subfolders(root / part):
        folder = Path(part) / name
        group = labels.get(name)
        for file in below(root / folder, left, f"{folder.as_posix()}/"):
            if group is None:
                left.setdefault("the folder's name is no number", []).append(file)
            else:
                label, split = (group.low + group.high) / 2, SPLITS[part.lower()]
                yield Entry(file, root / file, label, file, split=split)


DATASET = Dataset(
    read=read,
    title="pictures of your own, in folders named by their label",
    layout="folders named by a label (as '25' or '3.5') or a group of labels (as '4-6' or '60+') "
    "of pictures, in folders 'train', 'test' and, if any, 'validation' (or 'val') for a split, or "
    "else in the root itself",
)
