"""Losses between a target distribution [..., K] and the softmax of logits [..., K].

One function an equation; per example, [...] float32; nothing is reduced over the batch. Reached
as `ldl_jax.losses.NAME`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays


def cross_entropy(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Cross-entropy of the target and the softmax of the logits, in nats.

    L = -Σ_k p_k ln p̂_k,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], one-hot or any distribution.

    Returns:
      [...] float32.

    Raises:
      ValueError: the shapes differ.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 3-4 and 6; Gao et
    al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 13.
    """
    x, p = pair(logits, target)
    return -jnp.sum(p * jax.nn.log_softmax(x, axis=-1), axis=-1)


def kl_divergence(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Kullback-Leibler divergence from the softmax of the logits to the target, in nats.

    L = Σ_k p_k ln(p_k / p̂_k),  p̂ = softmax(x),  0 ln 0 = 0

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns:
      [...] float32; zero where the two agree (to rounding).

    Raises:
      ValueError: the shapes differ.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 9.
    """
    x, p = pair(logits, target)
    return jnp.sum(p * (_log(p) - jax.nn.log_softmax(x, axis=-1)), axis=-1)


def reverse_kl_divergence(
    logits: ArrayLike, target: ArrayLike, *, epsilon: ArrayLike = 1e-8
) -> jax.Array:
    """Kullback-Leibler divergence from the target to the softmax of the logits, in nats.

    L = Σ_k p̂_k ln(p̂_k / max(p_k, ε)),  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.
      epsilon: ε, a positive scalar; without it a target of 0 makes the divergence infinite.

    Returns:
      [...] float32; zero where the two agree, and above -Kε/e.

    Raises:
      ValueError: the shapes differ, or epsilon is not positive.

    Source: Kullback and Leibler, "On Information and Sufficiency" (1951), its arguments exchanged.
    The floor is ours.
    """
    x, p = pair(logits, target)
    log_probs = jax.nn.log_softmax(x, axis=-1)
    floor = arrays.positive("epsilon", epsilon)
    return jnp.sum(jnp.exp(log_probs) * (log_probs - jnp.log(jnp.maximum(p, floor))), axis=-1)


def jensen_shannon(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Jensen-Shannon divergence of the target and the softmax of the logits, in nats.

    L = 1/2 Σ_k p_k ln(p_k / m_k) + 1/2 Σ_k p̂_k ln(p̂_k / m_k),  m = (p + p̂) / 2,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns:
      [...] float32 in [0, ln 2]; zero where the two agree (to rounding).

    Raises:
      ValueError: the shapes differ.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy" (1991), with weights of one
    half.
    """
    x, p = pair(logits, target)
    log_probs = jax.nn.log_softmax(x, axis=-1)
    # In logarithms the mixture keeps its digits where both are tiny; -1e9 stands for ln 0.
    log_target = jnp.where(p > 0, _log(p), -1e9)
    log_mixture = jnp.logaddexp(log_target, log_probs) - math.log(2)
    from_target = p * (log_target - log_mixture)
    from_probs = jnp.exp(log_probs) * (log_probs - log_mixture)
    return 0.5 * jnp.sum(jnp.where(p > 0, from_target, 0.0) + from_probs, axis=-1)


def pair(logits: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Logits and target [..., K] as float32, of one shape.

    Raises:
      ValueError: the shapes differ, or there is no axis K.
    """
    x = arrays.float32(logits)
    if x.ndim < 1:
        raise ValueError(f"logits: expected shape [..., K], got {list(x.shape)}")
    return x, arrays.with_shape("target", target, x.shape)


def _log(p: jax.Array) -> jax.Array:
    """ln p, and 0 with a zero gradient where p is 0: every use multiplies it by that p."""
    return jnp.log(jnp.where(p > 0, p, 1.0))
