"""Ranks of labels, the normal c.d.f., and the linear maps between ranks and distributions.

All of it is Sec. 3.2 of Gao et al., "Age Estimation Using Expectation of Label Distribution
Learning": ranking learns the c.d.f. of a label distribution.

The convention throughout: c_k = Σ_{j<=k} p_j is the probability of a label not above l_k, and the
rank r_k = 1 - c_k that of one above it, as Eqs. 2-4 have it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace


def rank(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Compares the label with each value but the last: [1, ..., 1, 0, ..., 0].

    r_k = [y > l_k],  k = 1, ..., K-1; so the first k-1 are one for y in (l_{k-1}, l_k]. In a space
    of groups the first k-1 are one for a label of the k-th group (as `one_hot` assigns it).

    Args:
      labels: [...], in the space's unit.
      space: the K label values.

    Returns: [..., K-1] float32, of zeros and ones.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning",
    Sec. 3.2; Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016).

    Examples:
      >>> print(encodings.rank(22, LabelSpace.range(20, 24)))
      [1. 1. 0. 0.]
    """
    y = arrays.float32(labels)
    levels = arrays.thresholds(space) if space.bounds else np.asarray(space.values[:-1], np.float32)
    above = (y[..., None] > arrays.row(levels, y.ndim + 1)).astype(jnp.float32)
    return arrays.nan_where(jnp.isnan(y), above)


def cumulative(labels: ArrayLike, space: LabelSpace, sigma: ArrayLike = 2.0) -> jax.Array:
    """The normal c.d.f. around the label, at the label values.

    c_k = 1/2 [1 + erf((l_k - y) / (σ√2))]

    As σ -> 0, 1 - c_k of the first K-1 is `rank` (Eq. 4), save that it is 1/2 where y = l_k.

    Args:
      labels: [...], in the space's unit.
      space: the K label values; of groups, their midpoints.
      sigma: σ in the space's unit; a scalar, or one a label [...]. 0 is the limit, never NaN.

    Returns: [..., K] float32.
    Raises: ValueError if sigma is a negative number, or neither a scalar nor of the labels' shape.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 2.

    Examples:
      >>> print(encodings.cumulative(22, LabelSpace.range(20, 24), sigma=1.0))
      [0.023 0.159 0.5   0.841 0.977]
    """
    y = arrays.float32(labels)
    width = arrays.deviation("sigma", sigma, y.shape, space)
    return ndtr((arrays.grid(space, y.ndim + 1) - y[..., None]) / width)


def transformation_matrix(size: int) -> jax.Array:
    """The matrix T of c = T p, that sums a distribution up to each value.

    T_kj = 1 for j <= k, else 0.

    Args:
      size: K.

    Returns: [K, K] float32, lower triangular.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 5.
    It prints T_ij = 1 for i <= j: with i the row, c would be summed from each value upwards and
    1 - c would rise with k, against Eqs. 2-4 and 6. We take j as the row.

    Examples:
      >>> print(encodings.transformation_matrix(3) @ jnp.array([0.25, 0.5, 0.25]))
      [0.25 0.75 1.  ]
    """
    return jnp.tril(jnp.ones((size, size), jnp.float32))


def ranks_from_distribution(probs: ArrayLike) -> jax.Array:
    """The ranks that a distribution implies.

    r_k = 1 - (T p)_k = Σ_{j>k} p_j,  k = 1, ..., K-1

    The ranks of a one-hot p at a value of the grid are exactly `rank`.

    Args:
      probs: p [..., K], summing to one.

    Returns: [..., K-1] float32.
    Raises: ValueError if there are fewer than two probabilities.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 6.

    Examples:
      >>> print(encodings.ranks_from_distribution(jnp.array([0.25, 0.5, 0.25])))
      [0.75 0.25]
    """
    p = arrays.float32(probs)
    if p.ndim < 1 or p.shape[-1] < 2:
        raise ValueError(f"probs: expected shape [..., K] with K > 1, got {list(p.shape)}")
    # Summed from the top, a small tail keeps the digits that 1 - c would lose.
    ranks = jax.lax.cumsum(p[..., 1:], axis=p.ndim - 1, reverse=True)
    return arrays.nan_where(jnp.isnan(p[..., 0]), ranks)


def distribution_from_ranks(ranks: ArrayLike, *, clip: bool = False) -> jax.Array:
    """The distribution that ranks imply: the inverse of `ranks_from_distribution`.

    p_1 = 1 - r_1,  p_k = r_{k-1} - r_k,  p_K = r_{K-1}

    Args:
      ranks: r [..., K-1], the probabilities that the label is above each value but the last.
      clip: classifiers learnt independently may give ranks that rise, so that some p_k < 0; True
        sets those to 0 and divides by the sum.

    Returns: [..., K] float32, summing to one.
    Raises: ValueError if there is no rank.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 6,
    solved for p; the clipping is ours.

    Examples:
      >>> print(encodings.distribution_from_ranks(jnp.array([0.75, 0.25])))
      [0.25 0.5  0.25]
    """
    r = arrays.float32(ranks)
    if r.ndim < 1 or r.shape[-1] < 1:
        raise ValueError(f"ranks: expected shape [..., K-1] with K > 1, got {list(r.shape)}")
    ones = jnp.ones_like(r[..., :1])
    p = -jnp.diff(r, axis=-1, prepend=ones, append=jnp.zeros_like(ones))
    if not clip:
        return p
    p = jax.nn.relu(p)
    # The sum is never below 1: what is clipped is what the others have too much.
    return p / jnp.sum(p, axis=-1, keepdims=True)
