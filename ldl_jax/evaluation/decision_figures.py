"""The figures of decisions at an age, and of answering only where enough is known."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, blank, lighten, save

_MOST = 4  # groups that are drawn, of those with the most pictures
_STYLES = ("-", "--", ":", "-.")


def draw(folder: Path, analyses: Sequence[Analysis]) -> None:
    """Draws challenge of the last analysis, and risk_coverage of all (PNGs), of what they have."""
    if analyses[-1].get("decisions"):
        challenge(folder / "challenge.png", analyses[-1])
    if "abstention" in analyses[-1]:
        risk_coverage(folder / "risk_coverage.png", analyses)


def challenge(path: str | os.PathLike[str], analysis: Analysis) -> None:
    """Draws, for each threshold, who passes and who is asked at each challenge age.

    Above, the share of those under it that passes (orange) and of those over it that is asked
    (blue), with 95 % intervals; below, the share that passes by their true label, at four challenge
    ages; then, where groups are known, the first of these curves by group, of the largest four.

    Raises:
      ValueError: nothing was decided.
    """
    decisions = analysis.get("decisions", [])
    if not decisions:
        raise ValueError("analysis: expected decisions at one threshold or more, got none")
    unit, grouped = analysis["unit"], any(decision["by_group"] for decision in decisions)
    figure = blank(3.9 * len(decisions) + 0.5, 2.9 * (2 + grouped) + 0.5)
    axes = figure.subplots(2 + grouped, len(decisions), squeeze=False)
    for column, decision in zip(axes.T, decisions, strict=True):
        _draw_rates(column[0], decision)
        _draw_by_label(column[1], decision, unit)
        if grouped:
            _draw_groups(column[2], decision, unit)
        for axis in column:
            axis.yaxis.set_major_formatter(PercentFormatter(1))
            axis.set_ylim(0, 1)
            lighten(axis)
    save(figure, path)


def _draw_rates(axis: Axes, decision: Mapping[str, Any]) -> None:
    at, t = [row["at"] for row in decision["challenge"]], decision["at"]
    for key, color, text in (("fpr", ORANGE, "under"), ("fnr", BLUE, "at or over")):
        rates = [row[key] for row in decision["challenge"]]
        if rates[0]["rate"] is None:
            continue
        does = "passes" if key == "fpr" else "is asked"
        label = f"{text} {t:g}: {does} ({rates[0]['of']:,} pictures)"
        axis.plot(at, [rate["rate"] for rate in rates], color=color, marker="o", ms=3, label=label)
        low, high = ([rate[end] for rate in rates] for end in ("low", "high"))
        axis.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
    axis.set_title(f"at {t:g}", fontsize=11)
    axis.set(xlabel="challenge age: who looks under it is asked", ylabel="share of them")
    axis.legend(fontsize=8, loc="best", framealpha=0.9)


def _draw_by_label(axis: Axes, decision: Mapping[str, Any], unit: str) -> None:
    rows, at = decision["by_label"], [row["at"] for row in decision["challenge"]]
    chosen = sorted({round(x) for x in np.linspace(0, len(at) - 1, 4)})
    labels = [row["label"] for row in rows]
    for index, style, color in zip(chosen, _STYLES, (BLACK, BLUE, GREEN, ORANGE), strict=False):
        passes = [row["passes"][index] for row in rows]
        axis.plot(
            labels, passes, color=color, linestyle=style, label=f"looks {at[index]:g} or over"
        )
    axis.axvline(decision["at"], color=GREY, linewidth=0.8)
    axis.set(xlabel=f"label ({unit})", ylabel="share that passes")
    axis.legend(fontsize=8, loc="best", framealpha=0.9)


def _draw_groups(axis: Axes, decision: Mapping[str, Any], unit: str) -> None:
    groups = decision["by_group"]
    largest = sorted(groups, key=lambda name: -groups[name]["fpr"]["of"])[:_MOST]
    for name, style, color in zip(largest, _STYLES, (BLACK, BLUE, GREEN, ORANGE), strict=False):
        rows = groups[name]["challenge"]
        if rows[0]["fpr"]["rate"] is None:
            continue
        label = f"{name} ({rows[0]['fpr']['of']:,})"
        rates = [row["fpr"]["rate"] for row in rows]
        at = [row["at"] for row in rows]
        axis.plot(at, rates, color=color, linestyle=style, marker="o", ms=3, label=label)
    axis.set(xlabel=f"challenge age ({unit})", ylabel=f"under {decision['at']:g}: passes")
    if axis.lines:
        axis.legend(fontsize=8, loc="best", framealpha=0.9)


def risk_coverage(path: str | os.PathLike[str], analyses: Sequence[Analysis]) -> None:
    """Draws the MAE of the pictures that are answered over their share, the narrowest first.

    The last analysis is blue (sorted by the interval's width) and green (by the entropy), earlier
    ones grey, and the line across is the MAE of all.

    Raises:
      ValueError: no analysis has distributions.
    """
    known = [analysis for analysis in analyses if "abstention" in analysis]
    if not known:
        raise ValueError("analyses: expected one with distributions or more, got none")
    figure = blank(6.0, 4.4)
    axis = figure.subplots()
    for analysis in known[:-1]:
        _draw_curve(axis, analysis["abstention"]["by_width"], GREY, "")
    last = known[-1]["abstention"]
    for key, color, text in (
        ("by_width", BLUE, "by the interval's width"),
        ("by_entropy", GREEN, "by the entropy"),
    ):
        _draw_curve(axis, last[key], color, f"{text}, AURC {last[key]['aurc']:.3f}")
    label = f"of all: {last['mae']:.3f}"
    axis.axhline(last["mae"], color=BLACK, linestyle="--", linewidth=1, label=label)
    axis.set(xlim=(0, 1.02), xlabel="pictures that are answered")
    axis.set_ylim(bottom=0)
    axis.set_ylabel(f"their MAE ({known[-1]['unit']})")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(fontsize=9, loc="lower right", framealpha=0.9)
    lighten(axis)
    save(figure, path)


def _draw_curve(axis: Axes, kind: Mapping[str, Any], color: str, label: str) -> None:
    coverage = [row["coverage"] for row in kind["curve"]]
    mae = [row["mae"] for row in kind["curve"]]
    marker = "o" if label else ""
    axis.plot(coverage, mae, color=color, marker=marker, ms=3, label=label or None)
