"""Rows of `benchmarks.pipeline`: how much each measures, and what it prints."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import printing
from benchmarks.timing import Timing
from ldl_jax.data.feed.feeds import Part
from ldl_jax.labels import AGE


class Sizes(NamedTuple):
    """The sizes of what is measured."""

    files: int  # the pictures of a streamed epoch
    batch: int  # the pictures of a batch
    size: int  # the side of a streamed picture in pixels
    steps: int  # the side of the network's input in training steps, in pixels
    records: int  # of the simulated index
    repeats: int  # the values that a median is taken of; slow functions take fewer
    seconds: float  # the least time of one value of a stream, since its start and end are slow
    network: str = "resnet10_tiny"


FULL = Sizes(2048, 64, 224, 64, 5_000_000, 21, 3.0)
QUICK = Sizes(256, 32, 224, 64, 100_000, 3, 0.3)


def compared(
    case: str, times: tuple[Timing, Timing], beside: str, wanted: str, count: int | None = None
) -> str:
    """Returns a row that compares the library with a reference, in this order in `times`.

    The row is in ms and its ratio is that of the times. With a `count` it is in pictures/s, for
    calls of so many pictures, and its ratio is that of the rates.
    """
    library, reference = times
    if count is None:
        ratio = library.over(reference)
        return row(case, "ms", [1e3 * time.median for time in times], beside, ratio, wanted)
    rates = [count / time.median for time in times]
    return row(case, "pictures/s", rates, beside, reference.over(library), wanted)


def row(
    case: str, unit: str, values: Sequence[float], beside: str, ratio: float, wanted: str
) -> str:
    """Returns a row: the library's value and its reference, and the ratio that is wanted."""
    cells = [f"{value:.4g}" for value in values]
    return printing.line([case, unit, *cells, beside, f"{ratio:.3f}", wanted])


def part(count: int, size: int, **pictures: Any) -> Part:
    """Makes a part of that many pictures, given by the arguments of `Part`, with ages as labels."""
    labels = np.random.default_rng(0).uniform(AGE.low, AGE.high, count).astype(np.float32)
    sigma = np.full(count, np.nan, np.float32)
    return Part(tuple(map(str, range(count))), labels, sigma, size, **pictures)
