"""Methods that regress a value by one unit, and what all methods of a value share.

A value has no distribution of its own, so each method chooses one that stands for it. They learn
from a teacher by its slack: an error within the teacher's costs nothing (CEN Eqs. 10-13).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Head, Outputs, dense
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction, check_flag, check_number
from ldl_jax.methods.targets import Encoder, normalised_error, of_labels

__all__ = ["regression_l1", "regression_l2"]


def regression_l1(
    space: LabelSpace,
    sigma: float = 0.0,
    smoothed_weights: bool = False,
    smoothing: float = 2.0,
    counts: ArrayLike | None = None,
) -> Method:
    """MR(l1): the absolute error of one unit on the normalised scale, |s - y|.

    Args:
      space: the label space; y is the label on the scale of `encodings.normalised`.
      sigma: σ, in the label's unit, of the Gaussian around the estimate that stands for its
        distribution; 0 takes the two values next to the estimate, of which it is the mean.
      smoothed_weights: weight each example by the inverse frequency of labels like its own
        (`losses.lds_weights`).
      smoothing: σ, in the label's unit, of the kernel that smooths those frequencies.
      counts: [K], how many training labels each value has (`encodings.label_counts`); a run fills
        them in.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Table 3,
    which does not give the scale; the authors' code has a tanh on labels in [-1, 1]. The weights
    are those of Yang et al., "Delving into Deep Imbalanced Regression".
    """
    weight = _weight(space, smoothed_weights, smoothing, counts)
    return _regression("regression_l1", space, lambda error: error, sigma, weight)


def regression_l2(
    space: LabelSpace,
    sigma: float = 0.0,
    smoothed_weights: bool = False,
    smoothing: float = 2.0,
    counts: ArrayLike | None = None,
) -> Method:
    """MR(l2): the squared error (s - y)^2 of one unit; all else as in `regression_l1`."""
    weight = _weight(space, smoothed_weights, smoothing, counts)
    return _regression("regression_l2", space, jnp.square, sigma, weight)


def _regression(
    name: str,
    space: LabelSpace,
    cost: Callable[[jax.Array], jax.Array],
    sigma: float,
    weight: Callable[[jax.Array], jax.Array],
) -> Method:
    """Makes a method whose loss is `cost` of the absolute error of a normalised value."""
    check_number("sigma", sigma, low=0.0)

    def target_of(labels: jax.Array) -> jax.Array:
        return encodings.normalised(labels, space)

    def error(outputs: Outputs, batch: Batch, slack: jax.Array) -> jax.Array:
        target = target_of(batch["labels"])
        beyond = losses.slack_l1(outputs["score"], target, slack)
        return weight(batch["labels"]) * cost(beyond)

    def predict(outputs: Outputs) -> Prediction:
        value = decoders.from_score(outputs["score"], space)
        if sigma == 0:
            return Prediction(value, encodings.two_hot(value, space))
        return Prediction(value, encodings.gaussian(value, space, sigma))

    return of_value(name, space, dense(score=None), of_labels(target_of), error, predict)


def of_value(
    name: str,
    space: LabelSpace,
    head: Head,
    encode: Encoder,
    error: Callable[[Outputs, Batch, jax.Array], jax.Array],
    predict: Callable[[Outputs], Prediction],
) -> Method:
    """Makes a method of a value from `error(outputs, batch, slack) -> [B]`.

    Without a teacher the slack is 0.
    """

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        slack = jnp.zeros_like(batch["labels"]) if knowledge is None else knowledge.slack
        return error(outputs, batch, slack)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        value, probs, _ = predict(outputs)
        return Knowledge(probs, normalised_error(value, batch["labels"], space))

    return Method(name, space, head, encode, loss, predict, teach)


def _weight(
    space: LabelSpace, smoothed: bool, smoothing: float, counts: ArrayLike | None
) -> Callable[[jax.Array], jax.Array]:
    """Returns the function `labels [B] -> weights [B]`."""
    check_flag("smoothed_weights", smoothed)
    check_number("smoothing", smoothing, low=0.0, strict=True)

    def weight(labels: jax.Array) -> jax.Array:
        if not smoothed:
            return jnp.ones_like(labels)
        if counts is None:
            raise ValueError("counts: smoothed_weights need the training labels' counts")
        return losses.weights_of(labels, losses.lds_weights(counts, space, smoothing), space)

    return weight
