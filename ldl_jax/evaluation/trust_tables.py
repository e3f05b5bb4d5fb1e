"""Tables and lines on decisions at an age, on groups of people, and on narrow answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from ldl_jax.evaluation import cells, rates, report
from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.groups import LEAST
from ldl_jax.workdir import Row

_SHOWN = 30  # groups of a table on a screen, of those with the most pictures


def decisions(analyses: Mapping[str, Analysis]) -> list[Row]:
    """Returns a row for each model, by its name, and threshold, for `report.table`."""
    return [
        {
            "model": name,
            "at": f"{decision['at']:g}",
            "pictures under it": str(decision["fpr"]["of"]),
            "FPR % [95 %]": rates.text(decision["fpr"], report.ABSENT),
            "at or over it": str(decision["fnr"]["of"]),
            "FNR % [95 %]": rates.text(decision["fnr"], report.ABSENT),
        }
        for name, analysis in analyses.items()
        for decision in analysis.get("decisions", ())
    ]


def groups(analyses: Mapping[str, Analysis]) -> list[Row]:
    """Returns a row for each model, by its name, and group of people, for `report.table`."""
    rows: list[Row] = []
    for name, analysis in analyses.items():
        known = analysis.get("by_group", {})
        largest = {*sorted(known, key=lambda group: -known[group]["pictures"])[:_SHOWN]}
        for group, numbers in known.items():
            if group not in largest:
                continue
            row: Row = {"model": name, "group": group, "pictures": str(numbers["pictures"])}
            row["MAE [95 %]"] = _with_interval(numbers, "mae", "{:.3f}")
            row["bias [95 %]"] = _with_interval(numbers, "bias", "{:+.3f}")
            if "coverage90" in numbers:
                row["in central 90 %"] = f"{100 * numbers['coverage90']:.1f}"
            for decision in analysis.get("decisions", ())[:1]:
                of_group = decision["by_group"].get(group)
                for key in ("fpr", "fnr") if of_group else ():
                    heading = f"{key.upper()} % at {decision['at']:g} [95 %]"
                    row[heading] = rates.text(of_group[key], report.ABSENT)
            rows.append(row)
    return rows


def group_lines(analysis: Analysis) -> list[str]:
    """Returns lines on the greatest differences of groups of people, and on small groups."""
    texts = [
        _difference(row, analysis["unit"])
        for row in analysis.get("group_differences", ())
        if row["metric"] == "mae"
    ]
    if small := analysis.get("groups_too_small"):
        known = analysis["by_group"]
        named = [f"{name} ({known[name]['people']})" for name in small]
        texts.append(
            f"fewer than {LEAST} people, too few to compare: {', '.join(named[:10])}"
            + (f" and {len(named) - 10} more" if len(named) > 10 else "")
        )
    if rest := len(analysis.get("by_group", {})) - _SHOWN:
        texts += [f"{rest} smaller groups are in the analysis alone"] if rest > 0 else []
    return texts


def lines(analysis: Analysis) -> list[str]:
    """Returns lines on the greatest differences of groups, small groups, and narrow answers."""
    texts = group_lines(analysis)
    if abstention := analysis.get("abstention"):
        half = min(abstention["by_width"]["curve"], key=lambda row: abs(row["coverage"] - 0.5))
        texts.append(
            f"of the {half['coverage']:.0%} with the narrowest intervals (up to "
            f"{half['at_most']:g} wide) the MAE is {half['mae']:.3f}, of all "
            f"{abstention['mae']:.3f}; AURC {abstention['by_width']['aurc']:.3f}"
        )
    return texts


def operating(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Returns a row for each operating point, as of `run.operating`, for `report.table`."""
    table: list[Row] = []
    for row in rows:
        challenge, test = row["challenge"], row["test"]
        table.append(
            {
                "model": row["model"],
                "at": f"{row['at']:g}",
                "challenge": report.ABSENT if challenge is None else f"{challenge:g}",
                "chosen of": str(row["under"]),
                "FPR % on test [95 %]": _rate(test, "fpr"),
                "FNR % on test [95 %]": _rate(test, "fnr"),
            }
        )
    return table


def tables(
    analyses: Mapping[str, Analysis], points: Sequence[Mapping[str, Any]] = ()
) -> list[list[Row]]:
    """Returns the rows of each table that there is something for: decisions, groups, `points`."""
    return [rows for rows in (decisions(analyses), groups(analyses), operating(points)) if rows]


def page(analyses: Mapping[str, Analysis], points: Sequence[Mapping[str, Any]] = ()) -> str:
    """Returns the same tables in Markdown, with their lines below them."""
    texts = [f"\n{report.markdown(rows).rstrip()}\n" for rows in tables(analyses, points)]
    notes = [
        f"- {cells.markdown(f'{name}: {line}')}"
        for name, analysis in analyses.items()
        for line in lines(analysis)
    ]
    return "".join(texts) + "\n" + "\n".join(notes) + "\n"


def _rate(test: Mapping[str, Any] | None, key: str) -> str:
    return report.ABSENT if test is None else rates.text(test[key], report.ABSENT)


def _with_interval(numbers: Mapping[str, Any], key: str, form: str) -> str:
    ends = numbers[f"{key}_interval"]
    text = form.format(numbers[key])
    return text if ends is None else f"{text} [{form.format(ends[0])}, {form.format(ends[1])}]"


def _difference(row: Mapping[str, Any], unit: str) -> str:
    low, high = row["difference_interval"] or (float("nan"),) * 2
    names = [row[key].removeprefix(f"{row['of']}: ") for key in ("greatest", "least")]
    text = (
        f"{row['of']}: the MAE of {names[0]} is greater than that of {names[1]} by "
        f"{row['difference']:.3f} [{low:.3f}, {high:.3f}] {unit}"
    )
    if row["ratio"] is None or row["ratio_interval"] is None:
        return text
    low, high = row["ratio_interval"]
    return f"{text}, a ratio of {row['ratio']:.3f} [{low:.3f}, {high:.3f}]"
