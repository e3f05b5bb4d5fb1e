"""Shares of counted pictures with exact binomial intervals, and how many pictures a claim needs."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ldl_jax.calibration import rank

LEVEL = 0.95


class Rate(NamedTuple):
    """A share of pictures, `hits` of `of`, with its interval; of no picture `rate` is None."""

    hits: int
    of: int
    rate: float | None
    low: float
    high: float


def clopper_pearson(
    count: np.ndarray | int, of: np.ndarray | int, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the exact binomial intervals of shares count / of.

    low = B(α/2; k, n - k + 1), high = B(1 - α/2; k + 1, n - k), quantiles of the beta distribution,
    α = 1 - level; 0 where k = 0, 1 where k = n. It holds the true share with at least that level
    where the pictures are independent; several of one person are not.

    Args:
      count: k [...], whole numbers from 0 to n.
      of: n [...]; of none the interval is [0, 1].
      level: of the interval, in (0, 1).

    Examples:
      >>> low, high = clopper_pearson(0, 59, level=0.9)
      >>> float(low), round(float(high), 4)
      (0.0, 0.0495)

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case
    of the Binomial" (1934).
    """
    k, n = np.asarray(count), np.asarray(of)
    rest = (1 - level) / 2
    # The quantiles are not defined at the ends, where they are not looked at.
    low = stats.beta.ppf(rest, np.maximum(k, 1), np.maximum(n - k, 0) + 1)
    high = stats.beta.ppf(1 - rest, k + 1, np.maximum(n - k, 1))
    return np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0)


def rates(counts: np.ndarray, of: int, level: float = LEVEL) -> list[dict[str, Any]]:
    """Returns the `Rate` of each count [M] out of the same `of` pictures, of JSON's types."""
    lows, highs = clopper_pearson(counts, np.full(counts.shape, of), level)
    rows = zip(counts.tolist(), lows.tolist(), highs.tolist(), strict=True)
    return [Rate(k, of, k / of if of else None, low, high)._asdict() for k, low, high in rows]


def are_below(counts: np.ndarray | int, of: int, share: float, confidence: float) -> np.ndarray:
    """Returns whether the true share behind each count is at most `share`, with that confidence.

    That is where the one-sided Clopper-Pearson bound is at most `share`, or the binomial p-value
    P(X <= count), X ~ B(of, share), at most 1 - confidence; of no picture nothing is shown.
    """
    return np.asarray(stats.binom.cdf(counts, of, share) <= 1 - confidence) & (of > 0)


def needed(share: float, confidence: float) -> int:
    """Returns how many pictures are needed to show that a share is at most `share`.

    The least n with (1 - share)^n <= 1 - confidence: none of n does it.

    Examples:
      >>> needed(0.05, 0.95)
      59
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - share))


def conformal_range(
    calibrated: int, tested: int | None, coverage: float, level: float = LEVEL
) -> tuple[float, float]:
    """Returns between which shares of labels conformal intervals hold in `level` of all draws.

    N labels calibrated, r = ⌈(N + 1) a⌉, and M others are tested. Where all come alike and no two
    scores are equal, the share of all labels that the intervals hold is Beta(r, N + 1 - r), and the
    number of the M is BetaBinomial(M, r, N + 1 - r): the law of how many of M lie below the r-th of
    N numbers. The ends are its quantiles. Equal scores, and thresholds by range of labels, only add
    labels; several pictures of a person make the range wider than this.

    Args:
      calibrated: N, from which the threshold was taken.
      tested: M; None is for any number, however many.
      coverage: a.
      level: of the range, in (0, 1).

    Raises:
      ValueError: N labels are too few for the coverage.

    Source: Vovk, "Conditional Validity of Inductive Conformal Predictors" (ACML 2012); Angelopoulos
    and Bates, "Conformal Prediction: A Gentle Introduction" (2023), Sec. 3.2.

    Examples:
      >>> low, high = conformal_range(645, 3300, 0.9)
      >>> round(low, 3), round(high, 3)
      (0.875, 0.925)
    """
    index = rank(calibrated, coverage)
    if index > calibrated:
        raise ValueError(
            f"calibrated: {calibrated} labels are too few for a coverage of {coverage:g}"
        )
    shape, ends = (index, calibrated + 1 - index), ((1 - level) / 2, (1 + level) / 2)
    if tested is None:
        low, high = stats.beta.ppf(ends, *shape)
    else:
        low, high = stats.betabinom.ppf(ends, tested, *shape) / tested
    return float(low), float(high)


def text(rate: dict[str, Any], absent: str) -> str:
    """Returns a rate and its interval in percent, as "4.1 [2.3, 6.8]"."""
    if rate["rate"] is None:
        return absent
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * rate[key] for key in ("rate", "low", "high")))
