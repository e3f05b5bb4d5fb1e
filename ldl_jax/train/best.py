"""The best checkpoint of a generation, by a metric of the validation part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from ldl_jax.train import checkpoint, intact
from ldl_jax.train.checkpoint import Checkpoints, Say
from ldl_jax.train.record import BestValidation, Record
from ldl_jax.train.state import Weights

HIGHER = ("ca3", "ca5", "ca7", "accuracy", "one_off_accuracy", "pearson")
FOLDER = "best"


def higher_is_better(metric: str) -> bool:
    """Whether more of the metric, a key of `report.summary`, is better."""
    return metric in HIGHER


class Best:
    """The weights of the best validation so far, in FOLDER/best, and those of the best before it.

    Weights alone, for nothing goes on from there. A checkpoint's record tells the metric
    and its value. After a kill there may be one of a step that is not reached again yet; it will
    be, with the same numbers, so it stays.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self._checkpoints = Checkpoints(folder / FOLDER, keep=2)
        self._metric = metric
        self._value: float | None = None

    def start(self, say: Say) -> None:
        """Reads the best so far; one that is damaged is named, and the one before it taken."""
        stored = _read(self._checkpoints.folder, say, self._checkpoints.remove)
        best = None if stored is None else stored[0].best
        self._value = None if best is None else best.value

    def offer(
        self, step: int, summary: Mapping[str, float], weights: Weights, about: Record
    ) -> None:
        """Saves the weights where the validation's summary is better than all before."""
        value = summary.get(self._metric)
        if value is None:  # a correlation with a constant is not defined
            return
        sign = -1 if higher_is_better(self._metric) else 1
        if self._value is not None and not sign * value < sign * self._value:
            return
        self._value = value
        best = BestValidation(self._metric, value, step)
        about = dataclasses.replace(about, step=step, best=best)
        self._checkpoints.save(step, {"weights": weights}, about)

    def close(self) -> None:
        """Waits for what is being saved."""
        self._checkpoints.close()


def read_best(folder: Path, say: Say) -> tuple[int, Weights] | None:
    """(step, weights) of the best of a generation's folder, as NumPy arrays.

    One that is damaged is named, and the one before it taken; None where none can be read.
    """
    stored = _read(folder / FOLDER, say, lambda step: None)
    return None if stored is None else (stored[0].step, Weights(**stored[1]))


def _read(
    folder: Path, say: Say, remove: Callable[[int], None]
) -> tuple[Record, checkpoint.Arrays] | None:
    """The latest checkpoint that can be read; those after it are named and removed."""

    def pass_over(step: int, reason: str) -> None:
        say(f"the best checkpoint {folder / str(step)} is damaged, falling back: {reason}")
        remove(step)

    return intact.newest(
        intact.steps_in(folder), lambda step: checkpoint.read_step(folder / str(step)), pass_over
    )
