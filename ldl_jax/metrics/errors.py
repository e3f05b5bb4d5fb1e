"""Errors of an estimate: MAE, RMSE, ε-error, CA(n), accuracy.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics.metric import Rows, averaged, mean_of, pair


def absolute(pred: Rows, labels: Rows) -> Array:
    """Returns |ŷ - y| of each row, [N] float32."""
    estimates, truth = pair(pred, labels)
    return jnp.abs(estimates - truth)


@averaged(mean_of)
def mae(pred: Rows, labels: Rows) -> Array:
    """Mean absolute error (1/N) Σ|ŷ - y| (Li et al., CEN, Eq. 19); a scalar in the label's unit.

    >>> from ldl_jax import metrics
    >>> float(metrics.mae([21.0, 34.0], [20.0, 37.0]))
    2.0
    """
    return absolute(pred, labels)


@averaged(lambda acc: jnp.sqrt(mean_of(acc)))
def rmse(pred: Rows, labels: Rows) -> Array:
    """Root mean squared error, √((1/N) Σ(ŷ - y)²); a scalar in the label's unit.

    >>> from ldl_jax import metrics
    >>> float(metrics.rmse([21.0, 44.0], [20.0, 37.0]))
    5.0
    """
    return jnp.square(absolute(pred, labels))


@averaged(mean_of, rows=3)
def epsilon_error(pred: Rows, labels: Rows, sigma: Rows) -> Array:
    """ε-error, (1/N) Σ(1 - exp(-(ŷ - μ)² / 2σ²)); a scalar in [0, 1].

    `labels` are the means μ of several people's guesses, `sigma` > 0 their standard deviation,
    [N] or a scalar, in the label's unit.
    Source: ChaLearn LAP 2015; Li et al., CEN, Eq. 20.

    >>> from ldl_jax import metrics
    >>> round(float(metrics.epsilon_error([22.0, 30.0], [20.0, 30.0], [2.0, 4.0])), 3)
    0.197
    """
    error, width = absolute(pred, labels), arrays.float32(sigma)
    if width.ndim and width.shape != error.shape:
        raise ValueError(
            f"sigma: expected a scalar or shape {list(error.shape)}, got {list(width.shape)}"
        )
    return -jnp.expm1(-jnp.square(error / width) / 2)


@averaged(mean_of)
def cumulative_accuracy(pred: Rows, labels: Rows, n: float, strict: bool = True) -> Array:
    """CA(n) = K_n / K, the fraction of rows whose |ŷ - y| < n; a scalar in [0, 1].

    "Smaller than n" is the paper's form (Li et al., CEN, Eq. 21, there in %); with `strict` False
    |ŷ - y| <= n, as much published code has it. The two differ where errors are whole numbers.

    >>> from ldl_jax import metrics
    >>> float(metrics.cumulative_accuracy([21.0, 33.0], [20.0, 30.0], 3))
    0.5
    >>> float(metrics.cumulative_accuracy([21.0, 33.0], [20.0, 30.0], 3, strict=False))
    1.0
    """
    return _within(pred, labels, n, strict)


def _length(thresholds: Rows, strict: bool) -> tuple[int, ...]:
    if np.ndim(thresholds) != 1:
        raise ValueError(f"thresholds: expected shape [T], got {list(np.shape(thresholds))}")
    return np.shape(thresholds)


@averaged(mean_of, shape=_length)
def cumulative_score_curve(
    pred: Rows, labels: Rows, thresholds: Rows, strict: bool = False
) -> Array:
    """CS(θ), the fraction of rows whose |ŷ - y| <= θ, at each of `thresholds` [T]; [T].

    Source: Geng et al., TPAMI 2007, whose score is not strict; `strict` True gives Eq. 21 of CEN.

    >>> from ldl_jax import metrics
    >>> metrics.cumulative_score_curve([21.0, 33.0], [20.0, 30.0], [0.0, 1.0, 5.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return _within(pred, labels, thresholds, strict)


@averaged(mean_of)
def accuracy(pred: Rows, labels: Rows) -> Array:
    """Fraction of rows whose group index is the label's; a scalar in [0, 1].

    >>> from ldl_jax import metrics
    >>> float(metrics.accuracy([0, 1, 2, 7], [0, 2, 4, 7]))
    0.5
    """
    return _within(pred, labels, 0.0, strict=False)


@averaged(mean_of)
def one_off_accuracy(pred: Rows, labels: Rows) -> Array:
    """Fraction of rows within one group of the label's (Eidinger et al., TIFS 2014); a scalar.

    >>> from ldl_jax import metrics
    >>> float(metrics.one_off_accuracy([0, 1, 2, 7], [0, 2, 4, 7]))
    0.75
    """
    return _within(pred, labels, 1.0, strict=False)


def _within(pred: Rows, labels: Rows, n: Rows, strict: bool) -> Array:
    """Returns 1 where the error is smaller than a threshold, or than each of [T]; [N] or [N, T]."""
    compare = jnp.less if strict else jnp.less_equal
    error, limit = absolute(pred, labels), arrays.float32(n)
    shape = error.shape + (1,) * limit.ndim
    return compare(error.reshape(shape), limit[None]).astype(jnp.float32)
