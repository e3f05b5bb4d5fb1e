"""Finds people, files or pictures that the parts of a split share, and names results by it."""

import dataclasses
import itertools
from collections.abc import Collection, Mapping

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits.copies import DIFFERENCE, DISTANCE, pairs_between
from ldl_jax.data.splits.hashes import PerceptualHashes
from ldl_jax.data.splits.people import shared, unknown
from ldl_jax.data.splits.protocols import BY_PICTURE, Parts


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Describes what one part shares with another."""

    part: str
    other: str
    subjects: int  # how many of the part's known subjects are also in the other
    known: int  # how many known subjects the part has
    identical: np.ndarray  # int64 [P, 2], pairs of rows (part, other) with the same bytes
    alike: np.ndarray  # int64 [P, 2], other pairs of rows that are near-duplicates
    examples: tuple[str, ...] = ()  # a pair of ids of each of the two kinds, where there is one

    @property
    def pictures(self) -> int:
        """The count of the part's pictures that are also in the other, as they are or nearly."""
        return len(np.unique(np.concatenate([self.identical, self.alike])[:, 0]))

    def __str__(self) -> str:
        equal, near = (len(np.unique(pairs[:, 0])) for pairs in (self.identical, self.alike))
        examples = f" ({'; '.join(self.examples)})" if self.examples else ""
        return (
            f"{self.part} and {self.other}: {self.subjects} of {self.known} known {self.part} "
            f"subjects are in both; {equal} {self.part} pictures have an identical file in "
            f"{self.other}, {near} a near-duplicate{examples}"
        )


@dataclasses.dataclass(frozen=True)
class Audit:
    """Holds the result of an audit; `print(audit)` gives the verdict."""

    protocol: str
    split: str  # the protocol's name, with what was done about leaks, as `Parts.name`
    overlaps: tuple[Overlap, ...]  # test with train, test with validation, validation with train
    unknown: int  # how many pictures' subjects are not known
    unreadable: int  # how many pictures cannot be read, and whose hashes were not compared
    size: int  # how many pictures the test part has

    @property
    def leaks(self) -> tuple[str, ...]:
        """Names in words what makes the test part known to training or to choices; () if nothing.

        Pictures count that are in both parts, as they are or nearly, and people in both, except for
        the protocols that draw pictures whoever they show.
        """
        lines = []
        for overlap in self.overlaps:
            if overlap.part != "test":
                continue
            also = f"also in {overlap.other}"
            if overlap.pictures:
                lines.append(f"{overlap.pictures} of {self.size} test pictures {also}")
            if overlap.subjects and self.protocol not in BY_PICTURE:
                lines.append(f"{overlap.subjects} of {overlap.known} test subjects {also}")
        return tuple(lines)

    @property
    def name(self) -> str:
        """The name of a result on this split: that of the split, with what leaks, if anything."""
        return self.split + (f" with leaks ({', '.join(self.leaks)})" if self.leaks else "")

    def __str__(self) -> str:
        lines = [f"{'LEAK' if self.leaks else 'no leak found'}: call a number {self.name!r}"]
        lines += [str(overlap) for overlap in self.overlaps]
        if self.unknown:
            lines.append(f"subjects are not known for {self.unknown} pictures")
        if self.unreadable:
            lines.append(f"{self.unreadable} pictures cannot be read, and were not compared")
        return "\n  ".join(lines)


def audit(
    records: Records,
    parts: Parts,
    hashes: PerceptualHashes,
    distance: int = DISTANCE,
    difference: float = DIFFERENCE,
) -> Audit:
    """Finds the subjects, identical files and near-duplicates that the parts share.

    Near-duplicates are pictures whose 64-bit difference hashes differ in at most `distance` bits,
    and whose gray 16 x 16 thumbnails, stretched to the full range, differ by less than `difference`
    of 255 on the mean. On the 13,322 aligned faces of All-Age-Faces the first alone takes many
    faces of strangers for one (3,493 pairs between its parts); with both 198 pairs are left;
    the 34 looked at were one picture each, while of 12 between 12 and 16 half were strangers in
    front of one background. Mirrored or newly cropped copies are not found.

    Args:
      records: N pictures.
      parts: rows of each part.
      hashes: of the same N pictures, by `hashes.take`.
      distance: bits, 0 to 16.
      difference: gray levels.

    Raises:
      ValueError: the hashes are of another number of pictures, or distance is out of range.
    """
    if len(hashes.files) != len(records):
        raise ValueError(f"hashes: of {len(hashes.files)} pictures, records has {len(records)}")
    pairs = (("test", "train"), ("test", "validation"), ("validation", "train"))
    overlaps = [
        _overlap(records, parts, hashes, pair, distance, difference)
        for pair in pairs
        if all(getattr(parts, part).size for part in pair)
    ]
    return Audit(
        protocol=parts.protocol,
        split=parts.name,
        overlaps=tuple(overlaps),
        unknown=int(unknown(records).size),
        unreadable=len(hashes.unreadable),
        size=int(parts.test.size),
    )


def overlapping_tests(tests: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Returns a line for every two runs whose test parts share pictures; () if all are disjoint.

    The mean over runs with overlapping tests is no cross-validation: its spread is too small.

    Args:
      tests: the ids of each run's test pictures, by what to call the run.
    """
    lines = []
    sets = {name: frozenset(ids) for name, ids in tests.items()}
    for (first, ids), (second, others) in itertools.combinations(sets.items(), 2):
        if both := len(ids & others):
            share = f"{both / len(ids):.0%} of those of {first}"
            lines.append(f"{first} and {second} share {both} test pictures, {share}")
    return tuple(lines)


def _overlap(
    records: Records,
    parts: Parts,
    hashes: PerceptualHashes,
    pair: tuple[str, str],
    distance: int,
    difference: float,
) -> Overlap:
    rows, other = (getattr(parts, part) for part in pair)
    subjects, known = shared(records, rows, other)
    identical, alike = pairs_between(hashes, rows, other, distance, difference)
    examples = [
        f"{records.ids[pairs[0][0]]} {sign} {records.ids[pairs[0][1]]}"
        for sign, pairs in (("=", identical), ("~", alike))
        if len(pairs)
    ]
    return Overlap(*pair, subjects, known, identical, alike, tuple(examples))
