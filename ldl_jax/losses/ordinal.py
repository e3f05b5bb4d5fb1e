"""Losses of ordered labels: K-1 binary classifiers, and the weighted kappa."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays, encodings
from ldl_jax.labels import LabelSpace


def ordinal_cross_entropy(
    logits: ArrayLike, ranks: ArrayLike, importance_weights: ArrayLike | None = None
) -> jax.Array:
    """OR-CNN: the weighted sum of K-1 binary cross-entropies.

    L = -Σ_k λ_k [r_k ln σ(x_k) + (1 - r_k) ln(1 - σ(x_k))],  k = 1, ..., K-1

    Args:
      logits: x [..., K-1], one a classifier of "above l_k".
      ranks: r [..., K-1], of `encodings.rank` (or soft ones, in [0, 1]).
      importance_weights: λ [K-1], e.g. `importance_weights(counts)`; ones by default.

    Returns: [...] float32, in nats.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016). There each classifier is a softmax of two outputs; x is their difference.

    Examples:
      >>> logits = jnp.array([[2.0, -2.0], [-2.0, -4.0]])
      >>> ranks = jnp.array([[1.0, 0.0], [1.0, 0.0]])
      >>> print(losses.ordinal_cross_entropy(logits, ranks))
      [0.254 2.145]
    """
    x = arrays.float32(logits)
    r = arrays.with_shape("ranks", ranks, x.shape)
    terms = _binary_cross_entropy(x, r, 1.0)
    if importance_weights is not None:
        weights = arrays.with_shape("importance_weights", importance_weights, x.shape[-1:])
        terms = terms * arrays.row(weights, x.ndim)
    return jnp.sum(terms, axis=-1)


def importance_weights(counts: ArrayLike) -> jax.Array:
    """OR-CNN's weights of its classifiers.

    λ_k = √N_k / Σ_i √N_i,  k = 1, ..., K-1

    Args:
      counts: N [K-1], how many training labels there are of l_k, the value that classifier k, of
        "above l_k", decides: the first K-1 of `encodings.label_counts`.

    Returns: [K-1] float32, summing to one.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016). CORAL's authors weight by √max(M_k, N - M_k) over the greatest of these, with M_k
    of the N labels above l_k, in the code of their experiments (where it is off).

    Examples:
      >>> print(losses.importance_weights(jnp.array([100, 25, 25])))
      [0.5  0.25 0.25]
    """
    root = jnp.sqrt(arrays.float32(counts))
    return root / jnp.sum(root, axis=-1, keepdims=True)


def coral(
    logits: ArrayLike, ranks: ArrayLike, importance_weights: ArrayLike | None = None
) -> jax.Array:
    """CORAL: the weighted sum of K-1 binary cross-entropies over one shared score.

    L = -Σ_k λ_k [r_k ln σ(g + b_k) + (1 - r_k) ln(1 - σ(g + b_k))],  k = 1, ..., K-1

    The equation is `ordinal_cross_entropy`'s; that the ranks are consistent comes from the head,
    whose logits share the score g and differ in the biases b alone.

    Args:
      logits: g + b [..., K-1].
      ranks: r [..., K-1], of `encodings.rank`.
      importance_weights: λ [K-1]; ones by default.

    Returns: [...] float32, in nats.

    Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks
    with application to age estimation" (Pattern Recognition Letters 2020), Eq. 4.

    Examples:
      >>> score, biases = jnp.array([[1.0], [-3.0]]), jnp.array([[1.0, -3.0]])
      >>> ranks = jnp.array([[1.0, 0.0], [1.0, 0.0]])
      >>> print(losses.coral(score + biases, ranks))
      [0.254 2.129]
    """
    return ordinal_cross_entropy(logits, ranks, importance_weights)


def corn(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """CORN: K-1 conditional binary cross-entropies, each on the examples above the value before.

    L = -Σ_k m_k [r_k ln σ(x_k) + (1 - r_k) (ln σ(x_k) - x_k)],  m_1 = 1, m_k = r_{k-1}

    σ(x_k) is the probability of a label above l_k given that it is above l_{k-1}
    (`decoders.ranks_from_conditional` multiplies them up).

    Args:
      logits: x [..., K-1].
      labels: y [...], in the space's unit.
      space: the K label values; r is `encodings.rank(labels, space)`.

    Returns: [...] float32, in nats.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities" (2021). The authors' code divides the batch's sum by the
    number of conditional examples Σ m; that is sum(corn) / sum(1 + min(Σ_k r_k, K-2)), and no
    property of one example.

    Examples:
      >>> logits = jnp.array([[2.0, -2.0], [-2.0, -4.0]])
      >>> print(losses.corn(logits, jnp.array([21, 21]), LabelSpace.range(20, 22)))
      [0.254 2.145]
    """
    x = arrays.with_last_axis("logits", logits, space.size - 1)
    r = encodings.rank(arrays.with_shape("labels", labels, x.shape[:-1]), space)
    return conditional_cross_entropy(x, r)


def conditional_cross_entropy(logits: ArrayLike, ranks: ArrayLike) -> jax.Array:
    """Cross-entropy of a distribution, given by its ranks, and the one that CORN's logits imply.

    L = -Σ_k [r_k ln σ(x_k) + (r_{k-1} - r_k) ln(1 - σ(x_k))],  r_0 = 1,  k = 1, ..., K-1,
    which is -Σ_k p_k ln p̂_k of p_k = r_{k-1} - r_k and p̂_k = (1 - σ(x_k)) Π_{j<k} σ(x_j)

    With a label's ranks it is `corn`, whose conditional subsets are where r_{k-1} = 1.

    Args:
      logits: x [..., K-1], σ(x_k) the probability of a label above l_k if it is above l_{k-1}.
      ranks: r [..., K-1] that do not rise, e.g. `encodings.ranks_from_distribution(probs)`.

    Returns: [...] float32, in nats.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities" (2021), with soft ranks in the place of a label's; ours.

    Examples:
      >>> logits = jnp.array([[2.0, -2.0], [-2.0, -4.0]])
      >>> ranks = encodings.ranks_from_distribution(jnp.array([[0.1, 0.8, 0.1]] * 2))
      >>> print(losses.conditional_cross_entropy(logits, ranks))
      [0.641 2.343]
    """
    x = arrays.float32(logits)
    r = arrays.with_shape("ranks", ranks, x.shape)
    before = jnp.concatenate([jnp.ones_like(r[..., :1]), r[..., :-1]], axis=-1)
    return jnp.sum(_binary_cross_entropy(x, r, before), axis=-1)


def weighted_kappa(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    penalty: Literal["quadratic", "linear"] = "quadratic",
) -> jax.Array:
    """Weighted kappa: each example's expected cost, over that of chance. It couples the batch.

    L_n = Σ_k w(l_k, y_n) p̂_nk / E,  E = Σ_jk w(l_j, l_k) â_j b_k,  p̂ = softmax(x),
    w(a, b) = (|a - b| / (l_K - l_1))^q,  q = 2 or 1; â, b the mean p̂ and mean one-hot label

    The mean over the batch is 1 - κ_w, in [0, 2]. This is the one loss here that is not a function
    of one example: E is taken over all leading axes, so a vmap over examples makes it constant.

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit, each taken to its own value as `one_hot` does.
      space: the K label values.
      penalty: "quadratic" (q = 2) or "linear" (q = 1).

    Returns: [...] float32.
    Raises: ValueError if penalty is neither.

    Source: de la Torre, Puig and Valls, "Weighted kappa loss function for multi-class
    classification of ordinal data in deep learning" (Pattern Recognition Letters 2018), whose loss
    is ln(1 - κ_w); the ratio itself as in Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link
    models for deep ordinal classification" (Neurocomputing 2020).

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.weighted_kappa(logits, jnp.array([20, 21]), LabelSpace.range(20, 22)))
      [0.482 0.602]
    """
    if penalty not in ("quadratic", "linear"):
        raise ValueError(f"penalty: expected 'quadratic' or 'linear', got {penalty!r}")
    x, y = arrays.with_labels(logits, labels, space)
    values = np.asarray(space.values, np.float64)
    distance = np.abs(values[:, None] - values[None]) / (values[-1] - values[0])
    w = jnp.asarray(distance ** (2 if penalty == "quadratic" else 1), jnp.float32)
    p = jax.nn.softmax(x, axis=-1)
    target = encodings.one_hot(y, space)
    highest = jax.lax.Precision.HIGHEST
    cost = jnp.sum(p * jnp.einsum("...j,jk->...k", target, w, precision=highest), axis=-1)
    leading = tuple(range(x.ndim - 1))
    mean_probs = jnp.mean(p, axis=leading)
    mean_labels = jnp.mean(target, axis=leading)
    chance = jnp.sum(w * mean_probs[:, None] * mean_labels[None, :])
    # Chance costs nothing only where every example has one and the same label, all foretold.
    return cost / jnp.maximum(chance, 1e-10)


def _binary_cross_entropy(x: jax.Array, above: jax.Array, total: jax.Array | float) -> jax.Array:
    """Returns -a ln σ(x) - b ln(1 - σ(x)) with a = `above` and a + b = `total`.

    It is computed as (a + b) ln(1 + exp(-|x|)) plus bx above 0 and -ax below it, where no term is
    a difference of large numbers.
    """
    # This is -|x|, but with a slope at 0.
    fall = jnp.where(x > 0, -x, x)
    weight = jnp.where(x > 0, total - above, -above)
    linear = weight * arrays.finite_cost(weight, x)
    return total * jnp.log1p(jnp.exp(fall)) + linear
