"""The best checkpoint of a generation, by a metric of the validation part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ldl_jax.metrics import table
from ldl_jax.train.checkpoint import Checkpoints, Say, read_step
from ldl_jax.train.state import Weights

FOLDER = "best"


class Best:
    """The weights of the best validation so far, in FOLDER/best, and those of the best before it.

    Weights alone, for nothing goes on from there. A checkpoint's `about["best"]` tells the metric
    and its value. After a kill there may be one of a step that is not reached again yet; it will
    be, with the same numbers, so it stays.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        entry = table.find(metric)
        if entry is None or not entry.better:
            raise ValueError(f"best: expected a metric of which more or less is better: {metric!r}")
        self._checkpoints = Checkpoints(folder / FOLDER, keep=2)
        self._metric, self._sign = metric, -1 if entry.better == "more" else 1
        self._value: float | None = None

    def start(self, say: Say) -> None:
        """Reads the best so far; one that is damaged is named, and the one before it taken."""
        found, damaged = _read(self._checkpoints.folder, say)
        for step in damaged:
            self._checkpoints.remove(step)
        self._value = None if found is None else float(found.about["best"]["value"])

    def offer(
        self, step: int, summary: Mapping[str, float], weights: Weights, about: Mapping[str, Any]
    ) -> None:
        """Saves the weights where the validation's summary is better than all before."""
        value = summary.get(self._metric)
        if value is None:  # a correlation with a constant is not defined
            return
        if self._value is not None and not self._sign * value < self._sign * self._value:
            return
        self._value = value
        best = {"metric": self._metric, "value": value, "step": step}
        self._checkpoints.save(step, {"weights": weights}, {**about, "step": step, "best": best})

    def close(self) -> None:
        """Waits for what is being saved."""
        self._checkpoints.close()


def read_best(folder: Path, say: Say) -> tuple[int, Weights] | None:
    """(step, weights) of the best of a generation's folder, as NumPy arrays.

    One that is damaged is named, and the one before it taken; None where none can be read.
    """
    found, _ = _read(folder / FOLDER, say)
    return None if found is None else (found.step, Weights(**found.weights))


class _Found(NamedTuple):
    step: int
    about: dict[str, Any]
    weights: dict[str, Any]


def _read(folder: Path, say: Say) -> tuple[_Found | None, list[int]]:
    """The latest checkpoint that can be read, and the steps of the damaged ones after it."""
    damaged: list[int] = []
    for step in sorted((int(p.name) for p in folder.glob("*") if p.name.isdigit()), reverse=True):
        path = folder / str(step)
        try:
            return _Found(step, *read_step(path)), damaged
        except Exception as error:  # damage of any kind
            reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
            say(f"the best checkpoint {path} is damaged, falling back: {reason}")
            damaged.append(step)
    return None, damaged
