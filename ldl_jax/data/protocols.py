"""Which pictures train, validate and test: pure functions of the records and a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from ldl_jax.data.records import DataError, Records
from ldl_jax.labels import LabelSpace

PROTOCOLS = ("official", "random", "subject")


@dataclasses.dataclass(frozen=True)
class Parts:
    """A split: int64 indices into the records, rising, each picture in exactly one part.

    Attributes:
      train: what the network learns from.
      validation: what choices are made on; empty where none is held out.
      test: what is reported.
      notes: what a reader of the results must know, such as subjects in two parts ("LEAK: ...").
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()


def split(
    records: Records,
    protocol: str,
    seed: int = 0,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
) -> Parts:
    """The parts of a protocol; the same for the same records, seed and fractions.

    Args:
      records: N pictures.
      protocol: "official" (the dataset's own), "random" (by picture, as most MORPH papers have
        it) or "subject" (nobody is in two parts).
      seed: of the draw; the test part does not depend on validation_fraction.
      test_fraction: share of the pictures in test; about that by subject; not used by "official".
      validation_fraction: share of the pictures outside test to hold out, by subject where
        subjects are known. 0 takes the official validation rows ("official") or none.

    Raises:
      ValueError: an unknown protocol, or a fraction out of range.
      DataError: the records lack what the protocol needs, or a part would be empty.
    """
    _check_arguments(protocol, test_fraction, validation_fraction)
    rng = np.random.default_rng(seed)
    if protocol == "official":
        train, validation, test = _official(records)
    else:
        train, validation, test = _drawn(records, rng, protocol, test_fraction)
    notes: list[str] = []
    if validation_fraction > 0:
        if validation.size:
            notes.append(f"the {validation.size} official validation pictures are drawn anew")
        pool = np.sort(np.concatenate([train, validation]))
        held_out = _draw(rng, _people(records)[pool], validation_fraction)
        train, validation = pool[~held_out], pool[held_out]
        _check_some(records, "validation", validation, validation_fraction)
    _check_some(records, "train", train, 1 - validation_fraction)
    _check_some(records, "test", test, test_fraction)
    notes += _leaks(records, train, validation, test)
    return Parts(train, validation, test, tuple(notes))


def fingerprint(records: Records, parts: Parts) -> str:
    """SHA-256 (hex) of ids, labels, sigma and parts: equal for equal experiments' data.

    Neither the root nor the pictures' contents enter it. An unknown sigma counts as NaN.
    """
    size = len(records)
    sigma = np.full(size, np.nan) if records.sigma is None else np.asarray(records.sigma)
    # One NaN of the many bit patterns, so that it does not matter how it was made.
    sigma = np.where(np.isnan(sigma), np.float32(np.nan), sigma)
    digest = hashlib.sha256(json.dumps(list(records.ids)).encode())
    for values in (np.asarray(records.labels), sigma):
        digest.update(values.astype("<f4").tobytes())
    for indices in (parts.train, parts.validation, parts.test):
        digest.update(f"{len(indices)}:".encode() + indices.astype("<i8").tobytes())
    return digest.hexdigest()


def check_labels(records: Records, space: LabelSpace, rows: np.ndarray) -> None:
    """Raises DataError if a label of these rows is not finite or lies outside the space.

    The message names the first one's file and row, its value, the range, and how many there are.
    """
    rows = np.asarray(rows)
    bad = rows[~space.contains(np.asarray(records.labels)[rows])]
    if bad.size:
        first = int(bad[0])
        raise DataError(
            f"{records.sources[first]}: label {records.labels[first]:g} lies outside the label "
            f"space {space.low:g}..{space.high:g} {space.unit}; {bad.size} of {rows.size} labels do"
        )


def _check_arguments(protocol: str, test_fraction: float, validation_fraction: float) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: must be between 0 and 1, got {test_fraction}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction: must be in [0, 1), got {validation_fraction}")


def _check_subjects(records: Records) -> None:
    unknown = _unknown(records)
    if unknown.size:
        raise DataError(
            f"{records.name}: protocol 'subject' needs every picture's subject; unknown for "
            f"{unknown.size} of {len(records)} (the first: {records.sources[unknown[0]]}); "
            f"use {_alternatives(records, 'subject')}"
        )


def _check_some(records: Records, part: str, rows: np.ndarray, fraction: float) -> None:
    if rows.size == 0:
        raise DataError(
            f"{records.name}: the {part} part is empty; {len(records)} pictures of "
            f"{len(np.unique(_people(records)))} subjects are too few for a share of {fraction:g}"
        )


def _official(records: Records) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = np.asarray(records.split or [""] * len(records))
    counts = {part: int(np.sum(names == part)) for part in ("train", "validation", "test", "")}
    if counts[""] == len(records):
        problem = "there is no official split"
    elif counts[""]:
        first = records.sources[int(np.flatnonzero(names == "")[0])]
        problem = f"{counts['']} of {len(records)} pictures are in no part (the first: {first})"
    elif not counts["train"] or not counts["test"]:
        problem = (
            f"the official split lists {counts['train']} train, {counts['validation']} validation "
            f"and {counts['test']} test pictures"
        )
    else:
        train, validation, test = (
            np.flatnonzero(names == part) for part in ("train", "validation", "test")
        )
        return train, validation, test
    raise DataError(f"{records.name}: {problem}; use {_alternatives(records, 'official')}")


def _drawn(
    records: Records, rng: np.random.Generator, protocol: str, test_fraction: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.arange(len(records))
    if protocol == "subject":
        _check_subjects(records)
    test = _draw(rng, _people(records) if protocol == "subject" else rows, test_fraction)
    return rows[~test], rows[:0], rows[test]


def _alternatives(records: Records, but: str) -> str:
    possible = ["random"]
    if not _unknown(records).size:
        possible.append("subject")
    if "test" in records.split and "train" in records.split and "" not in records.split:
        possible.append("official")
    return "protocol " + " or ".join(repr(name) for name in possible if name != but)


def _unknown(records: Records) -> np.ndarray:
    subjects = records.subjects or [""] * len(records)
    return np.flatnonzero([subject == "" for subject in subjects])


def _people(records: Records) -> np.ndarray:
    """A number a subject; a picture of an unknown subject gets its own."""
    subjects: Sequence[str] = records.subjects or [""] * len(records)
    numbers: dict[str | int, int] = {}
    keys: list[str | int] = [subject or row for row, subject in enumerate(subjects)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys])


def _draw(rng: np.random.Generator, groups: np.ndarray, fraction: float) -> np.ndarray:
    """Whether each row is drawn: whole groups, in random order, to the nearest count of rows."""
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    # Taking a prefix, not whichever groups fit, draws subjects with many pictures as often as
    # those with few.
    counts = np.concatenate([[0], np.cumsum(sizes[order])])
    taken = int(np.argmin(np.abs(counts - fraction * len(groups))))
    drawn = np.zeros(len(sizes), bool)
    drawn[order[:taken]] = True
    return drawn[group_of_row]


def _leaks(
    records: Records, train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> list[str]:
    notes = []
    unknown = _unknown(records)
    if unknown.size:
        notes.append(
            f"subjects are unknown for {unknown.size} of {len(records)} pictures: that somebody is "
            "in both train and test cannot be excluded"
        )
    people = _people(records)
    pairs = (
        ("test", test, "train", train),
        ("test", test, "validation", validation),
        ("validation", validation, "train", train),
    )
    for name, rows, other, other_rows in pairs:
        subjects = np.unique(people[rows])
        shared = int(np.isin(subjects, people[other_rows]).sum())
        if shared:
            # With unknown subjects the rows' own numbers would inflate the count of subjects.
            known = int(np.unique(people[np.setdiff1d(rows, unknown)]).size)
            notes.append(f"LEAK: {shared} of {known} {name} subjects are also in {other}")
    return notes
