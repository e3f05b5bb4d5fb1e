"""Losses and weights for labels that are not equally frequent or not equally hard."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import cross_entropy, pair, surprisal


def focal(logits: ArrayLike, target: ArrayLike, gamma: ArrayLike = 2.0) -> jax.Array:
    """Focal loss: cross-entropy, turned down where the prediction is already right.

    L = -Σ_k p_k (1 - p̂_k)^γ ln p̂_k,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      target: p [..., K], one-hot or any distribution.
      gamma: γ >= 0, a scalar; 0 is `cross_entropy`.

    Returns: [...] float32.
    Raises: ValueError if gamma is a negative number.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), Eq. 4, with a softmax
    and, for a target that is not one-hot, the mean over it.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
      >>> print(losses.focal(logits, target))
      [0.046 1.994]
    """
    if isinstance(gamma, int | float) and not gamma >= 0:
        raise ValueError(f"gamma: must not be negative, got {gamma}")
    x, p = pair(logits, target)
    cost = surprisal(x)
    wrong = -jnp.expm1(-cost)
    # Kept off zero, where a power below 1 has no finite gradient.
    wrong = jnp.where(wrong > 1e-12, wrong, 1e-12)
    modulation = jnp.power(wrong, arrays.with_shape("gamma", gamma, ()))
    return jnp.sum(p * modulation * arrays.finite_cost(p, cost), axis=-1)


def balanced_softmax(logits: ArrayLike, target: ArrayLike, counts: ArrayLike) -> jax.Array:
    """Balanced softmax: cross-entropy of a softmax that carries the training set's prior.

    L = -Σ_k p_k ln p̂_k,  p̂_k = n_k exp(x_k) / Σ_j n_j exp(x_j)

    Args:
      logits: x [..., K], of a balanced set (decode them with a plain softmax).
      target: p [..., K], one-hot or any distribution.
      counts: n [K], how many training labels each value has; below 1 counts as 1, so that a target
        that spreads over a value without labels stays finite.

    Returns: [...] float32.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition" (NeurIPS 2020),
    as in the authors' code. The floor of the counts is ours.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
      >>> print(losses.balanced_softmax(logits, target, jnp.array([10, 100, 10])))
      [1.572 3.572]
    """
    x, p = pair(logits, target)
    n = jnp.maximum(arrays.with_shape("counts", counts, x.shape[-1:]), 1.0)
    return cross_entropy(x + arrays.row(jnp.log(n), x.ndim), p)


def lds_weights(
    counts: ArrayLike, space: LabelSpace, sigma: ArrayLike = 2.0, *, power: ArrayLike = 1.0
) -> jax.Array:
    """Label distribution smoothing: weights by the inverse of the smoothed label density.

    w_k = c / ñ_k^a,  ñ_k = Σ_j exp(-(l_k - l_j)^2 / 2σ^2) n_j,  c such that Σ_k n_k w_k = Σ_k n_k

    Args:
      counts: n [K], how many training labels each value has.
      space: the K label values.
      sigma: σ, a positive scalar in the space's unit.
      power: a; 1 is the inverse, 0.5 the inverse square root.

    Returns: [K] float32, with mean 1 over the training labels. A value that no label is near takes
    the greatest weight of those that have labels. `weights_of` looks them up.
    Raises: ValueError if sigma is not positive.

    Source: Yang et al., "Delving into Deep Imbalanced Regression" (ICML 2021). The authors' code
    smooths over a window of five values, not over all, takes the square root before it smooths and
    not after, and without the root holds the counts within [5, 1000].

    Examples:
      >>> print(losses.lds_weights(jnp.array([10, 100, 10]), LabelSpace.range(20, 22), sigma=0.5))
      [2.796 0.641 2.796]
    """
    n = arrays.with_shape("counts", counts, (space.size,))
    values = np.asarray(space.values, np.float32)
    distance = jnp.asarray(values[:, None] - values[None])
    kernel = jnp.exp(-0.5 * jnp.square(distance / arrays.positive("sigma", sigma)))
    density = jnp.sum(kernel * n[None, :], axis=-1)
    least = jnp.min(jnp.where(n > 0, density, jnp.inf))
    weights = jnp.maximum(density, least) ** -arrays.with_shape("power", power, ())
    return weights * (jnp.sum(n) / jnp.sum(n * weights))


def weights_of(labels: ArrayLike, weights: ArrayLike, space: LabelSpace) -> jax.Array:
    """Each label's weight: that of its own value, as `encodings.one_hot` assigns it.

    Args:
      labels: [...], in the space's unit.
      weights: [K], e.g. `lds_weights(counts, space)`.
      space: the K label values.

    Returns: [...] float32, to multiply a loss by.

    Examples:
      >>> space = LabelSpace.range(20, 22)
      >>> print(losses.weights_of(jnp.array([22, 20]), jnp.array([0.5, 1.0, 3.0]), space))
      [3.  0.5]
    """
    table, y = arrays.with_shape("weights", weights, (space.size,)), arrays.float32(labels)
    return arrays.of_own(y, arrays.row(table, y.ndim + 1), space)
