"""Metrics by label: what each value's rows are taken for, and how far off they are.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import sums
from ldl_jax.metrics.accumulators import Mask, Metric, Rows, added, kept, once, own_index, pair
from ldl_jax.metrics.sums import Sum

Edges = np.ndarray | Sequence[float]


class Binned(NamedTuple):
    """Sums of the rows of each bin, and how many rows."""

    totals: Sum  # [bins]
    rows: Array  # [bins] int32


def confusion_matrix(pred: Rows, labels: Rows, space: LabelSpace, mask: Mask = None) -> Array:
    """How many rows of each label are taken for each: C_ij = #{n: y_n is l_i and ŷ_n is l_j}.

    Args:
      pred: ŷ [N], in the space's unit.
      labels: y [N]; both are taken to their own value, as `encodings.one_hot` does.
      space: the K label values.
      mask: [N], the rows that count.

    Returns:
      [K, K] int32; a row a true value, a column an estimated one. A row with a NaN is in none.

    Raises:
      ValueError: the shapes disagree.
    """
    return once(confusion_matrix_metric(space), pred, labels, mask=mask)


def confusion_matrix_metric(space: LabelSpace) -> Metric:
    """The accumulator of `confusion_matrix(..., space)`."""

    def init() -> Array:
        return jnp.zeros((space.size, space.size), jnp.int32)

    def update(acc: Array, pred: Rows, labels: Rows, mask: Mask = None) -> Array:
        estimates, truth = pair(pred, labels)
        keep = kept(mask, truth.shape[0]).astype(jnp.int32)
        place = own_index(truth, space), own_index(estimates, space)
        return acc.at[place].add(keep, mode="drop")

    return Metric(init, update, added, lambda acc: acc)


def per_label_mae(pred: Rows, labels: Rows, space: LabelSpace, mask: Mask = None) -> Array:
    """MAE of each label value's rows, such as each age's.

    e_k = Σ_{n: y_n is l_k} |ŷ_n - y_n| / #{n: y_n is l_k}

    Args:
      pred: ŷ [N], in the space's unit.
      labels: y [N]; each row is its label's own value's, as in `encodings.one_hot`.
      space: the K label values.
      mask: [N], the rows that count.

    Returns:
      [K] float32, in the space's unit; NaN of a value without a row.

    Raises:
      ValueError: the shapes disagree.
    """
    return once(per_label_mae_metric(space), pred, labels, mask=mask)


def per_label_mae_metric(space: LabelSpace) -> Metric:
    """The accumulator of `per_label_mae(..., space)`."""
    return _binned(space.size, lambda labels: own_index(labels, space), _means)


def balanced_mae(pred: Rows, labels: Rows, edges: Edges, mask: Mask = None) -> Array:
    """Mean over bins of labels of the MAE within each, so that rare ages count as common ones do.

    Args:
      pred: ŷ [N].
      labels: y [N], in the same unit.
      edges: [E], rising, in that unit, no traced array: bin i is [e_i, e_i+1), the last closed.
        Rows outside and empty bins are left out.
      mask: [N], the rows that count.

    Returns:
      [] float32, in the label's unit.

    Raises:
      ValueError: the shapes disagree, or the edges do not rise.
    """
    return once(balanced_mae_metric(edges), pred, labels, mask=mask)


def balanced_mae_metric(edges: Edges) -> Metric:
    """The accumulator of `balanced_mae(..., edges)`.

    Raises:
      ValueError: there are fewer than two edges, or they do not rise.
    """
    ends = np.asarray(edges, np.float32)
    if ends.ndim != 1 or len(ends) < 2 or not np.all(np.diff(ends) > 0):
        raise ValueError(f"edges: expected [E >= 2], rising, got {ends.tolist()}")
    bins = len(ends) - 1

    def index(labels: Array) -> Array:
        inner = arrays.row(ends[1:-1], 2)
        place = jnp.sum(labels[:, None] >= inner, axis=1, dtype=jnp.int32)
        inside = (labels >= ends[0]) & (labels <= ends[-1])
        return jnp.where(inside, place, bins)

    def mean_of_filled(acc: Binned) -> Array:
        filled = acc.rows > 0
        total = jnp.sum(jnp.where(filled, _means(acc), 0.0))
        return total / jnp.sum(filled, dtype=jnp.int32).astype(jnp.float32)

    return _binned(bins, index, mean_of_filled)


def _binned(
    bins: int, index: Callable[[Array], Array], result: Callable[[Binned], Array]
) -> Metric:
    """Absolute errors by bin, of `index(labels)`; rows of index `bins` are left out."""

    def init() -> Binned:
        return Binned(sums.zeros((bins,)), jnp.zeros(bins, jnp.int32))

    def update(acc: Binned, pred: Rows, labels: Rows, mask: Mask = None) -> Binned:
        estimates, truth = pair(pred, labels)
        place = index(truth)
        keep = kept(mask, truth.shape[0]) & (place < bins)
        errors = sums.by_bin(jnp.abs(estimates - truth), keep, place, bins)
        return added(acc, Binned(errors, jax.ops.segment_sum(keep.astype(jnp.int32), place, bins)))

    return Metric(init, update, added, result)


def _means(acc: Binned) -> Array:
    return sums.value(acc.totals) / acc.rows.astype(jnp.float32)
