"""Losses of ordered labels: of K-1 binary classifiers, and of cumulative distributions.

One function an equation; per example, [...] float32; nothing is reduced over the batch. Reached
as `ldl_jax.losses.NAME`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays, encodings
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import pair


def ordinal_cross_entropy(
    logits: ArrayLike, ranks: ArrayLike, importance_weights: ArrayLike | None = None
) -> jax.Array:
    """OR-CNN: the weighted sum of K-1 binary cross-entropies.

    L = -Σ_k λ_k [r_k ln σ(x_k) + (1 - r_k) ln(1 - σ(x_k))],  k = 1, ..., K-1

    Args:
      logits: x [..., K-1], one a classifier of "above l_k".
      ranks: r [..., K-1], of `encodings.rank` (or soft ones, in [0, 1]).
      importance_weights: λ [K-1], e.g. `importance_weights(counts)`; ones by default.

    Returns:
      [...] float32, in nats.

    Raises:
      ValueError: the shapes disagree.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016). There each classifier is a softmax of two outputs; x is their difference.
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

    Returns:
      [K-1] float32, summing to one.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016). CORAL's authors weight by √max(M_k, N - M_k) over the greatest of these, with M_k
    of the N labels above l_k, in the code of their experiments (where it is off).
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

    Returns:
      [...] float32, in nats.

    Raises:
      ValueError: the shapes disagree.

    Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks
    with application to age estimation" (Pattern Recognition Letters 2020), Eq. 4.
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

    Returns:
      [...] float32, in nats.

    Raises:
      ValueError: K or the shapes disagree.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities" (2021). The authors' code divides the batch's sum by the
    number of conditional examples Σ m; that is sum(corn) / sum(1 + min(Σ_k r_k, K-2)), and no
    property of one example.
    """
    x = arrays.with_last_axis("logits", logits, space.size - 1)
    r = encodings.rank(arrays.with_shape("labels", labels, x.shape[:-1]), space)
    return conditional_cross_entropy(x, r)


def conditional_cross_entropy(logits: ArrayLike, ranks: ArrayLike) -> jax.Array:
    """Cross-entropy of a distribution, given by its ranks, and the one that CORN's logits imply.

    L = -Σ_k [r_k ln σ(x_k) + (r_{k-1} - r_k) ln(1 - σ(x_k))],  r_0 = 1,  k = 1, ..., K-1,
    which is -Σ_k p_k ln p̂_k of p_k = r_{k-1} - r_k and p̂_k = (1 - σ(x_k)) Π_{j<k} σ(x_j)

    Of a label's ranks it is `corn`, whose conditional subsets are where r_{k-1} = 1.

    Args:
      logits: x [..., K-1], σ(x_k) the probability of a label above l_k if it is above l_{k-1}.
      ranks: r [..., K-1] that do not rise, e.g. `encodings.ranks_from_distribution(probs)`.

    Returns:
      [...] float32, in nats.

    Raises:
      ValueError: the shapes disagree.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities" (2021), with soft ranks in the place of a label's; ours.
    """
    x = arrays.float32(logits)
    r = arrays.with_shape("ranks", ranks, x.shape)
    before = jnp.concatenate([jnp.ones_like(r[..., :1]), r[..., :-1]], axis=-1)
    return jnp.sum(_binary_cross_entropy(x, r, before), axis=-1)


def squared_emd(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Squared earth mover's distance: the squared l2 distance of the cumulative distributions.

    L = Σ_k (ĉ_k - c_k)^2,  ĉ_k = Σ_{j<=k} softmax(x)_j,  c_k = Σ_{j<=k} p_j

    With a one-hot target it is the ranked probability score (Epstein 1969).

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns:
      [...] float32, in steps of the grid.

    Raises:
      ValueError: the shapes differ.

    Source: Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep
    Neural Networks" (2016), the loss for ordered classes, which drops the factor 1/K too.
    """
    x, p = pair(logits, target)
    return _sum_of_cumulative(jnp.square, jax.nn.softmax(x, axis=-1) - p)


def emd(logits: ArrayLike, target: ArrayLike, space: LabelSpace) -> jax.Array:
    """Earth mover's distance: the mean label distance that probability has to be moved.

    L = Σ_{k<K} |ĉ_k - c_k| (l_{k+1} - l_k),  ĉ_k = Σ_{j<=k} softmax(x)_j,  c_k = Σ_{j<=k} p_j

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.
      space: the K label values.

    Returns:
      [...] float32, in the space's unit.

    Raises:
      ValueError: K or the shapes disagree.

    Source: Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep
    Neural Networks" (2016), with the absolute difference in the place of the squared one, times
    the steps of the grid.
    """
    x = arrays.with_last_axis("logits", logits, space.size)
    steps = arrays.row(np.diff(space.values), x.ndim)
    difference = jax.nn.softmax(x, axis=-1) - arrays.with_shape("target", target, x.shape)
    return _sum_of_cumulative(
        lambda gap, steps: arrays.absolute(gap) * steps, difference[..., :-1], steps
    )


def crps(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Continuous ranked probability score of the softmax of the logits.

    L = ∫ (F(l) - [l >= y])^2 dl = Σ_k p̂_k |l_k - y| - 1/2 Σ_jk p̂_j p̂_k |l_j - l_k|,
    F the step function with F(l_k) = Σ_{j<=k} p̂_j,  p̂ = softmax(x)

    Exact for a fractional label. On the grid it is the ranked probability score times the step.

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.

    Returns:
      [...] float32, in the space's unit: of a one-hot p̂ the absolute error.

    Raises:
      ValueError: K or the shapes disagree.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation"
    (JASA 2007), Eqs. 20-21, there with the opposite sign: a score to be maximised.
    """
    x = arrays.with_last_axis("logits", logits, space.size)
    y = arrays.with_shape("labels", labels, x.shape[:-1])
    probs = jax.nn.softmax(x, axis=-1)[..., :-1]
    steps = arrays.row(np.diff(space.values), x.ndim)
    # How much of each interval [l_k, l_{k+1}] lies below the label.
    below = jnp.clip(y[..., None] - arrays.grid(space, x.ndim)[..., :-1], 0.0, steps)

    inside = _sum_of_cumulative(
        lambda F, below, above: jnp.square(F) * below + jnp.square(1.0 - F) * above,
        probs,
        below,
        steps - below,
    )
    return inside + jax.nn.relu(space.values[0] - y) + jax.nn.relu(y - space.values[-1])


def weighted_kappa(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    penalty: Literal["quadratic", "linear"] = "quadratic",
) -> jax.Array:
    """Weighted kappa: each example's expected cost, over that of chance. Couples the batch.

    L_n = Σ_k w(l_k, y_n) p̂_nk / E,  E = Σ_jk w(l_j, l_k) â_j b_k,  p̂ = softmax(x),
    w(a, b) = (|a - b| / (l_K - l_1))^q,  q = 2 or 1; â, b the mean p̂ and mean one-hot label

    The mean over the batch is 1 - κ_w, in [0, 2]. This is the one loss here that is not a function
    of one example: E is taken over all leading axes, so a vmap over examples makes it constant.

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit, each taken to its own value as `one_hot` does.
      space: the K label values.
      penalty: "quadratic" (q = 2) or "linear" (q = 1).

    Returns:
      [...] float32.

    Raises:
      ValueError: K or the shapes disagree, or penalty is neither.

    Source: de la Torre, Puig and Valls, "Weighted kappa loss function for multi-class
    classification of ordinal data in deep learning" (Pattern Recognition Letters 2018), whose loss
    is ln(1 - κ_w); the ratio itself as in Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link
    models for deep ordinal classification" (Neurocomputing 2020).
    """
    if penalty not in ("quadratic", "linear"):
        raise ValueError(f"penalty: expected 'quadratic' or 'linear', got {penalty!r}")
    x = arrays.with_last_axis("logits", logits, space.size)
    y = arrays.with_shape("labels", labels, x.shape[:-1])
    values = np.asarray(space.values, np.float64)
    distance = np.abs(values[:, None] - values[None]) / (values[-1] - values[0])
    w = jnp.asarray(distance ** (2 if penalty == "quadratic" else 1), jnp.float32)
    p = jax.nn.softmax(x, axis=-1)
    index = arrays.index(y, space)
    cost = jnp.sum(p * jnp.take(w, index, axis=0, mode="clip"), axis=-1)
    leading = tuple(range(x.ndim - 1))
    mean_probs = jnp.mean(p, axis=leading)
    mean_labels = jnp.mean(jax.nn.one_hot(index, space.size, dtype=jnp.float32), axis=leading)
    chance = jnp.sum(w * mean_probs[:, None] * mean_labels[None, :])
    # Chance costs nothing only where every example has one and the same label, all foretold.
    return cost / jnp.maximum(chance, 1e-10)


def cumulative_sum(p: jax.Array, *, reverse: bool = False) -> jax.Array:
    """Σ_{j<=k} p_j along the last axis; reversed, Σ_{j>=k} p_j.

    Sums of six, then of six sums, and so on: on CPUs several times as fast as `jax.lax.cumsum`.
    """
    K, span = p.shape[-1], 1
    while span < K:
        terms = min(6, -(-K // span))
        room = (terms - 1) * span
        widths = [(0, 0)] * (p.ndim - 1) + [(0, room) if reverse else (room, 0)]
        # Written out: fused with the next round, every sum would be computed anew for each use.
        padded = jax.lax.optimization_barrier(jnp.pad(p, widths))
        shifted = (padded[..., i * span : i * span + K] for i in range(terms))
        p = functools.reduce(jnp.add, shifted)
        span *= terms
    return p


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sum_of_cumulative(f: Callable[..., jax.Array], p: jax.Array, *more: jax.Array) -> jax.Array:
    """Σ_k f(c_k, ...) of c_k = Σ_{j<=k} p_j, [..., K] -> [...].

    f acts element by element, and takes arrays as arguments, never by closure.
    """
    return jnp.sum(f(cumulative_sum(p), *more), axis=-1)


@_sum_of_cumulative.defjvp
def _sum_of_cumulative_jvp(
    f: Callable[..., jax.Array], primals: Sequence[jax.Array], tangents: Sequence[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Σ_k f'(c_k) Σ_{j<=k} dp_j is Σ_j dp_j Σ_{k>=j} f'(c_k): the gradient is one sum more."""
    (p, *more), (dp, *d_more) = primals, tangents
    c = cumulative_sum(p)
    terms, slopes = jax.jvp(lambda c: f(c, *more), (c,), (jnp.ones_like(c),))
    change = cumulative_sum(slopes, reverse=True) * dp
    if more:
        change = change + jax.jvp(lambda *more: f(c, *more), tuple(more), tuple(d_more))[1]
    return jnp.sum(terms, axis=-1), jnp.sum(change, axis=-1)


def _binary_cross_entropy(x: jax.Array, above: jax.Array, total: jax.Array | float) -> jax.Array:
    """-a ln σ(x) - b ln(1 - σ(x)) of a = `above` and a + b = `total`.

    As (a + b) ln(1 + exp(-|x|)) plus bx above 0 and -ax below it: no term is a difference of large
    numbers.
    """
    # -|x|, but with a slope at 0.
    fall = jnp.where(x > 0, -x, x)
    linear = jnp.where(x > 0, (total - above) * x, -above * x)
    return total * jnp.log1p(jnp.exp(fall)) + linear
