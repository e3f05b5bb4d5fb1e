"""Methods that regress a value: one unit, or SSR-Net's stages.

A value has no distribution of its own, so each says what stands for one. From a teacher they take
its slack: an error within the teacher's costs nothing (CEN Eqs. 10-13). Reached as
`ldl_jax.methods.get(NAME, ...)`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Head, Outputs, dense, stagewise
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import (
    Batch,
    Knowledge,
    Method,
    Prediction,
    check_choice,
    check_flag,
    check_number,
)
from ldl_jax.methods.transfer import Encoder, normalised_error, of_labels


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
      sigma: of the Gaussian around the estimate that stands for its distribution, in the label's
        unit; 0 takes the two values next to it, whose mean it is.
      smoothed_weights: weight each example by the inverse of how frequent labels like its own are
        (`losses.lds_weights`).
      smoothing: of that, the kernel's σ in the label's unit.
      counts: [K], the training labels' (`encodings.label_counts`); a run fills them in.

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


def ssr(
    space: LabelSpace,
    stages: Sequence[int] = (3, 3, 3),
    activation: Literal["relu", "softmax"] = "relu",
    offset_scale: float = 1.0,
    delta_scale: float = 1.0,
    least: float = 1e-3,
) -> Method:
    """SSR-Net: soft stagewise regression, from coarse to fine.

    L = |ŷ - y| in the label's unit, ŷ of `decoders.soft_stagewise` with V = K times the mean step.

    Args:
      space: the label space.
      stages: s_k, the bins of each stage.
      activation: of the bins' probabilities. "relu" is the paper's, whose probabilities need not
        sum to one; "softmax" makes them a distribution, and of the stages together one over the
        labels whose mean is the estimate. Of "relu" the two values next to the estimate stand.
      offset_scale: λ_η.
      delta_scale: λ_Δ; 0 switches the dynamic range off (the paper's ablation).
      least: floor of each stage's 1 + λ_Δ Δ; 0 for the paper's form.

    Training logs `dead_bins`, how many bins are 0 for the whole batch (in the released weights all
    that move an estimate are the Δ), and `least_denominator`, the least 1 + λ_Δ Δ.

    Source: Yang et al., "SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation".
    """
    stages = tuple(stages)
    if not stages or not all(isinstance(s, int) and s > 0 for s in stages):
        raise ValueError(f"method.stages: expected numbers of bins, all above 0, got {stages}")
    check_choice("activation", activation, ("relu", "softmax"))
    check_number("offset_scale", offset_scale, low=0.0)
    check_number("delta_scale", delta_scale, low=0.0)
    check_number("least", least, low=0.0)
    bins = jax.nn.relu if activation == "relu" else jax.nn.softmax
    span = (space.values[-1] - space.values[0]) * space.size / (space.size - 1)
    numbers = range(1, len(stages) + 1)

    def decode(probs: Sequence[jax.Array], outputs: Outputs) -> jax.Array:
        return decoders.soft_stagewise(
            probs,
            [jnp.tanh(outputs[f"offsets{k}"]) for k in numbers],
            [jnp.tanh(outputs[f"range{k}"]) for k in numbers],
            span,
            low=space.values[0],
            offset_scale=offset_scale,
            delta_scale=delta_scale,
            least=least,
        )

    def probabilities(outputs: Outputs) -> list[jax.Array]:
        return [bins(outputs[f"probs{k}"]) for k in numbers]

    def value(outputs: Outputs) -> jax.Array:
        return decode(probabilities(outputs), outputs)

    def predict(outputs: Outputs) -> Prediction:
        if activation == "relu":
            estimate = value(outputs)
            return Prediction(estimate, encodings.two_hot(estimate, space))
        probs = _of_all_paths(probabilities(outputs), outputs, decode, space)
        return Prediction(value(outputs), probs)

    def error(outputs: Outputs, batch: Batch, slack: jax.Array) -> jax.Array:
        return losses.slack_l1(value(outputs), batch["labels"], slack * (space.high - space.low))

    def watch(outputs: Outputs) -> dict[str, jax.Array]:
        """A bin that is 0 for the whole batch has no gradient; a small denominator blows up."""
        dead = [jnp.sum(jnp.all(p <= 0, axis=0), dtype=jnp.int32) for p in probabilities(outputs)]
        widths = [1 + delta_scale * jnp.min(jnp.tanh(outputs[f"range{k}"])) for k in numbers]
        return {
            "dead_bins": jnp.sum(jnp.stack(dead)).astype(jnp.float32),
            "least_denominator": jnp.min(jnp.stack(widths)),
        }

    method = _of_value(
        "ssr", space, stagewise(stages), of_labels(lambda labels: labels), error, predict
    )
    return dataclasses.replace(method, watch=watch)


def _regression(
    name: str,
    space: LabelSpace,
    cost: Callable[[jax.Array], jax.Array],
    sigma: float,
    weight: Callable[[jax.Array], jax.Array],
) -> Method:
    """`cost` of the absolute error of a normalised value."""
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

    return _of_value(name, space, dense(score=None), of_labels(target_of), error, predict)


def _of_value(
    name: str,
    space: LabelSpace,
    head: Head,
    encode: Encoder,
    error: Callable[[Outputs, Batch, jax.Array], jax.Array],
    predict: Callable[[Outputs], Prediction],
) -> Method:
    """A method of a value, by `error(outputs, batch, slack) -> [B]`; no teacher is slack 0."""

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        slack = jnp.zeros_like(batch["labels"]) if knowledge is None else knowledge.slack
        return error(outputs, batch, slack)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        prediction = predict(outputs)
        return Knowledge(
            prediction.probs, normalised_error(prediction.value, batch["labels"], space)
        )

    return Method(name, space, head, encode, loss, predict, teach)


def _of_all_paths(
    probs: Sequence[jax.Array],
    outputs: Outputs,
    decode: Callable[[Sequence[jax.Array], Outputs], jax.Array],
    space: LabelSpace,
) -> jax.Array:
    """The distribution [B, K] of independent stages: each path of bins at the value it leads to."""
    paths = np.array(list(itertools.product(*(range(p.shape[-1]) for p in probs)))).T  # [stages, P]
    mass = jnp.prod(jnp.stack([p[..., path] for p, path in zip(probs, paths, strict=True)]), axis=0)

    def of_each_path(x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(x[:, None], (*mass.shape, *x.shape[1:]))

    chosen = [
        jnp.broadcast_to(jax.nn.one_hot(path, p.shape[-1])[None], (*mass.shape, p.shape[-1]))
        for p, path in zip(probs, paths, strict=True)
    ]
    values = decode(chosen, {name: of_each_path(x) for name, x in outputs.items()})
    return jnp.sum(mass[..., None] * encodings.two_hot(values, space), axis=1)


def _weight(
    space: LabelSpace, smoothed: bool, smoothing: float, counts: ArrayLike | None
) -> Callable[[jax.Array], jax.Array]:
    """Each label's weight [B]."""
    check_flag("smoothed_weights", smoothed)
    check_number("smoothing", smoothing, low=0.0, strict=True)

    def weight(labels: jax.Array) -> jax.Array:
        if not smoothed:
            return jnp.ones_like(labels)
        if counts is None:
            raise ValueError("counts: smoothed_weights need the training labels' counts")
        return losses.weights_of(labels, losses.lds_weights(counts, space, smoothing), space)

    return weight
