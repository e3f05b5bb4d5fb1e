"""All figures of a run, from its files and the test pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.feed.feeds import Part
from ldl_jax.evaluation import decision_figures, figures
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

    And, where the analyses have them, challenge and risk_coverage.

    Without distributions there is no evolution and no analysis, and of identities only the curves.
    Each generation has predictions for the pictures of the test `part`, in their order, and its
    `analysis.analyse` where it has distributions; `rows` are those of metrics.jsonl.
    """
    folder.mkdir(exist_ok=True)
    last = generations[-1]
    if last.space_values.size:
        chosen = figures.pick(last, _SHOWN)
        images = np.stack([part.picture(row) for row in chosen])
        truth = None if part.truth is None else part.truth[chosen]
        path = folder / "evolution.png"
        figures.evolution(path, generations, images, chosen, truth, last.space_values)
    if last.unit != "identity":
        figures.predicted_against_true(folder / "predicted_against_true.png", last)
        figures.error_by_label(folder / "error_by_label.png", last)
        if analyses:
            error_analysis(folder / "analysis.png", analyses)
            decision_figures.draw(folder, analyses)
    figures.training_curves(folder / "training_curves.png", rows, unit=last.unit)
