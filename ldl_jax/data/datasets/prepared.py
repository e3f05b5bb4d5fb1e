"""Reads a set that `python -m launch.prepare` made ready."""

import zipfile
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets import prepared_folder, prepared_index
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import check_labels
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.packed import Packed
from ldl_jax.data.records import DataError, Faults, Records


@rooted
def read(root: Path) -> Records:
    """Reads the records of a prepared set, under its own name, its pictures packed.

    One file holds everything but the pictures; a picture is read when it is asked for.

    Raises:
      DataError: nothing was prepared there, it was cut off half-way, another version prepared it,
        or files are missing or cut short.
    """
    about = prepared_folder.about(root)
    if about is None:
        raise _why_not(root)
    folder = prepared_folder.dataset(root)
    try:
        shards = [(folder / s["file"], s["pictures"], s["bytes"]) for s in about["shards"]]
        for path, _, size in shards:
            present = path.stat().st_size if path.exists() else None
            if present != size:
                state = "is missing" if present is None else f"has {present} of {size} bytes"
                raise DataError(f"{path}: {state}; copy the set whole, or prepare it again")
        packed = Packed([path for path, _, _ in shards], [count for _, count, _ in shards])
        with np.load(folder / prepared_folder.INDEX) as arrays:
            records = prepared_index.from_arrays(arrays, packed)
        faults = Faults(records.name)
        check_labels(records.labels, records.sources, records.unit, faults)
        faults.check()
        return records
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        damage = f"is damaged ({type(error).__name__}: {error})"
        raise DataError(f"{folder}: {damage}; prepare it again") from error


def _why_not(root: Path) -> DataError:
    plan = prepared_folder.unfinished(root)
    if plan is not None:
        again = f": {plan['command']}" if plan.get("command") else ""
        return DataError(
            f"{root}: was cut off while it was prepared; the same command goes on{again}"
        )
    other = prepared_folder.other_version(root)
    if other:
        return DataError(
            f"{root}: was prepared in version {other}, this reads {prepared_folder.VERSION}; "
            "prepare it again, in another folder"
        )
    return LayoutError(f"{root} has no {prepared_folder.NAME}/{prepared_folder.VERSION}")


DATASET = Dataset(
    read=read,
    title="a set made ready by launch.prepare",
    layout="what python -m launch.prepare --dataset=NAME --root=DIR --out=ROOT wrote "
    f"({prepared_folder.NAME}/{prepared_folder.VERSION})",
)
