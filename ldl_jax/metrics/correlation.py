"""Correlations of estimates with labels, Pearson's and Spearman's.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ldl_jax.metrics import sums as metrics_sums
from ldl_jax.metrics.accumulators import Mask, Metric, Rows, added, count, kept, once, pair
from ldl_jax.metrics.sums import Sum


class Moments(NamedTuple):
    """The sums that a correlation is made of."""

    rows: Array  # [] int32
    first: Sum  # [2]: Σŷ, Σy
    second: Sum  # [3]: Σŷ², Σy², Σŷy


class Stored(NamedTuple):
    """The kept rows themselves, in any order."""

    pred: Array  # [C]
    labels: Array  # [C]
    rows: Array  # [] int32; of more than C some are lost


def pearson(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Pearson's correlation cov(ŷ, y) / (std(ŷ) std(y)), in [-1, 1]; NaN where one is constant.

    Numbers are taken to multiples of 2^-32 (above 2^-9 a float32 number is one), and one of 2^31
    or more makes the result NaN. The three moments n Σŷy - Σŷ Σy are then exact, so that large
    means lose no digits.
    """
    return once(PEARSON, pred, labels, mask=mask)


def spearman(pred: Rows, labels: Rows, mask: Mask = None) -> Array:
    """Spearman's correlation: Pearson's of the ranks, ties given their mean rank; in [-1, 1].

    NaN where one of the two is constant or a kept row holds a NaN.
    """
    size = pair(pred, labels)[0].shape[0]
    return once(spearman_rows(max(size, 1)), pred, labels, mask=mask)


def spearman_rows(capacity: int) -> Metric:
    """The accumulator of `spearman`, of at most `capacity` rows: of more its result is NaN.

    A rank depends on all rows, so no sums of fixed size give it exactly. This keeps the rows, 8
    bytes each: 80 kB for 10,000 pictures. Merging joins the rows of two accumulators (across
    devices by `merged`; `jax.lax.psum` does not), and their order does not matter.

    Raises:
      ValueError: the capacity is not in [1, 2^23].
    """
    if not 1 <= capacity <= metrics_sums.MOST_ROWS:
        most = metrics_sums.MOST_ROWS
        raise ValueError(f"capacity: expected a number in [1, {most}], got {capacity}")

    def init() -> Stored:
        nothing = jnp.zeros(capacity, jnp.float32)
        return Stored(nothing, nothing, jnp.zeros((), jnp.int32))

    def update(acc: Stored, pred: Rows, labels: Rows, mask: Mask = None) -> Stored:
        estimates, truth = pair(pred, labels)
        keep = kept(mask, estimates.shape[0])
        behind = acc.rows + jnp.cumsum(keep, dtype=jnp.int32) - 1
        place = jnp.where(keep, behind, capacity)  # beyond the last: dropped
        return Stored(
            acc.pred.at[place].set(estimates, mode="drop"),
            acc.labels.at[place].set(truth, mode="drop"),
            acc.rows + count(keep),
        )

    def merge(a: Stored, b: Stored) -> Stored:
        joined = update(a, b.pred, b.labels, jnp.arange(capacity) < b.rows)
        return joined._replace(rows=a.rows + b.rows)

    return Metric(init, update, merge, _rank_correlation)


def _moments(acc: Moments, pred: Rows, labels: Rows, mask: Mask = None) -> Moments:
    x, y = (metrics_sums.on_grid(rows) for rows in pair(pred, labels))
    keep = kept(mask, x.shape[0])
    first = metrics_sums.over_rows(jnp.stack([x, y], axis=-1), keep)
    left, right = jnp.stack([x, y, x], axis=-1), jnp.stack([x, y, y], axis=-1)
    second = metrics_sums.of_products(left, right, keep)
    return added(acc, Moments(count(keep), first, second))


def _correlation(acc: Moments) -> Array:
    def at(sums: Sum, i: int) -> Sum:
        return jax.tree.map(lambda leaf: leaf[i], sums)

    def moment(i: int, j: int, product: int) -> Array:
        both = at(acc.first, i), at(acc.first, j)
        return metrics_sums.comoment(acc.rows, *both, at(acc.second, product))

    spread = jnp.sqrt(moment(0, 0, 0)) * jnp.sqrt(moment(1, 1, 1))
    return jnp.clip(moment(0, 1, 2) / spread, -1.0, 1.0)


def _rank_correlation(acc: Stored) -> Array:
    keep = jnp.arange(acc.pred.shape[0]) < acc.rows
    ranks = (_ranks(acc.pred, keep), _ranks(acc.labels, keep))
    lost = acc.rows > acc.pred.shape[0]
    undefined = jnp.any(keep & (jnp.isnan(acc.pred) | jnp.isnan(acc.labels)))
    return jnp.where(lost | undefined, jnp.nan, once(PEARSON, *ranks, mask=keep))


def _ranks(x: Array, keep: Array) -> Array:
    """The rank of each kept number among them, from 1; those not kept sort behind."""
    x = jnp.where(keep, x, jnp.inf)
    ordered = jnp.sort(x)
    below = jnp.searchsorted(ordered, x, side="left")
    upto = jnp.minimum(jnp.searchsorted(ordered, x, side="right"), count(keep))
    return (below + upto + 1).astype(jnp.float32) / 2


def _no_moments() -> Moments:
    zero = jnp.zeros((), jnp.int32)
    return Moments(zero, metrics_sums.zeros((2,)), metrics_sums.zeros((3,)))


PEARSON = Metric(_no_moments, _moments, added, _correlation)
