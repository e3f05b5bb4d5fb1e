"""Whether the parts of a split share people, files or pictures, and what a result may be called."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits.hashes import Prints, close_pairs
from ldl_jax.data.splits.people import shared, unknown
from ldl_jax.data.splits.protocols import Parts

# Protocols that draw pictures whoever they show: that people are in two parts is what they say.
BY_PICTURE = ("random", "stratified", "kfold")
CHUNK = 1 << 16  # pairs whose thumbnails are compared at once


@dataclasses.dataclass(frozen=True)
class Overlap:
    """What one part shares with another.

    Attributes:
      part, other: their names.
      subjects: how many of the part's known subjects are also in the other.
      known: how many known subjects the part has.
      identical: int64 [P, 2], pairs of rows (part, other) with the same bytes.
      alike: int64 [P, 2], other pairs of rows that are near-duplicates.
      examples: a pair of ids of each of the two kinds, where there is one.
    """

    part: str
    other: str
    subjects: int
    known: int
    identical: np.ndarray
    alike: np.ndarray
    examples: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures of the part are also in the other, as they are or nearly."""
        return len(np.unique(np.concatenate([self.identical, self.alike])[:, 0]))

    def __str__(self) -> str:
        same, near = (len(np.unique(pairs[:, 0])) for pairs in (self.identical, self.alike))
        examples = f" ({'; '.join(self.examples)})" if self.examples else ""
        return (
            f"{self.part} and {self.other}: {self.subjects} of {self.known} known {self.part} "
            f"subjects are in both; {same} {self.part} pictures have an identical file in "
            f"{self.other}, {near} a near-duplicate{examples}"
        )


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit found; `print(audit)` gives the verdict.

    Attributes:
      protocol: the protocol's name.
      overlaps: test with train, test with validation, validation with train.
      unknown: how many pictures' subjects are not known.
      unreadable: how many pictures cannot be read, and were not compared by looks.
      size: how many pictures the test part has.
    """

    protocol: str
    overlaps: tuple[Overlap, ...]
    unknown: int
    unreadable: int
    size: int

    @property
    def leaks(self) -> tuple[str, ...]:
        """What makes the test part known to training or to choices, in words; () if nothing.

        Pictures that are in both parts, as they are or nearly; and people in both, except for the
        protocols that draw pictures whoever they show.
        """
        found = []
        for overlap in self.overlaps:
            if overlap.part != "test":
                continue
            if overlap.pictures:
                found.append(
                    f"{overlap.pictures} of {self.size} test pictures also in {overlap.other}"
                )
            if overlap.subjects and self.protocol not in BY_PICTURE:
                found.append(
                    f"{overlap.subjects} of {overlap.known} test subjects also in {overlap.other}"
                )
        return tuple(found)

    @property
    def name(self) -> str:
        """What a number of this split may be called: the protocol, with what leaks, if anything."""
        return self.protocol + (f" with leaks ({', '.join(self.leaks)})" if self.leaks else "")

    def __str__(self) -> str:
        lines = [f"{'LEAK' if self.leaks else 'no leak found'}: call a number {self.name!r}"]
        lines += [str(overlap) for overlap in self.overlaps]
        if self.unknown:
            lines.append(f"subjects are not known for {self.unknown} pictures")
        if self.unreadable:
            lines.append(f"{self.unreadable} pictures cannot be read, and were not compared")
        return "\n  ".join(lines)


def audit(
    records: Records, parts: Parts, prints: Prints, distance: int = 8, difference: float = 12.0
) -> Audit:
    """What the parts share: subjects, identical files and near-duplicates.

    Near-duplicates are pictures whose 64-bit difference hashes differ in at most `distance` bits,
    and whose gray 16 x 16 thumbnails, stretched to the full range, differ by less than `difference`
    of 255 on the mean. On the 13,322 aligned faces of All-Age-Faces the first alone takes many
    faces of strangers for one (3,493 pairs between its parts); with both 198 pairs are left;
    the 34 looked at were one picture each, while of 12 between 12 and 16 half were strangers in
    front of one background. Mirrored or newly cropped copies are not found.

    Args:
      records: N pictures.
      parts: rows of each part.
      prints: of the same N pictures, by `prints.take`.
      distance: bits, 0 to 16.
      difference: gray levels.

    Raises:
      ValueError: the prints are of another number of pictures, or distance is out of range.
    """
    if len(prints.files) != len(records):
        raise ValueError(f"prints: of {len(prints.files)} pictures, records has {len(records)}")
    pairs = (("test", "train"), ("test", "validation"), ("validation", "train"))
    overlaps = [
        _overlap(records, parts, prints, pair, distance, difference)
        for pair in pairs
        if getattr(parts, pair[0]).size and getattr(parts, pair[1]).size
    ]
    return Audit(
        protocol=parts.protocol,
        overlaps=tuple(overlaps),
        unknown=int(unknown(records).size),
        unreadable=len(prints.unreadable),
        size=int(parts.test.size),
    )


def mend(parts: Parts, found: Audit) -> Parts:
    """The parts without the training and validation pictures that are also in test.

    Validation pictures that are in train stay, for they spoil a choice at most. People in two
    parts are not mended: draw by subject for that.
    """
    out = {"train": np.empty(0, np.int64), "validation": np.empty(0, np.int64)}
    for overlap in found.overlaps:
        if overlap.part == "test":
            pairs = np.concatenate([overlap.identical, overlap.alike])
            out[overlap.other] = np.unique(pairs[:, 1])
    note = ", ".join(f"{rows.size} {part}" for part, rows in out.items() if rows.size)
    if not note:
        return parts
    return dataclasses.replace(
        parts,
        train=np.setdiff1d(parts.train, out["train"]),
        validation=np.setdiff1d(parts.validation, out["validation"]),
        notes=(*parts.notes, f"{note} pictures are left out, since test has them too"),
    )


def overlapping_tests(tests: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """A line for every two runs whose test parts share pictures; () if all are disjoint.

    The mean over runs with overlapping tests is no cross-validation: its spread is too small.

    Args:
      tests: the ids of each run's test pictures, by what to call the run.
    """
    found = []
    sets = {name: frozenset(ids) for name, ids in tests.items()}
    for (first, one), (second, other) in itertools.combinations(sets.items(), 2):
        both = len(one & other)
        if both:
            found.append(
                f"{first} and {second} share {both} test pictures, "
                f"{both / len(one):.0%} of those of {first}"
            )
    return tuple(found)


def _overlap(
    records: Records,
    parts: Parts,
    prints: Prints,
    pair: tuple[str, str],
    distance: int,
    difference: float,
) -> Overlap:
    rows, other = getattr(parts, pair[0]), getattr(parts, pair[1])
    subjects, known = shared(records, rows, other)
    identical = _identical(prints, rows, other)
    alike = _alike(prints, rows, other, distance, difference)
    same = {(int(row), int(copy)) for row, copy in identical}
    alike = alike[[(int(row), int(copy)) not in same for row, copy in alike]]
    examples = [
        f"{records.ids[found[0][0]]} {sign} {records.ids[found[0][1]]}"
        for sign, found in (("=", identical), ("~", alike))
        if len(found)
    ]
    return Overlap(*pair, subjects, known, identical, alike, tuple(examples))


def _identical(prints: Prints, rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    copies: dict[str, list[int]] = {}
    for row in other:
        copies.setdefault(prints.files[row], []).append(int(row))
    pairs = [(int(row), copy) for row in rows for copy in copies.get(prints.files[row], ())]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _alike(
    prints: Prints, rows: np.ndarray, other: np.ndarray, distance: int, difference: float
) -> np.ndarray:
    broken = np.asarray(prints.unreadable, np.int64)
    pairs = close_pairs(
        prints.hashes, np.setdiff1d(rows, broken), np.setdiff1d(other, broken), distance
    )
    kept = [np.empty((0, 2), np.int64)]
    for start in range(0, len(pairs), CHUNK):
        some = pairs[start : start + CHUNK]
        first, second = (prints.looks[some[:, side]].astype(np.int16) for side in (0, 1))
        kept.append(some[np.abs(first - second).mean(axis=(1, 2)) < difference])
    return np.concatenate(kept)
