"""Makes records out of the entries that a reader lists, and checks them for all readers."""

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets.tables import Table
from ldl_jax.data.records import DataError, FoldSplit, Records


@dataclasses.dataclass(frozen=True)
class Entry:
    """Describes one labelled picture, as a reader lists it.

    `quad` has x and y of four corners, `points` those of five points; either may be empty.
    """

    id: str
    path: Path
    label: float
    source: str
    sigma: float = math.nan
    subject: str = ""
    split: str = ""
    fold: int = -1
    quad: tuple[float, ...] = ()
    points: tuple[float, ...] = ()


def from_table(
    table: Table,
    root: Path,
    file: str,
    label: str,
    *,
    folder: str = "",
    suffix: str = "",
    sigma: str = "",
    subject: str = "",
    split: str = "",
) -> Iterator[Entry]:
    """Yields an entry for each row; file, label, sigma and subject are names of columns.

    The id is the file's path below the root; `suffix` is added to it where the picture lies.
    """
    for row in table.rows:
        name = f"{folder}/{row.text(file)}" if folder else row.text(file)
        yield Entry(
            id=name,
            path=root / f"{name}{suffix}",
            label=row.number(label),
            source=row.source,
            sigma=row.deviation(sigma) if sigma else math.nan,
            subject=row.cells[subject] if subject else "",
            split=split,
        )


def to_records(
    name: str,
    entries: Iterable[Entry],
    unit: str = "years",
    notes: Sequence[str] = (),
    fold_splits: Sequence[FoldSplit] = (),
) -> Records:
    """Makes records of entries.

    The optional fields (sigma, subjects, split, folds, quads, points) are there if some entry has
    its own.

    Raises:
      DataError: no entry, an id twice, or a picture that does not exist.
    """
    rows = tuple(entries)
    _check_unique(rows)
    _check_exist(name, rows)
    sigma = np.asarray([row.sigma for row in rows], np.float32)
    subjects = tuple(row.subject for row in rows)
    split = tuple(row.split for row in rows)
    folds = np.asarray([row.fold for row in rows], np.int64)
    return Records(
        name=name,
        ids=tuple(row.id for row in rows),
        labels=np.asarray([row.label for row in rows], np.float32),
        sources=tuple(row.source for row in rows),
        paths=tuple(row.path for row in rows),
        sigma=None if np.isnan(sigma).all() else sigma,
        subjects=subjects if any(subjects) else (),
        split=split if any(split) else (),
        unit=unit,
        folds=None if (folds < 0).all() else folds,
        fold_splits=tuple(fold_splits),
        quads=_coordinates([row.quad for row in rows], 4),
        points=_coordinates([row.points for row in rows], 5),
        notes=tuple(notes),
    )


def _coordinates(values: Sequence[tuple[float, ...]], count: int) -> np.ndarray | None:
    """Returns x and y of points in each picture, float32 [N, count, 2]; None if none has any."""
    if not any(values):
        return None
    unknown = (math.nan,) * (2 * count)
    return np.asarray([points or unknown for points in values], np.float32).reshape(-1, count, 2)


def _check_unique(rows: Sequence[Entry]) -> None:
    sources: dict[str, str] = {}
    for row in rows:
        if row.id in sources:
            raise DataError(f"{row.source}: {row.id!r} is listed already in {sources[row.id]}")
        sources[row.id] = row.source


def _check_exist(name: str, rows: Sequence[Entry]) -> None:
    # A folder is listed once: a stat a picture takes minutes for 100k pictures on a network disk.
    folders: dict[Path, set[str]] = {}
    missing = []
    for row in rows:
        folder = row.path.parent
        if folder not in folders:
            folders[folder] = _files(folder)
        if row.path.name not in folders[folder]:
            missing.append(row)
    if missing:
        raise DataError(
            f"{name}: {len(missing)} of {len(rows)} listed pictures do not exist; "
            f"the first is {missing[0].path} ({missing[0].source})"
        )


def _files(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except PermissionError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    except (OSError, ValueError):  # it is not there, or its name could be no folder's
        return set()
