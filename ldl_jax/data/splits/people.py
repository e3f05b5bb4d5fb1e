"""Numbers the subjects of records, and finds those that two parts share."""

import numpy as np

from ldl_jax.data.records import Records


def unknown(records: Records) -> np.ndarray:
    """Returns the rows whose subject is not known."""
    return np.flatnonzero([not subject for subject in records.subjects or [""] * len(records)])


def people(records: Records) -> np.ndarray:
    """Numbers the subjects in their order, int64 [N]; an unknown one gets a number of its own."""
    numbers: dict[str | int, int] = {}
    keys = [subject or row for row, subject in enumerate(records.subjects or [""] * len(records))]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys])


def shared(records: Records, rows: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Counts the known subjects of `rows` that are also in `other`, and all of them."""
    numbers = people(records)
    # An unknown subject has a number of its own: it is never shared, but it would be counted.
    known = np.unique(numbers[np.setdiff1d(rows, unknown(records))])
    return int(np.isin(known, numbers[other]).sum()), int(known.size)


def leaks(
    records: Records, train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> list[str]:
    """Returns a line for every two parts that share subjects, and one if subjects are unknown."""
    notes = []
    nobody = unknown(records)
    if nobody.size:
        notes.append(
            f"subjects are unknown for {nobody.size} of {len(records)} pictures: that somebody is "
            "in both train and test cannot be excluded"
        )
    parts = {"train": train, "validation": validation, "test": test}
    for name, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        both, known = shared(records, parts[name], parts[other])
        if both:
            notes.append(f"LEAK: {both} of {known} {name} subjects are also in {other}")
    return notes
