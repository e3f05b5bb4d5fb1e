"""Rows of a benchmark: each run's metrics, the errors by picture, and the contrasts of rows."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ldl_jax import encodings
from ldl_jax.evaluation import analysis, compare, report
from ldl_jax.evaluation.compare import Contrast
from ldl_jax.evaluation.predictions import Predictions

BALANCED = "balanced_mae"  # of `analysis.analyse`; other metrics are those of `report.summary`
# Metrics of a distribution, which a model that gives a value alone has none of.
OF_PROBS = ("nll", "crps", "coverage90")


@dataclasses.dataclass(frozen=True)
class Scored:
    """Holds what the runs of a row are worth.

    Attributes:
      numbers: each run's metrics, by their keys.
      errors: |ŷ - y| of each run for each picture, float32 [S, N].
      ids: the N pictures.
      subjects: who is shown in each, or () where that is not known.
    """

    numbers: Mapping[str, Sequence[float]]
    errors: np.ndarray
    ids: tuple[str, ...]
    subjects: tuple[str, ...] = ()


def score(runs: Sequence[Predictions], metrics: Sequence[str]) -> Scored:
    """Returns the metrics of runs that were tested on the same pictures.

    A metric that a run does not have is left out.

    Raises:
      ValueError: the pictures or their labels differ.
    """
    first = runs[0]
    numbers: dict[str, list[float]] = {key: [] for key in metrics}
    for run in runs:
        if run.ids != first.ids or not np.array_equal(run.labels, first.labels):
            raise ValueError("runs: expected the same pictures with the same labels in all")
        known = report.summary(run)
        if value_alone(run):
            known = {key: x for key, x in known.items() if key not in OF_PROBS}
        if BALANCED in metrics:
            known[BALANCED] = analysis.balanced_mae(run)
        for key in metrics:
            if key in known:
                numbers[key].append(known[key])
    errors = np.stack([np.abs(run.values - run.labels) for run in runs])
    return Scored({key: x for key, x in numbers.items() if x}, errors, first.ids, first.subjects)


def value_alone(run: Predictions) -> bool:
    """Returns whether distributions are the two labels beside each value: they say nothing more."""
    if not run.probs.shape[1] or run.space.size < 3:
        return not run.probs.shape[1]
    some = slice(0, 64)
    stand_in = np.asarray(encodings.two_hot(run.values[some], run.space))
    return bool(np.allclose(run.probs[some], stand_in, atol=1e-5))


def contrast(ours: Scored, theirs: Scored) -> Contrast | None:
    """Returns the difference of MAE over pictures and runs; None where the pictures differ."""
    if ours.ids != theirs.ids:
        return None
    clusters: dict[str, int] = {}
    subjects = ours.subjects or theirs.subjects or ("",) * len(ours.ids)
    keys = [who or f"picture {name}" for who, name in zip(subjects, ours.ids, strict=True)]
    index = [clusters.setdefault(key, len(clusters)) for key in keys]
    return compare.crossed_difference(ours.errors, theirs.errors, index)


def contrasts(
    rows: Mapping[str, Scored], references: Mapping[str, Scored]
) -> dict[str, tuple[Contrast, float]]:
    """Returns each row's contrast with its reference, and the p-value adjusted for all of them.

    A row that is its own reference, or was tested on other pictures, has none.
    """
    differences = {
        name: difference
        for name, row in rows.items()
        if (reference := references.get(name)) is not None
        and reference is not row
        and (difference := contrast(row, reference)) is not None
    }
    adjusted = compare.holm([difference.p for difference in differences.values()])
    return {
        name: (difference, p)
        for (name, difference), p in zip(differences.items(), adjusted, strict=True)
    }


def cell(values: Sequence[float] | None, key: str) -> str:
    """Returns a metric's mean and standard deviation over the runs as text; "–" without any."""
    if not values:
        return report.ABSENT
    form = "{:.3f}" if key == BALANCED else report.heading(key)[1]
    text = form.format(np.mean(values)).removesuffix("%")
    if len(values) > 1:
        text += f" ± {form.format(np.std(values, ddof=1)).removesuffix('%')}"
    return text


def heading(key: str) -> str:
    """Returns the heading of a metric's column."""
    names = {BALANCED: "balanced MAE", "nll": "NLL", "crps": "CRPS", "coverage90": "in 90 %"}
    return names.get(key) or report.heading(key)[0]


def contrast_cells(found: tuple[Contrast, float] | None) -> tuple[str, str]:
    """Returns a contrast with its interval, and its adjusted p-value, as text."""
    if found is None:
        return report.ABSENT, report.ABSENT
    difference, p = found
    text = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*difference[:3])
    return text, "<0.001" if p < 0.001 else f"{p:.3f}"
