"""Writes a predictor as one file, and reads what `ldl_jax.load` needs of it."""

from pathlib import Path
from typing import Protocol

from ldl_jax import files
from ldl_jax.train import model_file
from ldl_jax.train.model_file import Notes, knows
from ldl_jax.train.record import Record
from ldl_jax.train.weights import Arrays, Weights

__all__ = ["Notes", "dumps", "knows", "read", "write"]


class Kept(Protocol):
    """A predictor, or what else has the three things that are kept of one."""

    about: Record
    trained: Weights
    notes: Notes


def write(
    predictor: Kept,
    path: str | Path,
    *,
    dtype: str = "float32",
    notes: Notes | None = None,
) -> None:
    """Writes a predictor as one safetensors file, whole or not at all; what was there is replaced.

    Args:
      predictor: the model; its network is stored as it was trained.
      path: the file; its folder is made where there is none.
      dtype: "float32", or "bfloat16" for half the size. Answers are computed in float32.
      notes: where the model comes from; by default those of the file that it was read from.

    Raises:
      ValueError: another dtype.
      OSError: the file cannot be written.
    """
    files.write(path, dumps(predictor, dtype=dtype, notes=notes))


def dumps(predictor: Kept, *, dtype: str = "float32", notes: Notes | None = None) -> bytes:
    """Returns what `write` writes."""
    notes = predictor.notes if notes is None else notes
    return model_file.dumps(predictor.about, predictor.trained, notes, dtype)


def read(path: Path) -> tuple[Record, Arrays]:
    """Reads the record and the weights of a file that `write` made, as float32.

    Raises:
      ValueError: it is damaged, of a newer version, or no such file.
    """
    about, arrays, _ = model_file.read(path)
    return about, arrays
