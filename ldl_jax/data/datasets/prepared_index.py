"""Everything in records but their pictures, as arrays of one file: read in one go, at once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from ldl_jax.data.align import Alignment
from ldl_jax.data.records import FoldSplit, Records

ARRAYS = ("labels", "sigma", "folds", "truth", "truth_values", "quads", "points")
TEXTS = ("sources", "subjects", "split", "groups")  # each row's, often that of many
WHOLE = ("name", "unit", "notes", "fold_splits", "alignment")


def to_arrays(records: Records) -> dict[str, np.ndarray]:
    """The records as NumPy arrays by name, without pickled objects."""
    arrays = {field: getattr(records, field) for field in ARRAYS}
    found = {field: np.asarray(value) for field, value in arrays.items() if value is not None}
    found["ids"] = _packed(records.ids)
    for field in TEXTS:
        texts = {text: number for number, text in enumerate(dict.fromkeys(getattr(records, field)))}
        found[field] = _packed(list(texts))
        found[f"{field}_of"] = np.array([texts[one] for one in getattr(records, field)], np.int32)
    alignment = records.alignment
    whole = {field: getattr(records, field) for field in WHOLE}
    whole["alignment"] = None if alignment is None else dataclasses.asdict(alignment)
    found["whole"] = _packed(whole)
    return found


def from_arrays(arrays: Mapping[str, np.ndarray], pictures: Sequence[bytes]) -> Records:
    """The records of `to_arrays`, with their pictures."""
    fields: dict[str, Any] = {field: arrays[field] for field in ARRAYS if field in arrays}
    for field in TEXTS:  # one string in memory for all rows that share it
        texts = _unpacked(arrays[field])
        fields[field] = tuple(texts[number] for number in arrays[f"{field}_of"].tolist())
    whole = _unpacked(arrays["whole"])
    alignment = whole["alignment"]
    return Records(
        name=whole["name"],
        unit=whole["unit"],
        notes=tuple(whole["notes"]),
        fold_splits=tuple(FoldSplit(*map(tuple, parts)) for parts in whole["fold_splits"]),
        alignment=None if alignment is None else Alignment(**alignment),
        ids=tuple(_unpacked(arrays["ids"])),
        packed=pictures,
        **fields,
    )


def save(file: BinaryIO, records: Records) -> None:
    """Writes the arrays as a compressed .npz; the same records give the same bytes."""
    arrays: Any = to_arrays(records)
    np.savez_compressed(file, **arrays)


def fingerprint(records: Records) -> str:
    """SHA-256 (hex) of everything in the records but where and what their pictures are."""
    digest = hashlib.sha256()
    for name, array in sorted(to_arrays(records).items()):
        digest.update(f"{name} {array.dtype} {array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _packed(value: Any) -> np.ndarray:
    # JSON in ASCII takes any file's name, also one that is not Unicode.
    return np.frombuffer(json.dumps(value).encode("ascii"), np.uint8)


def _unpacked(array: np.ndarray) -> Any:
    return json.loads(array.tobytes())
