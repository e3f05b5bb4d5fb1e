"""Scores of learned distributions against labels, and what their intervals hold.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays, decoders
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.metric import Rows, averaged, distributions, mean_of


class Coverage(NamedTuple):
    """The share [] of labels that their intervals hold, and the mean width [] of the intervals."""

    fraction: Array
    width: Array


@averaged(mean_of)
def nll(probs: Rows, labels: Rows, space: LabelSpace) -> Array:
    """Mean negative log-likelihood of the labels, in nats: -(1/N) Σ_n ln p_n,k(n).

    l_k(n) is the label's own value. p is held above 1.2e-38, the least normal float32, so that a
    probability that underflowed costs 87.3 and not infinity.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation"
    (JASA 2007), Sec. 4.1, the logarithmic score.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> round(float(metrics.nll([[0.5, 0.25, 0.25]], [0.0], space)), 3)
    0.693
    """
    p, y = distributions(probs, labels, space)
    of_label = arrays.nan_of(p, arrays.of_own(y, p, space))
    return -jnp.log(jnp.maximum(of_label, jnp.finfo(jnp.float32).tiny))


@averaged(mean_of)
def crps(probs: Rows, labels: Rows, space: LabelSpace) -> Array:
    """Mean continuous ranked probability score; of one-hot distributions the MAE.

    (1/N) Σ_n ∫ (F_n(l) - [l >= y_n])² dl,  F_n the step function with F_n(l_k) = Σ_{j<=k} p_nj

    Exact for a fractional label, and for one beyond the ends; of groups, F steps at the midpoints.
    The same score of logits, row by row, is `losses.crps`.

    The score is a scalar in the space's unit.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation"
    (JASA 2007), Eq. 20.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> float(metrics.crps([[0.5, 0.5, 0.0]], [0.0], space))
    0.25
    """
    p, y = distributions(probs, labels, space)
    F = jax.lax.cumsum(p, axis=1)[:, :-1]
    step = arrays.row(np.diff(space.values), 2)
    # How much of each [l_k, l_k+1] lies below the label: there the indicator is 0, above it 1.
    below = jnp.clip(y[:, None] - arrays.grid(space, 2)[:, :-1], 0.0, step)
    inner = jnp.sum(jnp.square(F) * below + jnp.square(1.0 - F) * (step - below), axis=1)
    nearest = jnp.clip(y, space.values[0], space.values[-1])
    return arrays.nan_where(jnp.isnan(p[:, -1]), inner + jnp.abs(y - nearest))


def _pair(space: LabelSpace, level: float, shortest: bool) -> tuple[int]:
    if arrays.is_known(level) and not 0 <= level <= 1:
        raise ValueError(f"level: expected a number in [0, 1], got {level}")
    return (2,)


@averaged(lambda acc, *parameters: Coverage(*mean_of(acc)), shape=_pair)
def interval_coverage(
    probs: Rows, labels: Rows, space: LabelSpace, level: float = 0.9, shortest: bool = False
) -> Array:
    """The fraction of labels in their distribution's interval, and the intervals' mean width.

    As an interval of label values holds at least the level, a calibrated coarse distribution covers
    more; the width says at what price.

    Args:
      probs: p [N, K].
      labels: y [N], whose own values lie in the intervals or not.
      space: the K label values.
      level: in [0, 1], else a ValueError: the probability that an interval is to hold.
      shortest: False takes the central interval, `decoders.interval`; True the shortest,
        `decoders.highest_density_interval`, which compares N K² numbers: of many rows, use the
        accumulator on batches of them.

    Returns:
      Coverage(fraction [], width []); the width in the space's unit, 0 of a single value.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation"
    (JASA 2007), Sec. 6.2, the central prediction interval.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(0, 2)
    >>> covered = metrics.interval_coverage([[0.5, 0.5, 0.0]] * 2, [1.0, 2.0], space)
    >>> float(covered.fraction), float(covered.width)
    (0.5, 1.0)
    """
    p, y = distributions(probs, labels, space)
    interval = decoders.highest_density_interval if shortest else decoders.interval
    low, high = interval(p, space, level)
    value = arrays.of_own(y, arrays.grid(space, 2), space)
    inside = (value >= low) & (value <= high)
    return jnp.stack([inside.astype(jnp.float32), high - low], axis=1)
