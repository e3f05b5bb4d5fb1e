"""The rows of `benchmarks.pipeline`: how much each measures, and what it prints."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks import printing
from ldl_jax.labels import AGE

COLUMNS = ("case", "unit", "ldl_jax", "beside it", "", "ratio", "wanted")


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
      files: pictures of an epoch that is streamed.
      batch: pictures of a batch.
      size: side of a streamed picture in pixels.
      steps: side of the network's input in training steps.
      records: of the simulated index.
      repeats: values that a median is of; what is slow takes fewer.
      seconds: that one value of a stream takes at least, since its start and its end are slow.
      network: that is trained.
    """

    files: int
    batch: int
    size: int
    steps: int
    records: int
    repeats: int
    seconds: float
    network: str = "resnet10_tiny"


FULL = Sizes(2048, 64, 224, 64, 5_000_000, 21, 3.0)
QUICK = Sizes(256, 32, 224, 64, 100_000, 3, 0.3)


class Row(NamedTuple):
    """A row of the table: ours, what it is measured by, and how their ratio should be."""

    case: str
    unit: str
    own: float
    other: float
    beside: str
    ratio: float
    wanted: str

    def __str__(self) -> str:
        numbers = [f"{value:.4g}" for value in (self.own, self.other)]
        return printing.line(
            [self.case, self.unit, *numbers, self.beside, f"{self.ratio:.3f}", self.wanted]
        )


def columns(count: int, size: int) -> dict[str, Any]:
    """What a `Part` of so many pictures has beside them."""
    return {
        "ids": tuple(str(index) for index in range(count)),
        "labels": np.random.default_rng(0).uniform(AGE.low, AGE.high, count).astype(np.float32),
        "sigma": np.full(count, np.nan, np.float32),
        "size": size,
    }
