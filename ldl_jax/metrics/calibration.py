"""Calibration: learned probabilities against the frequencies of what they are of.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.metric import Mean, Rows, averaged, distributions, mean_of, own_index

Levels = np.ndarray | Sequence[float]
LEVELS = tuple(float(level) for level in np.arange(1, 20) / 20)


def _bins(space: LabelSpace, bins: int) -> tuple[int]:
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    return (bins,)


@averaged(lambda acc, *parameters: jnp.sum(jnp.abs(mean_of(acc))), shape=_bins)
def ece(probs: Rows, labels: Rows, space: LabelSpace, bins: int = 15) -> Array:
    """Expected calibration error of the most probable label.

    Σ_m |B_m|/N |acc(B_m) - conf(B_m)|, B_m the rows whose confidence max_k p_k is in
    ((m-1)/M, m/M], acc the fraction of them whose most probable value is the label's own (as in
    `encodings.one_hot`), conf their mean confidence.

    It does not see how far off a wrong value is; `quantile_calibration_error` is of the whole
    ordered distribution.

    `bins` is M; below 1 it is a ValueError. The error is a scalar in [0, 1].

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), Eq. 3.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 1)
    >>> float(metrics.ece([[0.75, 0.25]] * 2, [0.0, 1.0], space))
    0.25
    """
    # Each row adds right - confidence to acc - conf of its bin.
    p, y = distributions(probs, labels, space)
    confidence = jnp.max(p, axis=1)
    above = confidence[:, None] > arrays.row(np.arange(1, bins) / bins, 2)
    index = jnp.sum(above, axis=1, dtype=jnp.int32)
    right = jnp.argmax(p, axis=1).astype(jnp.int32) == own_index(y, space)
    gap = right.astype(jnp.float32) - confidence
    return jnp.where(index[:, None] == jnp.arange(bins, dtype=jnp.int32)[None], gap[:, None], 0.0)


def _count(space: LabelSpace, levels: Levels) -> tuple[int, ...]:
    u = np.asarray(levels, np.float32)
    if u.ndim != 1 or not len(u) or not np.all((u >= 0) & (u <= 1)):
        raise ValueError(f"levels: expected [J >= 1] in [0, 1], got {u.tolist()}")
    return u.shape


@averaged(mean_of, shape=_count)
def calibration_curve(
    probs: Rows, labels: Rows, space: LabelSpace, levels: Levels = LEVELS
) -> Array:
    """The share of labels at or below each quantile of their distributions: the PIT's CDF.

    f(u) = (1/N) Σ_n F_n(u),  F_n(u) = min(max((u - c_k-1) / (c_k - c_k-1), 0), 1),
    c_k = Σ_{j<=k} p_nj, l_k the label's own value (as in `encodings.one_hot`)

    Calibrated distributions have f(u) = u in expectation, however coarse the grid. The plain
    fraction of labels with c_k <= u falls short of u, the more so the more mass single values hold.
    So a label's c is spread evenly over [c_k-1, c_k], which is the mean of drawing it from there.

    p is divided by its sum. The `levels` u [J] must lie in [0, 1], else a ValueError is raised, and
    are no traced array. The result f [J] is in [0, 1].

    Source: Czado, Gneiting and Held, "Predictive Model Assessment for Count Data" (Biometrics
    2009), the nonrandomized probability integral transform.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 1)
    >>> metrics.calibration_curve([[0.5, 0.5]] * 2, [0.0, 1.0], space, [0.25, 0.5]).tolist()
    [0.25, 0.5]
    """
    return _pit_below(probs, labels, space, levels)


def _squared_gap(acc: Mean, space: LabelSpace, levels: Levels) -> Array:
    return jnp.mean(jnp.square(mean_of(acc) - jnp.asarray(levels, jnp.float32)))


@averaged(_squared_gap, shape=_count)
def quantile_calibration_error(
    probs: Rows, labels: Rows, space: LabelSpace, levels: Levels = LEVELS
) -> Array:
    """Calibration error of the quantiles: (1/J) Σ_j (u_j - f(u_j))², f the `calibration_curve`.

    The error is a scalar in [0, 1]; the arguments are the curve's.
    Source: Kuleshov, Fenner and Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated
    Regression" (ICML 2018), its calibration error with all weights 1/J. That of a discrete
    distribution is our extension: see `calibration_curve`.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 1)
    >>> float(metrics.quantile_calibration_error([[1.0, 0.0]], [1.0], space, [0.5]))
    0.25
    """
    return _pit_below(probs, labels, space, levels)


def _pit_below(probs: Rows, labels: Rows, space: LabelSpace, levels: Levels) -> Array:
    """Returns how much of the label's [c_k-1, c_k] lies below each level, [N, J]."""
    p, y = distributions(probs, labels, space)
    mass = jax.lax.cumsum(p, axis=1)
    mass = mass / mass[:, -1:]
    index, u = own_index(y, space)[:, None], arrays.row(np.asarray(levels), 2)
    upper = jnp.take_along_axis(mass, index, axis=1)
    before = jnp.take_along_axis(mass, jnp.maximum(index - 1, 0), axis=1)
    lower = jnp.where(index > 0, before, 0.0)
    width = upper - lower
    share = (u - lower) / jnp.where(width > 0, width, 1.0)
    inside = jnp.where(u <= lower, 0.0, share)
    below = jnp.where(u >= upper, 1.0, inside)
    return jnp.where(jnp.isnan(upper), jnp.nan, below)
