"""Runs beside one another: whose errors are smaller, picture by picture."""

import collections
import dataclasses
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


class Contrast(NamedTuple):
    """A difference of mean errors, the ends of its interval, and the p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float


def crossed_difference(
    ours: np.ndarray,
    theirs: np.ndarray,
    clusters: Sequence[int] | None = None,
    *,
    level: float = 0.95,
) -> Contrast:
    """Returns the difference of two methods' mean errors, over other pictures and other seeds.

    d is the mean of `ours` minus that of `theirs`. Its variance is the sum of three: of the
    pictures' differences, each picture's error averaged over the seeds, as in a paired t-test, and
    of the seeds' means of either method, as in Welch's t-test; their degrees of freedom are put
    together by Satterthwaite's rule. What picture and seed do together is in all three, so the
    interval is a little too wide, never too narrow. A single seed has no spread: of a model that is
    trained once, the interval is that of other pictures alone.

    Args:
      ours: errors [S, N] of S runs on N pictures, as |ŷ - y| or 1 where a picture is missed.
      theirs: errors [R, N] of R runs on the same pictures.
      clusters: who is shown in each picture [N], as whole numbers from 0; pictures of one person
        are not independent. None where each shows somebody else.
      level: of the interval, in (0, 1).

    Raises:
      ValueError: the pictures differ in number, or level is out of range.

    Examples:
      >>> crossed_difference(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 2.5, 4.5]])).mean
      -1.0

    Source: Satterthwaite, "An Approximate Distribution of Estimates of Variance Components" (1946).
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, got {level}")
    ours, theirs = (np.atleast_2d(np.asarray(x, np.float64)) for x in (ours, theirs))
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"theirs: expected errors of {ours.shape[1]} pictures, got {theirs.shape}")
    count = ours.shape[1]
    index = np.arange(count) if clusters is None else np.asarray(clusters)
    by_picture = ours.mean(axis=0) - theirs.mean(axis=0)
    mean = float(by_picture.mean())
    sums = np.bincount(index, by_picture - mean)[np.unique(index)]
    terms = [(len(sums), float(np.sum(sums**2)) / count**2 * len(sums))]
    terms += [(len(runs), float(np.var(runs.mean(axis=1)))) for runs in (ours, theirs)]
    # Each is divided by its degrees of freedom, as the mean is estimated too.
    spreads = [(size - 1, total / (size - 1)) for size, total in terms if size > 1]
    variance = sum(spread for _, spread in spreads)
    if variance <= 0:
        return Contrast(mean, mean, mean, float(mean == 0))
    freedom = variance**2 / sum(spread**2 / degrees for degrees, spread in spreads)
    error = variance**0.5
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Contrast(
        mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom))
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for how many there are, so that one error in all has level α.

    The i-th smallest of m becomes the largest of (m - j + 1) p_j over j <= i, and at most 1.

    Examples:
      >>> holm([0.01, 0.04, 0.03])
      [0.03, 0.06, 0.06]

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    rising = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(rising, 1.0)
    return [float(p) for p in adjusted]


def mae_interval(run: Predictions) -> tuple[float, float]:
    """Returns the ends of the 95 % bootstrap interval of a run's MAE, over other people.

    It is the interval of `paired_difference` from a run without any error. Where a picture comes
    twice in the run there is none, and the ends are NaN.
    """
    exact = dataclasses.replace(run, values=run.labels)
    difference = paired_difference(run, exact)
    return (np.nan, np.nan) if difference is None else difference[1:]


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


def by_subject(run: Predictions) -> list[int]:
    """Returns the number of who is shown in each picture, from 0; who is not known is alone."""
    return _clusters([run], _keys(run))


def _clusters(runs: Sequence[Predictions], keys: Sequence[Key]) -> list[int]:
    """Returns the index of each picture's subject; where no run knows it, it has one of its own."""
    known = [zip(_keys(run), run.subjects, strict=True) for run in runs if run.subjects]
    subjects = {key: subject for pairs in known for key, subject in pairs if subject}
    clusters: dict[str | Key, int] = {}
    return [clusters.setdefault(subjects.get(key, key), len(clusters)) for key in keys]


def _keys(run: Predictions) -> list[Key]:
    return list(zip(run.ids, run.labels.tolist(), strict=True))
