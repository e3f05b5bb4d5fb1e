"""Lists the datasets that can be read, and reads them by name."""

import dataclasses
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldl_jax import factories
from ldl_jax.data.datasets import own_reader
from ldl_jax.data.datasets.dataset import Dataset
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.files import from_home

# Each is the name of the reader's module, too.
_NAMES = (
    *("aaf", "adience", "afad", "agedb", "appa_real", "ava", "cacd2000", "cfd", "chalearn15"),
    *("chalearn16", "csv_folder", "face_benchmark", "fairface", "fg_net", "imdb_clean"),
    *("imdb_wiki", "label_folders", "lagenda", "megaage_asian", "morph", "ms_celeb", "prepared"),
    *("scut_fbp", "scut_fbp5500", "utkface"),
)
DATASETS: dict[str, Dataset] = {
    name: importlib.import_module(f"ldl_jax.data.datasets.{name}").DATASET for name in _NAMES
}


def read(
    name: str,
    root: str | Path,
    *,
    csv: str = "",
    columns: Mapping[str, str] | None = None,
    unreadable: str = "stop",
    **options: Any,
) -> Records:
    """Lists a dataset's pictures and labels; opens no picture.

    Links below the root are followed wherever they point, since the user made them; a list's path
    that leaves the root is refused.

    Args:
      name: one of `DATASETS`, or "package.module:factory" (`own_reader.read`).
      root: the folder that holds the dataset's layout; "" with `csv`: the CSV file's folder.
      csv: the list of the datasets that take one; looked for in the root, then as given.
      columns: the names of its columns, by those that the reader gives them, for `csv_folder`.
      unreadable: "skip" leaves out rows of `csv_folder` that cannot be used, and counts them.
      options: options of the dataset's reader (`Dataset.options`).

    Raises:
      DataError: the name or an option is unknown, the layout is not there (the message says what
        to get, where, and how to point at it), or a row cannot be used (it names file and row).
    """
    if factories.is_own(name):
        where, skip = (from_home(root), from_home(csv)), unreadable == "skip"
        return own_reader.read(name, *where, columns, skip, options)
    if name not in DATASETS:
        raise DataError(f"dataset: {name!r} is not one of {', '.join(sorted(DATASETS))}")
    dataset = DATASETS[name]
    if csv and not dataset.takes_csv:
        raise DataError(f"{name}: reads its official lists and takes no csv, got {csv!r}")
    if columns and not dataset.takes_columns:
        raise DataError(f"{name}: reads its official columns and takes no columns, got {columns!r}")
    for option in options:
        if option not in dataset.options:
            known = ", ".join(dataset.options) or "none"
            raise DataError(f"{name}: has no option {option!r}; its options: {known}")
    try:
        root, csv = from_home(root), from_home(csv)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    try:
        folder = _folder(root, csv)
        arguments: tuple[object, ...] = (folder, csv) if dataset.takes_csv else (folder,)
        if dataset.takes_columns:
            arguments = (*arguments, columns, unreadable == "skip")
        records = dataset.read(*arguments, **options)
    except LayoutError as error:
        raise DataError(f"{name}: {error}. {_remedy(dataset)}") from None
    if records.paths:
        _check_inside(records, folder)
    return dataclasses.replace(records, notes=records.notes + _count_notes(dataset, records))


def options_of(name: str) -> dict[str, object]:
    """Returns the options of a dataset's reader with their defaults; none of an unknown one."""
    if factories.is_own(name):
        return own_reader.options(name)
    return DATASETS[name].options if name in DATASETS else {}


def _check_inside(records: Records, root: Path) -> None:
    """Raises DataError if a picture's path leads out of the root."""
    as_given = "" if root == Path() else f"{str(root).rstrip(os.sep)}{os.sep}"
    # A list's absolute path counts below a relative root, too. Nothing is resolved: "b/../x" is
    # another file than "x" where b is a link.
    absolute = f"{os.path.abspath(root).rstrip(os.sep)}{os.sep}"
    faults = Faults(records.name)
    for path, source in zip(records.paths, records.sources, strict=True):
        if not any(_is_below(str(path), start) for start in (as_given, absolute)):
            faults.add(
                f"{source}: {path} leaves the root {root}; give a root that holds all pictures"
            )
    faults.check()


def _is_below(path: str, start: str) -> bool:
    rest = path[len(start) :]
    return path.startswith(start) and not rest.startswith(os.sep) and ".." not in rest.split(os.sep)


def _count_notes(dataset: Dataset, records: Records) -> tuple[str, ...]:
    if not dataset.pictures or len(records) in dataset.pictures:
        return ()
    expected = " or ".join(f"{count:,}" for count in dataset.pictures)
    return (
        f"{len(records):,} pictures of {dataset.title}; a whole official copy gives {expected}: "
        "numbers in print may not compare",
    )


def _folder(root: str, csv: str) -> Path:
    if root == "" and csv == "":
        raise LayoutError("no root is given")
    folder = Path(root) if root else Path(csv).parent
    if not folder.is_dir():
        raise LayoutError(f"{folder} is not a folder")
    return folder


def _remedy(dataset: Dataset) -> str:
    get = f"Get {dataset.title} from {dataset.where} (licence: {dataset.licence}). "
    flags = "--config.data.root=DIR" + " --config.data.csv=FILE" * dataset.takes_csv
    source = get if dataset.where else ""
    return f"{source}Expected under the root: {dataset.layout}. Point at it with {flags}"
