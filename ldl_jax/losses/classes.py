"""Losses that weight the classes by their distance from the label, counted in classes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import pair

_HIGHEST = jax.lax.Precision.HIGHEST


def cdw_ce(
    logits: ArrayLike, target: ArrayLike, alpha: ArrayLike = 1.0, margin: arrays.Scalar = 0.0
) -> jax.Array:
    """Class distance weighted cross-entropy: the farther a class, the more its probability costs.

    L = -Σ_c p_c Σ_i |i - c|^α ln min(1 - p̂_i + m, 1),  p̂ = softmax(x)

    With a one-hot target it is the source's, of the label's class c. The own class has no term: its
    probability is what the others leave.

    Args:
      logits: x [..., K].
      target: p [..., K], one-hot or any distribution; the loss is linear in it.
      alpha: α, a positive scalar. The source takes 5 for 4 classes; among 101 the farthest one
        would then weigh 10^10.
      margin: m in [0, 1]; a class with a probability below it costs nothing.

    Returns: [...] float32.
    Raises: ValueError if alpha is a number that is not positive, or margin is outside [0, 1].

    Source: Polat et al., "Class Distance Weighted Cross-Entropy Loss for Ulcerative Colitis
    Severity Estimation" (MIUA 2022), Eq. 2; the margin as in dlordinal, after the same authors'
    "Class Distance Weighted Cross Entropy Loss for Classification of Disease Severity" (2024).

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
      >>> print(losses.cdw_ce(logits, target))
      [0.469 2.469]
    """
    x, p = pair(logits, target)
    if arrays.is_known(margin) and not 0 <= margin <= 1:
        raise ValueError(f"margin: expected a number in [0, 1], got {margin}")
    powers = _powers(x.shape[-1], arrays.positive("alpha", alpha))
    weight = jnp.einsum("...j,jk->...k", p, powers, precision=_HIGHEST)
    cost = -_log_rest(x)
    if not arrays.is_known(margin) or margin > 0:
        cost = -jnp.log(jnp.minimum(jnp.exp(-cost) + arrays.float32(margin), 1.0))
    return jnp.sum(weight * arrays.finite_cost(weight, cost), axis=-1)


def slace(
    logits: ArrayLike, labels: ArrayLike, space: LabelSpace, alpha: ArrayLike = 1.0
) -> jax.Array:
    """SLACE: cross-entropy of soft labels and probabilities accumulated from the label outwards.

    L = -Σ_i s_i ln Σ_{j: |j - c| <= |i - c|} p̂_j,  s = softmax(-α |i - c|),  p̂ = softmax(x)

    c is the label's class. Moving probability towards it never costs (monotone), and a class costs
    what is beyond it on either side (balance-sensitive).

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit, each taken to its own value as `one_hot` does.
      space: the K label values.
      alpha: α, a positive scalar, the slope of the soft labels in classes.

    Returns: [...] float32, in nats. It compares K^2 numbers an example.
    Raises: ValueError if alpha is a number that is not positive.

    Source: Nachmani et al., "SLACE: A Monotone and Balance-Sensitive Loss Function for Ordinal
    Regression" (AAAI 2025), in the form of the authors' code, as in dlordinal; these add 1e-9
    within the logarithm, which here needs none.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.slace(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.294 1.869]
    """
    x, y = arrays.with_labels(logits, labels, space)
    one_hot = arrays.own(y, space).astype(jnp.float32)
    away = jnp.einsum("...j,jk->...k", one_hot, _distances(space.size), precision=_HIGHEST)
    soft = jax.nn.softmax(-arrays.positive("alpha", alpha) * away, axis=-1)
    near = away[..., None, :] <= away[..., :, None]
    within = jax.nn.logsumexp(jnp.where(near, x[..., None, :], -jnp.inf), axis=-1)
    cost = jax.nn.logsumexp(x, axis=-1, keepdims=True) - within
    summed = jnp.sum(soft * arrays.finite_cost(soft, cost), axis=-1)
    return arrays.nan_where(jnp.isnan(y), arrays.nan_of(x, summed))


def _distances(K: int) -> np.ndarray:
    """Returns |i - j| [K, K], float32."""
    k = np.arange(K, dtype=np.float32)
    return np.abs(k[:, None] - k[None])


def _powers(K: int, alpha: jax.Array) -> jax.Array:
    """Returns |i - j|^α [K, K]; the power of 0 is 0, but its gradient by the exponent has ln 0."""
    distance = _distances(K)
    powers = jnp.asarray(np.where(distance > 0, distance, 1.0), jnp.float32) ** alpha
    return jnp.where(distance > 0, powers, 0.0)


def _log_rest(x: jax.Array) -> jax.Array:
    """Returns ln(1 - p̂) [..., K] of p̂ = softmax(x), where no digits cancel.

    Only the greatest p̂ can be near 1; what the others leave it is the sum of theirs.
    """
    highest = jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    at_top = x == highest
    alone = jnp.sum(at_top, axis=-1, keepdims=True) == 1  # where two are equal, none is near 1
    is_greatest = at_top & alone
    first = jnp.sum(jnp.where(is_greatest, x, 0.0), axis=-1, keepdims=True)
    rest = jnp.where(is_greatest, -jnp.inf, x)
    second = jax.lax.stop_gradient(jnp.max(rest, axis=-1, keepdims=True))
    second = jnp.where(jnp.isneginf(second), 0.0, second)
    # The only exponential of every class; XLA for CPUs would compute it anew for each reader.
    shares = jax.lax.optimization_barrier(jnp.exp(rest - second))
    others = second + jnp.log(jnp.sum(shares, axis=-1, keepdims=True))
    # 1 - σ(d) with d the lead of the greatest over all others together.
    lead = jnp.where(alone, first - others, 0.0)
    total = jnp.where(alone, first + jax.nn.softplus(-lead), others)
    small = shares * jnp.exp(second - total)
    return jnp.where(is_greatest, -jax.nn.softplus(lead), jnp.log1p(-small))
