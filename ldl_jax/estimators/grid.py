"""Label spaces of labels, and the scale that a network learns them in."""

from typing import NamedTuple

import numpy as np

from ldl_jax.labels import LabelSpace

MOST_VALUES = 1001  # of a grid that the labels lie on
CONTINUOUS = 101  # values of the grid of labels that lie on none


class LabelGrid(NamedTuple):
    """A label space, and the space that the network learns: label = offset + step * learnt.

    Attributes:
      space: the label values, in the label's unit.
      learnt: the same values in the network's unit.
      offset: in the label's unit.
      step: in the label's unit.
      between: whether labels lie between the values too.
    """

    space: LabelSpace
    learnt: LabelSpace
    offset: float
    step: float
    between: bool

    def to_learnt(self, labels: np.ndarray) -> np.ndarray:
        """Returns labels [...] in the network's unit."""
        return (labels - self.offset) / self.step

    def to_labels(self, learnt: np.ndarray) -> np.ndarray:
        """Returns values [...] of the network in the label's unit, float64."""
        return self.offset + self.step * np.asarray(learnt, np.float64)

    def widened(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns intervals of values, in the network's unit, that hold the labels taken to them.

        Where labels lie between the values, an end reaches halfway to the next value.
        """
        if not self.between:
            return low, high
        values = np.asarray(self.learnt.values)
        middles = (values[1:] + values[:-1]) / 2
        lows = np.concatenate([[self.learnt.low], middles])
        highs = np.concatenate([middles, [self.learnt.high]])
        at = [np.abs(values - x[:, None]).argmin(axis=1) for x in (low, high)]
        return lows[at[0]], highs[at[1]]


def of_space(space: LabelSpace, labels: np.ndarray) -> LabelGrid:
    """Returns the grid of a space that was given; the network learns in the label's unit.

    Raises: ValueError if labels lie outside of the space.
    """
    outside = labels[~space.contains(labels)]
    if len(outside):
        some = ", ".join(f"{label:g}" for label in outside[:3])
        raise ValueError(
            f"y: expected labels in the space, {space.low:g} to {space.high:g}; {len(outside)} lie "
            f"outside: {some}{', ...' if len(outside) > 3 else ''}"
        )
    distance = np.abs(labels[:, None] - np.asarray(space.values)).min(axis=1)
    near = 1e-6 * float(np.diff(space.values).min())
    return LabelGrid(space, space, 0.0, 1.0, not space.bounds and bool((distance > near).any()))


def of_labels(labels: np.ndarray) -> LabelGrid:
    """Returns the grid that labels [N] lie on, or one of 101 values where they lie on none.

    Whole numbers have steps of 1, others the least gap, while that gives at most 1001 values. The
    network learns in steps.

    Examples:
      >>> of_labels(np.array([20.0, 23.0, 21.0])).space.values
      (20.0, 21.0, 22.0, 23.0)
    """
    values = np.unique(labels)
    low, span = float(values[0]), float(values[-1] - values[0])
    if not span > 0:  # a single label, with a value on either side
        step = max(1.0, 1e-6 * abs(low))
        return _even(low - step, step, 3, between=False)
    whole = bool((values == np.round(values)).all())
    for step in ([1.0] if whole else []) + [float(np.diff(values).min())]:
        count = span / step + 1
        steps = (values - low) / step
        if count <= MOST_VALUES + 0.5 and np.allclose(steps, np.round(steps), rtol=0, atol=1e-6):
            return _even(low, step, round(count), between=False)
    return _even(low, span / (CONTINUOUS - 1), CONTINUOUS, between=True)


def _even(low: float, step: float, count: int, *, between: bool) -> LabelGrid:
    values = low + step * np.arange(count)
    space = LabelSpace(tuple(map(float, values)), unit="")
    return LabelGrid(space, LabelSpace.range(0, count - 1, unit="steps"), low, step, between)
