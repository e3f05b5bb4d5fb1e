"""The protocol of a tracker's writer, and what a run gives to it."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ldl_jax.workdir import Row

# How a run ended: all trained, stopped by a signal, given up by a search, its loss was not finite,
# or an error.
STATUSES = ("finished", "interrupted", "pruned", "diverged", "failed")
# Of a row of metrics.jsonl, what is no number of the step.
_ORIGIN = ("kind", "step", "total_step")


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """The facts that a writer gets at the start of a run, or where it goes on.

    Attributes:
      project: the name under which runs are put together.
      group: those of one sweep, or of one config's folds; "" for none.
      name: the run's, for people; others may have the same.
      tags: words to find it by.
      config: the run's resolved config, nested dicts of JSON's types.
      folder: the run's workdir.
      id: what `start` returned when the run was first started; "" where this is the first start.
    """

    project: str
    group: str
    name: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    folder: Path
    id: str = ""


class TrackedRow(NamedTuple):
    """The numbers of one step.

    Attributes:
      part: "train", "fault", "validation" or "test".
      step: the training step, counted over all generations.
      numbers: by name, as "loss" or "mae"; "epoch" and "generation" too, and of a training step
        "images_per_second". A fault's own name, as "loss_spike", is 1 in its row.
      seconds: when it was written, in seconds since 1970.
    """

    part: str
    step: int
    numbers: Mapping[str, float]
    seconds: float

    @property
    def named(self) -> dict[str, float]:
        """The numbers as trackers show them, by PART/NAME.

        Examples:
          >>> TrackedRow("train", 15, {"loss": 0.5}, 0.0).named
          {'train/loss': 0.5}
        """
        return {f"{self.part}/{name}": value for name, value in self.numbers.items()}


@dataclasses.dataclass(frozen=True)
class Ending:
    """The facts that a writer gets at the end of a run.

    Attributes:
      status: one of `STATUSES`.
      why: a line on it, where it is not "finished".
      results: the results of each finished generation, as in generation_N.json.
      figures: the run's pictures, PNG files.
    """

    status: str
    why: str = ""
    results: Sequence[Row] = ()
    figures: Sequence[Path] = ()

    @property
    def columns(self) -> list[str]:
        """The columns of the table of results, which some generations may have no value of."""
        return list(dict.fromkeys(key for row in self.results for key in row))

    @property
    def cells(self) -> list[list[object]]:
        """The rows of that table, a value for each column, None where there is none."""
        columns = self.columns
        return [[row.get(key) for key in columns] for row in self.results]


class RunWriter(Protocol):
    """A writer of one run to one tracker.

    It is made and called in one thread of its own, in the order `start`, `rows` (any number of
    times), `end`. It may block, and it may raise: the run goes on, and the writer is not called
    again. A run that goes on after a kill sends the rows since its last checkpoint once more, with
    the same steps and, on the same machine, the same numbers.
    """

    def start(self, run: TrackedRun) -> str:
        """Opens the run, or goes on with it; returns what it is found by again, "" for nothing."""

    def rows(self, rows: Sequence[TrackedRow]) -> None:
        """Takes the rows since the last call, at least one, in their order."""

    def end(self, ending: Ending) -> None:
        """Takes what is known at the end, and closes the run; waits until all of it is kept."""


def tracked_row(row: Row, speed: float | None = None) -> TrackedRow:
    """Returns a row of metrics.jsonl as writers take it; `speed` is in images/s.

    Examples:
      >>> row = {"kind": "train", "generation": 2, "step": 5, "loss": 0.5, "total_step": 15}
      >>> tracked_row(row)[:3]
      ('train', 15, {'generation': 2.0, 'loss': 0.5})
    """
    numbers = {
        key: float(value)
        for key, value in row.items()
        if key not in _ORIGIN and isinstance(value, int | float)
    }
    if "fault" in row:
        numbers[str(row["fault"])] = 1.0
    if speed is not None:
        numbers["images_per_second"] = speed
    return TrackedRow(row["kind"], row["total_step"], numbers, time.time())
