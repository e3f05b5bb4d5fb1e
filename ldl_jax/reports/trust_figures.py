"""Figures on trust: calibration, coverage of intervals, and challenge ages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ldl_jax import metrics
from ldl_jax.evaluation import report
from ldl_jax.reports.blocks import Figure
from ldl_jax.reports.charts import Chart, Series
from ldl_jax.reports.subjects import Subject

LEVELS = (0.5, 0.8, 0.9, 0.95)
Numbers = Mapping[str, Any]


def calibration_curve(curve: Numbers, count: int) -> Figure:
    """Draws the calibration curve of `count` pictures, with the band of calibrated ones."""
    levels, below = np.asarray(curve["levels"]), np.asarray(curve["labels_below"])
    low, high = (stats.binom.ppf(q, count, levels) / count for q in (0.025, 0.975))
    at = levels.tolist()
    outside = int(((below < low) | (below > high)).sum())
    chart = Chart(
        "Calibration of the quantiles",
        f"The share of labels at or below each quantile of their distributions. {outside} of "
        f"{len(levels)} levels lie outside the band of calibrated distributions.",
        "quantile of the learned distribution",
        "labels at or below it",
        [
            Series(
                "95 % of calibrated models", at, high.tolist(), "band", "grey", low=low.tolist()
            ),
            Series("calibrated", [0, 1], [0, 1], colour="ink", dashed=True),
            Series("this model", at, below.tolist()),
        ],
        (0, 1),
        (0, 1),
        x_percent=True,
        y_percent=True,
    )
    lines = [["level", "labels below", "band from", "to"]]
    rows = zip(levels, below, low, high, strict=True)
    lines += [[f"{u:.0%}", *(f"{x:.1%}" for x in numbers)] for u, *numbers in rows]
    caption = (
        f"{outside} of {len(levels)} levels lie outside the band, which is pointwise and of "
        f"{count:,} independent pictures."
    )
    return Figure(chart, caption, lines)


def coverage(subject: Subject) -> Figure:
    """Draws what central intervals of the distributions hold of the labels, and their widths."""
    answers = subject.answers
    lines = [["asked for", "hold [95 %]", f"mean width ({answers.unit})"]]
    shares: list[float] = []
    lows: list[float] = []
    highs: list[float] = []
    widths: list[float] = []
    for level in LEVELS:
        covered = metrics.interval_coverage(answers.probs, answers.labels, answers.space, level)
        share, width = float(covered.fraction), float(covered.width)
        exact = stats.binomtest(round(share * len(answers)), len(answers)).proportion_ci()
        for listed, value in zip(
            (shares, lows, highs, widths), (share, exact.low, exact.high, width), strict=True
        ):
            listed.append(value)
        cell = f"{100 * share:.1f} [{100 * exact.low:.1f}, {100 * exact.high:.1f}] %"
        lines.append([f"{level:.0%}", cell, f"{width:.2f}"])
    chart = Chart(
        "Coverage of central intervals",
        "; ".join(
            f"intervals of {level:.0%} hold {share:.1%} of the labels and are {width:.1f} "
            f"{answers.unit} wide"
            for level, share, width in zip(LEVELS, shares, widths, strict=True)
        ),
        "asked for",
        "labels that they hold",
        [
            Series("as asked for", [0.4, 1], [0.4, 1], colour="ink", dashed=True),
            Series("this model, 95 % interval", LEVELS, shares, "points", "blue", lows, highs),
        ],
        (0.4, 1),
        (min(0.4, min(lows) - 0.02), 1),
        x_percent=True,
        y_percent=True,
    )
    wide = ", ".join(f"{w:.1f} at {x:.0%}" for x, w in zip(LEVELS, widths, strict=True))
    caption = (
        f"Mean widths in {answers.unit}: {wide}. They are central intervals of the distributions, "
        "which hold at least that probability; on a coarse grid they hold more."
    )
    return Figure(chart, caption, lines)


def challenge(decision: Numbers, unit: str) -> Figure:
    """Draws how both error rates of a decision go with the challenge age."""
    rows = decision["challenge"]
    ages = [row["at"] for row in rows]
    series = []
    lines = [["challenge age", "FPR % [95 %]", "FNR % [95 %]"]]
    lines += [[f"{row['at']:g}", rate(row["fpr"]), rate(row["fnr"])] for row in rows]
    for key, name, colour in (
        ("fpr", "under it and pass", "orange"),
        ("fnr", "over it, asked", "blue"),
    ):
        if all(row[key]["rate"] is not None for row in rows):
            values, low, high = ([row[key][x] for row in rows] for x in ("rate", "low", "high"))
            series.append(Series("", ages, high, "band", colour, low=low))
            series.append(Series(name, ages, values, colour=colour, dashed=key == "fnr"))
    chart = Chart(
        f"Challenge ages for {decision['at']:g} {unit}",
        f"The share of those under {decision['at']:g} who pass falls, and the share of those over "
        "it who are asked rises, with the challenge age.",
        f"challenge age ({unit})",
        "share of people",
        series,
        y_percent=True,
    )
    return Figure(chart, "Bands are exact 95 % intervals at each age.", lines)


def rate(known: Numbers | None) -> str:
    """Returns a rate and its interval in percent, as "4.1 [2.3, 6.8]"."""
    if known is None or known["rate"] is None:
        return report.ABSENT
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * known[x] for x in ("rate", "low", "high")))
