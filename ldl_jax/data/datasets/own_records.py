"""Checks the records that a user's own reader lists, field by field, with all faults at once."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets.entries import Entry, check_groups, check_labels, missing
from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import DataError, Faults, FoldSplit, Records

_SPLITS = ("train", "validation", "test", "")
_PICTURES = ("paths", "images", "packed")
_TEXTS = ("ids", "sources", "subjects", "split")
# The axes after the first, of arrays with numbers of each picture that may be unknown (NaN).
_COORDINATES = {"quads": (4, 2), "points": (5, 2), "boxes": (4,)}


def checked(name: str, listed: object, skip: bool = False) -> tuple[Records, list[str]]:
    """Returns records in the form that the program works with, after all checks.

    Args:
      name: of the reader, for messages.
      listed: what it gave.
      skip: leaves out pictures whose files are not there.

    Returns: the records, and what was left out.
    Raises: DataError: naming every fault, by field and by picture.
    """
    if not isinstance(listed, Records):
        raise DataError(f"{name}: returned {type(listed).__name__}, expected Records")
    faults = Faults(name)
    fields = {field: _texts(listed, field, faults) for field in _TEXTS}
    _check_unique(fields["ids"], faults)
    for text in sorted({*fields["split"]} - {*_SPLITS}):
        faults.add(f"split: expected train, validation, test or '', got {text!r}")
    numbers = {
        "labels": _numbers("labels", listed.labels, (), faults, unknown=False),
        "sigma": _numbers("sigma", listed.sigma, (), faults, least=0.0),
        **{
            field: _numbers(field, getattr(listed, field), axes, faults)
            for field, axes in _COORDINATES.items()
        },
        **_tables(listed, faults),
    }
    sources, labels = fields["sources"], numbers["labels"]
    if labels is not None and len(sources) == len(labels):
        for row in np.flatnonzero(~np.isfinite(labels)).tolist():
            faults.add(f"{sources[row]}: the label is {labels[row]}, expected a number")
        known = np.flatnonzero(np.isfinite(labels))
        check_labels(labels[known], [sources[row] for row in known], listed.unit, faults)
    changes: dict[str, Any] = {
        **fields,
        **numbers,
        "folds": _folds(listed.folds, faults),
        "groups": _groups(listed, name, faults),
        "paths": _paths(listed, faults),
    }
    _check_rest(listed, faults)
    _check_pictures(listed, faults)
    absent = _absent(changes["paths"], fields, faults, skip)
    faults.check()
    changes |= {field: tuple(getattr(listed, field)) for field in ("fold_splits", "notes")}
    changes["bounds"] = tuple((float(low), float(high)) for low, high in listed.bounds)
    records = dataclasses.replace(listed, **changes)
    if not absent:
        return records, []
    there = np.setdiff1d(np.arange(len(records)), sorted(absent))
    if not there.size:
        raise DataError(f"{name}: none of its {len(records):,} pictures is there")
    return records.take(there), [absent[row] for row in sorted(absent)]


def check_same(name: str, first: Records, second: Records) -> None:
    """Raises DataError where two readings of a dataset differ; the message names field and row."""
    for field in dataclasses.fields(Records):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, LazyImages) or field.name == "packed":
            a, b = _glance(a), _glance(b)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            equal = a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        else:
            equal = type(a) is type(b) and a == b
        if equal:
            continue
        where = ""
        if isinstance(a, tuple | np.ndarray) and isinstance(b, type(a)) and len(a) == len(b):
            rows = (row for row, (x, y) in enumerate(zip(a, b, strict=True)) if np.any(x != y))
            row = next(rows, 0)
            where = f", first in row {row}: {a[row]!s:.60} and {b[row]!s:.60}"
        raise DataError(
            f"{name}: two readings of it differ in {field.name}{where}; a reader gives the same "
            "pictures, in the same order, each time: sort what a folder lists, and draw with a seed"
        )


def _glance(pictures: Sequence[bytes] | LazyImages | None) -> object:
    if pictures is None:
        return None
    first = pictures[0]
    return len(pictures), first.tobytes() if isinstance(first, np.ndarray) else first


def _texts(listed: Records, field: str, faults: Faults) -> tuple[str, ...]:
    """Returns a column of texts; a fault for each that is none."""
    values = getattr(listed, field)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        faults.add(f"{field}: expected a text for each picture, got {type(values).__name__}")
        return ()
    column = tuple(str(x) if isinstance(x, np.str_) else x for x in values)
    for row, value in enumerate(column):
        if not isinstance(value, str):
            faults.add(f"{field}, row {row}: expected a text, got {value!r:.60}")
    return tuple(str(value) for value in column)


def _check_unique(ids: Sequence[str], faults: Faults) -> None:
    rows: dict[str, int] = {}
    for row, text in enumerate(ids):
        if not text:
            faults.add(f"ids, row {row}: is empty, expected a name of the picture's own")
        elif text in rows:
            faults.add(f"ids, row {row}: {text!r} is the name of row {rows[text]} already")
        rows.setdefault(text, row)


def _numbers(
    field: str,
    values: object,
    axes: tuple[int, ...],
    faults: Faults,
    *,
    unknown: bool = True,
    least: float | None = None,
) -> np.ndarray | None:
    """Returns a column of numbers as float32; a fault where it is none, or a number is wrong."""
    if values is None:
        return None
    try:
        column = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        faults.add(f"{field}: expected numbers ({error})")
        return None
    if column.ndim != 1 + len(axes) or column.shape[1:] != axes:
        expected = ", ".join(map(str, ("N", *axes)))
        faults.add(f"{field}: expected shape [{expected}], got {[*column.shape]}")
        return None
    if unknown:
        for row in np.flatnonzero(np.isinf(column.reshape(len(column), -1)).any(1)).tolist():
            faults.add(f"{field}, row {row}: is infinite; unknown is NaN")
    if least is not None:
        for row in np.flatnonzero(column <= least).tolist():
            faults.add(f"{field}, row {row}: {column[row]:g} is not more than {least:g}")
    return column.astype(np.float32)


def _tables(listed: Records, faults: Faults) -> dict[str, np.ndarray | None]:
    """Returns votes and true distributions, each with the values that its columns are of."""
    result: dict[str, np.ndarray | None] = {}
    for field, grid in (("votes", "vote_values"), ("truth", "truth_values")):
        table, values = getattr(listed, field), getattr(listed, grid)
        if (table is None) != (values is None):
            faults.add(f"{field}, {grid}: expected both or none of them")
        result[grid] = None if values is None else np.asarray(values, np.float32)
        known = result[grid]
        if known is not None and not (known.ndim == 1 and (np.diff(known) > 0).all()):
            faults.add(f"{grid}: expected numbers that rise")
            known = None
        if table is None or known is None:
            result[field] = None
            continue
        column = _numbers(field, table, (len(known),), faults)
        result[field] = column
        if column is None:
            continue
        for row in np.flatnonzero((column < 0).any(1)).tolist():
            faults.add(f"{field}, row {row}: has a number below 0")
        if field == "truth":
            sums = column.sum(axis=1)
            for row in np.flatnonzero(np.abs(sums - 1) > 1e-3).tolist():  # NaN is an unknown one
                faults.add(f"truth, row {row}: sums to {sums[row]:g}, expected 1")
    return result


def _folds(folds: object, faults: Faults) -> np.ndarray | None:
    column = _numbers("folds", folds, (), faults, unknown=False)
    if column is None:
        return None
    wrong = ~(np.isfinite(column) & (column >= -1) & (column == np.floor(column)))
    for row in np.flatnonzero(wrong).tolist():
        faults.add(f"folds, row {row}: expected a whole number from 0, or -1, got {column[row]:g}")
    return np.where(wrong, -1, column).astype(np.int64)


def _groups(listed: Records, name: str, faults: Faults) -> dict[str, tuple[str, ...]]:
    result = {}
    for kind, names in listed.groups.items():
        column = tuple(names)
        for row, value in enumerate(column):
            if not isinstance(value, str):
                faults.add(f"groups.{kind}, row {row}: expected a text, got {value!r:.60}")
        result[str(kind)] = tuple(str(value) for value in column)
        faults.tried(lambda k=kind, c=result[str(kind)]: check_groups(name, f"groups.{k}", c))
    return result


def _paths(listed: Records, faults: Faults) -> tuple[Path, ...]:
    if isinstance(listed.paths, str | bytes | Path):
        faults.add(f"paths: expected a path for each picture, got {type(listed.paths).__name__}")
        return ()
    result = []
    for row, path in enumerate(listed.paths):
        if not isinstance(path, str | Path):
            faults.add(f"paths, row {row}: expected a text or a Path, got {path!r:.60}")
        else:
            result.append(Path(path))
    return tuple(result)


def _check_pictures(listed: Records, faults: Faults) -> None:
    """Adds faults of pictures that are in memory or in an archive."""
    ways = [
        field
        for field, value in zip(
            _PICTURES,
            (bool(listed.paths), listed.images is not None, listed.packed is not None),
            strict=True,
        )
        if value
    ]
    if len(ways) > 1:
        faults.add(f"{' and '.join(ways)}: a picture is in one place, give one of them")
    images: Any = listed.images
    if images is not None:
        shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
        known = isinstance(images, np.ndarray | LazyImages) and dtype == np.uint8
        if not (known and len(images.shape) == 4 and images.shape[3] == 3):
            form = f"{dtype}{[*shape]}" if shape is not None else type(images).__name__
            faults.add(f"images: expected uint8 [N, H, W, 3], RGB from 0 to 255, got {form}")
    if listed.packed is not None and not isinstance(listed.packed[0], bytes):
        kind = type(listed.packed[0]).__name__
        faults.add(f"packed: expected the bytes of a picture's file in each row, got {kind}")


def _check_rest(listed: Records, faults: Faults) -> None:
    """Adds faults of what is said of the whole set."""
    for field in ("name", "unit"):
        if not isinstance(value := getattr(listed, field), str) or not value:
            faults.add(f"{field}: expected a text, got {value!r:.60}")
    if not all(isinstance(note, str) for note in listed.notes):
        faults.add("notes: expected texts")
    if listed.alignment is not None and not isinstance(listed.alignment, Alignment):
        faults.add(f"alignment: expected an Alignment, got {type(listed.alignment).__name__}")
    if not all(isinstance(each, FoldSplit) for each in listed.fold_splits):
        faults.add("fold_splits: expected FoldSplit(train, validation, test) of numbers of folds")
    if not all(map(_is_pair, listed.bounds)):
        faults.add("bounds: expected pairs of a least and a greatest value")


def _is_pair(bounds: tuple[float, float]) -> bool:
    try:
        low, high = bounds
        return bool(low <= high)
    except (TypeError, ValueError):
        return False


def _absent(
    paths: Sequence[Path], fields: dict[str, tuple[str, ...]], faults: Faults, skip: bool
) -> dict[int, str]:
    """Returns the rows of pictures whose files are not there, or adds faults of them."""
    if len(paths) != len(fields["ids"]) or len(fields["sources"]) != len(paths):
        return {}
    rows = [
        Entry(str(row), path, 0.0, source)
        for row, (path, source) in enumerate(zip(paths, fields["sources"], strict=True))
    ]
    result: dict[int, str] = {}
    for reason, entries in missing(rows).items():
        singular = {"do not exist": "does not exist", "are no regular files": "is no regular file"}
        for entry in entries:
            if skip:
                result[int(entry.id)] = f"{entry.source}, {entry.path}"
            else:
                faults.add(f"{entry.source}: {entry.path} {singular[reason]}")
    return result
