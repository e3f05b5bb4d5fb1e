"""The best checkpoint of a generation, by a metric of the validation part."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from ldl_jax.metrics import table
from ldl_jax.train.checkpoint import Checkpoints, read_step
from ldl_jax.train.intact import LogLine, newest, saved_in
from ldl_jax.train.record import BestValidation, Record
from ldl_jax.train.state import Weights

FOLDER = "best"
_TITLE = "the best checkpoint"


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

    def start(self, log: LogLine) -> None:
        """Reads the best so far; a damaged checkpoint is named, and the one before it is taken."""
        saved = saved_in(self._checkpoints.folder)
        stored = newest(saved, read_step, log, self._checkpoints.remove, _TITLE)
        best = None if stored is None else stored[0].best
        self._value = None if best is None else best.value

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


def read_best(folder: Path, log: LogLine) -> tuple[int, Weights] | None:
    """Reads (step, weights) of the best of a generation's folder, as NumPy arrays.

    A damaged checkpoint is named, and the one before it is taken; None where none can be read.
    """
    stored = newest(saved_in(folder / FOLDER), read_step, log, title=_TITLE)
    return None if stored is None else (stored[0].step, Weights(**stored[1]))
