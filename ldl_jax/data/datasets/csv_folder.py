"""Reads any pictures that a CSV file or a spreadsheet lists."""

import math
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.tables import LayoutError, Row, find_csv, read_csv
from ldl_jax.data.records import DataError, Records
from ldl_jax.files import from_home

SPLITS = {"": "", "train": "train", "validation": "validation", "val": "validation", "test": "test"}


def read(root: Path, csv: str = "", *, unit: str = "years") -> Records:
    """Lists the pictures of a CSV file with columns path, label[, sigma, subject, split, fold].

    Labels are in `unit`; those in "years" must be ages.

    Cells are separated by comma, semicolon or tab. Of a spreadsheet the first sheet is read that is
    not empty. Other columns are left alone. An empty sigma, subject, split or fold is an unknown
    one. Split is one of train, validation (or val), test; folds are numbered from 0; a sigma is
    above 0.
    """
    if not csv:
        raise LayoutError("no CSV file is given")
    table = read_csv(find_csv(root, csv), root)
    path, label = table.column("path"), table.column("label")
    entries = [
        Entry(
            id=name,
            path=root / (from_home(name) if name.startswith("~/") else name),
            label=row.number(label),
            source=row.source,
            sigma=_sigma(row),
            subject=row.cells.get("subject", ""),
            split=_split(row),
            fold=_fold(row),
        )
        for row in table.rows
        for name in [row.text(path)]
    ]
    return to_records("csv_folder", entries, unit=unit)


def _sigma(row: Row) -> float:
    if not row.cells.get("sigma"):
        return math.nan
    sigma = row.number("sigma")
    if sigma <= 0:
        raise DataError(f"{row.source}: sigma must be positive (or empty), got {sigma:g}")
    return sigma


def _split(row: Row) -> str:
    value = row.cells.get("split", "")
    if value.lower() not in SPLITS:
        expected = "train, validation, val or test"
        raise DataError(f"{row.source}: split must be {expected}, got {value!r}")
    return SPLITS[value.lower()]


def _fold(row: Row) -> int:
    if not row.cells.get("fold"):
        return -1
    fold = row.number("fold")
    if not 0 <= fold < 1e6 or fold != int(fold):
        raise DataError(f"{row.source}: fold must be a whole number of 0 or more, got {fold:g}")
    return int(fold)


DATASET = Dataset(
    read=read,
    title="pictures of your own, listed in a CSV file",
    layout="a CSV file or a spreadsheet with columns path, label and, if known, sigma, subject, "
    "split, fold, its paths relative to the root (default: the file's folder)",
    takes_csv=True,
)
