"""The target where people voted: the share of the votes that each value has."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.arrays import Scalar
from ldl_jax.encodings.gaussian import gaussian
from ldl_jax.labels import LabelSpace


def from_votes(votes: ArrayLike, space: LabelSpace, smoothing: Scalar = 0.0) -> jax.Array:
    """The distribution of people's votes, smoothed or as it is.

    p_k = Σ_j v_j g_k(l_j) / Σ_j v_j,  g(l_j) the `gaussian` of width s about the value l_j

    A few votes on many values leave gaps that nobody meant; a width s closes them. With s = 0 it is
    v / Σ v.

    Args:
      votes: v [..., K], how many voted for each value, or their shares; not negative.
      space: the K label values.
      smoothing: s, a scalar in the space's unit.

    Returns: [..., K] float32, summing to one; NaN where there is no vote.
    Raises: ValueError if smoothing is a negative number.

    Source: Geng, "Label Distribution Learning" (TKDE 2016), Sec. 2, the description degrees of
    labels that are given; the kernel is the Gaussian of Gao et al., "Deep Label Distribution
    Learning with Label Ambiguity", put about each vote.

    Examples:
      >>> space = LabelSpace.range(1, 5)
      >>> print(encodings.from_votes(jnp.array([0, 2, 2, 0, 0]), space))
      [0.  0.5 0.5 0.  0. ]
      >>> print(encodings.from_votes(jnp.array([0, 2, 2, 0, 0]), space, smoothing=0.5))
      [0.053 0.447 0.447 0.053 0.   ]
    """
    v = arrays.with_last_axis("votes", votes, space.size)
    shares = v / jnp.sum(v, axis=-1, keepdims=True)
    if arrays.is_known(smoothing) and smoothing == 0:
        return shares
    kernel = gaussian(np.asarray(space.values, np.float32), space, smoothing)
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("...j,jk->...k", shares, kernel, precision=highest)
