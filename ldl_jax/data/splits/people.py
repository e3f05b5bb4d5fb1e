"""Who is in which part: the subjects of records, and the leaks between parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ldl_jax.data.records import Records


def unknown(records: Records) -> np.ndarray:
    """The rows whose subject is not known."""
    subjects = records.subjects or [""] * len(records)
    return np.flatnonzero([subject == "" for subject in subjects])


def people(records: Records) -> np.ndarray:
    """A number a subject, int64 [N], rising as they first appear; an unknown one gets its own."""
    subjects: Sequence[str] = records.subjects or [""] * len(records)
    numbers: dict[str | int, int] = {}
    keys: list[str | int] = [subject or row for row, subject in enumerate(subjects)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys])


def shared(records: Records, rows: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """How many known subjects of `rows` are also in `other`, and how many there are."""
    numbers = people(records)
    # An unknown subject's number is its own, so it is never shared, but it would be counted.
    known = np.unique(numbers[np.setdiff1d(rows, unknown(records))])
    return int(np.isin(known, numbers[other]).sum()), int(known.size)


def leaks(
    records: Records, train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> list[str]:
    """A line for every two parts that share subjects, and one if subjects are unknown."""
    notes = []
    nobody = unknown(records)
    if nobody.size:
        notes.append(
            f"subjects are unknown for {nobody.size} of {len(records)} pictures: that somebody is "
            "in both train and test cannot be excluded"
        )
    pairs = (
        ("test", test, "train", train),
        ("test", test, "validation", validation),
        ("validation", validation, "train", train),
    )
    for name, rows, other, other_rows in pairs:
        both, known = shared(records, rows, other_rows)
        if both:
            notes.append(f"LEAK: {both} of {known} {name} subjects are also in {other}")
    return notes
