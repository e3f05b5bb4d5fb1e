"""Finds pictures that are copies of one another, and keeps them out of two parts of a split."""

import collections
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from ldl_jax.data.records import Records
from ldl_jax.data.splits.hashes import PerceptualHashes, close_pairs
from ldl_jax.data.splits.people import people, shared

# What is done about leaks: nothing, taking them out of training, or drawing copies together.
KEEP, DROP, GROUP = "keep", "drop_train", "group"
LEAKS = (KEEP, DROP, GROUP)
DISTANCE = 8  # bits in which the difference hashes of near-duplicates differ, at most
DIFFERENCE = 12.0  # gray levels by which their thumbnails differ on the mean, at most
_CHUNK = 1 << 16  # pairs whose thumbnails are compared at once


class Removed(NamedTuple):
    """A picture that was taken out of a split, the part that it was in, and why."""

    row: int
    part: str
    reason: str


def pairs_between(
    hashes: PerceptualHashes,
    rows: np.ndarray,
    other: np.ndarray,
    distance: int = DISTANCE,
    difference: float = DIFFERENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of pictures, one of `rows` and one of `other`, that are copies.

    Args:
      hashes: of all pictures.
      rows, other: int64 rows of the pictures that are compared.
      distance: bits, 0 to 16; see `audit.audit`.
      difference: gray levels.

    Returns:
      Pairs (row, other row) with the same bytes, int64 [P, 2], and other pairs that are
      near-duplicates, int64 [Q, 2]. No picture is paired with itself.
    """
    identical = _identical(hashes, rows, other)
    alike = _alike(hashes, rows, other, distance, difference)
    equal = {(int(row), int(copy)) for row, copy in identical}
    return identical, alike[[(int(row), int(copy)) not in equal for row, copy in alike]]


def linked(records: Records, hashes: PerceptualHashes, by_person: bool) -> np.ndarray:
    """Numbers the groups of pictures that must stay in one part, int64 [N].

    Copies are in one group, and so are copies of copies; with `by_person` all pictures of a
    subject are, too. Any other picture is a group of its own.
    """
    count = len(records)
    rows = np.arange(count)
    links = [np.concatenate(pairs_between(hashes, rows, rows))]
    if by_person:
        numbers = people(records)
        first = np.full(count, -1)
        first[numbers[::-1]] = rows[::-1]  # the first picture of each person
        links.append(np.stack([rows, first[numbers]], axis=1))
    ends = np.concatenate(links)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups.astype(np.int64)


def also_in_test(
    records: Records,
    hashes: PerceptualHashes,
    parts: Mapping[str, np.ndarray],
    test: np.ndarray,
    by_person: bool,
) -> tuple[Removed, ...]:
    """Returns the pictures of parts that the auditor finds in test, with the reason, in order.

    Args:
      records: N pictures.
      hashes: of these.
      parts: the rows of the parts that are not test, by name.
      test: the rows of the test part.
      by_person: whether every picture of a person in test counts, too.
    """
    removed: list[Removed] = []
    for part, rows in parts.items():
        reasons = _reasons(records, hashes, rows, test, by_person)
        removed += [Removed(row, part, reasons[row]) for row in sorted(reasons)]
    return tuple(removed)


def note(removed: Sequence[Removed]) -> tuple[str, ...]:
    """Returns the line that says how many pictures are left out of each part; () where none is."""
    counts = collections.Counter(entry.part for entry in removed)
    text = " and ".join(f"{count} {part}" for part, count in counts.items())
    return (f"{text} pictures are left out, since test has them too",) if text else ()


def _reasons(
    records: Records,
    hashes: PerceptualHashes,
    rows: np.ndarray,
    test: np.ndarray,
    by_person: bool,
) -> dict[int, str]:
    """Returns why a row of a part is also in test, by row."""
    reasons: dict[int, str] = {}
    identical, alike = pairs_between(hashes, rows, test)
    for pairs, text in ((identical, "identical to"), (alike, "near-duplicate of")):
        for row, copy in pairs.tolist():
            reasons.setdefault(row, f"{text} {records.ids[copy]}")
    if by_person and shared(records, rows, test)[0]:
        tested = {records.subjects[row] for row in test.tolist()}
        for row in rows.tolist():
            if records.subjects[row] and records.subjects[row] in tested:
                reasons.setdefault(row, f"shows {records.subjects[row]}, who is in test")
    return reasons


def _identical(hashes: PerceptualHashes, rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    copies: dict[str, list[int]] = {}
    for row in other.tolist():
        copies.setdefault(hashes.files[row], []).append(row)
    pairs = [
        (row, copy)
        for row in rows.tolist()
        for copy in copies.get(hashes.files[row], ())
        if copy != row
    ]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _alike(
    hashes: PerceptualHashes, rows: np.ndarray, other: np.ndarray, distance: int, difference: float
) -> np.ndarray:
    broken = np.asarray(hashes.unreadable, np.int64)
    rows, other = np.setdiff1d(rows, broken), np.setdiff1d(other, broken)
    pairs = close_pairs(hashes.hashes, rows, other, distance)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    close = [np.empty((0, 2), np.int64)]
    for start in range(0, len(pairs), _CHUNK):
        some = pairs[start : start + _CHUNK]
        first, second = (hashes.looks[some[:, side]].astype(np.int16) for side in (0, 1))
        close.append(some[np.abs(first - second).mean(axis=(1, 2)) < difference])
    return np.concatenate(close)
