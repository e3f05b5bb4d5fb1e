"""Runs beside one another: whose errors are smaller, picture by picture."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ldl_jax.evaluation.predictions import Predictions

_AT_ONCE = 2_000_000  # random numbers, to bound the memory
Key = tuple[str, float]  # a picture, and its label


class Difference(NamedTuple):
    """A difference of mean absolute errors, in the label's unit, and the ends of its interval.

    It is negative where the first run's error is smaller.
    """

    mean: float
    low: float
    high: float


def paired_difference(
    ours: Predictions | Sequence[Predictions],
    theirs: Predictions | Sequence[Predictions],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference | None:
    """Returns the difference of two runs' MAE on the same pictures, with its bootstrap interval.

    d = (1/N) Σ_n (|ŷ_n - y_n| - |ŷ'_n - y_n|), and the percentiles of d over subjects drawn anew
    with replacement, each with all of his or her pictures; pictures of one person are not
    independent. A picture whose subject is not known is one of its own.

    Args:
      ours: the run whose error comes first, or several runs: a picture's error is then its mean
        over them. The interval is that of other pictures; how far other seeds would spread is not
        in it.
      theirs: the run or the runs that they are compared with.
      level: of the interval, in (0, 1).
      resamples: how often the subjects are drawn.
      seed: of the drawing.

    Returns:
      None where the two were not tested on the same pictures with the same labels.

    Raises:
      ValueError: level or resamples is out of range.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), the percentile
    interval of paired differences; `scipy.stats.bootstrap`.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples: expected 1 or more, got {resamples}")
    ours, theirs = ([x] if isinstance(x, Predictions) else x for x in (ours, theirs))
    our_errors, their_errors = _errors(ours), _errors(theirs)
    if our_errors is None or their_errors is None or our_errors.keys() != their_errors.keys():
        return None
    keys = sorted(our_errors)
    differences = np.array([our_errors[key] - their_errors[key] for key in keys])
    mean = float(differences.mean())
    index = _clusters([*ours, *theirs], keys)
    sums, counts = np.bincount(index, differences), np.bincount(index)
    if len(sums) == 1:  # drawn anew it is the same
        return Difference(mean, mean, mean)
    interval = stats.bootstrap(
        (sums, counts),
        lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // len(sums)),
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(mean, float(interval.low), float(interval.high))


def text(difference: Difference | None) -> str:
    """Returns a difference and its interval as text, "other pictures" where there is none."""
    if difference is None:
        return "other pictures"
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*difference)


def _errors(runs: Sequence[Predictions]) -> dict[Key, float] | None:
    """Returns the mean absolute error of each picture; None where one comes twice in a run."""
    errors = collections.defaultdict[Key, list[float]](list)
    for run in runs:
        keys, off = _keys(run), np.abs(run.values.astype(np.float64) - run.labels)
        if len(set(keys)) < len(keys):
            return None
        for key, error in zip(keys, off.tolist(), strict=True):
            errors[key].append(error)
    return {key: float(np.mean(listed)) for key, listed in errors.items()}


def _clusters(runs: Sequence[Predictions], keys: Sequence[Key]) -> list[int]:
    """Returns the index of each picture's subject; where no run knows it, it has one of its own."""
    known = [zip(_keys(run), run.subjects, strict=True) for run in runs if run.subjects]
    subjects = {key: subject for pairs in known for key, subject in pairs if subject}
    clusters: dict[str | Key, int] = {}
    return [clusters.setdefault(subjects.get(key, key), len(clusters)) for key in keys]


def _keys(run: Predictions) -> list[Key]:
    return list(zip(run.ids, run.labels.tolist(), strict=True))
