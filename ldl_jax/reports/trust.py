"""Sections on trust: calibration, answers left out, thresholds, groups, spoiled pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from ldl_jax.evaluation import html_page, report
from ldl_jax.reports import blocks, trust_figures
from ldl_jax.reports.blocks import Figure, Section
from ldl_jax.reports.charts import Chart, Interval, Series
from ldl_jax.reports.subjects import Subject
from ldl_jax.reports.trust_figures import rate

_MOST = 24  # groups in a figure, of those with the most pictures
Numbers = Mapping[str, Any]


def calibration(subject: Subject, key: str) -> Section | None:
    """Returns the section on the distributions and their intervals; None without distributions."""
    analysis, answers = subject.analysis, subject.answers
    drawn = []
    body = []
    if curve := analysis.get("calibration"):
        drawn.append(trust_figures.calibration_curve(curve, len(answers)))
        body.append(
            blocks.paragraph(
                "Quantile calibration error: "
                f"{analysis['quantile_calibration_error']:.5f}. It is the mean over the "
                f"{len(curve['levels'])} levels of the squared gap between the share of labels at "
                "or below a quantile and the quantile's level (Kuleshov and others, 2018); 0 is "
                "best. It is of the whole distribution, and is no expected calibration error (ECE) "
                "of the most probable label."
            )
        )
    if answers.probs.shape[1]:
        drawn.append(trust_figures.coverage(subject))
    if known := subject.record.get("calibration"):
        body.append(
            blocks.paragraph(
                f"The model is calibrated: on {known['data'] or 'pictures that are not named'}, by "
                f"a temperature of {known['temperature']:.3f}"
                f"{' and a map of cumulative probabilities' if known['levels'] else ''}, with "
                f"conformal intervals of the score {known['score']}. What these hold of the labels "
                "is in the notes above; they promise it for pictures that are exchangeable with "
                "those they were fitted on."
            )
        )
    if not drawn:
        return None
    return Section("Calibration, coverage and width", [*body, blocks.figures(drawn, f"{key}-cal")])


def abstention(subject: Subject, key: str) -> Section | None:
    """Returns the risk-coverage curves; None where the analysis has none."""
    known = subject.analysis.get("abstention")
    if not known:
        return None
    unit = subject.answers.unit
    names = {"by_width": ("interval width", "blue"), "by_entropy": ("entropy", "orange")}
    series, body = [], []
    for name, (what, colour) in names.items():
        if name in known:
            curve = known[name]["curve"]
            shares, errors = ([row[x] for row in curve] for x in ("coverage", "mae"))
            title = f"by {what}, AURC {known[name]['aurc']:.3f}"
            series.append(Series(title, shares, errors, colour=colour))
            body.append((what, curve))
    series.append(Series("of all", [0, 1], [known["mae"]] * 2, colour="grey", dashed=True))
    lines = [["answered"]]
    for what, _ in body:
        lines[0] += [f"MAE, by {what}", f"greatest {what}"]
    for rows in zip(*(curve for _, curve in body), strict=False):
        cells = [f"{row[x]:.3f}" for row in rows for x in ("mae", "at_most")]
        lines.append([f"{rows[0]['coverage']:.0%}", *cells])
    chart = Chart(
        "Error where the least certain answers are left out",
        f"The mean absolute error of the most certain pictures, from 5 % of them to all, where it "
        f"is {known['mae']:.3f} {unit}.",
        "share of pictures that are answered",
        f"MAE ({unit})",
        series,
        x_range=(0, 1),
        x_percent=True,
    )
    caption = (
        "AURC is the area under the curve; an order by the errors themselves, the best there can "
        f"be, has {known['aurc_best']:.3f}."
    )
    return Section(
        "Answers left out", [blocks.figures([Figure(chart, caption, lines)], f"{key}-abs")]
    )


def thresholds(subject: Subject, key: str) -> Section | None:
    """Returns the rates of decisions at thresholds; None where the analysis has none."""
    decisions = subject.analysis.get("decisions")
    if not decisions:
        return None
    unit = subject.answers.unit
    lines = [["at", "pictures under it", "FPR % [95 %]", "at or over it", "FNR % [95 %]"]]
    lines += [
        [
            f"{x['at']:g}",
            f"{x['fpr']['of']}",
            rate(x["fpr"]),
            f"{x['fnr']['of']}",
            rate(x["fnr"]),
        ]
        for x in decisions
    ]
    told = (
        "Somebody passes where the estimate is at the threshold or over it. FPR: the share of "
        "those under it who pass. FNR: the share of the others who do not. Intervals are exact "
        "binomial ones, of pictures that are independent."
    )
    drawn = [trust_figures.challenge(x, unit) for x in decisions if len(x.get("challenge", ())) > 1]
    body = [html_page.table(lines), blocks.paragraph(told, "note")]
    if subject.operating:
        heads = [
            "at",
            "challenge age",
            "FPR wanted %",
            "FPR % on test [95 %]",
            "FNR % on test [95 %]",
        ]
        rows = [
            [
                f"{x['at']:g}",
                report.ABSENT if x["challenge"] is None else f"{x['challenge']:g}",
                f"{100 * x['wanted_fpr']:g}",
                *(rate((x["test"] or {}).get(name)) for name in ("fpr", "fnr")),
            ]
            for x in subject.operating
        ]
        body.append(
            html_page.table(
                [heads, *rows],
                "Challenge ages chosen on the validation part, with their rates on the test part",
            )
        )
    return Section("Decisions at a threshold", [*body, blocks.figures(drawn, f"{key}-thr")])


def groups(subject: Subject, key: str) -> Section | None:
    """Returns the errors of groups of people; None where no groups are known."""
    known = subject.analysis.get("by_group")
    if not known:
        return None
    unit = subject.answers.unit
    covered = any("coverage90" in row for row in known.values())
    lines = [
        [
            "group",
            "pictures",
            "MAE [95 %]",
            "bias [95 %]",
            *(["in central 90 %"] if covered else []),
        ]
    ]
    for name, row in known.items():
        line = [name, f"{row['pictures']:,}", _spread(row, "mae"), _spread(row, "bias", "{:+.3f}")]
        lines.append([*line, *([f"{row['coverage90']:.1%}"] if covered else [])])
    largest = sorted(known, key=lambda name: -known[name]["pictures"])[:_MOST]
    rows = [
        Interval(name, row["mae"], _ends(row.get("mae_interval")))
        for name, row in known.items()
        if name in largest
    ]
    figure = Figure(
        rows,
        "Lines are 95 % intervals over people, where they were computed.",
        lines,
        "Error by group of people",
        f"The mean absolute error of {len(rows)} groups, from {min(x.value for x in rows):.3f} to "
        f"{max(x.value for x in rows):.3f} {unit}.",
        f"MAE ({unit})",
    )
    body = [html_page.table(lines)]
    if apart := subject.analysis.get("group_differences"):
        heads = ["of", "metric", "greatest", "least", "difference [95 %]", "ratio [95 %]"]
        table = [heads, *(_apart(row) for row in apart)]
        body.append(html_page.table(table, "The groups that are farthest apart", (1, 2, 3)))
    if small := subject.analysis.get("groups_too_small"):
        body.append(blocks.paragraph(f"Too few people to compare: {', '.join(small)}.", "warn"))
    return Section("Groups of people", [*body, blocks.figures([figure], f"{key}-grp")])


def robustness(subject: Subject, key: str) -> Section | None:
    """Returns the errors on spoiled pictures; None where they were not looked at."""
    known = subject.robustness
    if not known:
        return None
    unit, clean = subject.answers.unit, known["clean"]
    kinds = list(dict.fromkeys(row["corruption"] for row in known["rows"]))
    drawn = []
    for kind in kinds:
        rows = [row for row in known["rows"] if row["corruption"] == kind]
        at = [0, *(row["severity"] for row in rows)]
        lines = [["severity", f"MAE ({unit})", "in 90 %"]]
        lines += [
            [f"{s}", f"{row['mae']:.3f}", _share(row.get("coverage90"))]
            for s, row in zip(at, (clean, *rows), strict=True)
        ]
        top = 1.08 * max(row["mae"] for row in (clean, *known["rows"]))
        chart = Chart(
            kind.replace("_", " "),
            f"The mean absolute error rises from {clean['mae']:.3f} to {rows[-1]['mae']:.3f} "
            f"{unit} as {kind.replace('_', ' ')} grows.",
            "severity (0 is the picture as it is)",
            f"MAE ({unit})",
            [Series("", at, [row["mae"] for row in (clean, *rows)], colour="orange")],
            y_range=(0, top),
        )
        told = ""
        if clean.get("coverage90") is not None:
            told = (
                f"Intervals of 90 % hold {clean['coverage90']:.1%} of the labels of pictures as "
                f"they are, {rows[-1]['coverage90']:.1%} at the greatest severity."
            )
        drawn.append(Figure(chart, told, lines))
    text = (
        f"The same {known['pictures']:,} pictures, spoiled before they are answered for. The "
        "scales of the charts are the same."
    )
    return Section(
        "Spoiled pictures", [blocks.paragraph(text), blocks.figures(drawn, f"{key}-rob")]
    )


def _apart(row: Numbers) -> list[str]:
    low, high = row.get("difference_interval") or (float("nan"),) * 2
    cells = [str(row[x]) for x in ("of", "metric", "greatest", "least")]
    cells.append(f"{row['difference']:.3f} [{low:.3f}, {high:.3f}]")
    ratio, ends = row.get("ratio"), row.get("ratio_interval")
    if ratio is None or ends is None:
        return [*cells, report.ABSENT]
    return [*cells, f"{ratio:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"]


def _spread(row: Numbers, key: str, form: str = "{:.3f}") -> str:
    ends = _ends(row.get(f"{key}_interval"))
    text = form.format(row[key])
    return text if ends is None else f"{text} [{form.format(ends[0])}, {form.format(ends[1])}]"


def _ends(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (ends[0], ends[1])


def _share(share: float | None) -> str:
    return report.ABSENT if share is None else f"{share:.1%}"
