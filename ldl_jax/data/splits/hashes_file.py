"""Prints kept in a file, so that a run that goes on need not read all pictures for the auditor."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits.hashes import LOOKS, Prints

NAME = "prints.npz"


def dumped(records: Records, prints: Prints) -> bytes:
    """The prints of all pictures of records, with what tells whether the pictures have changed."""
    file = io.BytesIO()
    arrays = {
        "files": np.array(prints.files),
        "hashes": prints.hashes,
        "looks": prints.looks,
        "unreadable": np.array(prints.unreadable, np.int64),
    }
    np.savez(file, allow_pickle=False, key=np.array(_key(records)), **arrays)
    return file.getvalue()


def read(path: Path, records: Records) -> Prints | None:
    """The prints in a file that holds what `dumped` gave; None where they cannot be used.

    That is where there is no file, it is damaged, or the pictures are others now: by their ids, and
    by their files' paths, sizes and times of change. Pictures that are no files are not told
    apart.
    """
    if not records.paths:
        return None
    try:
        # A zip archive: it checks a sum of each array's bytes.
        with np.load(path, allow_pickle=False) as found:
            files, hashes, looks = (found[name] for name in ("files", "hashes", "looks"))
            key, unreadable = str(found["key"]), tuple(found["unreadable"].tolist())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return None
    count = len(records)
    whole = (len(files), hashes.shape, looks.shape) == (count, (count,), (count, LOOKS, LOOKS))
    if key != _key(records) or not whole:
        return None
    return Prints(tuple(files.tolist()), hashes, looks, unreadable)


def _key(records: Records) -> str:
    """SHA-256 of the ids and of the files' paths, sizes and times."""
    digest = hashlib.sha256(json.dumps(list(records.ids)).encode())
    for path in records.paths:
        state = path.stat()
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    return digest.hexdigest()
