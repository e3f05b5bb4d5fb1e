"""Errors, and the coverage of intervals, on pictures that are spoiled in known degrees."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ldl_jax.evaluation import compare, report
from ldl_jax.workdir import Row

COVERAGE = 0.9  # of the intervals
Robustness = dict[str, Any]  # of JSON's types


class IntervalAnswers(NamedTuple):
    """A model's answers for N pictures: values, and the ends of intervals, float32 [N] each.

    The ends are None where a method gives a value alone.
    """

    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def measure(
    labels: np.ndarray,
    clean: IntervalAnswers,
    spoiled: Mapping[tuple[str, int], IntervalAnswers],
    subjects: Sequence[str] = (),
) -> Robustness:
    """Returns the errors by corruption and severity, of JSON's types.

    Keys: pictures; clean, the numbers of the pictures as they are; rows, a row a corruption and
    severity: these, the numbers, and mae_change, the difference of the MAE from that of the clean
    pictures with its 95 % interval over other people (mean, low, high). The numbers are mae, bias
    (mean of estimate - label), and where there are intervals of 90 % coverage90, the share of
    labels in them, and width90, their mean width.

    Args:
      labels: [N].
      clean: the answers for the pictures as they are.
      spoiled: those for the same pictures, by corruption and severity.
      subjects: who is shown in each, "" where unknown, or ().
    """
    named = subjects or ("",) * len(labels)
    clusters: dict[str, int] = {}
    index = [clusters.setdefault(x or f"\0{i}", len(clusters)) for i, x in enumerate(named)]
    errors = np.abs(clean.values.astype(np.float64) - labels)
    rows = []
    for (corruption, severity), answers in spoiled.items():
        spoiled_errors = np.abs(answers.values.astype(np.float64) - labels)
        change = compare.crossed_difference(spoiled_errors, errors, index)
        row: Row = {"corruption": corruption, "severity": severity, **_numbers(labels, answers)}
        row["mae_change"] = {key: getattr(change, key) for key in ("mean", "low", "high")}
        rows.append(row)
    return {"pictures": len(labels), "clean": _numbers(labels, clean), "rows": rows}


def rows_of(by_model: Mapping[str, Robustness]) -> list[Row]:
    """Returns a row a model and corruption for `report.table`: the MAE at each severity.

    Where there are intervals, what they hold of the labels at the greatest severity is beside it.
    """
    rows: list[Row] = []
    for name, known in by_model.items():
        kinds = dict.fromkeys(row["corruption"] for row in known["rows"])
        for kind in kinds:
            of_kind = [row for row in known["rows"] if row["corruption"] == kind]
            row: Row = {"model": name, "spoiled by": kind.replace("_", " ")}
            row["as it is"] = f"{known['clean']['mae']:.3f}"
            row |= {f"severity {x['severity']}": f"{x['mae']:.3f}" for x in of_kind}
            for key, numbers in (("in 90 %", known["clean"]), ("in 90 %, worst", of_kind[-1])):
                if "coverage90" in numbers:
                    row[key] = f"{100 * numbers['coverage90']:.1f}"
            rows.append(row)
    return rows


def page(by_model: Mapping[str, Robustness], unit: str) -> str:
    """Returns the same table in Markdown, under a line on what it is of."""
    return f"\nMAE in {unit} of spoiled pictures.\n\n{report.markdown(rows_of(by_model), unit)}"


def _numbers(labels: np.ndarray, answers: IntervalAnswers) -> dict[str, float]:
    error = answers.values.astype(np.float64) - labels
    numbers = {"mae": float(np.abs(error).mean()), "bias": float(error.mean())}
    if answers.low is not None and answers.high is not None:
        inside = (labels >= answers.low) & (labels <= answers.high)
        width = (answers.high - answers.low).mean(dtype=np.float64)
        numbers |= {"coverage90": float(inside.mean()), "width90": float(width)}
    return numbers
