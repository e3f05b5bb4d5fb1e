"""Combines two datasets, to train on one and test on the other."""

from collections.abc import Sequence

import numpy as np

from ldl_jax.data import lazy
from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import Chosen, DataError, Records

Images = np.ndarray | LazyImages
PREFIXES = ("train:", "test:")


def combine(train: Records, test: Records) -> Records:
    """Returns records of two datasets: the first to train on, all of the second to test on.

    The first's official validation rows stay validation, its other rows are all training rows.
    Split them with the protocol "cross_dataset". Ids and subjects are told apart by "train:" and
    "test:", since two sets' own names do not say whether somebody is in both: audit the pictures.
    True distributions and official folds are left behind; votes are kept, over the values of both.

    Raises:
      DataError: the units differ, one has files and the other arrays of pictures, or a file is in
        both.
    """
    pair = (train, test)
    name = f"{train.name}->{test.name}"
    if train.unit != test.unit:
        raise DataError(f"{name}: labels in {train.unit} and in {test.unit} cannot be compared")
    if _kind(train) != _kind(test):
        raise DataError(
            f"{name}: pictures of the one are {_kind(train)}, of the other {_kind(test)}; prepare "
            "both or neither"
        )
    both = set(train.paths) & set(test.paths)
    if both:
        raise DataError(f"{name}: {len(both)} files are in both sets (one is {min(both)})")
    votes, vote_values = _votes(pair)
    official = train.split or [""] * len(train)
    rows = np.arange(len(train) + len(test))
    return Records(
        name=name,
        ids=_told_apart(train.ids, test.ids),
        labels=np.concatenate([train.labels, test.labels]),
        sources=train.sources + test.sources,
        paths=train.paths + test.paths,
        images=_joined(train.images, test.images),
        packed=None if train.packed is None else Chosen(train.packed, rows, test.packed or ()),
        sigma=_filled(pair, "sigma"),
        subjects=_told_apart(*(records.subjects or ("",) * len(records) for records in pair)),
        split=(
            *("validation" if part == "validation" else "train" for part in official),
            *("test" for _ in test.ids),
        ),
        vote_values=vote_values,
        votes=votes,
        unit=train.unit,
        bounds=train.bounds,
        quads=_filled(pair, "quads", (4, 2)),
        points=_filled(pair, "points", (5, 2)),
        boxes=_filled(pair, "boxes", (4,)),
        alignment=train.alignment,
        groups=_groups(pair),
        notes=(
            *(f"{records.name}: {note}" for records in pair for note in records.notes),
            *_aligned_otherwise(train, test),
            f"that somebody is in both {train.name} and {test.name} cannot be excluded",
        ),
    )


def is_combined(records: Records) -> bool:
    """Returns whether these records were made by `combine`."""
    return all(name.startswith(PREFIXES) for name in records.ids)


def _kind(records: Records) -> str:
    if records.packed is not None:
        return "prepared"
    return "files" if records.paths else "in memory"


def _aligned_otherwise(train: Records, test: Records) -> tuple[str, ...]:
    if train.alignment == test.alignment:
        return ()
    return (
        f"pictures are cut out by {train.alignment} in {train.name}, {test.alignment} in "
        f"{test.name}: errors in print differ by that alone",
    )


def _told_apart(train: Sequence[str], test: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{prefix}{name}" if name else ""
        for prefix, names in zip(PREFIXES, (train, test), strict=True)
        for name in names
    )


def _groups(pair: Sequence[Records]) -> dict[str, tuple[str, ...]]:
    kinds = dict.fromkeys(kind for records in pair for kind in records.groups)
    unknown = [("",) * len(records) for records in pair]
    return {
        kind: tuple(
            name
            for records, nothing in zip(pair, unknown, strict=True)
            for name in records.groups.get(kind, nothing)
        )
        for kind in kinds
    }


def _joined(first: Images | None, second: Images | None) -> Images | None:
    if first is None or second is None:
        return None
    if first.shape[1:] != second.shape[1:]:
        raise DataError(f"pictures in memory of {first.shape[1:]} and {second.shape[1:]}")
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.concatenate([first, second])
    return lazy.joined(first, second)


def _votes(pair: Sequence[Records]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the votes of both sets over the values of either, and these values."""
    known = [records.vote_values for records in pair if records.vote_values is not None]
    if not known:
        return None, None
    values = np.unique(np.concatenate(known))
    votes = []
    for records in pair:
        of_set = np.zeros((len(records), len(values)), np.float32)
        if records.votes is not None:
            assert records.vote_values is not None, "votes have values"
            of_set[:, np.searchsorted(values, records.vote_values)] = records.votes
        votes.append(of_set)
    return np.concatenate(votes), values


def _filled(pair: Sequence[Records], field: str, shape: tuple[int, ...] = ()) -> np.ndarray | None:
    values = [getattr(records, field) for records in pair]
    if all(value is None for value in values):
        return None
    unknown = [np.full((len(records), *shape), np.nan, np.float32) for records in pair]
    both = zip(values, unknown, strict=True)
    return np.concatenate([nan if value is None else value for value, nan in both])
