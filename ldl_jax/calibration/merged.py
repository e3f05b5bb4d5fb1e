"""Merges the conformal intervals of several pictures of one person, which may depend on each other.

Where each picture's interval holds the label with probability 1 - ε, more than half of them hold it
with probability 1 - 2 ε or more, whatever the pictures have in common: the mean share of those
that miss it is at most ε, and so by Markov's inequality that share is 1/2 or more with probability
2 ε at most. No rule for dependent pictures that knows nothing else of them promises much more.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace


def single_coverage(coverage: float) -> float:
    """Returns the coverage that each picture's interval needs: 1 - ε, with 1 - 2 ε asked for.

    Examples:
      >>> calibration.single_coverage(0.9)
      0.95
    """
    return round(1 - (1 - coverage) / 2, 12)


def majority_interval(share: ArrayLike, space: LabelSpace) -> tuple[jax.Array, jax.Array]:
    """Returns the ends of the labels that more than half of the intervals hold.

    Where none is held by more than half, the labels that most of them hold are taken. All labels
    between two that are taken are so too. Both only add labels, so the coverage stays.

    Args:
      share: [..., K], the share of the intervals that holds each label.
      space: the K label values.

    Returns: low [...] and high [...], float32, of the label values.

    Source: Gasparin and Ramdas, "Merging Uncertainty Sets via Majority Vote" (arXiv 2401.09379,
    2024), Theorem 2.1; Cherubin, "Majority Vote Ensembles of Conformal Predictors" (2019).

    Examples:
      >>> share = jnp.array([0.2, 0.6, 1.0, 0.4])
      >>> print(*calibration.majority_interval(share, LabelSpace.range(20, 23)))
      21.0 22.0
    """
    p = arrays.with_last_axis("share", share, space.size)
    chosen = (p > 0.5) | (p >= jnp.max(p, axis=-1, keepdims=True))
    values = arrays.grid(space, p.ndim)
    low = jnp.min(jnp.where(chosen, values, jnp.inf), axis=-1)
    return low, jnp.max(jnp.where(chosen, values, -jnp.inf), axis=-1)
