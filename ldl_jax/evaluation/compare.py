"""Runs beside one another: whose errors are smaller, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
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
    return difference_of_means([ours], [theirs], level=level, resamples=resamples, seed=seed)


def difference_of_means(
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference | None:
    """`paired_difference` of several runs each: a picture's error is the mean over its runs'.

    The interval is that of other pictures; how far other seeds would spread is not in it.
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


def _errors(runs: Sequence[Predictions]) -> dict[tuple[str, float], float] | None:
    """The mean absolute error of each (picture, label); None where one comes twice in a run."""
    found: dict[tuple[str, float], list[float]] = {}
    for run in runs:
        errors = np.abs(run.values.astype(np.float64) - run.labels)
        keys = list(zip(run.ids, run.labels.tolist(), strict=True))
        if len(set(keys)) < len(keys):
            return None
        for key, error in zip(keys, errors.tolist(), strict=True):
            found.setdefault(key, []).append(error)
    return {key: float(np.mean(errors)) for key, errors in found.items()}
