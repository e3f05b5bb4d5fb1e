"""Makes the parts of a report: sections, and figures with the tables of their numbers."""

import dataclasses
import html
from collections.abc import Sequence

from ldl_jax.evaluation import html_page, report
from ldl_jax.reports import charts
from ldl_jax.reports.charts import Chart, Interval
from ldl_jax.workdir import Row

Lines = Sequence[Sequence[str]]  # a table's cells as text, the headings first


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart, or rows with intervals, with a caption, and the numbers that it is drawn from.

    Attributes:
      chart: a chart, or the rows.
      caption: what is to be seen, as text.
      numbers: the table behind it.
      title, about, label: of rows, what a chart has itself; `label` is of their axis.
    """

    chart: Chart | Sequence[Interval]
    caption: str
    numbers: Lines
    title: str = ""
    about: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report: a heading, and HTML below it."""

    title: str
    body: Sequence[str]


def paragraph(text: str, kind: str = "") -> str:
    """Returns a text as a paragraph in HTML; `kind` is "", "note" or "warn"."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def metrics_table(rows: Sequence[Row], unit: str, pictures: str) -> str:
    """Returns rows of metrics as `report.table` has them, as HTML, with the units below."""
    grid = report.table(rows, unit, pictures=pictures)
    texts = [index for index, column in enumerate(grid.columns) if not column.right]
    heads = [column.heading for column in grid.columns]
    return html_page.table([heads, *grid.rows], grid.caption, texts)


def figures(drawn: Sequence[Figure], key: str) -> str:
    """Returns figures beside one another in HTML; `key` tells their ids from others'."""
    texts = [_figure(figure, f"{key}-{index}") for index, figure in enumerate(drawn, start=1)]
    return f"<div class=figures>{''.join(texts)}</div>" if texts else ""


def _figure(figure: Figure, key: str) -> str:
    if isinstance(figure.chart, Chart):
        title, legend = figure.chart.title, _legend(figure.chart)
        svg = charts.draw(figure.chart, key)
    else:
        title, legend = figure.title, ""
        svg = charts.intervals(title, figure.about, figure.label, figure.chart, key)
    behind = html_page.table(figure.numbers)
    return (
        f"<figure>{svg}{legend}<figcaption><b>{html.escape(title)}</b>"
        f"{html.escape(figure.caption)}</figcaption>"
        f"<details><summary>Its numbers</summary>{behind}</details></figure>"
    )


def _legend(chart: Chart) -> str:
    named = [series for series in chart.series if series.name]
    shown = [f"<li>{charts.swatch(x)}{html.escape(x.name)}</li>" for x in named]
    return f"<ul class=legend>{''.join(shown)}</ul>" if shown else ""
