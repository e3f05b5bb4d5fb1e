"""Sections on a run or a model: what it is, its split, its errors by label, how it was trained."""

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ldl_jax.data.datasets import catalogue
from ldl_jax.evaluation import cells, compare, html_page
from ldl_jax.files import to_home
from ldl_jax.reports import blocks
from ldl_jax.reports.blocks import Figure, Section
from ldl_jax.reports.charts import Chart, Series
from ldl_jax.reports.subjects import Subject
from ldl_jax.workdir import Row

_POINTS = 200  # of a curve of training
_FEW_REMOVED = 10  # left-out pictures that are listed


def about(subject: Subject) -> str:
    """Returns what the subject is and how well it does, as one paragraph of text."""
    answers, result = subject.answers, subject.result
    unit = answers.unit
    what = f"{subject.network or 'A network'} with the method {subject.method or '(not known)'}"
    data = _dataset(subject)
    config = subject.config
    if subject.trained:
        text = f"{what}, trained on {data}"
        if config.get("epochs") is not None:
            text += f" for {config['epochs']} epochs"
        count = len(subject.results)
        text += f"; generation {count} of its chain." if count > 1 else "."
    else:
        text = f"{what}, scored on the {config['part']} part of {data} without training."
    if (mae := result.get("mae")) is not None:
        low, high = compare.mae_interval(answers)
        text += (
            f" Its answers for {len(answers):,} {subject.pictures} are off by {mae:.3f} {unit} on "
            f"the mean (95 % interval {low:.3f} to {high:.3f}, over other people)."
        )
    if (rank := result.get("ca5")) is not None and unit == "years":
        text += f" {rank:.1%} are off by less than 5 years."
    if (share := result.get("coverage90")) is not None:
        text += f" Its central intervals of 90 % hold {share:.1%} of the labels."
    return text


def split(subject: Subject) -> Section:
    """Returns the section on the split and its leaks."""
    known = subject.split
    lines = []
    counts = _at(subject.config, "resolved", "pictures")
    if isinstance(counts, Mapping):
        lines.append("pictures: " + ", ".join(f"{n:,} {part}" for part, n in counts.items()))
    lines.append(f"split: {subject.protocol or 'not known'}")
    lines += [str(note) for note in (*known.get("notes", ()), *subject.notes)]
    removed = known.get("removed") or []
    body = [html_page.items(lines)]
    if _at(subject.config, "data", "audit") is False:
        body.append(blocks.paragraph("Leaks between the parts were not looked for.", "warn"))
    elif "leaks (" in subject.protocol or "with leaks" in subject.protocol:
        text = "The parts share pictures or people, as the split's name says; the error may be low."
        body.append(blocks.paragraph(text, "warn"))
    if removed:
        rows = [[str(x.get(key, "")) for key in ("id", "part", "reason")] for x in removed]
        rest = len(rows) - _FEW_REMOVED
        caption = f"and {rest:,} more, in split.json" if rest > 0 else ""
        table = html_page.table(
            [["left out", "of", "because"], *rows[:_FEW_REMOVED]], caption, (1, 2)
        )
        body.append(
            f"<details><summary>Pictures left out ({len(rows):,})</summary>{table}</details>"
        )
    return Section("Split and leaks", body)


def generations(subject: Subject, key: str) -> Section | None:
    """Returns the metrics of all generations; None of one alone."""
    if len(subject.results) < 2:
        return None
    rows: list[Row] = [dict(row) for row in subject.results]
    unit = subject.answers.unit
    body = [blocks.metrics_table(rows, unit, subject.pictures)]
    numbers = [(row["generation"], row["mae"]) for row in rows if row.get("mae") is not None]
    if len(numbers) > 1:
        at, errors = zip(*numbers, strict=True)
        chart = Chart(
            "Error by generation",
            f"The mean absolute error goes from {errors[0]:.3f} to {errors[-1]:.3f} {unit} in "
            f"{len(at)} generations.",
            "generation",
            f"MAE ({unit})",
            [Series("", at, errors)],
            y_range=(0, 1.1 * max(errors)),
        )
        lines = [["generation", "MAE"], *([f"{t}", f"{x:.3f}"] for t, x in numbers)]
        body.append(blocks.figures([Figure(chart, "", lines)], f"{key}-gen"))
    return Section("Generations", body)


def by_label(subject: Subject, key: str) -> Section | None:
    """Returns errors by label, and confusions of few labels; None where there is no analysis."""
    rows = subject.analysis.get("by_label")
    if not rows:
        return None
    unit = subject.answers.unit
    lines = [["label", "pictures", "MAE", "bias"]]
    lines += [
        [_label(row), f"{row['pictures']:,}", f"{row['mae']:.3f}", f"{row['bias']:+.3f}"]
        for row in rows
    ]
    ends = [(row["low"], row["high"]) if "low" in row else (row["label"],) * 2 for row in rows]
    at = [(low + high) / 2 for low, high in ends]
    gaps = [b - a for a, b in itertools.pairwise(at) if b > a]
    width = 0.86 * min(gaps, default=max(ends[0][1] - ends[0][0], 1.0))
    worst = max(rows, key=lambda row: row["mae"])
    chart = Chart(
        "Error by label",
        f"The mean absolute error and the bias in {len(rows)} bins of labels; the greatest error "
        f"is {worst['mae']:.2f} {unit} at {_label(worst)}.",
        f"label ({unit})",
        f"error ({unit})",
        [
            Series("MAE", at, [row["mae"] for row in rows], "bars", width=width),
            Series("bias: estimate − label", at, [row["bias"] for row in rows], "points", "orange"),
        ],
    )
    balanced = subject.analysis.get("balanced_mae")
    told = "" if balanced is None else f"The mean over the bins, balanced MAE: {balanced:.3f}."
    drawn = [_scatter(subject), Figure(chart, told, lines)]
    body = [blocks.figures(drawn, f"{key}-lab")]
    if confusion := subject.analysis.get("confusion"):
        body.append(_confusion(confusion, subject.analysis))
    return Section("Error by label", body)


def learning(subject: Subject, key: str) -> Section | None:
    """Returns the curves of the training; None where there are none."""
    series = []
    unit = subject.answers.unit
    for kind, colour in (("train", "grey"), ("validation", "blue"), ("test", "orange")):
        steps, numbers = _curve(subject.steps, kind, "mae")
        if steps:
            style = "points" if kind == "test" else "line"
            series.append(Series(kind, steps, numbers, style, colour))
    drawn = []
    if series:
        chart = Chart(
            "Error while training",
            f"The mean absolute error of {', '.join(x.name for x in series)} pictures over the "
            "steps of training.",
            "steps of all generations",
            f"MAE ({unit})",
            series,
        )
        drawn.append(Figure(chart, "", _curve_lines(series)))
    steps, losses = _curve(subject.steps, "train", "loss")
    if steps:
        line = Series("training loss", steps, losses, colour="green")
        chart = Chart(
            "Loss while training",
            f"The loss goes from {losses[0]:.3g} to {losses[-1]:.3g}.",
            "steps of all generations",
            "loss",
            [line],
        )
        drawn.append(Figure(chart, "", _curve_lines([line])))
    return Section("Learning curves", [blocks.figures(drawn, f"{key}-cur")]) if drawn else None


def facts(subject: Subject) -> Section | None:
    """Returns how a run was started, and its config; None of other subjects."""
    if not subject.starts:
        return None
    last = subject.starts[-1]
    commands = dict.fromkeys(str(start.get("command", "")) for start in subject.starts)
    versions = last.get("versions")
    listed = [f"device: {last.get('device', 'not known')}"]
    if isinstance(versions, Mapping):
        listed.append(", ".join(f"{name} {version}" for name, version in versions.items()))
    shown = html.escape("\n".join(cells.plain(to_home(command)) for command in commands))
    return Section("How it was made", [f"<pre>{shown}</pre>", html_page.items(listed)])


def _scatter(subject: Subject) -> Figure:
    """Draws the quantiles of the estimates in bins of labels."""
    answers = subject.answers
    labels, values = (x.astype(np.float64) for x in (answers.labels, answers.values))
    edges = np.unique(np.quantile(labels, np.linspace(0, 1, 13)))
    index = np.clip(np.searchsorted(edges, labels, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [index == i for i in np.unique(index)]
    at = [float(labels[rows].mean()) for rows in bins]
    low, middle, high = np.array([np.quantile(values[rows], (0.1, 0.5, 0.9)) for rows in bins]).T
    unit = answers.unit
    ends = [min(at), max(at)]
    chart = Chart(
        "Estimate over label",
        "The median of the estimates and their middle 80 % over the labels, beside the line where "
        "both are equal.",
        f"label ({unit})",
        f"estimate ({unit})",
        [
            Series("middle 80 %", at, high.tolist(), "band", "orange", low=low.tolist()),
            Series("estimate = label", ends, ends, colour="ink", dashed=True),
            Series("median", at, middle.tolist(), colour="orange"),
        ],
    )
    lines = [["mean label", "pictures", "10 %", "median", "90 %"]]
    for x, rows, *numbers in zip(at, bins, low, middle, high, strict=True):
        lines.append([f"{x:.2f}", f"{int(rows.sum()):,}", *(f"{y:.2f}" for y in numbers)])
    return Figure(chart, f"In {len(bins)} bins with about as many pictures each.", lines)


def _confusion(counts: Sequence[Sequence[int]], analysis: Mapping[str, Any]) -> str:
    values = analysis["label_values"]
    bounds = analysis.get("label_bounds")
    names = [f"{a:g}–{b:g}" for a, b in bounds] if bounds else [f"{value:g}" for value in values]
    lines = [["label \\ estimate", *names]]
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        lines.append([name, *(f"{100 * n / total:.0f}" if n else "" for n in row)])
    return html_page.table(lines, "Confusion: % of a label's pictures, by their estimate")


def _curve(steps: Sequence[Row], kind: str, key: str) -> tuple[list[float], list[float]]:
    """Returns a curve's steps and numbers, each the mean of some where there are many."""
    known = {
        row["total_step"]: row[key]
        for row in steps
        if row["kind"] == kind and isinstance(row.get(key), int | float)
    }
    at = np.array(sorted(known), np.float64)
    numbers = np.array([known[int(step)] for step in at], np.float64)
    at, numbers = at[np.isfinite(numbers)], numbers[np.isfinite(numbers)]
    chunks = min(len(at), _POINTS)
    if not chunks:
        return [], []
    return tuple(  # type: ignore[return-value]
        [float(x.mean()) for x in np.array_split(column, chunks)] for column in (at, numbers)
    )


def _curve_lines(series: Sequence[Series]) -> list[list[str]]:
    """Returns about twenty points of each curve, and its last, as a table."""
    lines = [["of", "step", "number"]]
    for curve in series:
        chosen = np.unique(np.linspace(0, len(curve.x) - 1, 20).round().astype(int))
        lines += [[curve.name, f"{curve.x[i]:,.0f}", f"{curve.y[i]:.4g}"] for i in chosen]
    return lines


def _dataset(subject: Subject) -> str:
    name = str(_at(subject.config, "data", "name") or "")
    known = catalogue.DATASETS.get(name)
    return known.title if known else name or "a dataset that is not named"


def _at(content: Mapping[str, Any], *keys: str) -> Any:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['label']:g}" if "label" in row else f"{row['low']:g} to below {row['high']:g}"
