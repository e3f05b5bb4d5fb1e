"""The report as one page of HTML: what there is to say of each run, and of several together."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax import __version__
from ldl_jax.evaluation import html_page, report, scored
from ldl_jax.evaluation.compare import Difference
from ldl_jax.files import content_of
from ldl_jax.reports import blocks, subjects, trained, trust
from ldl_jax.reports.blocks import Figure, Section
from ldl_jax.reports.charts import Interval
from ldl_jax.reports.subjects import Sources, Subject

MOST = 12  # runs of one report that have sections of their own
PICTURES = "evolution.png"  # of a run's figures, the one with people on it


def page(sources: Sources, *, pictures: bool = False) -> str:
    """Returns the report on runs, models and benchmarks, as HTML that needs no other file.

    Args:
      sources: what it is on, as of `subjects.read`.
      pictures: whether a figure may show test pictures, and so people.

    Raises:
      ValueError: a file of a run is not as it is written; the message names the folder.
    """
    known = sources.subjects
    sections: list[Section] = []
    for title, content in sources.benchmarks.items():
        try:
            sections += _benchmark(title, content)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise ValueError(f"{title}: its {subjects.BENCHMARK} is damaged ({error!r})") from error
    if len(known) > 1:
        sections.append(_together(known))
    for index, subject in enumerate(known if len(known) <= MOST else (), start=1):
        try:
            sections += _of_one(subject, f"s{index}", len(known) > 1, pictures)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(
                f"{subject.folder}: its files are not as they are written ({error!r}), so there is "
                "no report"
            ) from error
    if sources.unfinished:
        text = f"Left out, as they have not finished a generation: {', '.join(sources.unfinished)}."
        sections.append(Section("Left out", [blocks.paragraph(text, "warn")]))
    return html_page.document(_title(sources), [*_contents(sections), *_rendered(sections), _end()])


def _title(sources: Sources) -> str:
    names = [*sources.benchmarks, *(subject.name for subject in sources.subjects)]
    return f"Report: {names[0]}" if len(names) == 1 else f"Report on {len(names)} runs"


def _contents(sections: Sequence[Section]) -> list[str]:
    named = [(_anchor(i), x.title) for i, x in enumerate(sections)]
    links = [f'<li><a href="#{anchor}">{html.escape(title)}</a></li>' for anchor, title in named]
    return [f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>']


def _rendered(sections: Sequence[Section]) -> Iterator[str]:
    for index, section in enumerate(sections):
        anchor = _anchor(index)
        heading = f'<h2 id="{anchor}">{html.escape(section.title)}</h2>'
        yield f'<section aria-labelledby="{anchor}">{heading}{"".join(section.body)}</section>'


def _anchor(index: int) -> str:
    return f"part-{index + 1}"


def _end() -> str:
    return blocks.paragraph(
        f"Written by ldl_jax {__version__} from the files of the runs alone. Every figure has its "
        "numbers behind it. An estimate of how a face looks proves no age, and is for no decision "
        "about a person.",
        "note",
    )


def _of_one(subject: Subject, key: str, several: bool, pictures: bool) -> list[Section]:
    """Returns the sections on a subject; beside others they are one, with headings of its own."""
    unit = subject.answers.unit
    first = [
        blocks.paragraph(trained.about(subject)),
        blocks.metrics_table([{**subject.result}], unit, subject.pictures),
    ]
    candidates = (
        trained.split(subject),
        trained.by_label(subject, key) if unit != "identity" else None,
        trust.calibration(subject, key),
        trust.abstention(subject, key),
        trust.thresholds(subject, key),
        trust.groups(subject, key),
        trust.robustness(subject, key),
        trained.generations(subject, key),
        trained.learning(subject, key),
        _pictures(subject) if pictures else None,
        trained.facts(subject),
    )
    parts = [section for section in candidates if section is not None]
    if not several:
        return [Section("In short", first), *parts]
    inner = [f"<h3>{html.escape(part.title)}</h3>{''.join(part.body)}" for part in parts]
    return [Section(subject.name, [*first, *inner])]


def _pictures(subject: Subject) -> Section | None:
    """Returns the figure of a run that shows test pictures; None where it has none."""
    path: Path = subject.folder / "figures" / PICTURES
    if not subject.trained or not path.is_file():
        return None
    alt = (
        "Some test pictures, and below each the distributions that the generations learned for it."
    )
    return Section("Some test pictures", [html_page.picture(content_of(path), alt)])


def _together(known: Sequence[Subject]) -> Section:
    """Returns the table of all, with the paired differences from the first."""
    differences = subjects.differences(known)
    rows, unit = subjects.rows_of(known, differences)
    body = [blocks.metrics_table(rows, unit, subjects.pictures_of(known))]
    body += [html_page.items(lines)] if (lines := subjects.protocols_of(known)) else []
    others = [name for name, difference in differences.items() if difference is None]
    if others:
        text = (
            f"Tested on other pictures than {known[0].name}, or on other labels of them, so that "
            f"there is no paired difference, and their numbers are of something else: "
            f"{', '.join(others)}."
        )
        body.append(blocks.paragraph(text, "warn"))
    paired = {name: x for name, x in differences.items() if x is not None}
    if paired:
        body.append(blocks.figures([_forest(paired, known[0].name, unit)], "all"))
    if len(known) > MOST:
        text = f"The sections on each run are left out, as there are more than {MOST}; name fewer."
        body.append(blocks.paragraph(text, "note"))
    return Section("Beside one another", body)


def _forest(paired: Mapping[str, Difference], first: str, unit: str) -> Figure:
    rows = [Interval(name, x.mean, (x.low, x.high)) for name, x in paired.items()]
    lines = [["run", "difference", "from", "to"]]
    lines += [[name, *(f"{end:+.3f}" for end in x)] for name, x in paired.items()]
    apart = sum(x.low > 0 or x.high < 0 for x in paired.values())
    return Figure(
        rows,
        "Picture by picture, with 95 % intervals over other people (bootstrap); to the left of 0 "
        "the error is smaller. How far other seeds would spread is not in them.",
        lines,
        f"Difference of the MAE from that of {first}",
        f"{apart} of {len(rows)} intervals do not hold 0.",
        f"difference ({unit})",
    )


def _benchmark(title: str, content: Mapping[str, Any]) -> Iterator[Section]:
    """Yields a section a part of a benchmark."""
    yield Section(title, [html_page.items([str(fact) for fact in content["facts"]])])
    for index, part in enumerate(content["parts"].values(), start=1):
        body = []
        rows = sorted(part["rows"], key=lambda row: float(np.mean(row["metrics"]["mae"])))
        if rows:
            keys = list(dict.fromkeys(key for row in rows for key in row["metrics"]))
            heads = [
                "row",
                "seeds",
                *map(scored.heading, keys),
                "MAE − other's [95 %]",
                "p",
                "chosen",
            ]
            lines = [heads, *(_benchmark_line(row, keys) for row in rows)]
            note = "Mean ± standard deviation over the seeds; p is adjusted by Holm."
            body.append(html_page.table(lines, note, (len(heads) - 1,)))
        compared = [row for row in rows if "difference" in row]
        if compared:
            body.append(blocks.figures([_contrasts(compared)], f"b{index}"))
        if part["missing"]:
            body.append(
                blocks.paragraph(f"Not computed yet: {', '.join(part['missing'])}.", "note")
            )
        yield Section(str(part["title"]), body)


def _benchmark_line(row: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    numbers = [scored.cell(row["metrics"].get(key), key) for key in keys]
    difference, p = row.get("difference"), report.ABSENT
    text = report.ABSENT
    if difference is not None:
        text = "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**difference)
        p = "<0.001" if difference["p_holm"] < 0.001 else f"{difference['p_holm']:.3f}"
    done, wanted = row["seeds"], row["of"]
    seeds = f"{done}" if done == wanted else f"{done} of {wanted}"
    return [row["row"], seeds, *numbers, text, p, row["chosen"]]


def _contrasts(rows: Sequence[Mapping[str, Any]]) -> Figure:
    differences = {row["row"]: row["difference"] for row in rows}
    shown = [Interval(name, x["mean"], (x["low"], x["high"])) for name, x in differences.items()]
    lines = [["row", "difference", "from", "to", "of"]]
    lines += [
        [name, *(f"{x[key]:+.3f}" for key in ("mean", "low", "high")), str(x["from"])]
        for name, x in differences.items()
    ]
    apart = sum(x["low"] > 0 or x["high"] < 0 for x in differences.values())
    return Figure(
        shown,
        "Lines are 95 % intervals over other pictures and other seeds; left of 0 the error is "
        "smaller.",
        lines,
        "Difference of the MAE from that of the reference",
        f"{apart} of {len(shown)} intervals do not hold 0.",
        "difference of MAE",
    )
