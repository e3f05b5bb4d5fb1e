"""Draws charts as SVG that takes its colours and letters from the page, in light and in dark.

Every chart has a title and a description for those who do not see it.
"""

import dataclasses
import html
import math
from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 460, 300  # small, so that letters can be read on a phone
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 20, 14, 46
_ROW = 26  # of a chart of intervals
_LETTER = 7.2  # width of a letter of 12 pixels
_LONGEST = 28  # letters of a row's name
Numbers = Sequence[float]


@dataclasses.dataclass(frozen=True)
class Series:
    """Holds one set of marks.

    Attributes:
      name: in the legend; "" where it is not in it.
      x: where they are, in the chart's numbers.
      y: how high; of a band its upper edge.
      kind: "line", "band", "bars" or "points".
      colour: "blue", "orange", "green", "grey" or "ink".
      low: the lower ends of bands, or of the points' intervals.
      high: the upper ends of the points' intervals.
      dashed: whether a line is.
      width: of a bar, in the numbers of x.
    """

    name: str
    x: Numbers
    y: Numbers
    kind: str = "line"
    colour: str = "blue"
    low: Numbers = ()
    high: Numbers = ()
    dashed: bool = False
    width: float = 1.0


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart of series over two axes.

    Attributes:
      title: what is drawn, in a few words.
      about: what it shows, in words, for those who do not see it.
      x_label, y_label: what the axes are of.
      series: in the order in which they are drawn.
      x_range, y_range: the ends of the axes; None for those of the numbers.
      x_percent, y_percent: whether an axis is of shares.
    """

    title: str
    about: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_percent: bool = False
    y_percent: bool = False


@dataclasses.dataclass(frozen=True)
class Interval:
    """A row of `intervals`: a value and the ends of its interval, None where it has none."""

    name: str
    value: float
    ends: tuple[float, float] | None = None


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns round numbers from `low` to `high`, at most about `most` of them.

    Examples:
      >>> ticks(0, 1), ticks(-3, 42)
      ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    raw = (high - low) / max(most - 1, 1) or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def draw(chart: Chart, key: str) -> str:
    """Returns a chart as SVG; `key` tells its ids from those of the page's others."""
    x_ends = chart.x_range or _ends(chart.series, "x")
    y_ends = chart.y_range or _ends(chart.series, "y")
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x_of(x: float) -> float:
        return _LEFT + (x - x_ends[0]) / (x_ends[1] - x_ends[0]) * (right - _LEFT)

    def y_of(y: float) -> float:
        return bottom - (y - y_ends[0]) / (y_ends[1] - y_ends[0]) * (bottom - _TOP)

    parts = []
    for x in ticks(*x_ends):
        parts.append(_line(x_of(x), _TOP, x_of(x), bottom, "grid"))
        parts.append(_text(x_of(x), bottom + 16, _number(x, chart.x_percent), "middle"))
    for y in ticks(*y_ends):
        parts.append(_line(_LEFT, y_of(y), right, y_of(y), "grid"))
        parts.append(_text(_LEFT - 6, y_of(y) + 4, _number(y, chart.y_percent), "end"))
    if y_ends[0] < 0 < y_ends[1]:
        parts.append(_line(_LEFT, y_of(0), right, y_of(0), "axis"))
    marks = [_marks(series, x_of, y_of, y_ends[0]) for series in chart.series]
    clip = f"{key}-clip"
    # Marks on the edge are whole.
    box = f'x="{_LEFT - 4}" y="{_TOP - 4}" width="{right - _LEFT + 8}" height="{bottom - _TOP + 8}"'
    parts.append(f'<clipPath id="{clip}"><rect {box}/></clipPath>')
    parts.append(f'<g clip-path="url(#{clip})">{"".join(marks)}</g>')
    parts.append(_line(_LEFT, bottom, right, bottom, "axis"))
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 8, chart.x_label, "middle", "label"))
    middle = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 13 {middle:.1f})"'
    parts.append(_text(13, middle, chart.y_label, "middle", "label", turned))
    return _svg(chart.title, chart.about, key, HEIGHT, parts)


def intervals(title: str, about: str, label: str, rows: Sequence[Interval], key: str) -> str:
    """Returns values with their intervals as SVG, one a row under its name, beside a line at 0."""
    left = 16 + _LETTER * max(len(_short(row.name)) for row in rows)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    right, bottom = WIDTH - _RIGHT, height - _BOTTOM
    every = [0.0, *(x for row in rows for x in (row.value, *(row.ends or ())))]
    low, high = _padded(min(every), max(every))

    def x_of(x: float) -> float:
        return left + (x - low) / (high - low) * (right - left)

    parts = []
    for x in ticks(low, high, 5):
        parts.append(_line(x_of(x), _TOP, x_of(x), bottom, "grid"))
        parts.append(_text(x_of(x), bottom + 16, _number(x, False), "middle"))
    parts.append(_line(x_of(0), _TOP, x_of(0), bottom, "axis"))
    for index, row in enumerate(rows):
        y = _TOP + _ROW * (index + 0.5)
        parts.append(_text(left - 8, y + 4, _short(row.name), "end"))
        if row.ends is not None:
            ends = (x_of(x) for x in row.ends)
            parts.append(_line(next(ends), y, next(ends), y, "line blue"))
        parts.append(_dot(x_of(row.value), y, "blue"))
    parts.append(_text((left + right) / 2, height - 8, label, "middle", "label"))
    return _svg(title, about, key, height, parts)


def swatch(series: Series) -> str:
    """Returns the sign of a series for the legend, as SVG that says nothing to a screen reader."""
    marks = {
        "band": f'<rect class="area {series.colour}" y="2" width="26" height="10"/>',
        "bars": f'<rect class="bar {series.colour}" x="7" y="2" width="12" height="10"/>',
        "points": _dot(13, 7, series.colour),
    }
    dashes = " dashed" if series.dashed else ""
    mark = marks.get(series.kind) or _line(0, 7, 26, 7, f"line {series.colour}{dashes}")
    return f'<svg aria-hidden="true" width="26" height="14" viewBox="0 0 26 14">{mark}</svg>'


def _marks(
    series: Series, x_of: Callable[[float], float], y_of: Callable[[float], float], floor: float
) -> str:
    colour = series.colour
    points = [(x_of(x), y_of(y)) for x, y in zip(series.x, series.y, strict=True)]
    if series.kind == "band":
        lower = [(x_of(x), y_of(y)) for x, y in zip(series.x, series.low, strict=True)]
        return f'<path class="area {colour}" d="{_path([*points, *lower[::-1]])}Z"/>'
    if series.kind == "bars":
        half, base = series.width / 2, y_of(max(floor, 0.0))
        return "".join(
            f'<rect class="bar {colour}" x="{x_of(x - half):.1f}" y="{min(y, base):.1f}" '
            f'width="{x_of(x + half) - x_of(x - half):.1f}" height="{abs(base - y):.1f}"/>'
            for x, (_, y) in zip(series.x, points, strict=True)
        )
    dots = "".join(_dot(x, y, colour) for x, y in points) if len(points) <= 30 else ""
    if series.kind == "points":
        ends = zip(points, series.low, series.high, strict=False)
        lines = [_line(x, y_of(a), x, y_of(b), f"line {colour}") for (x, _), a, b in ends]
        return "".join(lines) + dots
    dashes = " dashed" if series.dashed else ""
    return f'<path class="line {colour}{dashes}" d="{_path(points)}"/>' + ("" if dashes else dots)


def _svg(title: str, about: str, key: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-labelledby="{key}-t {key}-d" viewBox="0 0 {WIDTH} {height:g}">'
        f'<title id="{key}-t">{html.escape(title)}</title>'
        f'<desc id="{key}-d">{html.escape(about)}</desc>{"".join(parts)}</svg>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "", more: str = "") -> str:
    shown = html.escape(text)
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{shown}</text>'
    )


def _number(x: float, percent: bool) -> str:
    return f"{100 * x:.3g}%" if percent else f"{x:,g}".replace("-", "−")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _ends(series: Sequence[Series], axis: str) -> tuple[float, float]:
    """Returns the ends of an axis that shows everything; that of y has room above."""
    every: list[float] = []
    for each in series:
        every += [*each.x] if axis == "x" else [*each.y, *each.low, *each.high]
        if each.kind == "bars":
            half = each.width / 2
            every += [each.x[0] - half, each.x[-1] + half] if axis == "x" else [0.0]
    low, high = min(every), max(every)
    if axis == "x" and low < high:
        return low, high
    padded = _padded(low, high)
    return (max(padded[0], 0.0) if low >= 0 else padded[0], padded[1])


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin, high + margin
