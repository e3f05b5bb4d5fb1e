"""The sections of a model card with numbers: results, errors by group and by label, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from ldl_jax.calibration import Calibration
from ldl_jax.calibration import facts as facts_of
from ldl_jax.evaluation import compare, report
from ldl_jax.evaluation.cells import markdown
from ldl_jax.export.run_facts import UNKNOWN, RunFacts
from ldl_jax.metrics import table as metrics_table

_INTERVAL = " The interval: 95 %, of other people (bootstrap over those who are shown)."
_NOT_EVALUATED = f"{UNKNOWN}: the run's files have none for this model."


def results(facts: RunFacts) -> str:
    """Returns the metrics on the test part, the mean absolute error with its interval."""
    if not facts.results:
        return _NOT_EVALUATED
    rows = []
    for key in facts.results:
        entry = metrics_table.find(key)
        if entry is not None and facts.results[key] is not None:
            rows.append([entry.heading, report.cell(facts.results, key), _better(entry.better)])
            if key == "mae" and facts.answers is not None:
                rows[0][1] += " [{:.3f}, {:.3f}]".format(*compare.mae_interval(facts.answers))
    notes = report.footnote([facts.results], markdown(str(facts.at("resolved.space.unit"))))
    interval = "" if facts.answers is None else _INTERVAL
    count = facts.results.get("test pictures", UNKNOWN)
    table = _table(("metric", "value", "better"), rows)
    return f"Of {count} test pictures, from one run.\n\n{table}\n\n{notes}{interval}"


def groups(facts: RunFacts) -> str:
    """Returns the errors of each group of people, where groups are known."""
    rows = facts.analysis.get("by_group")
    if not rows:
        return f"{UNKNOWN}: the data say no groups of people, so that nobody has looked."
    return _errors([(name, row) for name, row in rows.items()], "group")


def labels(facts: RunFacts) -> str:
    """Returns the errors by label."""
    rows = facts.analysis.get("by_label")
    if not rows:
        return _NOT_EVALUATED
    return _errors([(_label(row), row) for row in rows], "label")


def calibration(facts: RunFacts) -> str:
    """Returns how well the distributions are calibrated on the test part."""
    lines = []
    if (share := facts.results.get("coverage90")) is not None:
        lines.append(f"- central intervals of 90 % hold {share:.1%} of the test labels")
    if (error := facts.analysis.get("quantile_calibration_error")) is not None:
        lines.append(
            f"- quantile calibration error: {error:.3f} (how far the share of labels below a "
            "quantile is from its level, on the mean; 0 is best)"
        )
    return "\n".join(lines) or _NOT_EVALUATED


def intervals(known: Calibration | None, value_alone: bool) -> str:
    """Returns what the model's intervals promise: its own claim, or a calibration's guarantee."""
    if value_alone:
        return "There are none: the method gives a value alone."
    if known is None:
        return (
            "Not calibrated: an interval holds a share of the model's distribution, which is its "
            "own claim. `launch.calibrate` makes labels keep it."
        )
    lines = [f"- {markdown(line)}" for line in facts_of(known)]
    return "\n".join(
        [
            "Calibrated by `launch.calibrate`. Results above are of before: the values are the "
            "same, the distributions and intervals are not.",
            "",
            *lines,
        ]
    )


def _better(better: str) -> str:
    return better or "neither"


def _errors(rows: Sequence[tuple[str, Mapping[str, Any]]], name: str) -> str:
    cells = [
        [title, str(row["pictures"]), f"{row['mae']:.3f}", f"{row['bias']:+.3f}"]
        for title, row in rows
    ]
    return _table((name, "pictures", "MAE", "bias"), cells)


def _label(row: Mapping[str, Any]) -> str:
    if "label" in row:
        return f"{row['label']:g}"
    return f"{row['low']:g} to below {row['high']:g}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join("| " + " | ".join(markdown(cell) for cell in line) + " |" for line in lines)
