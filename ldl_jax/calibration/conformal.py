"""Split conformal prediction: intervals of labels that hold a stated share of new labels.

Each label of the grid has a score, which says how ill it goes with a distribution. The interval has
the labels whose score is at most a threshold, and the threshold is an order statistic of the scores
that N pictures' own labels had. Where those pictures and a new one are exchangeable, the interval
holds the new one's label with at least the probability that was asked for, however wrong the
distributions are. The probability is over the N pictures and the new one together.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace

SCORES = ("cdf", "rps")
# Probabilities are held above this for scores, so that labels beyond float32's sums keep an order.
_LEAST = 1e-9


def scores(probs: ArrayLike, space: LabelSpace, kind: str = "cdf") -> jax.Array:
    """Scores every label by how ill it goes with its distribution.

    "cdf": s_k = -ln(2 min(L_k, U_k)), with L_k = Σ_{j<k} p_j + p_k / 2 and U_k = Σ_{j>k} p_j +
    p_k / 2. As min(L_k, U_k) = 1/2 - |L_k - 1/2|, it orders labels as |F - 1/2| does, F being the
    cumulative probability at the label's middle, and it keeps float32's precision in the tails. p
    is held above 1e-9.

    "rps": s_k = Σ_{j<k} F_j² d_j + Σ_{j>=k} (1 - F_j)² d_j, with F_j = Σ_{i<=j} p_i and d_j the gap
    between labels j and j+1: the ranked probability score of label k, in the label's unit. Of a
    distribution that is one label it is the distance from that label.

    Both have their least value at the median and rise from it to either side, so that the labels
    with a score of at most t lie side by side.

    Args:
      probs: p [..., K]; divided by its sum.
      space: the K label values.
      kind: one of `SCORES`.

    Returns: s [..., K] float32; NaN for all labels of a distribution with a NaN.
    Raises: ValueError if the kind is another.

    Source: Chernozhukov, Wüthrich and Zhu, "Distributional Conformal Prediction" (PNAS 2021), the
    score |F(y) - 1/2|; Haas et al., "Reliable Conformal Prediction for Ordinal Classification Using
    the Ranked Probability Score" (arXiv 2606.24959), here with the gaps of the grid.

    Examples:
      >>> space = LabelSpace.range(0, 2)
      >>> print(calibration.scores(jnp.array([0.0, 1.0, 0.0]), space, "rps"))
      [1. 0. 1.]
      >>> print(calibration.scores(jnp.array([0.25, 0.5, 0.25]), space))
      [1.386 0.    1.386]
    """
    if kind not in SCORES:
        raise ValueError(f"kind: expected one of {', '.join(SCORES)}, got {kind!r}")
    return _scores(arrays.with_last_axis("probs", probs, space.size), space, kind)


@partial(jax.jit, static_argnames=("space", "kind"))
def _scores(p: jax.Array, space: LabelSpace, kind: str) -> jax.Array:
    last = p.ndim - 1
    if kind == "cdf":
        p = jnp.maximum(p / jnp.sum(p, axis=-1, keepdims=True), _LEAST)
        below, above = jax.lax.cumsum(p, axis=last), jax.lax.cumsum(p, axis=last, reverse=True)
        tail = jnp.minimum(below, above) - 0.5 * p
        return jnp.log(0.5 * jnp.sum(p, axis=-1, keepdims=True) / tail)
    p = p / jnp.sum(p, axis=-1, keepdims=True)
    gaps = arrays.row(np.diff(space.values), p.ndim)
    below = jax.lax.cumsum(p, axis=last)[..., :-1]
    above = jax.lax.cumsum(p, axis=last, reverse=True)[..., 1:]
    left = jax.lax.cumsum(jnp.square(below) * gaps, axis=last)
    right = jax.lax.cumsum(jnp.square(above) * gaps, axis=last, reverse=True)
    none = jnp.zeros_like(p[..., :1])
    return jnp.concatenate([none, left], axis=-1) + jnp.concatenate([right, none], axis=-1)


def own_scores(
    probs: ArrayLike, labels: ArrayLike, space: LabelSpace, kind: str = "cdf"
) -> jax.Array:
    """Returns the score [...] of each label's own value, in its distribution [..., K].

    Examples:
      >>> space = LabelSpace.range(0, 2)
      >>> print(calibration.own_scores(jnp.array([[0.0, 1.0, 0.0]]), [2.0], space, "rps"))
      [1.]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    y = arrays.with_shape("labels", labels, p.shape[:-1])
    return arrays.of_own(y, scores(p, space, kind), space)


def rank(count: int, coverage: float) -> int:
    """Returns which of N ascending scores is the threshold: ⌈(N + 1) a⌉, for a coverage a.

    It is above N where N scores are too few.

    Source: Lei et al., "Distribution-Free Predictive Inference for Regression" (JASA 2018),
    Algorithm 2.

    Examples:
      >>> calibration.rank(99, 0.9), calibration.rank(8, 0.9)
      (90, 9)
    """
    _check(coverage)
    # The product is a whole number where a decimal says so: 10 times 0.9 is 9, not a bit above.
    return math.ceil(round((count + 1) * coverage, 9))


def least_count(coverage: float) -> int:
    """Returns how few labels a coverage needs: ⌈1 / (1 - coverage)⌉ - 1.

    Examples:
      >>> calibration.least_count(0.9), calibration.least_count(0.99)
      (9, 99)
    """
    _check(coverage)
    return max(1, math.ceil(round(1 / (1 - coverage), 6)) - 1)


def thresholds(own: ArrayLike, coverages: Sequence[float]) -> np.ndarray:
    """Returns the threshold of each coverage: the `rank`-th of the labels' own scores.

    Args:
      own: [N], of `own_scores`.
      coverages: in (0, 1), rising.

    Returns: float32 [M], of the coverages that N labels are enough for: the first M.
    Raises: ValueError if a coverage is not in (0, 1), or a score is NaN.

    Source: Lei et al. (JASA 2018), Algorithm 2; by groups or by labels, on those of each alone,
    Vovk, "Conditional Validity of Inductive Conformal Predictors" (ACML 2012).

    Examples:
      >>> print(calibration.thresholds(np.arange(9.0), [0.5, 0.9, 0.99]))
      [4. 8.]
    """
    ascending = np.sort(np.asarray(own, np.float32))
    if np.isnan(ascending).any():
        raise ValueError("own: expected numbers, got NaN")
    ranks = [rank(len(ascending), coverage) for coverage in coverages]
    enough = [index for index in ranks if index <= len(ascending)]
    return ascending[np.asarray(enough, int) - 1]


def conformal_interval(
    probs: ArrayLike, space: LabelSpace, threshold: ArrayLike, kind: str = "cdf"
) -> tuple[jax.Array, jax.Array]:
    """Returns the ends of the labels whose score is at most their threshold.

    The label of the least score is always among them, and where thresholds differ from label to
    label, all labels between two of them are: both only add labels, so the coverage stays.

    Args:
      probs: p [..., K].
      space: the K label values.
      threshold: one number, or [K] where each label has its own.
      kind: the score, one of `SCORES`.

    Returns: low [...] and high [...], float32, of the label values; NaN of NaN probabilities.

    Examples:
      >>> space = LabelSpace.range(20, 24)
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(*calibration.conformal_interval(probs, space, 0.8, "rps"))
      [22.] [23.]
    """
    s = scores(probs, space, kind)
    limit = arrays.float32(threshold)
    if limit.ndim:
        limit = arrays.row(arrays.with_shape("threshold", limit, (space.size,)), s.ndim)
    least = jnp.min(s, axis=-1, keepdims=True)
    inside = (s <= limit) | (s <= least)
    values = arrays.grid(space, s.ndim)
    low = jnp.min(jnp.where(inside, values, jnp.inf), axis=-1)
    high = jnp.max(jnp.where(inside, values, -jnp.inf), axis=-1)
    return arrays.nan_of(s, low), arrays.nan_of(s, high)


def _check(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"coverage: expected a number in (0, 1), got {coverage}")
