"""The losses of whole papers: DLDL-v2, CEN, DEX, SORD and MegaAge.

Joint objectives are sums of losses that the other modules have on their own.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays, encodings
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import class_cross_entropy, cross_entropy, kl_divergence
from ldl_jax.losses.regression import expectation_l1, l1, slack_l1


def dldl_v2(
    logits: ArrayLike,
    target: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    lam: ArrayLike = 1.0,
    *,
    kl_reduction: Literal["sum", "mean"] = "sum",
) -> jax.Array:
    """DLDL-v2: learns the label distribution and its expectation together.

    L = Σ_k p_k ln(p_k / p̂_k) + λ |Σ_k p̂_k l_k - y|,  p̂ = softmax(x), so that
    ∂L/∂x = p̂ - p + λ sign(ŷ - y) p̂ ∘ (l - ŷ1).

    Args:
      logits: x [..., K].
      target: p [..., K], e.g. `encodings.gaussian(labels, space)`.
      labels: y [...], in the space's unit.
      space: the K label values.
      lam: λ, a scalar, per unit of the label.
      kl_reduction: "sum" over the K labels is the paper's; "mean" is that of the authors' Torch
        code, whose KL is averaged over the batch and the K labels but whose l1 over the batch
        alone: its λ = 1 is the paper's λ = K, and its loss the paper's divided by K.

    Returns: [...] float32.
    Raises: ValueError if kl_reduction is neither.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 12,
    with Eq. 9's full divergence. Eq. 13 drops the target's entropy, which no gradient sees.

    Examples:
      >>> space = LabelSpace.range(20, 22)
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> labels = jnp.array([20, 20])
      >>> target = encodings.gaussian(labels, space, sigma=1.0)
      >>> print(losses.dldl_v2(logits, target, labels, space))
      [0.452 2.595]
    """
    if kl_reduction not in ("sum", "mean"):
        raise ValueError(f"kl_reduction: expected 'sum' or 'mean', got {kl_reduction!r}")
    x = arrays.with_last_axis("logits", logits, space.size)
    divergence = kl_divergence(x, target)
    if kl_reduction == "mean":
        divergence = divergence / space.size
    return divergence + arrays.float32(lam) * expectation_l1(x, labels, space)


def cen_initial(
    logits: ArrayLike, score: ArrayLike, labels: ArrayLike, space: LabelSpace, lam: ArrayLike = 4.0
) -> jax.Array:
    """CEN's first ancestor: classifies the label and regresses it.

    L = -Σ_k o_k ln softmax(z)_k + λ |s - y|,  y = (l - l_1) / (l_K - l_1)

    Args:
      logits: z [..., K].
      score: s [...], the regression head's output in the normalised scale of Eq. 1.
      labels: l [...], in the space's unit; o is one-hot at the nearest label value.
      space: the K label values.
      lam: λ, a scalar.

    Returns: [...] float32.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 4, 9 and 14.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> score, labels = jnp.array([0.1, 0.9]), jnp.array([20, 20])
      >>> print(losses.cen_initial(logits, score, labels, LabelSpace.range(20, 22)))
      [0.808 6.008]
    """
    x, label = arrays.with_labels(logits, labels, space)
    regression = l1(
        arrays.with_shape("score", score, label.shape), encodings.normalised(label, space)
    )
    return class_cross_entropy(x, label, space) + arrays.float32(lam) * regression


def cen_evolution(
    logits: ArrayLike,
    score: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    teacher_probs: ArrayLike,
    slack: ArrayLike,
    alpha: ArrayLike = 0.5,
    lam: ArrayLike = 4.0,
    temperature: ArrayLike = 2.0,
    *,
    hard_temperature: ArrayLike = 1.0,
    scale_by_temperature_squared: bool = False,
) -> jax.Array:
    """CEN's offspring: learns from the ancestor's distribution and stays within its error.

    L = -α Σ_k q_k ln softmax(z/τ)_k - (1-α) Σ_k o_k ln softmax(z)_k + λ max(0, |s - y| - Δs)

    Args:
      logits: z [..., K].
      score: s [...], the regression head's output in the normalised scale of Eq. 1.
      labels: l [...], in the space's unit; o is one-hot at the nearest label value, y normalised.
      space: the K label values.
      teacher_probs: q [..., K], the ancestor's distribution, already at temperature τ.
      slack: Δs [...], the ancestor's |s - y| in the normalised scale (Eq. 10).
      alpha: α, a scalar in [0, 1].
      lam: λ, a scalar.
      temperature: τ, of the student's softmax in the transfer term.
      hard_temperature: of the student's softmax in the hard-label term. The paper writes one p^t
        for it, Eq. 6 and Eq. 16's estimate, to the letter at τ in all three; 1 is our reading.
      scale_by_temperature_squared: multiply the transfer term by τ^2, which keeps its gradient's
        scale as τ changes (Hinton et al., "Distilling the Knowledge in a Neural Network", Sec. 2).

    Returns: [...] float32.
    Raises: ValueError if a temperature is not positive.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 6, 7, 13 and 15.
    Eq. 6 is Eq. 5 without the ancestor's entropy, which no gradient sees, and so is this.

    Examples:
      >>> space, labels = LabelSpace.range(20, 22), jnp.array([20, 20])
      >>> logits, score = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), jnp.array([0.1, 0.9])
      >>> probs, slack = jnp.array([[0.6, 0.3, 0.1]] * 2), jnp.array([0.2, 0.2])
      >>> print(losses.cen_evolution(logits, score, labels, space, probs, slack))
      [0.669 4.719]
    """
    x, label = arrays.with_labels(logits, labels, space)
    s = arrays.with_shape("score", score, label.shape)
    a, tau = arrays.float32(alpha), arrays.positive("temperature", temperature)
    transfer = cross_entropy(x / tau, arrays.with_shape("teacher_probs", teacher_probs, x.shape))
    if scale_by_temperature_squared:
        transfer = jnp.square(tau) * transfer
    hard_x = x / arrays.positive("hard_temperature", hard_temperature)
    hard = class_cross_entropy(hard_x, label, space)
    regression = slack_l1(s, encodings.normalised(label, space), slack)
    return a * transfer + (1.0 - a) * hard + arrays.float32(lam) * regression


def dex(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """DEX: classifies the label (and decodes the expectation).

    L = -ln softmax(x)_y

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit, each taken to its own value as `one_hot` does.
      space: the K label values.

    Returns: [...] float32.

    Source: Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single
    image without facial landmarks" (IJCV 2018).

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.dex(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.408 2.408]
    """
    x, label = arrays.with_labels(logits, labels, space)
    return class_cross_entropy(x, label, space)


def sord(
    logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    *,
    distance: Literal["absolute", "squared"] = "absolute",
    alpha: ArrayLike = 1.0,
) -> jax.Array:
    """SORD: cross-entropy against soft ordinal targets.

    L = -Σ_k p_k ln softmax(x)_k,  p_k = exp(-α φ(y, l_k)) / Σ_j exp(-α φ(y, l_j))

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.
      distance: φ, as in `encodings.sord`.
      alpha: α, as in `encodings.sord`.

    Returns: [...] float32.
    Raises: ValueError if distance is neither, or alpha is not positive.

    Source: Díaz and Marathe, "Soft Labels for Ordinal Regression" (CVPR 2019).

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.sord(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.832 1.983]
    """
    x, label = arrays.with_labels(logits, labels, space)
    return cross_entropy(x, encodings.sord(label, space, distance=distance, alpha=alpha))


def megaage(
    logits: ArrayLike,
    rank_logits: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    sigma: ArrayLike = 2.0,
    truncation: arrays.Scalar = 3.0,
) -> jax.Array:
    """MegaAge: ordinal hyperplanes away from the label, and the posterior over the values.

    L = Σ_{k: l_k < y - d or l_k >= y + d} (σ(h_k) - [y > l_k])^2 - Σ_k p_k ln softmax(x)_k,
    p the normalised Gaussian around y

    Args:
      logits: x [..., K], of the posterior: there, a dense layer on σ(h).
      rank_logits: h [..., K-1], of the hyperplanes "above l_k".
      labels: y [...], in the space's unit.
      space: the K label values.
      sigma: σ of the Gaussian, in the space's unit; a scalar, or one a label [...].
      truncation: d in the space's unit; hyperplanes nearer to the label are left alone.

    Returns: [...] float32.
    Raises: ValueError if truncation is negative.

    Source: Zhang et al., "Quantifying Facial Age by Posterior of Age Comparisons" (BMVC 2017), in
    the form of the reimplementation by Paplhám and Franc, "A Call to Reflect on Evaluation
    Practices for Age Estimation" (CVPR 2024), whose σ, d and equal weights of the two terms are
    the defaults: of the paper itself only the abstract was at hand.

    Examples:
      >>> space = LabelSpace.range(20, 22)
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> ranks = jnp.array([[-1.0, -2.0], [2.0, 1.0]])
      >>> print(losses.megaage(logits, ranks, jnp.array([20, 20]), space, truncation=0.0))
      [1.336 2.876]
    """
    if arrays.is_known(truncation) and not truncation >= 0:
        raise ValueError(f"truncation: must not be negative, got {truncation}")
    x, y = arrays.with_labels(logits, labels, space)
    h = arrays.with_shape("rank_logits", rank_logits, (*y.shape, space.size - 1))
    away = arrays.grid(space, x.ndim)[..., :-1] - y[..., None]
    d = arrays.with_shape("truncation", truncation, ())
    near = (away >= -d) & (away < d)
    error = jnp.square(jax.nn.sigmoid(h) - encodings.rank(y, space))
    hyperplanes = jnp.sum(jnp.where(near & ~jnp.isnan(error), 0.0, error), axis=-1)
    hyperplanes = arrays.nan_where(jnp.isnan(d), hyperplanes)
    return hyperplanes + cross_entropy(x, encodings.gaussian(y, space, sigma))
