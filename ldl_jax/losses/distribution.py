"""Losses between a target distribution [..., K] and the softmax of logits [..., K]."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace


def cross_entropy(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Cross-entropy of the target and the softmax of the logits, in nats.

    L = -Σ_k p_k ln p̂_k,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], one-hot or any distribution.

    Returns: [...] float32.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 3-4 and 6; Gao et
    al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 13.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
      >>> print(losses.cross_entropy(logits, target))
      [0.908 1.908]
    """
    x, p = pair(logits, target)
    top, log_sum = _log_sum(x)
    cost = arrays.finite_cost(p, top - x)
    return jnp.sum(p * cost, axis=-1) + jnp.sum(p, axis=-1) * log_sum


def kl_divergence(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Kullback-Leibler divergence from the softmax of the logits to the target, in nats.

    L = Σ_k p_k ln(p_k / p̂_k),  p̂ = softmax(x),  0 ln 0 = 0

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns: [...] float32; zero where the two agree (to rounding).

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 9.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
      >>> print(losses.kl_divergence(logits, target))
      [0.214 1.214]
    """
    x, p = pair(logits, target)
    return jnp.sum(p * (_log(p) + arrays.finite_cost(p, surprisal(x))), axis=-1)


def reverse_kl_divergence(
    logits: ArrayLike, target: ArrayLike, *, epsilon: ArrayLike = 1e-8
) -> jax.Array:
    """Kullback-Leibler divergence from the target to the softmax of the logits, in nats.

    L = Σ_k p̂_k ln(p̂_k / max(p_k, ε)),  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.
      epsilon: ε, a positive scalar; without it a target of 0 makes the divergence infinite.

    Returns: [...] float32; zero where the two agree, and above -Kε/e.
    Raises: ValueError if epsilon is not positive.

    Source: Kullback and Leibler, "On Information and Sufficiency" (1951), its arguments exchanged.
    The floor is ours.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
      >>> print(losses.reverse_kl_divergence(logits, target))
      [ 1.457 11.654]
    """
    x, p = pair(logits, target)
    cost = surprisal(x)
    probs = jnp.exp(-cost)
    log_target = jnp.log(jnp.maximum(p, arrays.positive("epsilon", epsilon)))
    return -jnp.sum(probs * (arrays.finite_cost(probs, cost) + log_target), axis=-1)


def jensen_shannon(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Jensen-Shannon divergence of the target and the softmax of the logits, in nats.

    L = 1/2 Σ_k p_k ln(p_k / m_k) + 1/2 Σ_k p̂_k ln(p̂_k / m_k),  m = (p + p̂) / 2,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns: [...] float32 in [0, ln 2]; zero where the two agree (to rounding).

    Source: Lin, "Divergence Measures Based on the Shannon Entropy" (1991), with weights of one
    half.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
      >>> print(losses.jensen_shannon(logits, target))
      [0.059 0.331]
    """
    x, p = pair(logits, target)
    cost = surprisal(x)
    probs = jnp.exp(-cost)
    mixture = 0.5 * (p + probs)
    cost = arrays.finite_cost(probs, cost)
    # Kept off zero, where the logarithm is multiplied by next to nothing.
    least = float(jnp.finfo(jnp.float32).tiny)
    log_mixture = jnp.log(jnp.where(mixture <= least, least, mixture))
    return 0.5 * jnp.sum(p * (_log(p) - log_mixture) - probs * (cost + log_mixture), axis=-1)


def pair(logits: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Returns logits and target [..., K] as float32; raises ValueError where the shapes differ."""
    x = arrays.float32(logits)
    if x.ndim < 1:
        raise ValueError(f"logits: expected shape [..., K], got {list(x.shape)}")
    return x, arrays.with_shape("target", target, x.shape)


def class_cross_entropy(x: jax.Array, y: jax.Array, space: LabelSpace) -> jax.Array:
    """Returns `cross_entropy` of logits x [..., K] and the one-hot of labels y [...]: -ln p̂_y."""
    top, log_sum = _log_sum(x)
    return top[..., 0] - arrays.of_own(y, x, space) + log_sum


def surprisal(x: jax.Array) -> jax.Array:
    """Returns -ln p̂ [..., K] with p̂ = softmax(x)."""
    top, log_sum = _log_sum(x)
    return (top - x) + log_sum[..., None]


def exponentials(x: jax.Array) -> jax.Array:
    """Returns p̂ = softmax(x) before the division by its sum, so that the greatest is 1.

    A mean over p̂ that divides last takes half the time on CPUs.
    """
    return jnp.exp(x - jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True)))


def _log_sum(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns max x [..., 1], a constant to the gradient, and ln Σ_k exp(x_k - max x) [...].

    -ln p̂_k is (max x - x_k) + ln Σ exp(x - max x), none of whose digits cancel: neither term is
    negative.
    """
    top = jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    # Not exp(x - top): XLA on CPUs would write out what that then shares with top - x.
    return top, jnp.log(jnp.sum(jnp.exp(x + (-top)), axis=-1))


def _log(p: jax.Array) -> jax.Array:
    """Returns ln p, and 0 with a zero gradient where p is 0: every use multiplies it by p."""
    return jnp.log(jnp.where(p > 0, p, 1.0))
