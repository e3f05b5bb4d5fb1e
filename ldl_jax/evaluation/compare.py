"""Runs beside one another: whose errors are smaller, picture by picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ldl_jax.evaluation.predictions import Predictions

_AT_ONCE = 2_000_000  # random numbers, to bound the memory


class Difference(NamedTuple):
    """Of mean absolute errors, in the label's unit; negative where the first run's is smaller."""

    mean: float
    low: float
    high: float


def paired_difference(
    ours: Predictions,
    theirs: Predictions,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference | None:
    """The difference of two runs' MAE on the same pictures, with its bootstrap interval.

    d = (1/N) Σ_n (|ŷ_n - y_n| - |ŷ'_n - y_n|), and the percentiles of d over pictures drawn anew
    with replacement. Pictures are taken as independent; several of one person are not.

    Args:
      ours: the run whose error comes first.
      theirs: the run it is compared with.
      level: of the interval, in (0, 1).
      resamples: how often the pictures are drawn.
      seed: of the drawing.

    Returns:
      None where the two were not tested on the same pictures with the same labels.

    Raises:
      ValueError: level or resamples is out of range.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), the percentile
    interval of paired differences.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples: expected 1 or more, got {resamples}")
    mine, other = _errors(ours), _errors(theirs)
    if mine is None or other is None or mine.keys() != other.keys():
        return None
    d = np.array([mine[key] - other[key] for key in sorted(mine)])
    rng = np.random.default_rng(seed)
    means: list[float] = []
    while len(means) < resamples:
        rows = min(resamples - len(means), max(1, _AT_ONCE // len(d)))
        means.extend(d[rng.integers(len(d), size=(rows, len(d)))].mean(axis=1))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(d.mean()), float(low), float(high))


def _errors(predictions: Predictions) -> dict[tuple[str, float], float] | None:
    """The absolute error of each (picture, label); None where a picture comes twice."""
    errors = np.abs(predictions.values.astype(np.float64) - predictions.labels)
    keys = zip(predictions.ids, predictions.labels.tolist(), strict=True)
    found = dict(zip(keys, errors.tolist(), strict=True))
    return found if len(found) == len(predictions) else None
