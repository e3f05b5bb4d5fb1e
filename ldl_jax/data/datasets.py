"""The datasets that can be read, and the one function that reads them by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ldl_jax.data import aaf, chalearn15, csv_folder, megaage_asian, morph, scut_fbp5500
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.tables import LayoutError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a dataset is, where it comes from, and how it is read.

    Attributes:
      read: root -> Records; with `takes_csv`, (root, csv) -> Records.
      title: its name in print.
      paper: authors, title and year; "" where there is none.
      licence: what it may be used for.
      where: where to ask for it; "" for pictures of one's own.
      layout: the files expected under the root.
      takes_csv: whether its labels are in a CSV file that the user names.
    """

    read: Callable[..., Records]
    title: str
    paper: str
    licence: str
    where: str
    layout: str
    takes_csv: bool = False


DATASETS: dict[str, Dataset] = {
    "aaf": Dataset(
        read=aaf.read,
        title="All-Age-Faces",
        paper="Cheng et al., Exploiting Effective Facial Patches for Robust Gender Recognition, "
        "2019",
        licence="none stated; given for research",
        where="https://github.com/JingchunCheng/All-Age-Faces-Dataset",
        layout=aaf.LAYOUT,
    ),
    "scut_fbp5500": Dataset(
        read=scut_fbp5500.read,
        title="SCUT-FBP5500",
        paper="Liang et al., SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial "
        "Beauty Prediction, 2018",
        licence="non-commercial research only",
        where="https://github.com/HCIILAB/SCUT-FBP5500-Database-Release",
        layout=scut_fbp5500.LAYOUT,
    ),
    "morph": Dataset(
        read=morph.read,
        title="MORPH, album 2",
        paper="Ricanek and Tesafaye, MORPH: A Longitudinal Image Database of Normal Adult "
        "Age-Progression, 2006",
        licence="academic or commercial licence of the University of North Carolina Wilmington",
        where="https://uncw.edu/oic/tech/morph.html",
        layout=morph.LAYOUT,
        takes_csv=True,
    ),
    "chalearn15": Dataset(
        read=chalearn15.read,
        title="ChaLearn LAP 2015 apparent age (V1)",
        paper="Escalera et al., ChaLearn Looking at People 2015: Apparent Age and Cultural Event "
        "Recognition Datasets and Results, 2015",
        licence="research, under the challenge's terms of use",
        where="https://chalearnlap.cvc.uab.cat/dataset/18/description/",
        layout=chalearn15.LAYOUT,
    ),
    "megaage_asian": Dataset(
        read=megaage_asian.read,
        title="MegaAge-Asian",
        paper="Zhang et al., Quantifying Facial Age by Posterior of Age Comparisons, 2017",
        licence="non-commercial research only",
        where="http://mmlab.ie.cuhk.edu.hk/projects/MegaAge/",
        layout=megaage_asian.LAYOUT,
    ),
    "csv_folder": Dataset(
        read=csv_folder.read,
        title="pictures of your own, listed in a CSV file",
        paper="",
        licence="",
        where="",
        layout=csv_folder.LAYOUT,
        takes_csv=True,
    ),
}


def read(name: str, root: str | Path, *, csv: str = "") -> Records:
    """Lists a dataset's pictures and labels; opens no picture.

    Args:
      name: one of `DATASETS`.
      root: the folder that holds the dataset's layout; "" with `csv`: the CSV file's folder.
      csv: the CSV file of the datasets that take one; looked for in the root, then as given.

    Raises:
      DataError: the name is unknown, the layout is not there (the message says what to get,
        where, and how to point at it), or a row cannot be used (it names file and row).
    """
    if name not in DATASETS:
        raise DataError(f"dataset: {name!r} is not one of {', '.join(sorted(DATASETS))}")
    dataset = DATASETS[name]
    if csv and not dataset.takes_csv:
        raise DataError(f"{name}: reads its official lists and takes no csv, got {csv!r}")
    try:
        folder = _folder(root, csv)
        return dataset.read(folder, csv) if dataset.takes_csv else dataset.read(folder)
    except LayoutError as error:
        raise DataError(f"{name}: {error}. {_remedy(dataset)}") from None


def _folder(root: str | Path, csv: str) -> Path:
    if str(root) == "" and csv == "":
        raise LayoutError("no root is given")
    folder = Path(root).expanduser() if str(root) else Path(csv).expanduser().parent
    if not folder.is_dir():
        raise LayoutError(f"{folder} is not a folder")
    return folder


def _remedy(dataset: Dataset) -> str:
    source = ""
    if dataset.where:
        source = f"Get {dataset.title} from {dataset.where} (licence: {dataset.licence}). "
    flags = "--config.data.root=DIR"
    if dataset.takes_csv:
        flags += " --config.data.csv=FILE"
    return f"{source}Expected under the root: {dataset.layout}. Point at it with {flags}"
