"""The figure of a benchmark: each row's difference from its reference, with its interval."""

import os
from collections.abc import Mapping

from ldl_jax.evaluation.canvas import BLACK, BLUE, GREY, ORANGE, blank, lighten, save
from ldl_jax.evaluation.compare import Contrast


def draw(
    path: str | os.PathLike[str],
    parts: Mapping[str, Mapping[str, Contrast]],
    unit: str = "years",
    level: float = 0.95,
) -> None:
    """Draws a panel a part with a line a row, the least difference above.

    Blue lies below 0 with all of its interval (a smaller error than the reference's), orange above,
    and grey is neither.

    Args:
      path: of the PNG.
      parts: contrasts by row, by the panel's title.
      unit: of the labels.
      level: of the intervals.

    Raises:
      ValueError: there is no contrast to draw.
    """
    shown = {title: rows for title, rows in parts.items() if rows}
    if not shown:
        raise ValueError("parts: expected a contrast or more, got none")
    heights = [len(rows) + 2 for rows in shown.values()]
    figure = blank(8.0, 0.24 * sum(heights) + 0.6)
    panels = figure.subplots(len(shown), squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, rows) in zip(panels, shown.items(), strict=True):
        ordered = sorted(rows.items(), key=lambda item: -item[1].mean)
        for height, (_, contrast) in enumerate(ordered):
            colour = BLUE if contrast.high < 0 else ORANGE if contrast.low > 0 else GREY
            axis.plot([contrast.low, contrast.high], [height] * 2, color=colour, linewidth=1.6)
            axis.plot([contrast.mean], [height], color=colour, marker="o", markersize=4)
        axis.axvline(0, color=BLACK, linewidth=0.8)
        axis.set_yticks(range(len(ordered)), [name for name, _ in ordered], fontsize=8)
        axis.set_ylim(-0.8, len(ordered) - 0.2)
        axis.set_title(title, fontsize=10, loc="left")
        lighten(axis)
    panels[-1].set_xlabel(f"difference of MAE ({unit}), with its {level:.0%} interval")
    save(figure, path)
