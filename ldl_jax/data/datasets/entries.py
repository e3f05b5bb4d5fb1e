"""Makes records out of the entries that a reader lists, and checks them for all readers."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets.dataset import OLDEST
from ldl_jax.data.datasets.tables import Row, Table
from ldl_jax.data.records import DataError, Faults, FoldSplit, Records
from ldl_jax.files import listed

Vote = tuple[float, float]  # a value, and how many voted for it
Groups = tuple[tuple[str, str], ...]  # pairs of what a group is of, and its name
MOST_GROUPS = 100  # of one kind; a column of more is one of numbers or of names
_SEXES = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female"}
_SEXES |= {"woman": "female"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """Describes one labelled picture, as a reader lists it.

    `quad` has x and y of four corners, `points` those of five points, `box` the left, top, right
    and bottom edge of the face; each may be empty. `votes` has pairs of a value and how many voted
    for it, `groups` pairs of what a group is of and its name, as ("sex", "female").
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
    box: tuple[float, ...] = ()
    votes: tuple[Vote, ...] = ()
    groups: Groups = ()


def from_table(
    table: Table,
    root: Path,
    file: str,
    label: str,
    faults: Faults,
    *,
    folder: str = "",
    suffix: str = "",
    sigma: str = "",
    subject: str = "",
    split: str = "",
) -> list[Entry]:
    """Makes an entry of each row; file, label, sigma and subject are names of columns.

    The id is the file's path below the root; `suffix` is added to it where the picture lies.
    `faults` takes what is wrong with each cell.
    """

    def entry(row: Row) -> Entry | None:
        name, value = faults.tried(row.text, file), faults.tried(row.number, label)
        deviation = faults.tried(row.deviation, sigma) if sigma else math.nan
        if name is None or value is None or deviation is None:
            return None
        name = f"{folder}/{name}" if folder else name
        return Entry(
            id=name,
            path=listed(root, f"{name}{suffix}"),
            label=value,
            source=row.source,
            sigma=deviation,
            subject=row.cells[subject] if subject else "",
            split=split,
        )

    return of_rows(table.rows, entry, faults)


def group_name(kind: str, text: str) -> str:
    """Returns a group's name: of a sex one word, whatever a list writes; "" where none is given."""
    text = text.strip()
    return _SEXES.get(text.lower(), text) if kind == "sex" else text


def check_groups(file: str, kind: str, names: Iterable[str], remedy: str = "") -> None:
    """Raises DataError where a column has so many values that it cannot be one of groups."""
    known = sorted({*names} - {""})
    if len(known) > MOST_GROUPS:
        some = ", ".join(map(repr, known[:3]))
        raise DataError(
            f"{file}: {kind} has {len(known):,} different values ({some}, ...): a column of groups "
            f"has at most {MOST_GROUPS}{remedy}"
        )


def of_rows(
    rows: Iterable[Row], entry: Callable[[Row], Entry | None], faults: Faults
) -> list[Entry]:
    """Makes an entry of each row, but where there is None; `faults` takes the rows' DataErrors."""
    entries = (faults.tried(entry, row) for row in rows)
    return [each for each in entries if each is not None]


def to_records(
    name: str,
    entries: Iterable[Entry],
    unit: str = "years",
    notes: Sequence[str] = (),
    fold_splits: Sequence[FoldSplit] = (),
    bounds: Sequence[tuple[float, float]] = (),
    faults: Faults | None = None,
    vote_values: Sequence[float] = (),
) -> Records:
    """Makes records of entries.

    The optional fields (sigma, subjects, split, folds, quads, points, boxes, votes, groups) are
    there if some entry has its own.

    Args:
      name: the dataset's.
      entries: its pictures.
      unit: what a label is measured in.
      notes: remarks for readers of the results.
      fold_splits: how official runs part the folds.
      bounds: the groups that labels are the middles of.
      faults: what the caller found, to be said with what is found here.
      vote_values: values that could be voted for, beside those that were.

    Raises:
      DataError: no entry, an id twice, a label in years that is no age, or a picture that does not
        exist or is no regular file; all of them at once.
    """
    rows = tuple(entries)
    _check(name, rows, unit, Faults(name) if faults is None else faults)
    sigma = np.asarray([row.sigma for row in rows], np.float32)
    subjects, split = tuple(row.subject for row in rows), tuple(row.split for row in rows)
    folds = np.asarray([row.fold for row in rows], np.int64)
    votes, values = _votes([row.votes for row in rows], vote_values)
    return Records(
        name=name,
        ids=tuple(row.id for row in rows),
        labels=np.asarray([row.label for row in rows], np.float32),
        sources=tuple(row.source for row in rows),
        paths=tuple(row.path for row in rows),
        sigma=None if np.isnan(sigma).all() else sigma,
        subjects=subjects if any(subjects) else (),
        split=split if any(split) else (),
        vote_values=values,
        votes=votes,
        unit=unit,
        folds=None if (folds < 0).all() else folds,
        fold_splits=tuple(fold_splits),
        bounds=tuple(bounds),
        groups=_groups(rows),
        quads=_coordinates([row.quad for row in rows], (4, 2)),
        points=_coordinates([row.points for row in rows], (5, 2)),
        boxes=_coordinates([row.box for row in rows], (4,)),
        notes=tuple(notes),
    )


def _check(name: str, rows: Sequence[Entry], unit: str, faults: Faults) -> None:
    """Raises FaultsError for all that is wrong with the rows, and what was found before."""
    _check_unique(rows, faults)
    _check_exist(name, rows, faults)
    check_labels([row.label for row in rows], [row.source for row in rows], unit, faults)
    faults.check()


def check_labels(
    labels: Sequence[float] | np.ndarray, sources: Sequence[str], unit: str, faults: Faults
) -> None:
    """Adds a fault for each label in years that is no age, or is not known."""
    values = np.asarray(labels, np.float32)
    wrong = ~((values >= 0) & (values <= OLDEST)) if unit == "years" else np.zeros(0, bool)
    for row in np.flatnonzero(wrong).tolist():
        faults.add(f"{sources[row]}: {values[row]:g} is no age of 0 to {OLDEST} years")


def _coordinates(values: Sequence[tuple[float, ...]], axes: tuple[int, ...]) -> np.ndarray | None:
    """Returns numbers of each picture, float32 [N, *axes]; None if none has any."""
    if not any(values):
        return None
    unknown = (math.nan,) * math.prod(axes)
    return np.asarray([each or unknown for each in values], np.float32).reshape(-1, *axes)


def _groups(rows: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """Returns each row's group by what it is of; what no row says is left out."""
    known = [dict(row.groups) for row in rows]
    kinds = dict.fromkeys(kind for of_row in known for kind, name in of_row.items() if name)
    return {kind: tuple(of_row.get(kind, "") for of_row in known) for kind in kinds}


def _votes(
    votes: Sequence[tuple[Vote, ...]], values: Sequence[float]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the votes [N, M] and their values [M], rising; None and None if nobody voted."""
    if not any(votes):
        return None, None
    # Values are told apart as float32: a label space's are, too.
    known = {np.float32(value) for each in votes for value, _ in each}
    grid = np.asarray(sorted(known.union(map(np.float32, values))), np.float32)
    index = {value: position for position, value in enumerate(grid.tolist())}
    counts = np.zeros((len(votes), len(grid)), np.float32)
    for row, each in enumerate(votes):
        for value, count in each:
            counts[row, index[float(np.float32(value))]] += count
    return counts, grid


def _check_unique(rows: Sequence[Entry], faults: Faults) -> None:
    sources: dict[str, str] = {}
    for row in rows:
        if row.id in sources:
            faults.add(f"{row.source}: {row.id!r} is listed already in {sources[row.id]}")
        sources.setdefault(row.id, row.source)


def _check_exist(name: str, rows: Sequence[Entry], faults: Faults) -> None:
    for reason, wrong in missing(rows).items():
        if wrong:
            faults.add(
                f"{name}: {len(wrong)} of {len(rows)} listed pictures {reason}; "
                f"the first is {wrong[0].path} ({wrong[0].source})"
            )


def missing(rows: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Returns the entries whose pictures do not exist, or are no regular files, by that reason."""
    # A folder is listed once: a stat a picture takes minutes for 100k pictures on a network disk.
    folders: dict[Path, dict[str, bool]] = {}
    absent: list[Entry] = []
    irregular: list[Entry] = []
    for row in rows:
        folder = row.path.parent
        if folder not in folders:
            folders[folder] = _files(folder)
        is_file = folders[folder].get(row.path.name)
        if not is_file:
            (absent if is_file is None else irregular).append(row)
    return {"do not exist": absent, "are no regular files": irregular}


def _files(folder: Path) -> dict[str, bool]:
    """Returns whether each name in a folder is a regular file's."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _is_file(entry) for entry in entries}
    except PermissionError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    except (OSError, ValueError):  # it is not there, or its name could be no folder's
        return {}


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False
