"""Keeps everything in records but their pictures as arrays of one file, read in one go."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from ldl_jax.data.align import Alignment
from ldl_jax.data.records import FoldSplit, Records

ARRAYS = (
    *("labels", "sigma", "folds", "truth", "truth_values", "votes", "vote_values"),
    *("quads", "points", "boxes"),
)
TEXTS = ("sources", "subjects", "split")  # a row's, which many rows may share
WHOLE = ("name", "unit", "notes", "fold_splits", "alignment")


def to_arrays(records: Records) -> dict[str, np.ndarray]:
    """Returns the records as NumPy arrays by name, without pickled objects."""
    arrays = {field: getattr(records, field) for field in ARRAYS}
    arrays = {field: np.asarray(value) for field, value in arrays.items() if value is not None}
    arrays["ids"] = _packed(records.ids)
    # The groups of a set that has but "group" lie where they always did.
    kinds = [kind for kind in records.groups if kind != "group"]
    columns: dict[str, Sequence[str]] = {field: getattr(records, field) for field in TEXTS}
    columns["groups"] = records.groups.get("group", ())
    columns |= {f"groups{index}": records.groups[kind] for index, kind in enumerate(kinds)}
    for field, texts in columns.items():
        index_of = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        arrays[field] = _packed(list(index_of))
        arrays[f"{field}_of"] = np.array([index_of[text] for text in texts], np.int32)
    alignment = records.alignment
    whole = {field: getattr(records, field) for field in WHOLE}
    if records.bounds:  # without them the file is as it always was
        whole["bounds"] = records.bounds
    if kinds:
        whole["kinds"] = kinds
    whole["alignment"] = None if alignment is None else dataclasses.asdict(alignment)
    arrays["whole"] = _packed(whole)
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray], pictures: Sequence[bytes]) -> Records:
    """Returns the records that `to_arrays` was given, with their pictures."""
    fields: dict[str, Any] = {field: arrays[field] for field in ARRAYS if field in arrays}
    for field in TEXTS:
        fields[field] = _column(arrays, field)
    whole = _unpacked(arrays["whole"])
    groups = {"group": _column(arrays, "groups")}
    groups |= {
        kind: _column(arrays, f"groups{index}") for index, kind in enumerate(whole.get("kinds", ()))
    }
    alignment = whole["alignment"]
    return Records(
        name=whole["name"],
        unit=whole["unit"],
        notes=tuple(whole["notes"]),
        fold_splits=tuple(FoldSplit(*map(tuple, parts)) for parts in whole["fold_splits"]),
        alignment=None if alignment is None else Alignment(**alignment),
        bounds=tuple((low, high) for low, high in whole.get("bounds", ())),
        ids=tuple(_unpacked(arrays["ids"])),
        packed=pictures,
        groups={kind: names for kind, names in groups.items() if names},
        **fields,
    )


def _column(arrays: Mapping[str, np.ndarray], field: str) -> tuple[str, ...]:
    """Returns a text a row, one string in memory for all rows that share it."""
    texts = _unpacked(arrays[field])
    return tuple(texts[index] for index in arrays[f"{field}_of"].tolist())


def save(file: BinaryIO, records: Records) -> None:
    """Writes the arrays as a compressed .npz; the same records give the same bytes."""
    arrays: Any = to_arrays(records)
    np.savez_compressed(file, **arrays)


def fingerprint(records: Records) -> str:
    """Returns the SHA-256 (hex) of everything in the records but their pictures."""
    digest = hashlib.sha256()
    for name, array in sorted(to_arrays(records).items()):
        digest.update(f"{name} {array.dtype} {array.shape}:".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _packed(value: object) -> np.ndarray:
    # JSON in ASCII takes any file's name, even one that is not Unicode.
    return np.frombuffer(json.dumps(value).encode("ascii"), np.uint8)


def _unpacked(array: np.ndarray) -> Any:
    return json.loads(array.tobytes())
