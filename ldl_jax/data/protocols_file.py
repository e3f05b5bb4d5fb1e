"""A split as a file: what a run saw, with a hash, so that another run can take the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ldl_jax.data.protocols import Parts, fingerprint
from ldl_jax.data.records import DataError, Records

PARTS = ("train", "validation", "test")


def write(path: Path, records: Records, parts: Parts) -> str:
    """Writes a split as JSON: protocol, seed, fold, notes, ids by part, and the hash.

    Returns:
      The hash, `protocols.fingerprint` (SHA-256 of ids, labels, sigma and parts).
    """
    digest = fingerprint(records, parts)
    content = {
        "dataset": records.name,
        "protocol": parts.protocol,
        "seed": parts.seed,
        "fold": parts.fold,
        "sha256": digest,
        "notes": list(parts.notes),
        **{part: [records.ids[row] for row in getattr(parts, part)] for part in PARTS},
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest


def read(path: Path, records: Records) -> Parts:
    """The split of a file that `write` wrote, for the same records.

    Raises:
      DataError: the file is no split, names a picture that the records lack, or its hash is not
        that of these records, because ids or labels have changed.
    """
    rows = {name: row for row, name in enumerate(records.ids)}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = {part: np.asarray([rows[one] for one in content[part]], int) for part in PARTS}
        notes, protocol, digest = tuple(content["notes"]), content["protocol"], content["sha256"]
        parts = Parts(
            **listed, notes=notes, protocol=protocol, seed=content["seed"], fold=content["fold"]
        )
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name}: is no split ({error})") from error
    except KeyError as error:
        raise DataError(f"{path.name}: {records.name} has no {error}") from error
    if fingerprint(records, parts) != digest:
        raise DataError(
            f"{path.name}: was made for other pictures, labels or parts than {records.name} has now"
        )
    return parts
