"""The figure of an `analysis.analyse`: calibration, confusion, groups of persons."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.canvas import BLACK, BLUE, GREY, ORANGE, blank, lighten, save

_MOST = 20  # groups, of those with the most pictures
_LONG = 30  # letters of a group's name
_BAR = 0.6  # inches; thicker ones would be blocks
_SIDE = 4.0  # inches of a panel; a table of confusions may need more


def error_analysis(
    path: str | os.PathLike[str], generations: Sequence[Analysis], name: str = ""
) -> None:
    """Draws the calibration of each generation, and confusion and errors by group of the last.

    Each generation has its `analysis.analyse`; `name` is what is said of one that is none.

    Raises:
      ValueError: there is none, or nothing of it to draw.
    """
    if not generations:
        raise ValueError("generations: expected the analysis of at least one, got none")
    last = generations[-1]
    confusion, groups = last.get("confusion"), _largest(last.get("by_group", {}))
    cells = 1.2 + 0.38 * len(confusion) if confusion else 0.0
    calibrated = [analysis for analysis in generations if "calibration" in analysis]
    widths = [
        *([_SIDE] if calibrated else []),
        *([max(_SIDE, cells)] if confusion else []),
        *([_SIDE] if groups else []),
    ]
    if not widths:
        raise ValueError("generations: without distributions, few labels or groups, none is drawn")
    height = max(_SIDE, cells, 1.2 + 0.26 * len(groups))
    figure = blank(sum(widths) + 0.4, height + 0.6)
    grid = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)
    axes: list[Axes] = list(grid[0])
    if calibrated:
        _draw_calibration(axes[0], calibrated, name)
    if confusion:
        middle = axes[len(calibrated[:1])]
        _draw_confusion(middle, np.array(confusion), _names(last))
        of_groups = "" if last.get("label_bounds") else f" ({last['unit']})"
        middle.set(xlabel=f"estimate{of_groups}", ylabel=f"label{of_groups}")
    if groups:
        _draw_groups(axes[-1], groups, last["unit"], round(height / _BAR))
        if len(groups) < len(last["by_group"]):
            axes[-1].set_ylabel(f"the {len(groups)} largest of {len(last['by_group'])} groups")
    save(figure, path)


def _largest(groups: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Returns the groups with the most pictures, in the order of their names."""
    by_size = sorted(groups, key=lambda name: -groups[name]["pictures"])
    return {name: groups[name] for name in sorted(by_size[:_MOST])}


def _names(analysis: Analysis) -> list[str]:
    """Returns each label value as it is read: a number, or its group's bounds."""
    if bounds := analysis.get("label_bounds"):
        return [f"{low:g}–{high:g}" for low, high in bounds]
    return [f"{value:g}" for value in analysis["label_values"]]


def _draw_calibration(axis: Axes, generations: Sequence[Analysis], name: str) -> None:
    axis.plot([0, 1], [0, 1], color=BLACK, linestyle="--", linewidth=1, label="calibrated")
    for generation, analysis in enumerate(generations, start=1):
        curve, last = analysis["calibration"], generation == len(generations)
        error = analysis["quantile_calibration_error"]
        what = name or f"generation {generation}"
        label = f"{what}, error {error:.2g}" if last or generation == 1 else None
        levels, below = [0, *curve["levels"], 1], [0, *curve["labels_below"], 1]
        color, width, marker = (BLUE, 1.8, "o") if last else (GREY, 1.0, "")
        axis.plot(levels, below, color=color, linewidth=width, marker=marker, ms=3.5, label=label)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set(xlabel="quantile of the learned distribution", ylabel="labels at or below it")
    for along in (axis.xaxis, axis.yaxis):
        along.set_major_formatter(PercentFormatter(1))
    axis.legend(fontsize=8, loc="upper left", framealpha=0.9)
    axis.set_title("calibration")
    lighten(axis)


def _draw_confusion(axis: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """Draws each row's shares, in percent; a row without pictures stays empty."""
    pictures = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(pictures, 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for i, j in np.argwhere(counts):
        text, color = f"{shares[i, j]:.0f}", "white" if shares[i, j] > 65 else BLACK
        axis.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
    ticks = range(len(names))
    axis.set_xticks(ticks, names, rotation=45 if max(map(len, names)) > 3 else 0, fontsize=8)
    axis.set_yticks(ticks, names, fontsize=8)
    axis.set_title("confusion, % of a label's pictures")


def _draw_groups(
    axis: Axes, groups: Mapping[str, Mapping[str, float]], unit: str, room: int
) -> None:
    """Draws a bar a group, with room for `room` bars at least."""
    at = np.arange(len(groups))
    rows = list(groups.values())
    bars = axis.barh(at, [row["mae"] for row in rows], 0.7, color=BLUE, alpha=0.75, label="MAE")
    biases = [row["bias"] for row in rows]
    bias = axis.scatter(biases, at, 25, color=ORANGE, zorder=3, label="bias (estimate − label)")
    axis.bar_label(bars, [f"{row['pictures']:,}" for row in rows], fontsize=8, padding=3)
    axis.axvline(0, color=BLACK, linewidth=0.8)
    names = [name if len(name) <= _LONG else f"{name[: _LONG - 1]}…" for name in groups]
    axis.set_yticks(at, names, fontsize=9, parse_math=False)  # a name may hold a $
    middle, half = (len(groups) - 1) / 2, max(len(groups), room) / 2
    axis.set_ylim(middle + half, middle - half)
    axis.margins(x=0.15)
    axis.set_xlabel(f"error ({unit}); numbers are pictures")
    axis.legend(
        handles=[bars, bias], fontsize=9, ncols=2, frameon=False,
        loc="lower center", bbox_to_anchor=(0.5, 1.0),
    )  # fmt: skip
    lighten(axis)
    axis.grid(visible=False, axis="y")
