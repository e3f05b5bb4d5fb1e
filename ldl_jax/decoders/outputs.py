"""Decoders of outputs that are not probabilities over the label space: ranks, scores, stages."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace


def rank_count(rank_probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The label of the rank that the binary classifiers count up to.

    ŷ = l_i,  i = 1 + Σ_k [q_k > 1/2],  k = 1, ..., K-1

    Args:
      rank_probs: q [..., K-1], the probabilities that the label is above each value but the last.
      space: the K label values.

    Returns: [...] float32, one of the label values.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation"
    (CVPR 2016); Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural
    networks with application to age estimation" (2020), Eq. 1. The code of Gao et al., "Age
    Estimation Using Expectation of Label Distribution Learning", counts a q_k of 1/2 as well.

    Examples:
      >>> print(decoders.rank_count(jnp.array([[0.9, 0.8, 0.3, 0.1]]), LabelSpace.range(20, 24)))
      [22.]
    """
    q = arrays.with_last_axis("rank_probs", rank_probs, space.size - 1)
    count = jnp.sum(q > 0.5, axis=-1, dtype=jnp.int32)
    return arrays.nan_of(q, arrays.at(arrays.grid(space, q.ndim), count))


def rank_expectation(rank_probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The mean label of the distribution that the ranks imply.

    ŷ = l_1 + Σ_k q_k (l_{k+1} - l_k),  k = 1, ..., K-1

    Args:
      rank_probs: q [..., K-1], the probabilities that the label is above each value but the last.
      space: the K label values.

    Returns: [...] float32, in the space's unit.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 10
    of the p of Eq. 6, summed by parts.

    Examples:
      >>> space = LabelSpace.range(20, 24)
      >>> print(decoders.rank_expectation(jnp.array([[0.9, 0.8, 0.3, 0.1]]), space))
      [22.1]
    """
    q = arrays.with_last_axis("rank_probs", rank_probs, space.size - 1)
    return space.values[0] + jnp.sum(q * arrays.row(np.diff(space.values), q.ndim), axis=-1)


def ranks_from_conditional(logits: ArrayLike) -> jax.Array:
    """CORN's rank probabilities: the product of the conditional ones.

    q_k = Π_{j<=k} σ(x_j),  k = 1, ..., K-1

    Args:
      logits: x [..., K-1], σ(x_k) the probability of a label above l_k if it is above l_{k-1}.

    Returns: q [..., K-1] float32, never rising: for `rank_count`, `rank_expectation` or
    `encodings.distribution_from_ranks`.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities" (2021).

    Examples:
      >>> print(decoders.ranks_from_conditional(jnp.array([2.0, 1.0, -1.0])))
      [0.881 0.644 0.173]
    """
    log_conditional = jax.nn.log_sigmoid(arrays.float32(logits))
    return jnp.exp(jax.lax.cumsum(log_conditional, axis=log_conditional.ndim - 1))


def from_score(score: ArrayLike, space: LabelSpace) -> jax.Array:
    """The label of CEN's regression head: ŷ = (l_K - l_1) s + l_1.

    Args:
      score: s [...], in the normalised scale (`encodings.normalised`).
      space: its `low` and `high` are l_1 and l_K.

    Returns: [...] float32, in the space's unit; not clipped to it.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 17.

    Examples:
      >>> print(decoders.from_score(jnp.array([0.0, 0.25, 1.0]), LabelSpace.range(20, 24)))
      [20. 21. 24.]
    """
    return (space.high - space.low) * arrays.float32(score) + space.low


def coupled(probs: ArrayLike, score: ArrayLike, space: LabelSpace) -> jax.Array:
    """CEN's estimate: the mean of its two heads.

    ŷ = (Σ_k p_k l_k + (l_K - l_1) s + l_1) / 2

    Args:
      probs: p [..., K].
      score: s [...], the regression head's output in the normalised scale.
      space: the K label values.

    Returns: [...] float32, in the space's unit.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 16-18.

    Examples:
      >>> space = LabelSpace.range(20, 24)
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.coupled(probs, jnp.array([0.5]), space))  # 22.5 and 22.0
      [22.25]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    regressed = from_score(arrays.with_shape("score", score, p.shape[:-1]), space)
    return 0.5 * (jnp.sum(p * arrays.grid(space, p.ndim), axis=-1) + regressed)


def soft_stagewise(
    probs: Sequence[ArrayLike],
    offsets: Sequence[ArrayLike],
    deltas: Sequence[ArrayLike],
    span: ArrayLike,
    *,
    low: ArrayLike = 0.0,
    offset_scale: ArrayLike = 1.0,
    delta_scale: ArrayLike = 1.0,
    least: ArrayLike = 1e-3,
) -> jax.Array:
    """SSR-Net's soft stagewise regression: each stage refines the bin of the one before.

    ŷ = low + Σ_k Σ_i p_i^(k) (i + λ_η η_i^(k)) V / Π_{j<=k} s_j (1 + λ_Δ Δ_j),  i = 0, ..., s_k - 1

    Args:
      probs: p, one array [..., s_k] a stage k.
      offsets: η, one array [..., s_k] a stage, in [-1, 1].
      deltas: Δ, one array [...] a stage, in [-1, 1].
      span: V, the width of the label's range, in its unit (101 in the released models).
      low: the least label.
      offset_scale: λ_η of the authors' code; 1 is Eq. 6 and the released models.
      delta_scale: λ_Δ of the authors' code; 1 is Eq. 4 and the released models.
      least: the least that each 1 + λ_Δ Δ may be; 0 leaves the paper's division by zero.

    Returns: [...] float32, in the label's unit; not clipped.

    Source: Yang et al., "SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation"
    (IJCAI 2018), Eqs. 4-7. Its loss is `losses.l1` of this (Eq. 1). The floor of the denominators
    is ours.

    Examples:
      >>> probs = [jnp.array([0.0, 1.0, 0.0]), jnp.array([0.0, 0.5, 0.5])]
      >>> offsets, deltas = [jnp.zeros(3)] * 2, [jnp.zeros(())] * 2
      >>> print(decoders.soft_stagewise(probs, offsets, deltas, 90.0))  # 1 * 90/3 + 1.5 * 90/9
      45.0
    """
    if not len(probs) == len(offsets) == len(deltas) > 0:
        raise ValueError(
            "probs, offsets, deltas: expected one of each a stage, "
            f"got {len(probs)}, {len(offsets)} and {len(deltas)}"
        )
    span, low, least = (arrays.float32(x) for x in (span, low, least))
    offset_scale, delta_scale = arrays.float32(offset_scale), arrays.float32(delta_scale)
    first = arrays.float32(deltas[0])
    value, width = jnp.full(first.shape, low, jnp.float32), jnp.full(first.shape, span, jnp.float32)
    for k, (stage, offset, change) in enumerate(zip(probs, offsets, deltas, strict=True)):
        p = arrays.float32(stage)
        shape = (*first.shape, p.shape[-1] if p.ndim else 0)
        p = arrays.with_shape(f"probs[{k}]", p, shape)
        eta = arrays.with_shape(f"offsets[{k}]", offset, shape)
        delta = arrays.with_shape(f"deltas[{k}]", change, first.shape)
        width = width / (shape[-1] * jnp.maximum(1.0 + delta_scale * delta, least))
        bins = arrays.row(np.arange(shape[-1]), p.ndim) + offset_scale * eta
        value = value + width * jnp.sum(p * bins, axis=-1)
    return value


def flip_average(view: ArrayLike, flipped: ArrayLike) -> jax.Array:
    """The mean of what a picture and its mirror image give.

    Args:
      view: values [...] or probabilities [..., K] of the picture.
      flipped: the same of its mirror image.

    Returns: float32, of that shape. The papers average values; of expectations it is the same as of
    the probabilities, of medians and modes it is not.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Sec. 4.3
    (inference on both and the average of the predictions).

    Examples:
      >>> print(decoders.flip_average(jnp.array([22.0, 30.0]), jnp.array([23.0, 31.0])))
      [22.5 30.5]
    """
    a = arrays.float32(view)
    return 0.5 * (a + arrays.with_shape("flipped", flipped, a.shape))
