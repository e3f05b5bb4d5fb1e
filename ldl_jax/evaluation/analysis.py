"""Where a model's errors are: by label, by group of persons, by confusion, and its calibration."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ldl_jax import arrays, metrics
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.evaluation.report import space_of
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.calibration import LEVELS

FEW = 20  # label values, of which a table of confusions can be read
BIN = {"years": 10.0}  # the width of a bin of labels; of other units 0.5


def analyse(predictions: Predictions, groups: Sequence[str] = ()) -> dict[str, Any]:
    """What a run leaves of one generation's predictions beside its summary, of JSON's types.

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

    Args:
      predictions: of N pictures.
      groups: the group of each, "" where unknown; empty where there are none.

    Raises:
      ValueError: groups has another length, or the distributions are not kept.
    """
    if groups and len(groups) != len(predictions):
        raise ValueError(f"groups: expected {len(predictions)}, one a picture, got {len(groups)}")
    space = space_of(predictions)
    if space is None:
        raise ValueError("predictions: expected distributions, these are kept without")
    error = predictions.values.astype(np.float64) - predictions.labels
    rows = _by_label(predictions.labels, error, space)
    found: dict[str, Any] = {
        "unit": predictions.unit,
        "by_label": rows,
        "balanced_mae": float(np.mean([row["mae"] for row in rows])),
    }
    names = np.array(groups)
    if groups:
        found["by_group"] = {name: _of(error[names == name]) for name in sorted({*groups} - {""})}
    numbers = _numbers(predictions.values, predictions.labels, predictions.probs, space=space)
    if space.size <= FEW:
        found["label_values"] = list(space.values)
        if space.bounds:
            found["label_bounds"] = [list(pair) for pair in space.bounds]
        found["confusion"] = numbers["confusion"].tolist()
    curve = np.asarray(numbers["curve"], np.float64).round(6).tolist()
    found["calibration"] = {"levels": list(LEVELS), "labels_below": curve}
    found["quantile_calibration_error"] = float(numbers["error"])
    return found


@functools.partial(
    jax.jit,
    static_argnames=("space",),
    compiler_options={"xla_backend_optimization_level": 0},  # it runs once a generation
)
def _numbers(
    values: jax.Array, labels: jax.Array, probs: jax.Array, *, space: LabelSpace
) -> dict[str, jax.Array]:
    found = {
        "curve": metrics.calibration_curve(probs, labels, space),
        "error": metrics.quantile_calibration_error(probs, labels, space),
    }
    if space.size <= FEW:
        found["confusion"] = metrics.confusion_matrix(values, labels, space)
    return found


def _of(error: np.ndarray) -> dict[str, float]:
    return {
        "pictures": len(error),
        "mae": float(np.abs(error).mean()),
        "bias": float(error.mean()),
    }


def _by_label(labels: np.ndarray, error: np.ndarray, space: LabelSpace) -> list[dict[str, float]]:
    """A row a bin that has pictures: a label value where there are few, else [low, high)."""
    if space.size <= FEW:
        index = np.searchsorted(arrays.thresholds(space), labels)
        return [{"label": space.values[i], **_of(error[index == i])} for i in np.unique(index)]
    width = BIN.get(space.unit, 0.5)
    index = np.floor(labels / width + 1e-6).astype(int)  # 4.5 of a float32 may be below 4.5
    return [
        {"low": i * width, "high": (i + 1) * width, **_of(error[index == i])}
        for i in np.unique(index).tolist()
    ]
