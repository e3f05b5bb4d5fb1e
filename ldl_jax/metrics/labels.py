"""Metrics by label: how far off each value's rows are, and which value they are taken for.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import sums
from ldl_jax.metrics.correlation import Moments, pearson
from ldl_jax.metrics.errors import absolute
from ldl_jax.metrics.metric import (
    Mask,
    Mean,
    Rows,
    Rules,
    accumulated,
    averaged,
    kept,
    mean_of,
    own_index,
    pair,
)

Edges = np.ndarray | Sequence[float]


@accumulated("pred", "labels")
def confusion_matrix(space: LabelSpace) -> Rules[Array, Array]:
    """Counts of rows by label and estimate: C_ij = #{n: y_n is l_i and ŷ_n is l_j}.

    Both are taken to their own value. The counts [K, K] are int32, with a row for each true value
    and a column for each estimated one. An example with a NaN is in none.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> metrics.confusion_matrix([0.1, 1.8, 2.0], [0.0, 1.0, 2.0], space).tolist()
    [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    """

    def init() -> Array:
        return jnp.zeros((space.size, space.size), jnp.int32)

    def update(acc: Array, pred: Rows, labels: Rows, mask: Mask = None) -> Array:
        estimates, truth = (arrays.whole(x) for x in pair(pred, labels))
        keep = arrays.whole(kept(mask, truth.shape[0])).astype(jnp.int32)
        return acc.at[own_index(truth, space), own_index(estimates, space)].add(keep, mode="drop")

    return Rules(init, update, jnp.add, lambda acc: acc)


def _is_value(pred: Rows, labels: Rows, space: LabelSpace) -> Array:
    """Returns whether each of the K values is the label's own, [N, K] bool."""
    index = own_index(pair(pred, labels)[1], space)
    return index[:, None] == jnp.arange(space.size, dtype=jnp.int32)[None]


@averaged(mean_of, shape=lambda space: (space.size,), where=_is_value)
def per_label_mae(pred: Rows, labels: Rows, space: LabelSpace) -> Array:
    """MAE of each label value's rows, such as each age's.

    e_k = Σ_{n: y_n is l_k} |ŷ_n - y_n| / #{n: y_n is l_k}

    A row counts for its label's own value. The errors [K] are in the space's unit, and NaN of a
    value without a row.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> metrics.per_label_mae([0.5, 1.5, 4.0], [0.0, 0.0, 2.0], space).tolist()
    [1.0, nan, 2.0]
    """
    return absolute(pred, labels)[:, None]


def _of_filled(acc: Mean) -> tuple[Array, Array]:
    """Returns which label values have a row, and their means, 0 of those without."""
    filled = acc.rows > 0
    means = sums.mean(acc.total, jnp.maximum(acc.rows, 1))
    return filled, jnp.where(filled, means, 0.0)


def _mean_over_labels(acc: Mean, space: LabelSpace) -> Array:
    filled, means = _of_filled(acc)
    return jnp.sum(means) / jnp.sum(filled, dtype=jnp.int32).astype(jnp.float32)


@averaged(_mean_over_labels, shape=lambda space: (space.size,), where=_is_value)
def average_mae(pred: Rows, labels: Rows, space: LabelSpace) -> Array:
    """AMAE, the mean over the label values of the MAE of each one's rows; a scalar in their unit.

    (1/|V|) Σ_{k in V} e_k,  e of `per_label_mae`, V the values with a row: a rare value counts as
    much as a common one.

    Source: Baccianella, Esuli and Sebastiani, "Evaluation Measures for Ordinal Regression" (ISDA
    2009), the macroaveraged MAE. There and in dlordinal classes are one step apart.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> float(metrics.average_mae([0.5, 1.5, 4.0], [0.0, 0.0, 2.0], space))
    1.5
    """
    return absolute(pred, labels)[:, None]


def _greatest(acc: Mean, space: LabelSpace) -> Array:
    filled, means = _of_filled(acc)
    return arrays.nan_where(~jnp.any(filled), jnp.max(means))


@averaged(_greatest, shape=lambda space: (space.size,), where=_is_value)
def maximum_mae(pred: Rows, labels: Rows, space: LabelSpace) -> Array:
    """MMAE, the MAE of the label value whose rows are estimated worst; a scalar in its unit.

    max_k e_k,  e of `per_label_mae`, over the values with a row.

    Source: Cruz-Ramírez et al., "Metrics to guide a multi-objective evolutionary algorithm for
    ordinal classification" (Neurocomputing 2014). There and in dlordinal classes are one step
    apart.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> float(metrics.maximum_mae([0.5, 1.5, 4.0], [0.0, 0.0, 2.0], space))
    2.0
    """
    return absolute(pred, labels)[:, None]


@accumulated("pred", "labels")
def quadratic_weighted_kappa(space: LabelSpace) -> Rules[Moments, Array]:
    """Cohen's kappa with quadratic weights, in [-1, 1]: agreement beyond that of chance.

    κ = 1 - Σ_ij (i - j)² O_ij / Σ_ij (i - j)² E_ij,  O the shares of `confusion_matrix`, E those of
    the same margins if estimate and label were independent. It is computed from the moments of the
    indices, which hold both sums: mean and variances give the lower one, and the covariance what
    the upper one lacks. NaN where all labels and all estimates are one value.

    Both are taken to their own value, and values count by their position, one step apart, as in
    scikit-learn and dlordinal.

    Source: Cohen, "Weighted kappa: Nominal scale agreement with provision for scaled disagreement
    or partial credit" (Psychological Bulletin 1968).

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> round(float(metrics.quadratic_weighted_kappa([0.0, 1.0, 1.0], [0.0, 1.0, 2.0], space)), 3)
    0.667
    """

    def index(x: Array) -> Array:
        return arrays.nan_where(jnp.isnan(x), arrays.index(x, space).astype(jnp.float32))

    def update(acc: Moments, pred: Rows, labels: Rows, mask: Mask = None) -> Moments:
        return pearson.rules.update(acc, *map(index, pair(pred, labels)), mask=mask)

    def kappa(acc: Moments) -> Array:
        variances_and_product, mean = sums.value(acc.second), sums.value(acc.mean)
        apart = acc.rows.astype(jnp.float32) * jnp.square(mean[0] - mean[1])
        chance = variances_and_product[0] + variances_and_product[1] + apart
        return 2.0 * variances_and_product[2] / chance

    return pearson.rules._replace(update=update, result=kappa)


def _bins(edges: Edges) -> tuple[int]:
    ends = np.asarray(edges, np.float32)
    if ends.ndim != 1 or len(ends) < 2 or not np.all(np.diff(ends) > 0):
        raise ValueError(f"edges: expected [E >= 2], rising, got {ends.tolist()}")
    return (len(ends) - 1,)


def _in_bin(pred: Rows, labels: Rows, edges: Edges) -> Array:
    """Returns whether the label lies in each of the bins, [N, E - 1] bool."""
    y, ends = arrays.float32(labels)[:, None], arrays.row(np.asarray(edges), 2)
    above, below = y >= ends[:, :-1], y < ends[:, 1:]
    return above & below.at[:, -1].set(y[:, 0] <= ends[0, -1])


def _mean_of_filled(acc: Mean, edges: Edges) -> Array:
    filled = acc.rows > 0
    total = jnp.sum(jnp.where(filled, mean_of(acc), 0.0))
    return total / jnp.sum(filled, dtype=jnp.int32).astype(jnp.float32)


@averaged(_mean_of_filled, shape=_bins, where=_in_bin)
def balanced_mae(pred: Rows, labels: Rows, edges: Edges) -> Array:
    """Mean over bins of labels of the MAE within each, so that rare ages count as common ones do.

    `edges` [E], in the label's unit, rise (else a ValueError) and are no traced array: bin i is
    [e_i, e_i+1), the last closed. Rows outside and empty bins are left out. A scalar in that unit.

    >>> from ldl_jax import metrics
    >>> float(metrics.balanced_mae([1.0, 1.0, 35.0], [0.0, 0.0, 30.0], [0.0, 10.0, 40.0]))
    3.0
    """
    return absolute(pred, labels)[:, None]
