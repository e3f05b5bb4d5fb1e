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

    A checkpoint holds the weights alone, as no training goes on from it. Its `about["best"]` tells
    the metric and its value. After a kill there may be a checkpoint of a step that is not reached
    again yet. It stays, because the step will be reached with the same numbers.

    Raises:
      ValueError: the metric is not in `metrics.table`, or neither more nor less of it is better.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        entry = table.find(metric)
        if entry is None or not entry.better:
            raise ValueError(f"best: expected a metric of which more or less is better: {metric!r}")
        self._checkpoints = Checkpoints(folder / FOLDER, keep=2)
        self._metric, self._sign = metric, -1 if entry.better == "more" else 1
        self._value: float | None = None

    def start(self, say: Say) -> None:
        """Reads the best so far; a damaged checkpoint is named, and the one before it is taken."""
        best, damaged = _read(self._checkpoints.folder, say)
        for step in damaged:
            self._checkpoints.remove(step)
        self._value = None if best is None else float(best.about["best"]["value"])

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
    """Reads (step, weights) of the best of a generation's folder, as NumPy arrays.

    A damaged checkpoint is named, and the one before it is taken; None where none can be read.
    """
    best, _ = _read(folder / FOLDER, say)
    return None if best is None else (best.step, Weights(**best.weights))


class _BestCheckpoint(NamedTuple):
    step: int
    about: dict[str, Any]
    weights: dict[str, Any]


def _read(folder: Path, say: Say) -> tuple[_BestCheckpoint | None, list[int]]:
    """Reads the latest checkpoint that is whole, and lists the steps of damaged ones after it."""
    damaged: list[int] = []
    for step in sorted((int(p.name) for p in folder.glob("*") if p.name.isdigit()), reverse=True):
        path = folder / str(step)
        try:
            return _BestCheckpoint(step, *read_step(path)), damaged
        except Exception as error:  # damage of any kind
            reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
            say(f"the best checkpoint {path} is damaged, falling back: {reason}")
            damaged.append(step)
    return None, damaged
