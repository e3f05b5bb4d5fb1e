"""The look that all figures share, and the writing of a figure to disk.

Figure objects only: no pyplot, so no global state, no display, and safe in threads. Colours are
Okabe & Ito's, which stay apart for colour-blind readers.
"""

import os

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from ldl_jax.files import whole

BLUE, ORANGE, GREEN, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#888888"


def blank(width: float, height: float) -> Figure:
    """Returns an empty figure of that size in inches, at 150 dots an inch."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def lighten(axis: Axes) -> None:
    """Draws a light grid behind the data, and no box around it."""
    axis.grid(True, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a PNG, atomically. What a unit or a name holds is text, a $ too."""
    FigureCanvasAgg(figure)
    axes = figure.findobj(Axis)
    ticks = [tick for axis in axes for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())]
    numbers = {label for tick in ticks for label in (tick.label1, tick.label2)}  # as 10²
    for text in set(figure.findobj(Text)) - numbers - {axis.offsetText for axis in axes}:
        text.set_parse_math(False)
    with whole(path) as file:
        figure.savefig(file, format="png")
