"""All-Age-Faces: 13,322 people, one picture each, aged 2-80, mostly Asian."""

import re
from functools import partial
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets import numbers
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.tables import Row, find, read_list
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.files import content_of

# Of the 49 key points, in iBUG's order without the jaw, these are the six about each eye, the tip
# of the nose and the corners of the mouth, as 60 of the release's pictures show.
KEY_POINTS = 49
PARTS = (slice(19, 25), slice(25, 31), slice(13, 14), slice(31, 32), slice(37, 38))


@rooted
def read(root: Path, *, originals: bool = False) -> Records:
    """Lists the aligned faces; ages and subjects are in the file names, sexes in the lists.

    Args:
      root: the folder of the release.
      originals: list the pictures that the faces were cut out of, with the five points of each
        face out of its key points: to be aligned in another way.

    The authors' split: train.txt is "train" (6,637 pictures), val.txt "test" (6,685). Ids are the
    file names alone, so that they don't depend on how the release spells its folder.

    Licence: none stated; ask the authors about any use but research, for which they offer it.
    Source: J. Cheng et al., "Exploiting Effective Facial Patches for Robust Gender Recognition",
    Tsinghua Science and Technology 24(3), 2019.
    """
    if originals:
        faces, key_points = find(root, "original images"), find(root, "key points")
    else:
        faces, key_points = find(root, "aligned faces", "aglined faces"), None
    entries, faults = [], Faults("aaf")
    for file, split in (("image sets/train.txt", "train"), ("image sets/val.txt", "test")):
        rows = read_list(find(root, file), root, ("file", "gender"), faults)
        make = partial(_entry, faces=faces, key_points=key_points, split=split)
        entries += of_rows(rows, make, faults)
    return to_records("aaf", entries, faults=faults)


def _entry(row: Row, faces: Path, key_points: Path | None, split: str) -> Entry:
    file = row.text("file")
    match = re.fullmatch(r"([0-9]{5})A([0-9]{2,3})(\.jpg)?", file)
    if match is None:
        raise DataError(f"{row.source}: file must be NNNNNAaa.jpg, got {file!r}")
    person, age, suffix = match.groups()
    # The release's description leaves the suffix out, but its lists write it.
    name = file if suffix else f"{file}.jpg"
    return Entry(
        id=name,
        path=faces / name,
        label=float(age),
        source=row.source,
        subject=person,
        split=split,
        groups=(("sex", _sex(row)),),
        points=() if key_points is None else _points(key_points / f"{name[:-4]}.txt", row.source),
    )


def _sex(row: Row) -> str:
    sexes = {"0": "female", "1": "male"}
    cell = row.text("gender")
    if cell not in sexes:
        raise DataError(f"{row.source}: gender must be 0 (female) or 1 (male), got {cell!r}")
    return sexes[cell]


def _points(file: Path, source: str) -> tuple[float, ...]:
    try:
        lines = content_of(file).decode().splitlines()
        points = np.array([[numbers.number(cell) for cell in line.split()] for line in lines])
        if points.shape != (KEY_POINTS, 2) or not np.isfinite(points).all():
            raise ValueError(f"numbers of shape {list(points.shape)}")
    except (OSError, ValueError) as error:
        expected = f"expected {KEY_POINTS} lines of x and y"
        raise DataError(f"{source}: key points/{file.name}: {expected} ({error})") from None
    return tuple(np.concatenate([points[part].mean(axis=0) for part in PARTS]).tolist())


DATASET = Dataset(
    read=read,
    title="All-Age-Faces",
    paper="Cheng et al., Exploiting Effective Facial Patches for Robust Gender Recognition, 2019",
    licence="none stated; offered for research",
    where="https://github.com/JingchunCheng/All-Age-Faces-Dataset",
    layout="'aligned faces' (the release spells it 'aglined faces') of NNNNNAaa.jpg, 'image "
    "sets/train.txt' and 'image sets/val.txt' of lines 'file gender'; with the option originals, "
    "'original images' and 'key points' of NNNNNAaa.txt instead",
    pictures=(13322,),
)
