"""Says whether a run was trained on pictures that it is scored on."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits import split_file
from ldl_jax.files import from_home
from ldl_jax.run.config import DataConfig, completed, to_dict
from ldl_jax.workdir import read_json

_SOURCE = ("name", "root", "csv", "options")
_DRAWN = ("seed", "synthetic_count")


def workdir_of(path: Path) -> Path | None:
    """Returns the workdir that a checkpoint lies in, or is; None where it is of no run."""
    path = Path(os.path.abspath(path))
    for folder in (path, *list(path.parents)[:4]):
        if (folder / "config.json").is_file() and (folder / "split.json").is_file():
            return folder
    return None


def note(path: Path, config: DataConfig, records: Records, rows: np.ndarray) -> str:
    """Returns a line on whether a model was trained on these rows of a dataset.

    A run's split.json tells it, where it was trained on the same dataset. Of other models it is
    not known.
    """
    if workdir_of(path) is None:
        return "whether it was trained on these pictures is not known"
    try:
        counts = shared(path, config, records, rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "whether it was trained on these pictures is not known: its run cannot be read"
    if counts is None:
        return (
            "it was trained on another dataset, or with other data.options; whether that shares "
            "pictures is not known"
        )
    what = {"train": "it was trained on", "validation": "it was chosen by"}
    leaks = [
        f"{counts[part]} of {len(rows)} pictures {text}"
        for part, text in what.items()
        if counts[part]
    ]
    return f"LEAK: {'; '.join(leaks)}" if leaks else "it was not trained on these pictures"


def shared(
    path: Path, config: DataConfig, records: Records, rows: np.ndarray
) -> dict[str, int] | None:
    """Returns how many of these rows each part of a model's own run has, by the part's name.

    It is None where the model is of no run, or its run was on another dataset.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: the files of its run cannot be read.
    """
    workdir = workdir_of(path)
    if workdir is None:
        return None
    saved = completed(read_json(workdir / "config.json"))["data"]
    if _source(saved) != _source(to_dict(config)):
        return None
    ids = {records.ids[row] for row in rows.tolist()}
    split = workdir / "split.json"
    return {part: len(ids.intersection(split_file.ids(split, part))) for part in split_file.PARTS}


def _source(data: dict[str, Any]) -> list[Any]:
    """Returns what says which pictures a data section names, with paths in one form."""
    values = [data[key] for key in (*_SOURCE, *(_DRAWN if data["name"] == "synthetic" else ()))]
    for index in (1, 2):
        values[index] = values[index] and os.path.realpath(from_home(values[index]))
    listed: list[Any] = json.loads(json.dumps([*values, data["test"]["name"]]))
    return listed
