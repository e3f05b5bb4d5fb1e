"""Rows of `benchmarks.pipeline`: how much each measures, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from benchmarks import printing
from ldl_jax.labels import AGE

COLUMNS = ("case", "unit", "ldl_jax", "beside it", "", "ratio", "wanted")


class Sizes(NamedTuple):
    """The sizes of what is measured.

    Attributes:
      files: the number of pictures of a streamed epoch.
      batch: the number of pictures of a batch.
      size: the side of a streamed picture in pixels.
      steps: the side of the network's input in training steps, in pixels.
      records: the number of records of the simulated index.
      repeats: the number of values that a median is taken of; slow functions take fewer.
      seconds: the least time of one value of a stream, since its start and its end are slow.
      network: the network that is trained.
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


class ComparisonRow(NamedTuple):
    """A row of the table: the library's value, its reference, and the ratio that is wanted."""

    case: str
    unit: str
    library: float
    reference: float
    beside: str
    ratio: float
    wanted: str

    def __str__(self) -> str:
        values = [f"{value:.4g}" for value in (self.library, self.reference)]
        return printing.line(
            [self.case, self.unit, *values, self.beside, f"{self.ratio:.3f}", self.wanted]
        )


class Columns(TypedDict):
    """The arguments of a `Part` beside its pictures."""

    ids: Sequence[str]
    labels: np.ndarray
    sigma: np.ndarray
    size: int


def columns(count: int, size: int) -> Columns:
    """Makes the arguments of a `Part` of that many pictures, with ages as their labels."""
    return {
        "ids": tuple(str(index) for index in range(count)),
        "labels": np.random.default_rng(0).uniform(AGE.low, AGE.high, count).astype(np.float32),
        "sigma": np.full(count, np.nan, np.float32),
        "size": size,
    }
