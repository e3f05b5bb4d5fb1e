"""A model as one file: safetensors with the weights, and the record as its metadata.

The arrays are named by their routes ("backbone.conv1.kernel", "head.logits.bias",
"state.norm1.mean"), and lie in float32 or, half as large, in bfloat16. The metadata are texts:

    format    "ldl_jax"
    version   of this format, a number
    record    JSON, `Record.to_json`
    notes     JSON, `Notes`: where the weights come from, for people
    card      the model card, in Markdown
    software  what wrote the file
    sha256    of the record and the arrays, which tells damage

A reader takes every version up to its own and passes over texts that it doesn't know. So whoever
adds something that changes answers raises `VERSION`, or that of the record (as for calibrations).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import __version__
from ldl_jax.models import array_files, weight_files
from ldl_jax.train.backbone import fingerprint
from ldl_jax.train.record import Record, RecordError, from_json
from ldl_jax.train.weights import Arrays, PyTree, Weights

VERSION = 1
DTYPES = ("float32", "bfloat16")
_FORMAT = "ldl_jax"
_TOPS = {"backbone": ("params", "backbone"), "head": ("params", "head"), "state": ("model_state",)}


@dataclasses.dataclass(frozen=True)
class Notes:
    """Says where a model comes from, in words, beside its record.

    Attributes:
      card: the model card, in Markdown; "" where there is none.
      licence: that of the pictures it was trained on, as their publisher words it.
      data: lines on the data and its split.
    """

    card: str = ""
    licence: str = ""
    data: tuple[str, ...] = ()


def knows(path: Path) -> bool:
    """Returns whether a file says that it is a model of this kind; it may still be damaged."""
    return weight_files.metadata(path).get("format") == _FORMAT


def dumps(about: Record, weights: Weights, notes: Notes, dtype: str = "float32") -> bytes:
    """Returns a model as the content of a file.

    Args:
      about: its record.
      weights: of the whole network, not folded.
      notes: where it comes from.
      dtype: one of `DTYPES`, of the arrays of floating point numbers.

    Raises:
      ValueError: another dtype, or a name of an array that the file could not give back.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    arrays = _flat(weights)
    kind = jnp.dtype(dtype)
    stored = {name: _cast(array, kind) for name, array in arrays.items()}
    record = json.dumps(about.to_json())
    return array_files.dumps(
        stored,
        {
            "format": _FORMAT,
            "version": str(VERSION),
            "record": record,
            "sha256": digest(record, stored),
            "notes": json.dumps({"licence": notes.licence, "data": list(notes.data)}),
            "card": notes.card,
            "software": f"ldl_jax {__version__}",
        },
    )


def read(path: Path) -> tuple[Record, Arrays, Notes]:
    """Reads a file that `dumps` made; its floating point numbers become float32.

    Raises:
      ValueError: it is damaged, of a newer version, or its metadata is not what `dumps` gives.
    """
    with weight_files.opened(path, as_named=True) as file:
        about, notes = _described(file.metadata, path)
        faults = [
            f"{name} is {array.dtype}, expected one of {', '.join(DTYPES)}"
            for name, array in file.arrays.items()
            if jnp.issubdtype(array.dtype, jnp.inexact) and array.dtype.name not in DTYPES
        ]
        faults += [
            f"{name} is of no part; expected {', '.join(_TOPS)}"
            for name in file.arrays
            if name.partition(".")[0] not in _TOPS
        ]
        if faults:
            rest = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
            raise ValueError(f"path: {path}: {'; '.join(faults[:3])}{rest}")
        stored = {name: file.read(name) for name in file.arrays}
        if file.metadata.get("sha256") != digest(file.metadata["record"], stored):
            raise ValueError(f"path: {path} is damaged: its record or arrays are not as written")
    arrays = {name: _cast(array, jnp.dtype(jnp.float32)) for name, array in stored.items()}
    try:
        return about, _nested(arrays), notes
    except ValueError as error:
        raise ValueError(f"path: {path}: {error}") from None


def digest(record: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 (hex) of a record and of the arrays as they lie in a file."""
    text = np.frombuffer(record.encode() + b"\0", np.uint8)
    return fingerprint({"": text, **arrays})


def _described(metadata: Mapping[str, str], path: Path) -> tuple[Record, Notes]:
    """Returns the record and the notes in a file's metadata."""
    version = metadata.get("version", "")
    if not (version.isascii() and version.isdecimal() and 0 < len(version) < 10):
        raise ValueError(f"path: {path}: its version: expected a number, got {version[:40]!r}")
    if not 1 <= int(version) <= VERSION:
        raise ValueError(
            f"path: {path} is a model file of version {version}, and this release reads up to "
            f"{VERSION}; use the release that wrote it "
            f"({metadata.get('software', 'not known')[:40]!r}), or a newer one"
        )
    try:
        about = from_json(_parsed(metadata.get("record", "null"), "record"), path)
        notes = _parsed(metadata.get("notes", "{}"), "notes")
        licence, lines = notes.get("licence", ""), notes.get("data", [])
        if not all(isinstance(text, str) for text in (licence, *lines)):
            raise ValueError("its notes: expected texts")
    except RecordError as error:
        raise ValueError(f"path: {error}") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"path: {path}: {error}") from None
    return about, Notes(metadata.get("card", ""), licence, tuple(lines))


def _parsed(text: str, name: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {name}: is not JSON ({str(error)[:100]})") from None


def _cast(array: jax.Array | np.ndarray, kind: np.dtype) -> np.ndarray:
    """Returns an array, in that type where it is of floating point numbers."""
    array = np.asarray(array)
    return array.astype(kind) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _flat(weights: Weights) -> dict[str, np.ndarray]:
    trees = {**weights.params, "state": weights.model_state}
    return {
        ".".join([top, *(_name(entry.key) for entry in route)]): np.asarray(leaf)
        for top, tree in trees.items()
        for route, leaf in jax.tree.leaves_with_path(tree)
    }


def _name(key: str | int) -> str:
    """Returns a part of an array's name, from which `_nested` gets the key back."""
    if isinstance(key, str) and (key == "" or "." in key or _is_index(key)):
        raise ValueError(f"weights: an array below {key!r} cannot be named in one file")
    return str(key)


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 10


def _nested(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Returns arrays as the nested dicts that their names say; a number is an index."""
    result: Arrays = {"params": {"backbone": {}, "head": {}}, "model_state": {}}
    for name, array in arrays.items():
        top, *parts = name.split(".")
        route = [*_TOPS[top], *(int(part) if _is_index(part) else part for part in parts)]
        tree: PyTree = result
        for key in route[:-1]:
            tree = tree.setdefault(key, {})
            if not isinstance(tree, dict):
                raise ValueError(f"{name}: a part of its name is an array")
        tree[route[-1]] = array
    return result
