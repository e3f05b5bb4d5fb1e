"""Answers for the faces in pictures, as a table, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

import numpy as np

from ldl_jax.evaluation import cells
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.labels import LabelSpace

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """An answer for one face: an estimate in the label's unit, and the ends of its interval.

    The ends are None where the method gives a value alone, which has no interval.
    """

    picture: str  # its file
    face: int  # its number in the picture, from 1
    box: Box | None  # (left, top, right, bottom) in pixels; None where the picture is the face
    square: Box | None  # (x, y, side, angle) of what was cut out, as `data.align.Square`, or None
    value: float
    low: float | None
    high: float | None
    probs: np.ndarray  # [K], the distribution
    score_map: np.ndarray | None = None  # [h, w] over what was cut out, where it was asked for


def label_names(space: LabelSpace) -> list[str]:
    """Returns the name of each label value: its number, or "low-high" of a group."""
    if space.bounds:
        return [f"{low:g}-{high:g}" for low, high in space.bounds]
    return [f"{value:g}" for value in space.values]


def summary(answer: Answer, space: LabelSpace) -> str:
    """Returns the value and its interval, if it has one, as "34.2 [28, 41]"."""
    digits = 1 if space.high - space.low >= 10 else 2
    if answer.low is None or answer.high is None:
        return f"{answer.value:.{digits}f}"
    return f"{answer.value:.{digits}f} [{answer.low:g}, {answer.high:g}]"


def table(
    answers: Sequence[Answer], space: LabelSpace, coverage: float, promised: bool = False
) -> Grid:
    """Returns a table for the terminal, a row a face; `promised` is of a calibrated model."""
    held = f"{coverage:.0%} of the distribution"
    if promised:
        held = f"{coverage:.0%} of such labels as the model was calibrated with"
    note = f"Values in {space.unit}; intervals hold {held}."
    names = ("picture", "face", "box", "value", "interval")
    columns = [Column(name, right=name != "picture") for name in names]
    return Grid(columns, [_cells(answer, space) for answer in answers], caption=note)


def to_json(
    answers: Sequence[Answer], space: LabelSpace, coverage: float, warnings: Sequence[str] = ()
) -> str:
    """Returns a JSON document, a list with an object a face.

    Keys: picture, face, box ([left, top, right, bottom] or null), value, interval ([low, high] or
    null), coverage, unit, warnings (a line on each thing that is wrong with the checkpoint, mostly
    none), and distribution, the probability of each label by its name.
    """
    names = label_names(space)
    rows = [
        {
            "picture": answer.picture,
            "face": answer.face,
            "box": None if answer.box is None else [round(x, 1) for x in answer.box],
            "value": _shortest(answer.value),
            "interval": _interval(answer),
            "coverage": coverage,
            "unit": space.unit,
            "warnings": list(warnings),
            "distribution": dict(zip(names, map(_shortest, answer.probs), strict=True)),
        }
        for answer in answers
    ]
    # A line a face, as a whole document still.
    lines = [cells.json_text(json.dumps(row, ensure_ascii=False, allow_nan=False)) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def to_csv(answers: Sequence[Answer], space: LabelSpace) -> str:
    """Returns the text of a CSV file, a row a face.

    Columns: picture, face, left, top, right, bottom, value, low, high, p[l_1] ... p[l_K]. A
    picture's name that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"p[{name}]" for name in label_names(space)]
    first = ["picture", "face", "left", "top", "right", "bottom", "value", "low", "high"]
    writer.writerow([*first, *names])
    for answer in answers:
        edges = [""] * 4 if answer.box is None else [round(x, 1) for x in answer.box]
        numbers = [answer.value, *(_interval(answer) or [None, None]), *answer.probs]
        name = cells.spreadsheet(answer.picture)
        writer.writerow([name, answer.face, *edges, *map(_shortest, numbers)])
    return text.getvalue()


def _interval(answer: Answer) -> list[float | None] | None:
    """Returns the ends of an answer's interval, or None where it has none."""
    if answer.low is None or answer.high is None:
        return None
    return [_shortest(answer.low), _shortest(answer.high)]


def _shortest(x: float | None) -> float | None:
    """Returns the number with the fewest digits that give the same float32 back; None as it is."""
    return None if x is None else float(str(np.float32(x)))


def _cells(answer: Answer, space: LabelSpace) -> tuple[str, ...]:
    edges = "" if answer.box is None else " ".join(f"{x:.0f}" for x in answer.box)
    value, _, interval = summary(answer, space).partition(" ")
    return answer.picture, str(answer.face), edges, value, interval
