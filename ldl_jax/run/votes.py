"""The votes of a run: those of its records, counted for the values of its label space."""

import hashlib

import jax.numpy as jnp
import numpy as np

from ldl_jax import arrays
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.labels import LabelSpace

NEEDED = "votes"  # of `Method.needs`


def counted(records: Records, rows: np.ndarray, space: LabelSpace) -> np.ndarray | None:
    """Returns the votes of some rows, float32 [n, K]; None where no votes are known.

    A vote counts for the label value that a label of its value would have. A row with votes beyond
    the space has none.
    """
    if records.votes is None or records.vote_values is None:
        return None
    values, votes = records.vote_values.astype(np.float32), records.votes[rows]
    inside = space.contains(values)
    if not inside.any():
        return None
    result = np.zeros((len(rows), space.size), np.float32)
    index = np.asarray(arrays.index(jnp.asarray(values[inside]), space))
    np.add.at(result.T, index, votes[:, inside].T)
    result[(votes[:, ~inside] > 0).any(axis=1)] = 0
    return result if result.any() else None


def shares(votes: np.ndarray | None) -> np.ndarray | None:
    """Returns the distributions of votes, float32 [n, K]; NaN in rows without any."""
    if votes is None:
        return None
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.where(total > 0, total, 1), np.nan).astype(np.float32)


def check(records: Records, rows: np.ndarray, space: LabelSpace) -> None:
    """Raises DataError where a row has no votes, or votes beyond the label space.

    A line says it of each row, with its file.
    """
    if records.votes is None or records.vote_values is None:
        raise DataError(
            f"{records.name}: no votes are known, and method.target is 'votes'; a CSV file has "
            "them in a column votes or vote, SCUT-FBP5500 in All_Ratings, APPA-REAL in gt_train.csv"
        )
    outside = ~space.contains(records.vote_values.astype(np.float32))
    faults = Faults(records.name)
    for row in rows.tolist():
        votes = records.votes[row]
        beyond = records.vote_values[outside & (votes > 0)]
        if beyond.size:
            faults.add(
                f"{records.sources[row]}: has votes for {beyond[0]:g}, beyond the label space "
                f"{space.low:g} to {space.high:g} {space.unit}"
            )
        elif not votes.any():
            faults.add(f"{records.sources[row]}: has no votes, and method.target is 'votes'")
    faults.check()


def fingerprint(records: Records, rows: np.ndarray) -> str:
    """Returns the SHA-256 (hex) of the votes of some rows and of their values."""
    assert records.votes is not None, "votes are checked"
    digest = hashlib.sha256(np.asarray(records.vote_values, "<f4").tobytes())
    digest.update(np.asarray(records.votes[rows], "<f4").tobytes())
    return digest.hexdigest()
