"""Losses on a value: a regression head's, or the expectation of the softmax of logits."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import exponentials


def l1(value: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Absolute error: L = |ŷ - y|, with gradient 0 at ŷ = y.

    Args:
      value: ŷ [...], in the labels' unit.
      labels: y [...].

    Returns: [...] float32, in the labels' unit.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 11
    and MR(l1) of Table 3; Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 9.
    MR's scale is [-1, 1] over the label grid in the former authors' code, CEN's is [0, 1].

    Examples:
      >>> value, labels = jnp.array([21.0, 25.0, 20.0]), jnp.array([21, 21, 21])
      >>> print(losses.l1(value, labels))
      [0. 4. 1.]
    """
    return arrays.absolute(_error(value, labels))


def l2(value: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Squared error: L = (ŷ - y)^2, without a factor 1/2.

    Args:
      value: ŷ [...], in the labels' unit.
      labels: y [...].

    Returns: [...] float32, in the labels' unit squared.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", MR(l2)
    of Table 3; its scale is [-1, 1] over the label grid in the authors' code.

    Examples:
      >>> value, labels = jnp.array([21.0, 25.0, 20.0]), jnp.array([21, 21, 21])
      >>> print(losses.l2(value, labels))
      [ 0. 16.  1.]
    """
    return jnp.square(_error(value, labels))


def huber(value: ArrayLike, labels: ArrayLike, delta: ArrayLike = 1.0) -> jax.Array:
    """Squared error near the label, absolute error beyond δ.

    L = e^2/2 for |e| <= δ, else δ(|e| - δ/2),  e = ŷ - y

    Args:
      value: ŷ [...], in the labels' unit.
      labels: y [...].
      delta: δ, a positive scalar in the labels' unit.

    Returns: [...] float32, in the labels' unit squared.
    Raises: ValueError if delta is not positive.

    Source: Huber, "Robust Estimation of a Location Parameter" (1964).

    Examples:
      >>> value, labels = jnp.array([21.0, 25.0, 20.0]), jnp.array([21, 21, 21])
      >>> print(losses.huber(value, labels))
      [0.  3.5 0.5]
    """
    return _huber(_error(value, labels), arrays.positive("delta", delta))


def smooth_l1(value: ArrayLike, labels: ArrayLike, beta: ArrayLike = 1.0) -> jax.Array:
    """Absolute error, rounded off within β of the label: `huber` divided by its threshold.

    L = e^2/(2β) for |e| <= β, else |e| - β/2,  e = ŷ - y

    Args:
      value: ŷ [...], in the labels' unit.
      labels: y [...].
      beta: β, a positive scalar in the labels' unit.

    Returns: [...] float32, in the labels' unit.
    Raises: ValueError if beta is not positive.

    Source: Girshick, "Fast R-CNN" (ICCV 2015), Eq. 3, where β = 1.

    Examples:
      >>> value, labels = jnp.array([21.0, 25.0, 20.0]), jnp.array([21, 21, 21])
      >>> print(losses.smooth_l1(value, labels, beta=2.0))
      [0.   3.   0.25]
    """
    threshold = arrays.positive("beta", beta)
    return _huber(_error(value, labels), threshold) / threshold


def slack_l1(score: ArrayLike, target: ArrayLike, slack: ArrayLike) -> jax.Array:
    """Absolute error beyond what the teacher already made.

    L = max(0, |s - y| - Δs), with gradient 0 at both kinks.

    Args:
      score: s [...], the regression head's output in the normalised scale.
      target: y [...], the label in the same scale (`encodings.normalised`).
      slack: Δs [...], the teacher's |s - y| in the same scale (Eq. 10).

    Returns: [...] float32, in that scale.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eqs. 10-13.

    Examples:
      >>> score, target = jnp.array([0.5, 0.75]), jnp.array([0.25, 0.25])
      >>> print(losses.slack_l1(score, target, slack=jnp.array([0.375, 0.375])))
      [0.    0.125]
    """
    s = arrays.float32(score)
    error = arrays.absolute(s - arrays.with_shape("target", target, s.shape))
    # relu, not maximum: its gradient at the kink is 0, not one half.
    return jax.nn.relu(error - arrays.with_shape("slack", slack, s.shape))


def expectation_l1(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Absolute error of the expectation of the softmax of the logits.

    L = |Σ_k p̂_k l_k - y|,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.

    Returns: [...] float32, in the space's unit.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning",
    Eqs. 10-11.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.expectation_l1(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.425 1.575]
    """
    return arrays.absolute(_expectation_error(logits, labels, space))


def expectation_l2(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Squared error of the expectation of the softmax of the logits.

    L = (Σ_k p̂_k l_k - y)^2,  p̂ = softmax(x)

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.

    Returns: [...] float32, in the space's unit squared.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 10,
    with the squared error in the place of Eq. 11.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.expectation_l2(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.18  2.481]
    """
    return jnp.square(_expectation_error(logits, labels, space))


def expectation_huber(
    logits: ArrayLike, labels: ArrayLike, space: LabelSpace, delta: ArrayLike = 1.0
) -> jax.Array:
    """Huber's loss of the expectation of the softmax of the logits: `huber` of Σ_k p̂_k l_k.

    Args:
      logits: x [..., K]; p̂ = softmax(x).
      labels: y [...], in the space's unit.
      space: the K label values.
      delta: δ, a positive scalar in the space's unit.

    Returns: [...] float32, in the space's unit squared.
    Raises: ValueError if delta is not positive.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 10,
    with Huber's loss in the place of Eq. 11.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.expectation_huber(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.09  1.075]
    """
    threshold = arrays.positive("delta", delta)
    return _huber(_expectation_error(logits, labels, space), threshold)


def _error(value: ArrayLike, labels: ArrayLike) -> jax.Array:
    array = arrays.float32(value)
    return array - arrays.with_shape("labels", labels, array.shape)


def _huber(error: jax.Array, delta: jax.Array) -> jax.Array:
    # e^2/2 of the clipped error plus δ times the rest is the same, and squares no large error.
    size = arrays.absolute(error)
    within = jnp.minimum(size, delta)
    return 0.5 * jnp.square(within) + delta * (size - within)


def _expectation_error(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Returns ŷ - y of the softmax's expectation ŷ.

    It is summed as Σ_k p̂_k (l_k - y), whose terms are small where p̂ is near y, so that float32
    keeps digits that the difference of two large numbers would lose.
    """
    x, y = arrays.with_labels(logits, labels, space)
    distance = arrays.grid(space, x.ndim) - y[..., None]
    weights = exponentials(x)
    return jnp.sum(weights * distance, axis=-1) / jnp.sum(weights, axis=-1)


def gaussian_nll(value: ArrayLike, labels: ArrayLike, sigma: ArrayLike) -> jax.Array:
    """The negative log-likelihood of the label under a Gaussian about the value, but for ln √(2π).

    L = ln σ + (v - y)^2 / (2σ^2)

    Of a value that stays as it is, it is least where σ is the errors' root mean square.

    Args:
      value: v [...].
      labels: y [...], in the unit of v.
      sigma: σ [...], positive, in the same unit.

    Returns: [...] float32.

    Source: Nix and Weigend, "Estimating the Mean and Variance of the Target Probability
    Distribution" (ICNN 1994); torch's `gaussian_nll_loss` of the variance σ^2.

    Examples:
      >>> print(losses.gaussian_nll(jnp.array([21.0]), jnp.array([20.0]), jnp.array([2.0])))
      [0.818]
    """
    v = arrays.float32(value)
    y = arrays.with_shape("labels", labels, v.shape)
    s = arrays.with_shape("sigma", sigma, v.shape)
    return jnp.log(s) + jnp.square((v - y) / s) / 2
