"""SCUT-FBP5500: the attractiveness of 5,500 faces, 1-5, the mean of 60 raters."""

from __future__ import annotations

from pathlib import Path

from ldl_jax.data.records import Records
from ldl_jax.data.tables import Entry, find, read_list, to_records

LAYOUT = (
    "'Images/*.jpg', 'train_test_files/split_of_60%training and 40%testing/train.txt' and "
    "'test.txt' beside it (or both in 'train_test_files') of lines 'file score'"
)
FOLDERS = ("train_test_files/split_of_60%training and 40%testing", "train_test_files")


def read(root: Path) -> Records:
    """Lists the pictures of the official 60/40 split (3,300 "train", 2,200 "test").

    A copy without test.txt lists its training pictures alone; it then has no official test part.
    Subjects are not known: the release doesn't say whether a person is in it twice.

    Licence: non-commercial research only.
    Source: L. Liang et al., "SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial
    Beauty Prediction", ICPR 2018.

    Raises:
      DataError: a piece of the layout or a listed picture is missing, a score is not a number,
        or a picture is listed twice.
    """
    images = find(root, "Images")
    train = find(root, *(f"{folder}/train.txt" for folder in FOLDERS))
    lists = [(train, "train")]
    test = train.with_name("test.txt")
    if test.exists():
        lists.append((test, "test"))
    entries = []
    for path, split in lists:
        for row in read_list(path, root, ("file", "score")):
            file = row.text("file")
            score = row.number("score")
            entries.append(Entry(f"Images/{file}", images / file, score, row.source, split=split))
    return to_records("scut_fbp5500", entries, unit="score")
