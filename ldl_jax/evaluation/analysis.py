"""An analysis of a model's errors: by label, by group of people, by confusion; its calibration."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import arrays, decoders, metrics
from ldl_jax.evaluation import decisions
from ldl_jax.evaluation import groups as of_people
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.evaluation.report import compiled_fast
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.calibration import LEVELS

Analysis = dict[str, Any]  # of JSON's types
Edges = tuple[float, ...]
FEW = 20  # label values, of which a table of confusions can be read
SHARES = np.arange(1, 21) / 20  # of the pictures that are answered, in a curve
BIN = {"years": 10.0}  # the width of a bin of labels; of other units 0.5


def analyse(predictions: Predictions, thresholds: Sequence[float] | None = None) -> Analysis:
    """Returns what a run keeps of one generation's predictions beside its summary, of JSON's types.

    Keys:
      by_label: a row a bin of labels that has pictures: label, of at most 20 values, or else low
        and high (not in it); pictures, mae and bias (mean of estimate - label).
      balanced_mae: the mean of by_label's errors, so that rare labels count as common ones do.
      by_group, group_differences, groups_too_small: `groups.compare_groups`, where groups of
        people are known.
      decisions: `decisions.decide` at the thresholds, at 18, 21 and 25 years of `None`; where there
        are any.
      abstention: the mean absolute error where the least certain answers are not given. by_width
        sorts by the width of the central interval of 90 %, by_entropy by the entropy: aurc, the
        area under the risk-coverage curve (`metrics.aurc`), and curve, from 5 % to 100 % of the
        pictures, each with coverage, mae, and at_most, the greatest width or entropy that is
        answered. aurc_best is that of an order by the errors themselves, mae that of no order.
      confusion: [K][K] pictures, a row a true value, of at most 20 values; label_values and, of
        groups, label_bounds say which.
      calibration: `metrics.calibration_curve`, how often labels lie at or below each quantile of
        their distributions; equal to the levels where those are calibrated.
      quantile_calibration_error: as `metrics.quantile_calibration_error`.

    Without distributions abstention and the last two are left out.

    Raises:
      ValueError: a threshold is none among the labels.
    """
    space = predictions.space
    values, labels, probs = predictions.values, predictions.labels, predictions.probs
    error = values.astype(np.float64) - labels
    names_of_bins, edges = _bins(labels, space)
    numbers = _numbers(values, labels, probs, space=space, edges=edges)
    index = np.searchsorted(np.asarray(edges, np.float32), labels, side="right") - 1
    result: Analysis = {
        "unit": predictions.unit,
        "by_label": [
            {**names_of_bins[i], **_of(error[index == i]), "mae": float(numbers["by_bin"][i])}
            for i in np.unique(index).tolist()
        ],
        "balanced_mae": float(numbers["balanced"]),
    }
    if predictions.groups:
        result |= of_people.compare_groups(predictions)
    if decided := decisions.decide(predictions, thresholds):
        result["decisions"] = decided
    if space.size <= FEW:
        result["label_values"] = list(space.values)
        if space.bounds:
            result["label_bounds"] = [list(pair) for pair in space.bounds]
        result["confusion"] = numbers["confusion"].tolist()
    if probs.shape[1]:
        curve = np.asarray(numbers["curve"], np.float64).round(6).tolist()
        result["calibration"] = {"levels": list(LEVELS), "labels_below": curve}
        result["quantile_calibration_error"] = float(numbers["error"])
        result["abstention"] = _abstention(numbers, float(np.abs(error).mean()))
    return result


def balanced_mae(predictions: Predictions) -> float:
    """Returns what `analyse` says under that name, alone."""
    edges = _bins(predictions.labels, predictions.space)[1]
    return float(metrics.balanced_mae(predictions.values, predictions.labels, edges))


def _abstention(numbers: dict[str, Any], mae: float) -> Analysis:
    result: Analysis = {"mae": mae, "aurc_best": float(numbers["aurc_best"])}
    for name in ("width", "entropy"):
        risks = np.asarray(numbers[f"by_{name}"], np.float64)
        ordered = np.sort(np.asarray(numbers[name], np.float64))
        points = [max(1, round(share * len(risks))) for share in SHARES]
        curve = [
            {"coverage": n / len(risks), "mae": float(risks[n - 1]), "at_most": float(most)}
            for n in dict.fromkeys(points)
            for most in ordered[n - 1 : n]
        ]
        result[f"by_{name}"] = {"aurc": float(risks.mean()), "curve": curve}
    return result


@functools.partial(compiled_fast, static_argnames=("space", "edges"))
def _numbers(
    values: jax.Array, labels: jax.Array, probs: jax.Array, *, space: LabelSpace, edges: Edges
) -> dict[str, jax.Array]:
    numbers = {
        "by_bin": metrics.per_label_mae(values, labels, _as_groups(edges)),
        "balanced": metrics.balanced_mae(values, labels, edges),
    }
    if probs.shape[1]:
        numbers["curve"] = metrics.calibration_curve(probs, labels, space)
        numbers["error"] = metrics.quantile_calibration_error(probs, labels, space)
        low, high = decoders.interval(probs, space, of_people.COVERAGE)
        error = jnp.abs(values - labels)
        numbers |= {"width": high - low, "entropy": decoders.entropy(probs)}
        for name in ("width", "entropy"):
            numbers[f"by_{name}"] = metrics.risk_coverage_curve(error, numbers[name]).risk
        numbers["aurc_best"] = metrics.aurc(error, error)
    if space.size <= FEW:
        numbers["confusion"] = metrics.confusion_matrix(values, labels, space)
    return numbers


def _of(error: np.ndarray) -> dict[str, float]:
    mae, bias = float(np.abs(error).mean()), float(error.mean())
    return {"pictures": len(error), "mae": mae, "bias": bias}


def _bins(labels: np.ndarray, space: LabelSpace) -> tuple[list[dict[str, float]], Edges]:
    """Returns how the bins of labels are named, and their edges: bin i is [e_i, e_i+1).

    A bin is a label value where there are few, else [low, high) of one width.
    """
    if space.size <= FEW:
        inner = np.nextafter(arrays.thresholds(space), np.float32(np.inf))  # above it is the next
        ends = min(space.low, float(labels.min())), max(space.high, float(labels.max()))
        names = [{"label": value} for value in space.values]
        return names, (ends[0] - 1, *inner.tolist(), ends[1] + 1)
    width = BIN.get(space.unit, 0.5)
    first, last = (int(np.floor(end / width)) for end in (labels.min(), labels.max()))
    # A bin more at each end, as 4.5 of a float32 may be below 4.5; so may the edges be.
    indices = range(first - 1, last + 2)
    names = [{"low": i * width, "high": (i + 1) * width} for i in indices]
    return names, tuple((i - 1e-6) * width for i in (*indices, indices.stop))


def _as_groups(edges: Edges) -> LabelSpace:
    """Returns the bins as groups, each from its edge to just below the next one."""
    ends = np.asarray(edges, np.float32)
    below = np.nextafter(ends[1:], np.float32(-np.inf))
    return LabelSpace.groups(list(zip(ends[:-1].tolist(), below.tolist(), strict=True)))
