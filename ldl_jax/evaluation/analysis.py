"""An analysis of a model's errors: by label, by group of persons, by confusion; its calibration."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ldl_jax import arrays, metrics
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.evaluation.report import compiled_fast
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.calibration import LEVELS

Analysis = dict[str, Any]  # of JSON's types
Edges = tuple[float, ...]
FEW = 20  # label values, of which a table of confusions can be read
BIN = {"years": 10.0}  # the width of a bin of labels; of other units 0.5


def analyse(predictions: Predictions, groups: Sequence[str] = ()) -> Analysis:
    """Returns what a run keeps of one generation's predictions beside its summary, of JSON's types.

    Keys:
      by_label: a row a bin of labels that has pictures: label, of at most 20 values, or else low
        and high (not in it); pictures, mae and bias (mean of estimate - label).
      balanced_mae: the mean of by_label's errors, so that rare labels count as common ones do.
      by_group: the same of each group of persons, where groups are known.
      confusion: [K][K] pictures, a row a true value, of at most 20 values; label_values and, of
        groups, label_bounds say which.
      calibration: `metrics.calibration_curve`, how often labels lie at or below each quantile of
        their distributions; equal to the levels where those are calibrated.
      quantile_calibration_error: as `metrics.quantile_calibration_error`.

    Without distributions the last two are left out.

    `groups` has the group of each picture, "" where unknown, or is empty.

    Raises:
      ValueError: groups has another length.
    """
    if groups and len(groups) != len(predictions):
        raise ValueError(f"groups: expected {len(predictions)}, one a picture, got {len(groups)}")
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
    names = np.array(groups)
    if groups:
        result["by_group"] = {name: _of(error[names == name]) for name in sorted({*groups} - {""})}
    if space.size <= FEW:
        result["label_values"] = list(space.values)
        if space.bounds:
            result["label_bounds"] = [list(pair) for pair in space.bounds]
        result["confusion"] = numbers["confusion"].tolist()
    if probs.shape[1]:
        curve = np.asarray(numbers["curve"], np.float64).round(6).tolist()
        result["calibration"] = {"levels": list(LEVELS), "labels_below": curve}
        result["quantile_calibration_error"] = float(numbers["error"])
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
