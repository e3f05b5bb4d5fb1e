"""All-Age-Faces: 13,322 people, one picture each, aged 2-80, mostly Asian."""

from __future__ import annotations

import re
from pathlib import Path

from ldl_jax.data.dataset import Dataset
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.tables import Entry, Row, find, read_list, to_records

LAYOUT = (
    "'aligned faces' (the release spells it 'aglined faces') of NNNNNAaa.jpg, "
    "'image sets/train.txt' and 'image sets/val.txt' of lines 'file gender'"
)


def read(root: Path) -> Records:
    """Lists the aligned faces; ages and subjects are in the file names.

    The authors' split: train.txt is "train" (6,637 pictures), val.txt "test" (6,685). Ids are the
    file names alone, so that they don't depend on how the release spells its folder.

    Licence: none stated; given for research, ask the authors about anything else.
    Source: J. Cheng et al., "Exploiting Effective Facial Patches for Robust Gender Recognition",
    Tsinghua Science and Technology 24(3), 2019.

    Raises:
      DataError: a piece of the layout or a listed picture is missing, a file name is not
        NNNNNAaa.jpg, or a picture is listed twice.
    """
    faces = find(root, "aligned faces", "aglined faces")
    entries = []
    for file, split in (("image sets/train.txt", "train"), ("image sets/val.txt", "test")):
        rows = read_list(find(root, file), root, ("file", "gender"))
        entries += [_entry(row, faces, split) for row in rows]
    return to_records("aaf", entries)


def _entry(row: Row, faces: Path, split: str) -> Entry:
    file = row.text("file")
    match = re.fullmatch(r"(\d{5})A(\d{2,3})(\.jpg)?", file)
    if match is None:
        raise DataError(f"{row.source}: file must be NNNNNAaa.jpg, got {file!r}")
    number, age, suffix = match.groups()
    # The release's description leaves the suffix out, its lists write it.
    name = file if suffix else f"{file}.jpg"
    return Entry(name, faces / name, float(age), row.source, subject=number, split=split)


DATASET = Dataset(
    read=read,
    title="All-Age-Faces",
    paper="Cheng et al., Exploiting Effective Facial Patches for Robust Gender Recognition, 2019",
    licence="none stated; given for research",
    where="https://github.com/JingchunCheng/All-Age-Faces-Dataset",
    layout=LAYOUT,
    pictures=(13322,),
)
