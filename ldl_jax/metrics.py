"""Metrics of estimates against labels, and accumulators that merge over batches.

Every metric takes `pred` and `labels` [N], both in the label's unit, computes in float32, and
ignores the rows where `mask` [N] (bool, or float 0/1; None keeps all) is zero, whatever these
hold, NaN included. Of no row at all a metric is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Rows = ArrayLike
Mask = ArrayLike | None
Score = Callable[..., Array]  # (pred, labels, ...) -> [N], a number for each row


def _float(x: Rows) -> Array:
    return jnp.asarray(x).astype(jnp.float32)


def _weights(mask: Mask, count: int) -> Array:
    return jnp.ones(count, jnp.float32) if mask is None else _float(mask)


def _kept(x: Rows, weights: Array, padding: float = 0.0) -> Array:
    """Float32 [N] with `padding` in the ignored rows: 0 · NaN is NaN, so a product won't do."""
    return jnp.where(weights > 0, jnp.broadcast_to(_float(x), weights.shape), padding)


def _absolute(pred: Array, labels: Array) -> Array:
    return jnp.abs(pred - labels)


def _squared(pred: Array, labels: Array) -> Array:
    return jnp.square(pred - labels)


def _epsilon(pred: Array, labels: Array, sigma: Array) -> Array:
    return -jnp.expm1(-jnp.square((pred - labels) / sigma) / 2)


def _within(n: float, strict: bool) -> Score:
    compare = jnp.less if strict else jnp.less_equal
    return lambda pred, labels: _float(compare(_absolute(pred, labels), n))


def _mean(score: Score, pred: Rows, labels: Rows, mask: Mask, **more: Any) -> Array:
    metric = averaged(score)
    return metric.result(metric.update(metric.init(), pred, labels, mask, **more))


def mae(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Mean absolute error (1/N) Σ|ŷ - y| (Li et al., CEN, Eq. 19); a scalar in the label's unit."""
    return _mean(_absolute, pred, labels, mask)


def rmse(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Root mean squared error, √((1/N) Σ(ŷ - y)²); a scalar in the label's unit."""
    return jnp.sqrt(_mean(_squared, pred, labels, mask))


def epsilon_error(pred: Rows, labels: Rows, sigma: Rows, mask: Mask = None) -> Array:
    """ε-error, (1/N) Σ(1 - exp(-(ŷ - μ)² / 2σ²)); a scalar in [0, 1].

    `labels` are the means μ of several people's guesses, `sigma` > 0 their standard deviation,
    [N] or a scalar, in the label's unit. Source: ChaLearn LAP 2015; Li et al., CEN, Eq. 20.
    """
    return _mean(_epsilon, pred, labels, mask, sigma=sigma)


def cumulative_accuracy(
    pred: Rows, labels: Rows, n: float, strict: bool = True, mask: Mask = None
) -> Array:
    """CA(n) = K_n / K, the fraction of rows whose |ŷ - y| < n; a scalar in [0, 1].

    "Smaller than n" is the paper's form (Li et al., CEN, Eq. 21, there in %); with `strict` False
    |ŷ - y| <= n, as much published code has it. The two differ where errors are whole numbers.
    """
    return _mean(_within(n, strict), pred, labels, mask)


def cumulative_score_curve(
    pred: Rows, labels: Rows, thresholds: Rows, strict: bool = False, mask: Mask = None
) -> Array:
    """CS(θ), the fraction of rows whose |ŷ - y| <= θ, at each of `thresholds` [T]; [T].

    Source: Geng et al., TPAMI 2007, whose score is not strict; `strict` True gives Eq. 21 of CEN.
    """
    curve = jax.vmap(lambda n: cumulative_accuracy(pred, labels, n, strict, mask))
    return curve(_float(thresholds))


def accuracy(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Fraction of rows whose group index is the label's; a scalar in [0, 1]."""
    return _mean(_within(0.0, strict=False), pred, labels, mask)


def one_off_accuracy(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Fraction of rows within one group of the label's (Eidinger et al., TIFS 2014); a scalar."""
    return _mean(_within(1.0, strict=False), pred, labels, mask)


def balanced_mae(pred: Rows, labels: Rows, edges: Rows, mask: Mask = None) -> Array:
    """Mean over bins of labels of the MAE within each, so that rare ages count as common ones do.

    `edges` [E] rise; bin i is [e_i, e_i+1), the last closed. Rows outside and empty bins are left
    out. A scalar in the label's unit.
    """
    edges, labels = _float(edges), _float(labels)
    inside = (labels >= edges[0]) & (labels <= edges[-1])
    weights = _weights(mask, labels.shape[0]) * _float(inside)
    bins = edges.shape[0] - 1
    index = jnp.clip(jnp.searchsorted(edges, labels, side="right") - 1, 0, bins - 1)
    errors = weights * _kept(_absolute(_float(pred), labels), weights)
    totals = jax.ops.segment_sum(errors, index, bins)
    counts = jax.ops.segment_sum(weights, index, bins)
    filled = counts > 0
    means = totals / jnp.where(filled, counts, 1.0)
    return jnp.sum(means) / jnp.sum(_float(filled))


def pearson(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Pearson's correlation cov(ŷ, y) / (std(ŷ) std(y)), in [-1, 1]; NaN where one is constant."""
    return _correlation(_moments(pred, labels, mask))


def spearman(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Spearman's correlation: Pearson's of the ranks, ties given their mean rank; in [-1, 1]."""
    return pearson(_ranks(pred, mask), _ranks(labels, mask), mask)


def kl_to_truth(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """KL(truth || probs) = Σ_k q_k ln(q_k / p_k) of each row, in nats: [N, K], [N, K] -> [N].

    0 ln 0 is 0, ignored rows are 0, and p is held above 1.2e-38, the least normal float32: a
    softmax that underflowed then costs much, but not infinity.
    """
    probs, truth = _float(probs), _float(truth)
    ratio = jnp.log(jnp.where(truth > 0, truth, 1.0))
    ratio = ratio - jnp.log(jnp.maximum(probs, jnp.finfo(jnp.float32).tiny))
    divergence = jnp.sum(jnp.where(truth > 0, truth * ratio, 0.0), axis=-1)
    return _kept(divergence, _weights(mask, divergence.shape[0]))


def _ranks(x: Rows, mask: Mask) -> Array:
    x = _kept(x, _weights(mask, jnp.shape(x)[0]), padding=jnp.inf)  # sorts behind all kept rows
    ordered = jnp.sort(x)
    below = jnp.searchsorted(ordered, x, side="left")
    upto = jnp.searchsorted(ordered, x, side="right")
    return (_float(below) + _float(upto) + 1) / 2


class Metric(NamedTuple):
    """A metric over batches, shards or hosts, however split; all four are pure and jit-able."""

    init: Callable[[], Any]  # () -> acc, of no row
    update: Callable[..., Any]  # (acc, pred, labels, mask=None) -> acc; EPSILON_ERROR: also sigma=
    merge: Callable[[Any, Any], Any]  # (acc, acc) -> acc, of the rows of both
    result: Callable[[Any], Array]  # (acc) -> scalar


class Mean(NamedTuple):
    """Σ w·score and Σ w. Counts, and so CA(n), are exact up to 2^24 rows."""

    total: Array
    weight: Array


class Moments(NamedTuple):
    """Count, means and centred second moments of two series."""

    weight: Array
    means: Array  # [2]: pred, labels
    squares: Array  # [2]: Σ(x - mean)² of each
    product: Array  # Σ(pred - mean)(labels - mean)


def averaged(score: Score, finish: Callable[[Array], Array] = lambda mean: mean) -> Metric:
    """The metric `finish(mean of score(pred, labels, ...))`."""

    def update(acc: Mean, pred: Rows, labels: Rows, mask: Mask = None, **more: Rows) -> Mean:
        weights = _weights(mask, jnp.shape(pred)[0])
        extra = {name: _kept(value, weights, padding=1.0) for name, value in more.items()}
        scores = score(_kept(pred, weights), _kept(labels, weights), **extra)
        return merge(acc, Mean(jnp.sum(weights * scores), jnp.sum(weights)))

    def merge(a: Mean, b: Mean) -> Mean:
        return Mean(a.total + b.total, a.weight + b.weight)

    def result(acc: Mean) -> Array:
        return finish(acc.total / acc.weight)

    return Metric(lambda: Mean(*jnp.zeros(2, jnp.float32)), update, merge, result)


def _moments(pred: Rows, labels: Rows, mask: Mask = None) -> Moments:
    weights = _weights(mask, jnp.shape(pred)[0])
    series = jnp.stack([_kept(pred, weights), _kept(labels, weights)])
    # Shifted by a kept row: large means lose no digits, and a constant has a variance of exactly 0.
    origin = series[:, jnp.argmax(weights > 0)]
    series = series - origin[:, None]
    weight = jnp.sum(weights)
    shift = jnp.sum(weights[None] * series, axis=1) / jnp.where(weight > 0, weight, 1.0)
    centred = series - shift[:, None]
    squares = jnp.sum(weights[None] * jnp.square(centred), axis=1)
    return Moments(weight, origin + shift, squares, jnp.sum(weights * centred[0] * centred[1]))


def _merge_moments(a: Moments, b: Moments) -> Moments:
    """Chan, Golub & LeVeque 1979: sums of squares about a common mean, without cancellation."""
    weight = a.weight + b.weight
    share = jnp.where(weight > 0, b.weight / jnp.where(weight > 0, weight, 1.0), 0.0)
    delta = jnp.where((a.weight > 0) & (b.weight > 0), b.means - a.means, 0.0)
    between = a.weight * share
    return Moments(
        weight,
        jnp.where(a.weight > 0, a.means, b.means) + share * delta,
        a.squares + b.squares + between * jnp.square(delta),
        a.product + b.product + between * delta[0] * delta[1],
    )


def _correlation(acc: Moments) -> Array:
    deviations = jnp.sqrt(acc.squares)
    return jnp.clip(acc.product / (deviations[0] * deviations[1]), -1.0, 1.0)


MAE = averaged(_absolute)
RMSE = averaged(_squared, jnp.sqrt)
EPSILON_ERROR = averaged(_epsilon)


def within(n: float, strict: bool = True) -> Metric:
    """The accumulator of `cumulative_accuracy(..., n, strict)`."""
    return averaged(_within(n, strict))


PEARSON = Metric(
    lambda: _moments(*jnp.zeros((3, 1), jnp.float32)),  # of one row, ignored
    lambda acc, pred, labels, mask=None: _merge_moments(acc, _moments(pred, labels, mask)),
    _merge_moments,
    _correlation,
)
