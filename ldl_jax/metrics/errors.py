"""Errors of an estimate: MAE, RMSE, ε-error, CA(n), accuracy.

Reached as `ldl_jax.metrics.NAME`.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics.accumulators import (
    Mask,
    Metric,
    Rows,
    Score,
    averaged,
    once,
    pair,
)


def mae(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Mean absolute error (1/N) Σ|ŷ - y| (Li et al., CEN, Eq. 19); a scalar in the label's unit."""
    return once(MAE, pred, labels, mask=mask)


def rmse(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Root mean squared error, √((1/N) Σ(ŷ - y)²); a scalar in the label's unit."""
    return once(RMSE, pred, labels, mask=mask)


def epsilon_error(pred: Rows, labels: Rows, sigma: Rows, mask: Mask = None) -> Array:
    """ε-error, (1/N) Σ(1 - exp(-(ŷ - μ)² / 2σ²)); a scalar in [0, 1].

    `labels` are the means μ of several people's guesses, `sigma` > 0 their standard deviation,
    [N] or a scalar, in the label's unit. Its accumulator's update takes `sigma` by name.
    Source: ChaLearn LAP 2015; Li et al., CEN, Eq. 20.
    """
    return once(EPSILON_ERROR, pred, labels, mask=mask, sigma=sigma)


def cumulative_accuracy(
    pred: Rows, labels: Rows, n: float, strict: bool = True, mask: Mask = None
) -> Array:
    """CA(n) = K_n / K, the fraction of rows whose |ŷ - y| < n; a scalar in [0, 1].

    "Smaller than n" is the paper's form (Li et al., CEN, Eq. 21, there in %); with `strict` False
    |ŷ - y| <= n, as much published code has it. The two differ where errors are whole numbers.
    """
    return once(within(n, strict), pred, labels, mask=mask)


def cumulative_score_curve(
    pred: Rows, labels: Rows, thresholds: Rows, strict: bool = False, mask: Mask = None
) -> Array:
    """CS(θ), the fraction of rows whose |ŷ - y| <= θ, at each of `thresholds` [T]; [T].

    Source: Geng et al., TPAMI 2007, whose score is not strict; `strict` True gives Eq. 21 of CEN.
    """
    return once(cumulative_score_curve_metric(thresholds, strict), pred, labels, mask=mask)


def accuracy(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Fraction of rows whose group index is the label's; a scalar in [0, 1]."""
    return once(ACCURACY, pred, labels, mask=mask)


def one_off_accuracy(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Fraction of rows within one group of the label's (Eidinger et al., TIFS 2014); a scalar."""
    return once(ONE_OFF_ACCURACY, pred, labels, mask=mask)


def within(n: float, strict: bool = True) -> Metric:
    """The accumulator of `cumulative_accuracy(..., n, strict)`."""
    return averaged(_within(n, strict))


def cumulative_score_curve_metric(thresholds: Rows, strict: bool = False) -> Metric:
    """The accumulator of `cumulative_score_curve(..., thresholds, strict)`.

    Raises:
      ValueError: the thresholds are not [T].
    """
    if np.ndim(thresholds) != 1:
        raise ValueError(f"thresholds: expected shape [T], got {list(np.shape(thresholds))}")
    return averaged(_within(thresholds, strict), shape=np.shape(thresholds))


def _absolute(pred: Rows, labels: Rows) -> Array:
    estimates, truth = pair(pred, labels)
    return jnp.abs(estimates - truth)


def _squared(pred: Rows, labels: Rows) -> Array:
    return jnp.square(_absolute(pred, labels))


def _epsilon(pred: Rows, labels: Rows, sigma: Rows) -> Array:
    error, width = _absolute(pred, labels), arrays.float32(sigma)
    if width.ndim and width.shape != error.shape:
        raise ValueError(
            f"sigma: expected a scalar or shape {list(error.shape)}, got {list(width.shape)}"
        )
    return -jnp.expm1(-jnp.square(error / width) / 2)


def _within(n: Rows, strict: bool) -> Score:
    """Of a threshold, or of each of [T]: 1 where the error is smaller, [N] or [N, T]."""
    compare = jnp.less if strict else jnp.less_equal

    def score(pred: Rows, labels: Rows) -> Array:
        error, limit = _absolute(pred, labels), arrays.float32(n)
        shape = error.shape + (1,) * limit.ndim
        return compare(error.reshape(shape), limit[None]).astype(jnp.float32)

    return score


MAE = averaged(_absolute)
RMSE = averaged(_squared, jnp.sqrt)
EPSILON_ERROR = averaged(_epsilon)
ACCURACY = averaged(_within(0.0, strict=False))
ONE_OFF_ACCURACY = averaged(_within(1.0, strict=False))
