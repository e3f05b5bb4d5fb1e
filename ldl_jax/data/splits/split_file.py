"""Keeps a split in a file with a hash, so that another run can take the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits.copies import KEEP, LEAKS, Removed
from ldl_jax.data.splits.protocols import Parts, fingerprint
from ldl_jax.files import content_of

PARTS = ("train", "validation", "test")


def dumped(records: Records, parts: Parts) -> bytes:
    """Returns a split as JSON: protocol, seed, fold, notes, ids by part, and the hash of all of it.

    The hash is `protocols.fingerprint` (SHA-256 of ids, labels, sigma and parts). "leaks" says what
    was done about pictures that are also in test, "removed" which were left out, and why.
    """
    content = {
        "dataset": records.name,
        "protocol": parts.protocol,
        "seed": parts.seed,
        "fold": parts.fold,
        "sha256": fingerprint(records, parts),
        "notes": list(parts.notes),
        "leaks": parts.leaks,
        "removed": [
            {"id": records.ids[entry.row], "part": entry.part, "reason": entry.reason}
            for entry in parts.removed
        ],
        **{part: [records.ids[row] for row in getattr(parts, part)] for part in PARTS},
        "labels": _by_part(parts, records.labels),
    }
    if records.sigma is not None:
        content["sigma"] = _by_part(parts, records.sigma)
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def read(path: Path, records: Records) -> Parts:
    """Reads the split of a file that `dumped` made, for the same records.

    Raises:
      DataError: the file is not there or no split, names a picture that the records lack, or its
        hash is not that of these records, because ids or labels have changed.
    """
    rows = {name: row for row, name in enumerate(records.ids)}
    content = _content(path)
    fields: dict[str, Any] = {name: content[name] for name in ("protocol", "seed", "fold")}
    try:
        for part in PARTS:
            fields[part] = np.asarray([rows[name] for name in content[part]], int)
        fields["removed"] = tuple(
            Removed(rows[entry["id"]], entry["part"], entry["reason"])
            for entry in content.get("removed", ())  # files of before have none
        )
    except KeyError as error:
        raise DataError(f"{path.name}: {records.name} has no {error}") from error
    part_of: dict[str, str] = {}
    for part in PARTS:
        for name in content[part]:
            if name in part_of:
                places = f"in {part_of[name]} and again in {part}; take the run's own file"
                raise DataError(f"{path.name}: lists {name!r} {places}")
            part_of[name] = part
    leaks = content.get("leaks", KEEP)
    parts = Parts(**fields, notes=tuple(content["notes"]), leaks=leaks)
    if fingerprint(records, parts) != content["sha256"]:
        raise DataError(
            f"{path.name}: was made for other pictures, labels or parts than {records.name} has now"
        )
    return parts


def ids(path: Path, part: str) -> tuple[str, ...]:
    """Reads the ids of a part's pictures from such a file; raises DataError as `read` does."""
    return tuple(_content(path)[part])


def by_id(path: Path) -> dict[str, dict[str, Any]]:
    """Returns what a file says of each picture: "part", and where it has them "labels" and "sigma".

    Raises:
      DataError: the file is not there, or is no split.
    """
    content = _content(path)
    columns = {"part": {part: [part] * len(content[part]) for part in PARTS}}
    for key in ("labels", "sigma"):  # files of before have none
        column = content.get(key)
        if isinstance(column, dict) and all(isinstance(column.get(x), list) for x in PARTS):
            columns[key] = column
    return {
        key: {
            name: value
            for part in PARTS
            for name, value in zip(content[part], column[part], strict=False)
        }
        for key, column in columns.items()
    }


def plain(column: np.ndarray) -> list[float | None]:
    """Returns values as a file has them: float32 in the fewest digits that tell them apart.

    NaN is None.
    """
    return [None if np.isnan(x) else float(str(x)) for x in np.asarray(column, np.float32)]


def _by_part(parts: Parts, column: np.ndarray) -> dict[str, list[float | None]]:
    values = plain(column)
    return {part: [values[row] for row in getattr(parts, part)] for part in PARTS}


def _content(path: Path) -> dict[str, Any]:
    """Reads a file's content, of the types that `dumped` gives."""
    try:
        content = json.loads(content_of(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: is no split ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path.name}: is no split, but a {type(content).__name__}")
    kinds = {"protocol": str, "sha256": str, "seed": int, "fold": int}
    for name, kind in {**dict.fromkeys((*PARTS, "notes"), list), **kinds}.items():
        value = content.get(name)
        texts = value if isinstance(value, list) else ()
        wrong = not isinstance(value, kind) or isinstance(value, bool)
        if wrong or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{path.name}: is no split: {name} is {str(value)[:60]!r}")
    _check_removed(path, content)
    return content


def _check_removed(path: Path, content: dict[str, Any]) -> None:
    """Raises DataError where what is said of leaks is of another form than `dumped` gives."""
    if content.get("leaks", KEEP) not in LEAKS:
        raise DataError(f"{path.name}: is no split: leaks is {str(content['leaks'])[:60]!r}")
    listed, keys = content.get("removed", []), {"id", "part", "reason"}
    for entry in listed if isinstance(listed, list) else [listed]:
        whole = isinstance(entry, dict) and entry.keys() == keys
        if not whole or not all(isinstance(text, str) for text in entry.values()):
            raise DataError(f"{path.name}: is no split: removed has {str(entry)[:60]!r}")
