"""All figures of a run, from its files and the test pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.pictures import decode_one
from ldl_jax.data.pipeline import Part
from ldl_jax.evaluation import figures
from ldl_jax.evaluation.predictions import Predictions

_SHOWN = 6  # test pictures in the figure of evolving distributions


def draw(
    folder: Path,
    generations: Sequence[Predictions],
    rows: Sequence[Mapping[str, Any]],
    part: Part,
) -> None:
    """Draws evolution, predicted_against_true, error_by_label and training_curves as PNGs.

    Args:
      folder: where to.
      generations: the predictions of each generation, for the pictures of `part` in their order.
      rows: of metrics.jsonl.
      part: the test part.
    """
    folder.mkdir(exist_ok=True)
    last = generations[-1]
    chosen = figures.pick(last, _SHOWN)
    figures.evolution(
        folder / "evolution.png",
        generations,
        _faces(part, chosen),
        chosen,
        truth=None if part.truth is None else part.truth[chosen],
        truth_values=None if part.truth is None else last.space_values,
    )
    figures.predicted_against_true(folder / "predicted_against_true.png", last)
    figures.error_by_label(folder / "error_by_label.png", last)
    figures.training_curves(
        folder / "training_curves.png", [dict(row) for row in rows], unit=last.unit
    )


def _faces(part: Part, chosen: Sequence[int]) -> np.ndarray:
    if part.images is not None:
        return part.images[list(chosen)]
    stored = part.paths if part.packed is None else part.packed
    return np.stack([decode_one(stored[row], part.size, part.crop) for row in chosen])
