"""Reads fields of a structure in a MATLAB file, as numbers or texts."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.records import DataError, file_content
from ldl_jax.isolated import children

Fields = dict[str, np.ndarray | list[str]]


def fields(path: Path, variable: str, names: Sequence[str]) -> Fields:
    """Returns the fields of a structure that it has, by their names.

    Numbers are float64 [N]; anything else is N texts. SciPy reads the file in a process of its own.

    Raises:
      DataError: the file cannot be read as a MATLAB file, or has no such structure.
    """
    content = file_content(path, path.name)
    try:
        written = children.output("matlab", [variable, *names], content)
        with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
            loaded = {key: arrays[key] for key in arrays.files}
    except children.ReaderError as error:
        reason = f"cannot be read as a MATLAB file ({error})"
        raise DataError(f"{path.name}: {reason}") from error
    result: Fields = {}
    for key, array in loaded.items():
        kind, _, name = key.partition(":")
        result[name] = array if kind == "numbers" else list(json.loads(array.tobytes()))
    return result


def numbers(path: Path, read: Fields, name: str, count: int) -> np.ndarray:
    """Returns a field of `count` numbers, float64 [count]; DataError where it is another thing."""
    value = read[name]
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path.name}: {name} are no numbers")
    if value.shape != (count,):
        raise DataError(f"{path.name}: {name} has shape {value.shape}, not {(count,)}")
    return value
