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
    workdir = workdir_of(path)
    if workdir is None:
        return "whether it was trained on these pictures is not known"
    try:
        saved = completed(read_json(workdir / "config.json"))["data"]
        if _source(saved) != _source(to_dict(config)):
            return "it was trained on another dataset; whether that shares pictures is not known"
        ids = {records.ids[row] for row in rows.tolist()}
        trained = ids.intersection(split_file.ids(workdir / "split.json", "train"))
        chosen = ids.intersection(split_file.ids(workdir / "split.json", "validation"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "whether it was trained on these pictures is not known: its run cannot be read"
    shared = [
        f"{len(some)} of {len(rows)} pictures {what}"
        for some, what in ((trained, "it was trained on"), (chosen, "it was chosen by"))
        if some
    ]
    return f"LEAK: {'; '.join(shared)}" if shared else "it was not trained on these pictures"


def _source(data: dict[str, Any]) -> list[Any]:
    """Returns what says which pictures a data section names, with paths in one form."""
    values = [data[key] for key in (*_SOURCE, *(_DRAWN if data["name"] == "synthetic" else ()))]
    for index in (1, 2):
        values[index] = values[index] and os.path.realpath(from_home(values[index]))
    listed: list[Any] = json.loads(json.dumps([*values, data["test"]["name"]]))
    return listed
