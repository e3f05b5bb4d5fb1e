"""Recalibration of cumulative probabilities by the frequencies that labels had."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays, metrics
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.metric import Mask, kept


def fit_recalibration(
    probs: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    levels: ArrayLike,
    mask: Mask = None,
) -> jax.Array:
    """Finds the map R of cumulative probabilities, at some levels, that makes them frequencies.

    R(u) = (N f(u) + u) / (N + 1), with f the `metrics.calibration_curve`: the share of labels that
    lie at or below the u-quantile of their distribution. f is the isotonic regression of the pairs
    (F_n(y_n), share of labels with F(y) <= F_n(y_n)): these pairs rise already, so the isotonic
    function that is nearest to them goes through them. One calibrated label is added to the N, so
    that R rises strictly, and no label loses all of its probability.

    Args:
      probs: p [N, K].
      labels: y [N].
      space: the K label values.
      levels: u [J] in [0, 1], rising, known; between them R is linear. Fewer are smoother.
      mask: [N], which rows count; by default all.

    Returns: R [J] float32, rising strictly.

    Source: Kuleshov, Fenner and Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated
    Regression" (ICML 2018), Algorithm 1; of discrete distributions the nonrandomized f of Czado,
    Gneiting and Held, "Predictive Model Assessment for Count Data" (Biometrics 2009).

    Examples:
      >>> space = LabelSpace.range(0, 1)
      >>> probs, labels = jnp.full((9, 2), 0.5), jnp.zeros(9)
      >>> print(calibration.fit_recalibration(probs, labels, space, np.array([0.0, 0.5, 1.0])))
      [0.   0.95 1.  ]
    """
    known = np.asarray(levels, np.float32)
    share = metrics.calibration_curve(probs, labels, space, known, mask=mask)
    count = jnp.sum(kept(mask, arrays.float32(labels).shape[0]).astype(jnp.float32))
    return (count * share + known) / (count + 1.0)


def recalibrate(probs: ArrayLike, levels: ArrayLike, curve: ArrayLike) -> jax.Array:
    """Maps the cumulative probabilities of distributions: p'_k = R(c_k) - R(c_k-1).

    c_k = Σ_{j<=k} p_j, and R is linear between its values at the levels.

    Args:
      probs: p [..., K]; divided by its sum.
      levels: u [J], rising from 0 to 1.
      curve: R(u) [J], rising from 0 to 1, as of `fit_recalibration`.

    Returns: p' [..., K] float32, which sums to one.
    Raises: ValueError if the levels and the curve differ in shape.

    Source: Kuleshov, Fenner and Ermon (ICML 2018), Algorithm 1: the recalibrated R ∘ F.

    Examples:
      >>> levels, curve = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.0, 0.9, 1.0])
      >>> print(calibration.recalibrate(jnp.array([0.5, 0.25, 0.25]), levels, curve))
      [0.9  0.05 0.05]
    """
    p, u = arrays.float32(probs), arrays.float32(levels)
    R = arrays.with_shape("curve", curve, u.shape)
    return _mapped(p, u, R)


@jax.jit
def _mapped(p: jax.Array, u: jax.Array, R: jax.Array) -> jax.Array:
    mass = jax.lax.cumsum(p, axis=p.ndim - 1)
    mass = mass / mass[..., -1:]
    step = u[1:] - u[:-1]
    slope = arrays.row((R[1:] - R[:-1]) / step, p.ndim + 1)
    # Which part of each step lies below c_k: a sum of ramps, without a search.
    above = mass[..., None] - arrays.row(u[:-1], p.ndim + 1)
    ramps = jnp.clip(above, 0.0, arrays.row(step, p.ndim + 1))
    mapped = jnp.sum(ramps * slope, axis=-1)
    before = jnp.concatenate([jnp.zeros_like(mapped[..., :1]), mapped[..., :-1]], axis=-1)
    cells = jnp.maximum(mapped - before, 0.0)
    return cells / jnp.sum(cells, axis=-1, keepdims=True)
