"""All figures that are drawn with Matplotlib: of a run, of scores, and of a benchmark.

Matplotlib is an extra. It is imported by the first figure, and where it is not installed, none is
drawn; `left_out` says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax import extras
from ldl_jax.data.feed.feeds import Part
from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.compare import Contrast
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.workdir import Row

_SHOWN = 6  # test pictures in the figure of evolving distributions
_NEEDED = ("matplotlib", "drawing figures", "figures")


def left_out() -> str:
    """Says that no figure is drawn and what would bring them; "" where they are drawn."""
    return extras.missing(*_NEEDED)


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
    if left_out():
        return
    from ldl_jax.evaluation import analysis_figure, decision_figures, figures

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
            analysis_figure.error_analysis(folder / "analysis.png", analyses)
            decision_figures.draw(folder, analyses)
    figures.training_curves(folder / "training_curves.png", rows, unit=last.unit)


def draw_scores(folder: Path, answers: Predictions, analysis: Analysis) -> None:
    """Draws predicted_against_true, error_by_label and, where it can, analysis of one model (PNGs).

    And, where the analysis has them, challenge and risk_coverage. Of identities there is none.
    """
    if left_out() or answers.unit == "identity":
        return
    from ldl_jax.evaluation import analysis_figure, decision_figures, figures

    figures.predicted_against_true(folder / "predicted_against_true.png", answers)
    figures.error_by_label(folder / "error_by_label.png", answers)
    if analysis.keys() & {"calibration", "confusion", "by_group"}:
        analysis_figure.error_analysis(folder / "analysis.png", [analysis], "the model")
    decision_figures.draw(folder, [analysis])


def draw_contrasts(
    path: Path, parts: Mapping[str, Mapping[str, Contrast]], unit: str = "years"
) -> bool:
    """Draws the differences of a benchmark's rows, where there are any; returns whether it did."""
    if left_out() or not any(parts.values()):
        return False
    from ldl_jax.evaluation import contrasts

    contrasts.draw(path, parts, unit)
    return True
