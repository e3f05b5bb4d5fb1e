"""Encodings by a label's value: one-hot, Gaussian, Laplace, SORD, two-hot and HL-Gauss.

They take labels [...] in the space's unit and give float32 [..., K] (`normalised`: [...]).
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace


def one_hot(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Puts one at the label's own value, zero elsewhere.

    o_k = [k = argmin_j |l_j - y|], a tie going to the lower value. In a space of groups it is the
    group whose bounds hold the label; a label in a gap takes the group with the nearest midpoint.

    Args:
      labels: [...], in the space's unit; beyond the ends they take the end value.
      space: the K label values.

    Returns: [..., K] float32.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 4 (its o); the
    paper's labels are on the grid, the nearest value is our extension to fractional ones.

    Examples:
      >>> print(encodings.one_hot(22.4, LabelSpace.range(20, 24)))
      [0. 0. 1. 0. 0.]
    """
    y = arrays.float32(labels)
    return arrays.nan_where(jnp.isnan(y), arrays.own(y, space).astype(jnp.float32))


def normalised(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """The label on the scale of CEN's regression head: y = (l - l_1) / (l_K - l_1).

    Args:
      labels: [...], in the space's unit.
      space: its `low` and `high` are l_1 and l_K (the paper: the training set's extremes).

    Returns: [...] float32; 0 at `space.low`, 1 at `space.high`.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 1.

    Examples:
      >>> print(encodings.normalised(jnp.array([20, 21, 24]), LabelSpace.range(20, 24)))
      [0.   0.25 1.  ]
    """
    return (arrays.float32(labels) - space.low) / (space.high - space.low)


def gaussian(
    labels: ArrayLike, space: LabelSpace, sigma: ArrayLike = 2.0, *, normalise: bool = True
) -> jax.Array:
    """A normal density around the label, on the label values.

    p_k = exp(-(l_k - y)^2 / 2σ^2) / Σ_j exp(-(l_j - y)^2 / 2σ^2)

    As σ -> 0 this is one-hot at the nearest value (half and half where two are equally near), and
    so it is at σ = 0, also for a fractional y, with finite gradients.

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      sigma: σ in the space's unit; a scalar, or one a label [...].
      normalise: False gives the raw density of Eq. 1, 1/(√(2π)σ) exp(-(l_k - y)^2 / 2σ^2).

    Returns: [..., K] float32.
    Raises: ValueError if sigma is a negative number, or neither a scalar nor of the labels' shape.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 1.
    The default divides by the sum, as the authors' code does: Eq. 1 as printed does not sum to one
    near the ends of the grid, and Eqs. 9 and 16 need that it does.

    Examples:
      >>> print(encodings.gaussian(22, LabelSpace.range(20, 24), sigma=1.0))
      [0.054 0.244 0.403 0.244 0.054]
    """
    y = arrays.float32(labels)
    width = arrays.deviation("sigma", sigma, y.shape, space)
    exponent = -0.5 * jnp.square(_distance(y, space) / width)
    if normalise:
        return jax.nn.softmax(exponent, axis=-1)
    return jnp.exp(exponent) / (float(np.sqrt(2 * np.pi)) * width)


def laplace(labels: ArrayLike, space: LabelSpace, scale: ArrayLike = 2.0) -> jax.Array:
    """A Laplace density around the label, on the label values.

    p_k = exp(-|l_k - y| / b) / Σ_j exp(-|l_j - y| / b)

    It is one-hot at b = 0 as `gaussian` is.

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      scale: b in the space's unit; a scalar, or one a label [...].

    Returns: [..., K] float32.
    Raises: ValueError if scale is a negative number, or neither a scalar nor of the labels' shape.

    Source: the Laplace density in the place of the normal one of Gao et al., "Age Estimation Using
    Expectation of Label Distribution Learning", Eq. 1.

    Examples:
      >>> print(encodings.laplace(22, LabelSpace.range(20, 24), scale=1.0))
      [0.067 0.183 0.498 0.183 0.067]
    """
    y = arrays.float32(labels)
    width = arrays.deviation("scale", scale, y.shape, space)
    return jax.nn.softmax(-arrays.absolute(_distance(y, space)) / width, axis=-1)


def sord(
    labels: ArrayLike,
    space: LabelSpace,
    *,
    distance: Literal["absolute", "squared"] = "absolute",
    alpha: ArrayLike = 1.0,
) -> jax.Array:
    """Soft ordinal targets: the softmax of the negative distance to the label.

    p_k = exp(-α φ(y, l_k)) / Σ_j exp(-α φ(y, l_j)),  φ = |y - l| or (y - l)^2

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      distance: φ.
      alpha: α, a scalar, per unit of φ.

    Returns: [..., K] float32.
    Raises: ValueError if distance is neither, or alpha is not positive.

    Source: Díaz and Marathe, "Soft Labels for Ordinal Regression" (CVPR 2019), which leaves φ open
    and has α within it. The absolute distance with α = 1 is that of Paplhám and Franc, "A Call to
    Reflect on Evaluation Practices for Age Estimation" (CVPR 2024).

    Examples:
      >>> print(encodings.sord(22, LabelSpace.range(20, 24), alpha=2.0))
      [0.014 0.104 0.765 0.104 0.014]
    """
    if distance not in ("absolute", "squared"):
        raise ValueError(f"distance: expected 'absolute' or 'squared', got {distance!r}")
    away = _distance(arrays.float32(labels), space)
    phi = arrays.absolute(away) if distance == "absolute" else jnp.square(away)
    return jax.nn.softmax(-arrays.positive("alpha", alpha) * phi, axis=-1)


def two_hot(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """The two neighbouring values, mixed so that their expectation is the label.

    p_k = (l_{k+1} - y) / (l_{k+1} - l_k),  p_{k+1} = 1 - p_k  for y in [l_k, l_{k+1}]

    Args:
      labels: [...], in the space's unit; beyond the ends they take the end value.
      space: the K label values; of groups, their midpoints.

    Returns: [..., K] float32.

    Source: Bellemare, Dabney and Munos, "A Distributional Perspective on Reinforcement Learning"
    (ICML 2017), Eq. 7 (the projection), for a grid that need not be even.

    Examples:
      >>> print(encodings.two_hot(21.25, LabelSpace.range(20, 24)))
      [0.   0.75 0.25 0.   0.  ]
    """
    y = arrays.float32(labels)
    values = np.asarray(space.values, np.float64)
    # Beyond the ends the slope is 0, so that the end value keeps all of the mass.
    rise = arrays.row(1 / np.diff(values, prepend=-np.inf), y.ndim + 1)
    fall = arrays.row(1 / np.diff(values, append=np.inf), y.ndim + 1)
    away = _distance(y, space)
    return jax.nn.relu(1.0 - jnp.maximum(away * rise, -away * fall))


def hl_gauss(labels: ArrayLike, space: LabelSpace, sigma: ArrayLike = 2.0) -> jax.Array:
    """The mass that a normal distribution around the label puts on each value's bin.

    p_k = [Φ((b_{k+1} - y)/σ) - Φ((b_k - y)/σ)] / [Φ((b_{K+1} - y)/σ) - Φ((b_1 - y)/σ)]

    The bins' edges b lie midway between the values, half a step beyond the ends; of groups, within
    the gaps, and at the low of the first and the high of the last.

    Args:
      labels: [...], in the space's unit; beyond the outer edges they take the edge.
      space: the K label values.
      sigma: σ in the space's unit; a scalar, or one a label [...]. At 0 one-hot (half and half on
        an edge), never NaN.

    Returns: [..., K] float32.
    Raises: ValueError if sigma is a negative number, or neither a scalar nor of the labels' shape.

    Source: Imani and White, "Improving Regression Performance with Distributional Losses"
    (ICML 2018), the truncated Gaussian histogram (HL-Gaussian). σ = 2 is that of `gaussian`; code
    after Farebrother et al., "Stop Regressing: Training Value Functions via Classification for
    Scalable Deep RL" (2024), takes 0.75 of a bin's width.

    Examples:
      >>> print(encodings.hl_gauss(22, LabelSpace.range(20, 24), sigma=1.0))
      [0.061 0.245 0.388 0.245 0.061]
    """
    edges = _edges(space)
    y = jnp.clip(arrays.float32(labels), float(edges[0]), float(edges[-1]))
    width = arrays.deviation("sigma", sigma, y.shape, space)
    z = (arrays.row(edges, y.ndim + 1) - y[..., None]) / (float(np.sqrt(2)) * width)
    mass = jnp.diff(erf(z), axis=-1)
    return mass / jnp.sum(mass, axis=-1, keepdims=True)


def _distance(y: jax.Array, space: LabelSpace) -> jax.Array:
    """l_k - y, [..., K]."""
    return arrays.grid(space, y.ndim + 1) - y[..., None]


def _edges(space: LabelSpace) -> np.ndarray:
    """The K+1 edges of the values' bins."""
    values = np.asarray(space.values, np.float64)
    ends = [1.5 * values[0] - 0.5 * values[1], 1.5 * values[-1] - 0.5 * values[-2]]
    if space.bounds:
        ends = [space.low, space.high]
    return np.concatenate([ends[:1], arrays.thresholds(space), ends[1:]]).astype(np.float32)
