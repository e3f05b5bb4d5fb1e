"""The best checkpoint of a generation, by a metric of the validation part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from ldl_jax.metrics import table
from ldl_jax.train import checkpoint, intact
from ldl_jax.train.checkpoint import Checkpoints, Say
from ldl_jax.train.record import BestValidation, Record
from ldl_jax.train.state import Weights

FOLDER = "best"


class Best:
    """The weights of the best validation so far, in FOLDER/best, and those of the best before it.

    A checkpoint holds the weights alone, as no training goes on from it. Its record tells the
    metric and its value. After a kill there may be a checkpoint of a step that is not reached
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
        stored = _read(self._checkpoints.folder, say, self._checkpoints.remove)
        self._value = stored[0].best.value if stored and stored[0].best else None

    def offer(
        self, step: int, summary: Mapping[str, float], weights: Weights, about: Record
    ) -> None:
        """Saves the weights where the validation's summary is better than all before."""
        value = summary.get(self._metric)
        if value is None:  # a correlation with a constant is not defined
            return
        if self._value is not None and not self._sign * value < self._sign * self._value:
            return
        self._value = value
        best = BestValidation(self._metric, value, step)
        about = dataclasses.replace(about, step=step, best=best)
        self._checkpoints.save(step, {"weights": weights}, about)

    def close(self) -> None:
        """Waits for what is being saved."""
        self._checkpoints.close()


def read_best(folder: Path, say: Say) -> tuple[int, Weights] | None:
    """Reads (step, weights) of the best of a generation's folder, as NumPy arrays.

    A damaged checkpoint is named, and the one before it is taken; None where none can be read.
    """
    stored = _read(folder / FOLDER, say, lambda step: None)
    return None if stored is None else (stored[0].step, Weights(**stored[1]))


def _read(
    folder: Path, say: Say, remove: Callable[[int], None]
) -> tuple[Record, checkpoint.Arrays] | None:
    """Reads the latest checkpoint that is whole; those after it are named and removed."""

    def pass_over(step: int, reason: str) -> None:
        say(f"the best checkpoint {folder / str(step)} is damaged, falling back: {reason}")
        remove(step)

    return intact.newest(
        intact.steps_in(folder), lambda step: checkpoint.read_step(folder / str(step)), pass_over
    )
