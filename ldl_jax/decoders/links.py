"""Reads the outputs of cumulative link models."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from ldl_jax import arrays

_MOST = 80.0  # of cloglog's exponent; beyond it the probability is 0 in float32
_ABOVE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "logit": jax.nn.sigmoid,
    "probit": ndtr,
    "cloglog": lambda x: jnp.exp(-jnp.exp(jnp.minimum(-x, _MOST))),
}


def ranks_from_link(
    logits: ArrayLike, link: Literal["logit", "probit", "cloglog"] = "logit"
) -> jax.Array:
    """The rank probabilities of a cumulative link model.

    q_k = 1 - g(b_k - f),  k = 1, ..., K-1,  with g(z) = 1 / (1 + e^-z) of logit, the normal
    distribution function of probit, 1 - exp(-e^z) of cloglog

    Args:
      logits: f - b_k [..., K-1], the score less the rising thresholds.
      link: g's inverse.

    Returns: q [..., K-1] float32, never rising: for `rank_count`, `rank_expectation` or
    `encodings.distribution_from_ranks`.
    Raises: ValueError if link is none of these.

    Source: Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link models for deep ordinal
    classification" (Neurocomputing 2020); `losses.cumulative_link` learns it.

    Examples:
      >>> print(decoders.ranks_from_link(jnp.array([2.0, -2.0]), "probit"))
      [0.977 0.023]
    """
    if link not in _ABOVE:
        raise ValueError(f"link: expected one of {', '.join(_ABOVE)}, got {link!r}")
    return _ABOVE[link](arrays.float32(logits))
