"""All figures of a run, from its files and the test pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.feed.feeds import Part
from ldl_jax.evaluation import figures
from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.analysis_figure import error_analysis
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.workdir import Row

_SHOWN = 6  # test pictures in the figure of evolving distributions


def draw(
    folder: Path,
    generations: Sequence[Predictions],
    rows: Sequence[Row],
    part: Part,
    analyses: Sequence[Analysis],
) -> None:
    """Draws evolution, predicted_against_true, error_by_label, analysis and training_curves (PNGs).

    Without distributions there is no evolution and no analysis, and of identities only the curves.

    Args:
      folder: takes the figures.
      generations: the predictions of each generation, for the pictures of `part` in their order.
      rows: of metrics.jsonl.
      part: the test part.
      analyses: the `analysis.analyse` of each generation that has distributions.
    """
    folder.mkdir(exist_ok=True)
    last = generations[-1]
    if last.space_values.size:
        _evolution(folder / "evolution.png", generations, part)
    if last.unit != "identity":
        figures.predicted_against_true(folder / "predicted_against_true.png", last)
        figures.error_by_label(folder / "error_by_label.png", last)
        if analyses:
            error_analysis(folder / "analysis.png", analyses)
    figures.training_curves(folder / "training_curves.png", rows, unit=last.unit)


def _evolution(path: Path, generations: Sequence[Predictions], part: Part) -> None:
    chosen = figures.pick(generations[-1], _SHOWN)
    figures.evolution(
        path,
        generations,
        _faces(part, chosen),
        chosen,
        truth=None if part.truth is None else part.truth[chosen],
        truth_values=None if part.truth is None else generations[-1].space_values,
    )


def _faces(part: Part, chosen: Sequence[int]) -> np.ndarray:
    return np.stack([part.picture(row) for row in chosen])
