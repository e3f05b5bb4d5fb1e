"""Keeps hashes in a file, so that a resumed run need not read all pictures for the auditor."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits.hashes import LOOKS, PerceptualHashes

NAME = "prints.npz"  # workdirs have had it under this name from the start


def dumped(records: Records, hashes: PerceptualHashes) -> bytes:
    """Returns the hashes as a file, with a key that tells whether the pictures have changed."""
    file = io.BytesIO()
    arrays = {
        "files": np.array(hashes.files),
        "hashes": hashes.hashes,
        "looks": hashes.looks,
        "unreadable": np.array(hashes.unreadable, np.int64),
    }
    np.savez(file, allow_pickle=False, key=np.array(_key(records)), **arrays)
    return file.getvalue()


def read(path: Path, records: Records) -> PerceptualHashes | None:
    """Returns the hashes in a file that `dumped` made; None where they cannot be used.

    They cannot where there is no file, it is damaged, or the pictures have changed, as their ids
    and their files' paths, sizes and times of change tell. Pictures that are no files are not
    told apart.
    """
    if not records.paths:
        return None
    try:
        # The file is a zip archive, which checks a sum of each array's bytes.
        with np.load(path, allow_pickle=False) as arrays:
            files, hashes, looks = (arrays[name] for name in ("files", "hashes", "looks"))
            key, unreadable = str(arrays["key"]), tuple(arrays["unreadable"].tolist())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return None
    count = len(records)
    whole = (len(files), hashes.shape, looks.shape) == (count, (count,), (count, LOOKS, LOOKS))
    if key != _key(records) or not whole:
        return None
    return PerceptualHashes(tuple(files.tolist()), hashes, looks, unreadable)


def digests(content: bytes) -> tuple[str, ...] | None:
    """Returns the SHA-256 of each picture's file as `dumped` gave them; None where damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return tuple(arrays["files"].tolist())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return None


def _key(records: Records) -> str:
    """Returns the SHA-256 of the ids and of the files' paths, sizes and times."""
    digest = hashlib.sha256(json.dumps(list(records.ids)).encode())
    for path in records.paths:
        state = path.stat()
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    return digest.hexdigest()
