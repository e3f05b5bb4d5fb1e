"""Label spaces: the ordered values that a label can take, and the only place that knows K."""

import dataclasses
import itertools
import re
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """K ordered label values l_1 < ... < l_K, in one unit.

    Hashable, so that it can be closed over by, or be a static argument of, a jitted function.

    Attributes:
      values: the K label values, strictly rising; the midpoints of groups.
      unit: the unit of the values, for tables and figures.
      bounds: the inclusive (low, high) of each group; empty for a grid.

    Examples:
      >>> space = LabelSpace.range(1, 5, 0.5, unit="score")
      >>> space.size, space.low, space.high
      (9, 1.0, 5.0)
    """

    values: tuple[float, ...]
    unit: str = "years"
    bounds: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"values: a label space has at least 2 values, got {self.values}")
        if not np.all(np.isfinite(self.values)):
            raise ValueError(f"values: must be finite, got {self.values}")
        if not np.all(np.diff(self.values) > 0):
            raise ValueError(f"values: must rise strictly, got {self.values}")

    @classmethod
    def range(cls, low: float, high: float, step: float = 1.0, unit: str = "years") -> "LabelSpace":
        """Makes the grid low, low + step, ..., high (the papers' low:step:high).

        Raises: ValueError if the step is not positive, or does not divide high - low.

        Examples:
          >>> LabelSpace.range(20, 22, 0.5).values
          (20.0, 20.5, 21.0, 21.5, 22.0)
        """
        # The arithmetic below would be in float32 if a bound were one, as labels are.
        low, high, step = float(low), float(high), float(step)
        if not step > 0:
            raise ValueError(f"step: must be positive, got {step}")
        if not high > low:
            raise ValueError(f"high: must exceed low = {low}, got {high}")
        count = round((high - low) / step)
        if abs(low + count * step - high) > 1e-6 * step:
            raise ValueError(f"step: {step} does not divide {low}..{high}")
        return cls(tuple(float(v) for v in np.linspace(low, high, count + 1).round(9)), unit)

    @classmethod
    def groups(cls, bounds: Sequence[tuple[float, float]], unit: str = "years") -> "LabelSpace":
        """Makes a space of ordered groups (low, high), both inclusive, with or without gaps.

        A group's value is its midpoint, so that an expectation is in the label's unit.

        Raises: ValueError if a group is empty, or groups overlap or fall.

        Examples:
          >>> LabelSpace.groups([(0, 2), (4, 6), (8, 13)]).values
          (1.0, 5.0, 10.5)
        """
        pairs = tuple((float(low), float(high)) for low, high in bounds)
        for low, high in pairs:
            if low > high:
                raise ValueError(f"bounds: a group's low must not exceed its high, got {low, high}")
        for (_, high), (low, _) in itertools.pairwise(pairs):
            if low <= high:
                raise ValueError(f"bounds: groups must rise without overlap, got {pairs}")
        return cls(tuple((low + high) / 2 for low, high in pairs), unit, pairs)

    @classmethod
    def parse(cls, text: str) -> "LabelSpace":
        """Reads a space from its text: a name in `SPACES`, or the papers' notation low:step:high.

        Raises: ValueError if the text is neither.

        Examples:
          >>> LabelSpace.parse("0:1:100") == AGE
          True
        """
        if text in SPACES:
            return SPACES[text]
        decimal = r"(-?\d+(?:\.\d+)?)"
        match = re.fullmatch(f"{decimal}:{decimal}:{decimal}", text.strip())
        if match is None:
            raise ValueError(
                f"space: expected low:step:high as in 0:1:100, or one of {sorted(SPACES)}, "
                f"got {text!r}"
            )
        low, step, high = (float(part) for part in match.groups())
        return cls.range(low, high, step)

    @property
    def size(self) -> int:
        """K, the number of values."""
        return len(self.values)

    @property
    def low(self) -> float:
        """The least label: l_1, or the low bound of the first group."""
        return self.bounds[0][0] if self.bounds else self.values[0]

    @property
    def high(self) -> float:
        """The greatest label: l_K, or the high bound of the last group."""
        return self.bounds[-1][1] if self.bounds else self.values[-1]

    def contains(self, labels: np.ndarray) -> np.ndarray:
        """Returns whether each label lies within [low, high] (False for NaN).

        Examples:
          >>> print(AGE.contains(np.array([-1.0, 30.0, np.nan])))
          [False  True False]
        """
        return np.asarray((labels >= self.low) & (labels <= self.high))


AGE = LabelSpace.range(0, 100)
SCUT_FBP = LabelSpace.range(1, 5, 0.1, unit="score")
CFD = LabelSpace.range(1, 7, 0.1, unit="score")
ADIENCE = LabelSpace.groups(
    [(0, 2), (4, 6), (8, 13), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)]
)
SPACES: dict[str, LabelSpace] = {"age": AGE, "scut_fbp": SCUT_FBP, "cfd": CFD, "adience": ADIENCE}
