"""Correlations of estimates with labels, Pearson's and Spearman's.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics import sums
from ldl_jax.metrics.metric import Mask, Rows, Rules, accumulated, kept, pair
from ldl_jax.metrics.sums import Sum

_MOST = 2**23  # ranks, which are halves of whole numbers, are exact in float32 up to here


class Moments(NamedTuple):
    """The moments of the rows so far, the second ones about the mean."""

    rows: Array  # [] int32
    mean: Sum  # [2], of ŷ and y
    second: Sum  # [3], Σ(ŷ - mean)², Σ(y - mean)² and the sum of the products


class Stored(NamedTuple):
    """The kept rows themselves, [C] each, in any order."""

    pred: Array
    labels: Array
    rows: Array  # [] int32; of more than C some are lost


def _products(x: Array) -> Array:
    """Returns x², y² and xy of pairs [..., 2]; [..., 3]."""
    a, b = x[..., 0], x[..., 1]
    return jnp.stack([a * a, b * b, a * b], axis=-1)


def _add_moments(acc: Moments, pred: Rows, labels: Rows, mask: Mask = None) -> Moments:
    both = arrays.whole(jnp.stack(pair(pred, labels), axis=-1))
    keep = arrays.whole(kept(mask, both.shape[0]))
    if both.shape[0] == 0:
        return acc
    # Taken from the first kept row, large numbers lose no digits and a constant is exactly 0.
    origin = jnp.where(jnp.any(keep), both[jnp.argmax(keep)], 0.0)
    from_origin = both - origin[None]
    rows = jnp.sum(keep, dtype=jnp.int32)
    mean = sums.mean(sums.over_rows(from_origin, keep[:, None]), jnp.maximum(rows, 1))
    second = sums.over_rows(_products(from_origin - mean[None]), keep[:, None])
    batch = sums.added(sums.of(origin), sums.of(mean))
    return _merge_moments(acc, Moments(rows, batch, second))


def _merge_moments(a: Moments, b: Moments) -> Moments:
    """Merges as Chan, Golub and LeVeque (1979) do: of equal means, sums alone are added."""
    rows = a.rows + b.rows
    share = b.rows.astype(jnp.float32) / jnp.maximum(rows, 1).astype(jnp.float32)
    apart = sums.added(b.mean, Sum(-a.mean.high, -a.mean.low))
    between = _products(sums.value(apart)) * share * a.rows.astype(jnp.float32)
    return Moments(
        rows,
        sums.added(a.mean, Sum(apart.high * share, apart.low * share)),
        sums.added(sums.added(a.second, b.second), sums.of(between)),
    )


def _correlation(acc: Moments) -> Array:
    second = sums.value(acc.second)
    spread = jnp.sqrt(second[0]) * jnp.sqrt(second[1])
    return jnp.clip(second[2] / spread, -1.0, 1.0)


@accumulated("pred", "labels")
def pearson() -> Rules[Moments, Array]:
    """Pearson's correlation cov(ŷ, y) / (std(ŷ) std(y)), in [-1, 1]; NaN where one is constant.

    The moments are taken about the means, so that large means lose no digits. Accumulators are
    merged by `merge` and `merged`; their plain sum, as `jax.lax.psum` gives it, is no merge.

    >>> from ldl_jax import metrics
    >>> round(float(metrics.pearson([1.0, 2.0, 4.0], [10.0, 20.0, 30.0])), 3)
    0.982
    """

    def init() -> Moments:
        return Moments(jnp.zeros((), jnp.int32), sums.zeros((2,)), sums.zeros((3,)))

    return Rules(init, _add_moments, _merge_moments, _correlation)


@accumulated("pred", "labels")
def spearman(*, capacity: int | None = None) -> Rules[Stored, Array]:
    """Spearman's correlation: Pearson's of the ranks, ties given their mean rank; in [-1, 1].

    NaN where one of the two is constant or a kept row holds a NaN.

    A rank depends on all rows, so no sums of fixed size give it exactly. The accumulator keeps the
    rows, 8 bytes each: 80 kB for 10,000 pictures. It grows with every update and merge; in a
    `jax.lax.scan`, which needs one size, `spearman.over(capacity=C)` keeps at most C rows, and of
    more its result is NaN. A capacity outside [1, 2^23] is a ValueError.

    >>> from ldl_jax import metrics
    >>> float(metrics.spearman([1.0, 2.0, 9.0], [10.0, 20.0, 30.0]))
    1.0
    """
    if capacity is not None and not 1 <= capacity <= _MOST:
        raise ValueError(f"capacity: expected a number in [1, {_MOST}], got {capacity}")

    def init() -> Stored:
        nothing = jnp.zeros(capacity or 0, jnp.float32)
        return Stored(nothing, nothing, jnp.zeros((), jnp.int32))

    def update(acc: Stored, pred: Rows, labels: Rows, mask: Mask = None) -> Stored:
        estimates, truth = (arrays.whole(x) for x in pair(pred, labels))
        keep = arrays.whole(kept(mask, estimates.shape[0]))
        room = 0 if capacity else estimates.shape[0]
        stored = [jnp.pad(x, (0, room)) for x in acc[:2]]
        behind = acc.rows + jnp.cumsum(keep, dtype=jnp.int32) - 1
        index = jnp.where(keep, behind, stored[0].shape[0])  # beyond the last: dropped
        return Stored(
            stored[0].at[index].set(estimates, mode="drop"),
            stored[1].at[index].set(truth, mode="drop"),
            acc.rows + jnp.sum(keep, dtype=jnp.int32),
        )

    def merge(a: Stored, b: Stored) -> Stored:
        joined = update(a, b.pred, b.labels, jnp.arange(b.pred.shape[0], dtype=jnp.int32) < b.rows)
        return joined._replace(rows=a.rows + b.rows)

    return Rules(init, update, merge, _rank_correlation)


def _rank_correlation(acc: Stored) -> Array:
    keep = jnp.arange(acc.pred.shape[0], dtype=jnp.int32) < acc.rows
    lost = acc.rows > acc.pred.shape[0]
    undefined = jnp.any(keep & (jnp.isnan(acc.pred) | jnp.isnan(acc.labels)))
    ranks = _ranks(acc.pred, keep), _ranks(acc.labels, keep)
    return jnp.where(lost | undefined, jnp.nan, pearson(*ranks, mask=keep))


def _ranks(x: Array, keep: Array) -> Array:
    """Returns the rank of each kept number among them, from 1; those not kept sort behind."""
    x = jnp.where(keep, x, jnp.inf)
    ordered = jnp.sort(x)
    below = jnp.searchsorted(ordered, x, side="left").astype(jnp.int32)
    up_to = jnp.searchsorted(ordered, x, side="right").astype(jnp.int32)
    last = jnp.minimum(up_to, jnp.sum(keep, dtype=jnp.int32))
    return (below + last + 1).astype(jnp.float32) / 2
