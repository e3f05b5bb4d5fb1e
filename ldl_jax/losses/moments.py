"""Losses that shape a distribution by its mean and its concentration, without a target for it."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import class_cross_entropy, exponentials


def mean_variance(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    mean_weight: ArrayLike = 0.2,
    variance_weight: ArrayLike = 0.05,
) -> jax.Array:
    """Mean-variance: cross-entropy, the squared error of the mean, and the variance.

    L = -ln p̂_y + λ_1 (m - y)^2 / 2 + λ_2 v,  m = Σ_k p̂_k l_k,  v = Σ_k p̂_k (l_k - m)^2,
    p̂ = softmax(x)

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit; the first term takes the nearest value.
      space: the K label values.
      mean_weight: λ_1, a scalar, per squared unit.
      variance_weight: λ_2, a scalar, per squared unit.

    Returns: [...] float32.

    Source: Pan et al., "Mean-Variance Loss for Deep Age Estimation from a Face" (CVPR 2018), its
    factor 1/2 and default weights as public reimplementations have them.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.mean_variance(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.447 2.677]
    """
    x, y = arrays.with_labels(logits, labels, space)
    error, variance = _moments(exponentials(x), y, space)
    mean_term = arrays.float32(mean_weight) * 0.5 * jnp.square(error)
    hard = class_cross_entropy(x, y, space)
    return hard + mean_term + arrays.float32(variance_weight) * variance


def mean_residue(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    mean_weight: ArrayLike = 0.2,
    residue_weight: ArrayLike = 0.05,
    *,
    epsilon: arrays.Scalar = 0.0,
) -> jax.Array:
    """Mean-residue: cross-entropy, the squared error of the mean, and the residue's entropy.

    L = -ln p̂_y + λ_1 (m - y)^2 / 2 - λ_2 Σ_{k: p̂_k < p̂_y} p̂_k ln p̂_k,  m = Σ_k p̂_k l_k,
    p̂ = softmax(x); the residue is what is less probable than the label, outside an adaptive top-K.

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit; p̂_y is that of the nearest value.
      space: the K label values.
      mean_weight: λ_1, a scalar, per squared unit.
      residue_weight: λ_2, a scalar.
      epsilon: the authors' code sums -(q_k + ε) ln(q_k + ε) over all K with ε = 0.001, q being p̂
        in the residue and 0 outside; 0 is the plain entropy.

    Returns: [...] float32.
    Raises: ValueError if epsilon is negative.

    Source: Zhao et al., "Adaptive Mean-Residue Loss for Robust Facial Age Estimation" (ICME 2022),
    in the form of the authors' code; the default weights are those of their scripts.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.mean_residue(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.454 2.656]
    """
    known = arrays.is_known(epsilon)
    if known and not epsilon >= 0:
        raise ValueError(f"epsilon: must not be negative, got {epsilon}")
    x, y = arrays.with_labels(logits, labels, space)
    log_probs = jax.nn.log_softmax(x, axis=-1)
    log_label = arrays.of_own(y, log_probs, space)
    residue = log_probs < log_label[..., None]
    probs = jnp.exp(log_probs)
    if known and epsilon == 0:
        finite = arrays.finite_cost(probs, log_probs)
        entropy = -jnp.sum(jnp.where(residue, probs * finite, 0.0), axis=-1)
    else:
        q = jnp.where(residue, probs, 0.0) + arrays.with_shape("epsilon", epsilon, ())
        entropy = -jnp.sum(q * jnp.log(jnp.where(q == 0, 1.0, q)), axis=-1)
    error, _ = _moments(probs, y, space)
    mean_term = arrays.float32(mean_weight) * 0.5 * jnp.square(error)
    return -log_label + mean_term + arrays.float32(residue_weight) * entropy


def unimodal_concentrated(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    lam: ArrayLike = 1000.0,
    *,
    epsilon: ArrayLike = 1e-4,
) -> jax.Array:
    """Unimodal-concentrated: a likelihood of mean and variance, and no second mode.

    L = ln(v) / 2 + (y - m)^2 / (2v) + λ Σ_{k<K} max(0, -s_k (p̂_{k+1} - p̂_k)),
    m = Σ_k p̂_k l_k,  v = ε + Σ_k p̂_k (l_k - m)^2,  p̂ = softmax(x),
    s_k = 1 where l_{k+1} <= y, -1 where l_k >= y (and 0 about a label between two values)

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.
      lam: λ, a scalar.
      epsilon: ε, a positive scalar in the squared unit.

    Returns: [...] float32.
    Raises: ValueError if epsilon is not positive.

    Source: Li et al., "Unimodal-Concentrated Loss: Fully Adaptive Label Distribution Learning for
    Ordinal Regression" (CVPR 2022), its equation and λ = 1000 as public reimplementations have
    them. ε is ours: a one-hot p̂ would give an infinite loss.

    Examples:
      >>> space = LabelSpace.range(20, 22)
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.unimodal_concentrated(logits, jnp.array([20, 20]), space, lam=1.0))
      [-0.216  3.069]
    """
    x, y = arrays.with_labels(logits, labels, space)
    weights = exponentials(x)
    error, variance = _moments(weights, y, space)
    v = variance + arrays.positive("epsilon", epsilon)
    concentrated = 0.5 * jnp.log(v) + jnp.square(error) / (2.0 * v)
    away = arrays.grid(space, x.ndim) - y[..., None]
    rising = (away[..., 1:] <= 0).astype(jnp.float32)
    falling = (away[..., :-1] >= 0).astype(jnp.float32)
    violation = jax.nn.relu((falling - rising) * jnp.diff(weights, axis=-1))
    violations = jnp.sum(violation, axis=-1) / jnp.sum(weights, axis=-1)
    return concentrated + arrays.float32(lam) * violations


def _moments(
    weights: jax.Array, labels: jax.Array, space: LabelSpace
) -> tuple[jax.Array, jax.Array]:
    """Returns the error m - y and the variance Σ_k p_k (l_k - m)^2, both [...], of p = w / Σ w."""
    total = jnp.sum(weights, axis=-1)
    distance = arrays.grid(space, weights.ndim) - labels[..., None]
    error = jnp.sum(weights * distance, axis=-1) / total
    return error, jnp.sum(weights * jnp.square(distance - error[..., None]), axis=-1) / total
