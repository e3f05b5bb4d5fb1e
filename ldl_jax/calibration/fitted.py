"""A calibration as one value: what was fitted, and how it changes answers."""

import dataclasses
import itertools
import math

import jax
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import decoders
from ldl_jax.calibration.conformal import SCORES, conformal_interval, rank
from ldl_jax.calibration.recalibration import recalibrate
from ldl_jax.calibration.temperature import temper
from ldl_jax.labels import LabelSpace


@dataclasses.dataclass(frozen=True)
class Cell:
    """The thresholds of a group of people, of a range of labels, or of all.

    Attributes:
      name: of the group or the range; "" of all.
      count: how many labels they were taken from.
      scores: the threshold of each of the calibration's coverages that so many labels are enough
        for, which are the first ones.

    Examples:
      >>> calibration.Cell("women", 9, (0.4, 1.7)).count
      9
    """

    name: str
    count: int
    scores: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Everything that `launch.calibrate` fits for a network, of JSON's types.

    Attributes:
      space: the label space of the distributions.
      network: what tells the network that it was fitted for, "" where that is not kept.
      data: the pictures that it was fitted on, in words.
      temperature: of the distributions; 1 leaves them as they are.
      levels: where `curve` is known, from 0 to 1; empty where there is none.
      curve: the map of cumulative probabilities (`recalibrate`), from 0 to 1.
      score: of labels, one of `SCORES`.
      coverages: those that thresholds are kept of, rising.
      overall: the thresholds of all labels.
      groups: the thresholds of each group of people; empty where they are not apart.
      edges: the labels that ranges of labels begin at, but for the first; empty where labels are
        not apart.
      ranges: the thresholds of each range of labels.

    Raises:
      ValueError: a field is not what `fit` gives; the message names it.

    Examples:
      >>> everyone = calibration.Cell("", 9, (4.0,))
      >>> space, whole = LabelSpace.range(0, 9), (0.0, 1.0)
      >>> calibration.Calibration(space, "", "", 1.5, whole, whole, "rps", (0.9,), everyone).score
      'rps'
    """

    space: LabelSpace
    network: str
    data: str
    temperature: float
    levels: tuple[float, ...]
    curve: tuple[float, ...]
    score: str
    coverages: tuple[float, ...]
    overall: Cell
    groups: tuple[Cell, ...] = ()
    edges: tuple[float, ...] = ()
    ranges: tuple[Cell, ...] = ()

    def __post_init__(self) -> None:
        faults = [*self._map_faults(), *self._cell_faults()]
        if faults:
            raise ValueError("; ".join(faults))

    def _map_faults(self) -> list[str]:
        faults = []
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            faults.append(f"temperature: expected a positive number, got {self.temperature}")
        if len(self.levels) != len(self.curve):
            faults.append(f"curve: expected {len(self.levels)} values, got {len(self.curve)}")
        for name, values in (("levels", self.levels), ("curve", self.curve)):
            if values and not (values[0] == 0 and values[-1] == 1 and _rises(values)):
                faults.append(f"{name}: expected numbers that rise from 0 to 1")
        return faults

    def _has_empty_range(self) -> bool:
        ranges = _ranges_of(self.space, self.edges)
        return 0 in np.bincount(ranges, minlength=len(self.edges) + 1)

    def _cell_faults(self) -> list[str]:
        faults = []
        if self.score not in SCORES:
            faults.append(f"score: expected one of {', '.join(SCORES)}, got {self.score!r}")
        inside = all(0 < coverage < 1 for coverage in self.coverages)
        if not (self.coverages and inside and _rises(self.coverages)):
            return [*faults, "coverages: expected numbers in (0, 1) that rise"]
        if len(self.ranges) != (len(self.edges) + 1 if self.edges else 0):
            faults.append(f"ranges: expected one more than edges, got {len(self.ranges)}")
        if not _rises(self.edges) or self._has_empty_range():
            faults.append("edges: expected labels that rise, with a label of the space in each")
        for cell in (self.overall, *self.groups, *self.ranges):
            enough = sum(rank(cell.count, coverage) <= cell.count for coverage in self.coverages)
            if cell.count < 0 or len(cell.scores) != enough:
                faults.append(
                    f"scores of {cell.name or 'all'}: expected {enough} of {cell.count} labels, "
                    f"got {len(cell.scores)}"
                )
            steps = itertools.pairwise(cell.scores)
            if not all(map(math.isfinite, cell.scores)) or any(a > b for a, b in steps):
                faults.append(f"scores of {cell.name or 'all'}: expected numbers that rise")
        return faults


def apply(calibration: Calibration, probs: ArrayLike) -> jax.Array:
    """Returns the calibrated distributions [..., K]: tempered, then recalibrated.

    Examples:
      >>> space, labels = LabelSpace.range(0, 1), np.arange(40) % 4 == 0
      >>> fitted = calibration.fit(np.full((40, 2), 0.5), labels, space, calibration.Options())
      >>> print(calibration.apply(fitted, jnp.array([0.5, 0.5])))
      [0.821 0.179]
    """
    tempered = temper(probs, calibration.temperature) if calibration.temperature != 1 else probs
    if not calibration.levels:
        return jax.numpy.asarray(tempered)
    levels, curve = (np.asarray(x, np.float32) for x in (calibration.levels, calibration.curve))
    return recalibrate(tempered, levels, curve)


def limits(calibration: Calibration, coverage: float, group: str = "") -> float | np.ndarray:
    """Returns the threshold of a coverage: a number, or [K] where ranges of labels are apart.

    Between two of the calibration's coverages it is that of the greater one, which holds more. A
    group that is not known, or that is too small for the coverage, has the threshold of all.

    Raises:
      ValueError: the coverage is not in (0, 1), or too few labels were calibrated with.

    Examples:
      >>> space, labels = LabelSpace.range(0, 1), np.arange(40) % 4 == 0
      >>> fitted = calibration.fit(np.full((40, 2), 0.5), labels, space, calibration.Options())
      >>> print(round(calibration.limits(fitted, 0.9), 3))
      1.723
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage: expected a number in (0, 1), got {coverage}")
    known = np.asarray(calibration.coverages)
    index = int(np.sum(known < coverage - 1e-9))
    cells = calibration.ranges or (calibration.overall,)
    for cell in cells:
        if index >= len(cell.scores):
            raise ValueError(f"coverage: {_too_much(calibration, cell, coverage)}")
    if calibration.ranges:
        by_range = np.asarray([cell.scores[index] for cell in cells], np.float32)
        return by_range[_ranges_of(calibration.space, calibration.edges)]
    chosen = next((cell for cell in calibration.groups if cell.name == group), cells[0])
    return (chosen if index < len(chosen.scores) else cells[0]).scores[index]


def interval(
    calibration: Calibration | None,
    probs: ArrayLike,
    space: LabelSpace,
    coverage: float = 0.9,
    group: str = "",
) -> tuple[jax.Array, jax.Array]:
    """Returns the conformal interval of calibrated distributions, or the central one of others.

    Args:
      calibration: what the distributions were calibrated with; None of those that were not.
      probs: [..., K], of `apply`.
      space: the K label values.
      coverage: in (0, 1).
      group: of the people shown, all of one; "" where it is not known.

    Returns: low [...] and high [...], float32, of the label values.
    Raises: ValueError as `limits` does.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(*calibration.interval(None, probs, LabelSpace.range(20, 24), 0.7))
      [21.] [24.]
    """
    if calibration is None:
        return decoders.interval(probs, space, coverage)
    limit = limits(calibration, coverage, group)
    return conformal_interval(probs, space, limit, calibration.score)


def _too_much(calibration: Calibration, cell: Cell, coverage: float) -> str:
    """Says why a coverage cannot be had, and which can."""
    most = calibration.coverages[len(cell.scores) - 1] if cell.scores else 0
    reach = f"it reaches {most:g}" if most else "it reaches none"
    if coverage > calibration.coverages[-1]:
        return f"calibrations reach {calibration.coverages[-1]:g}, got {coverage:g}"
    needed = next(n for n in itertools.count(cell.count) if rank(n, coverage) <= n)
    where = f" in {cell.name}" if cell.name else ""
    return (
        f"{coverage:g} needs {needed} calibrated labels{where}, and the calibration has "
        f"{cell.count}; {reach}"
    )


def _ranges_of(space: LabelSpace, edges: tuple[float, ...]) -> np.ndarray:
    """Returns the range [K] that each label value is in."""
    return np.searchsorted(np.asarray(edges, np.float64), np.asarray(space.values), side="right")


def _rises(values: tuple[float, ...]) -> bool:
    """Returns whether finite numbers rise strictly."""
    finite = all(map(math.isfinite, values))
    return finite and all(a < b for a, b in itertools.pairwise(values))
