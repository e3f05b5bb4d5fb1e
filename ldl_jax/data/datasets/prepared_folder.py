"""Keeps the folder of a prepared set: what is in it, and which command may write it.

OUT/parts/            while it goes on: plan.json, and two files for each chunk that is done
OUT/faces/1.1.0/      the TFDS dataset, there once it is whole: ArrayRecord shards, features.json
                      and dataset_info.json of TFDS, index.npz (everything but the pictures) and
                      prepared.json (the plan, the shards' sizes, what was left out)
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ldl_jax.data.records import DataError
from ldl_jax.files import (
    LOCK,
    content_of,
    is_partial,
    links_out,
    lock,
    remove_partial,
    write_json,
)

NAME, SPLIT, VERSION = "faces", "pictures", "1.1.0"
PARTS, PLAN, INDEX, ABOUT = "parts", "plan.json", "index.npz", "prepared.json"
Json = dict[str, Any]


def dataset(out: Path) -> Path:
    """Returns the folder of the TFDS dataset."""
    return out / NAME / VERSION


def shard(number: int, count: int) -> str:
    """Returns the name of a shard's file, as TFDS gives it."""
    return f"{NAME}-{SPLIT}.array_record-{number:05d}-of-{count:05d}"


def about(out: Path) -> Json | None:
    """Reads prepared.json of a set that is whole; None where there is none of this version."""
    return _read(dataset(out) / ABOUT)


def unfinished(out: Path) -> Json | None:
    """Reads the plan of a set that was cut off half-way; None where there is none."""
    return _read(out / PARTS / PLAN)


def other_version(out: Path) -> str:
    """Returns the version of a set that another version prepared; "" without one."""
    places = (out / NAME).glob(f"*/{ABOUT}")
    return next((path.parent.name for path in places if path.parent.name != VERSION), "")


def check_same(out: Path, old: Json, new: Json) -> None:
    """Raises DataError where two plans differ, saying in what."""
    differ = [
        f"{key}: {old.get(key)!r} -> {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if key != "command" and old.get(key) != new.get(key)
    ]
    if differ:
        raise DataError(
            f"{out}: holds what another command prepares or prepared ({'; '.join(differ)}); give "
            "another folder, or that command again"
        )


@contextlib.contextmanager
def claimed(out: Path, plan: Json) -> Iterator[Path]:
    """Claims the folder of the parts; DataError where `out` holds something else or is in use."""
    parts = out / PARTS
    if leading := links_out(out):
        raise DataError(f"{out}: has links that lead out of it, as {leading[0]}; give a new folder")
    before = unfinished(out)
    if before is not None:
        check_same(out, before, plan)
    elif other := other_version(out):
        raise DataError(
            f"{out}: holds a set prepared in version {other}, this is {VERSION}; give another "
            "folder, or remove it"
        )
    elif out.exists():
        _check_empty(out)
    parts.mkdir(parents=True, exist_ok=True)
    try:
        locked = lock(parts)
    except TimeoutError:
        raise DataError(f"{out}: another command is preparing it at this moment") from None
    with locked:
        remove_partial(parts)
        for leftover in (out / NAME).glob(f"{VERSION}.incomplete*"):  # TFDS's, of a killed process
            shutil.rmtree(leftover)
        write_json(parts / PLAN, plan)
        yield parts


def _check_empty(out: Path) -> None:
    if not out.is_dir():
        raise DataError(f"{out}: is a file; give a folder")
    others = sorted(path.name for path in out.iterdir() if path.name != PARTS)
    parts = out / PARTS
    if not others and parts.is_dir():
        others = sorted(
            f"{PARTS}/{path.name}"
            for path in parts.iterdir()
            if path.name != LOCK and not is_partial(path)
        )
    if others:
        raise DataError(f"{out}: holds other files (as {others[0]}); give a new or empty folder")


def _read(path: Path) -> Json | None:
    """Reads a JSON object; None without the file, DataError if it is something else."""
    if not path.exists():
        return None
    try:
        content = json.loads(content_of(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object")
    return content
