"""Answers for the faces in pictures, as a table, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

import jax
import numpy as np

from ldl_jax import calibration, decoders
from ldl_jax.calibration import Calibration
from ldl_jax.evaluation import cells
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.labels import LabelSpace

Box = tuple[float, float, float, float]
# The threshold is traced: a server's clients ask for any, and each would be compiled else.
_prob_at_least = jax.jit(decoders.prob_at_least, static_argnums=1)


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
    at_least: float | None = None  # the probability of the threshold or more, where one is given
    answered: bool = True  # False where the interval is too wide for an answer


def label_names(space: LabelSpace) -> list[str]:
    """Returns the name of each label value: its number, or "low-high" of a group."""
    if space.bounds:
        return [f"{low:g}-{high:g}" for low, high in space.bounds]
    return [f"{value:g}" for value in space.values]


@dataclasses.dataclass(frozen=True)
class Asked:
    """Holds what is asked beside the value.

    Attributes:
      threshold: a label, of which the probability of as much or more is given; or None.
      max_width: intervals this wide or wider have no answer; or None.
    """

    threshold: float | None = None
    max_width: float | None = None

    def of(self, answer: Answer, space: LabelSpace) -> Answer:
        """Returns an answer with what is asked; a value alone has no probability."""
        if self.max_width is not None and answer.low is not None and answer.high is not None:
            narrow = answer.high - answer.low < self.max_width
            answer = dataclasses.replace(answer, answered=narrow)
        if self.threshold is not None and answer.low is not None:
            share = float(_prob_at_least(answer.probs, space, np.float32(self.threshold)))
            answer = dataclasses.replace(answer, at_least=share)
        return answer


NOTHING = Asked()


def check_asked(
    threshold: float | None,
    max_width: float | None,
    space: LabelSpace,
    value_alone: bool,
    *,
    stand_in: bool = False,
    names: tuple[str, str] = ("--threshold", "--max-width"),
) -> Asked:
    """Returns what is asked of a model, by the flags --threshold and --max-width or otherwise.

    Args:
      threshold: a label, or None.
      max_width: a width, or None.
      space: the model's labels.
      value_alone: whether the model has no interval, and no distribution.
      stand_in: whether its distribution only stands in for its value.
      names: what messages call the two.

    Raises:
      ValueError: the model cannot answer it; the message names each of the two that is wrong.
    """
    missing = {
        names[0]: threshold is not None and (value_alone or stand_in),
        names[1]: max_width is not None and value_alone,
    }
    faults = [
        f"{name}: the model's method gives a value alone, no distribution"
        for name, is_missing in missing.items()
        if is_missing
    ]
    if threshold is not None and not space.low <= threshold <= space.high:
        ends = f"{space.low:g} to {space.high:g} {space.unit}"
        faults.append(f"{names[0]}: expected within the model's labels, {ends}, got {threshold:g}")
    if max_width is not None and not 0 < max_width < float("inf"):
        faults.append(f"{names[1]}: expected above 0 {space.unit}, got {max_width:g}")
    if faults:
        raise ValueError("; ".join(faults))
    return Asked(threshold, max_width)


def summary(answer: Answer, space: LabelSpace) -> str:
    """Returns the value and its interval, if it has one, as "34.2 [28, 41]"."""
    digits = 1 if space.high - space.low >= 10 else 2
    if not answer.answered:
        return f"none [{answer.low:g}, {answer.high:g}]"
    if answer.low is None or answer.high is None:
        return f"{answer.value:.{digits}f}"
    return f"{answer.value:.{digits}f} [{answer.low:g}, {answer.high:g}]"


def table(
    answers: Sequence[Answer],
    space: LabelSpace,
    coverage: float,
    asked: Asked = NOTHING,
    known: Calibration | None = None,
    group: str = "",
) -> Grid:
    """Returns a table for the terminal, a row a face.

    Args:
      answers: the rows.
      space: the labels.
      coverage: of the intervals.
      asked: what is asked beside the values.
      known: the model's calibration; None of one that has none.
      group: of the people, whose intervals were asked for.
    """
    held = calibration.held(known, coverage, group)
    note = f"Values in {space.unit}; intervals hold {held}."
    names = ["picture", "face", "box", "value", "interval"]
    rows = [_cells(answer, space) for answer in answers]
    names += asked_heading(asked)
    rows = [(*row, *asked_cell(answer, asked)) for row, answer in zip(rows, answers, strict=True)]
    columns = [Column(name, right=name != "picture") for name in names]
    return Grid(columns, rows, caption=note + asked_note(answers, asked))


def asked_heading(asked: Asked) -> list[str]:
    """Returns the heading of the table's column that a threshold has, in a list; or none."""
    return [] if asked.threshold is None else [f"P(>= {asked.threshold:g})"]


def asked_cell(answer: Answer, asked: Asked) -> list[str]:
    """Returns an answer's cell of that column, in a list."""
    if asked.threshold is None:
        return []
    return ["" if answer.at_least is None else f"{answer.at_least:.3f}"]


def asked_note(answers: Sequence[Answer], asked: Asked) -> str:
    """Returns a sentence on how many answers are not given, after a blank; or nothing."""
    if asked.max_width is None:
        return ""
    left = sum(not answer.answered for answer in answers)
    wide = f"their intervals are {asked.max_width:g} wide or wider"
    return f" No answer for {left} of {len(answers)}: {wide}."


def to_json(
    answers: Sequence[Answer],
    space: LabelSpace,
    coverage: float,
    warnings: Sequence[str] = (),
    asked: Asked = NOTHING,
    *,
    calibrated: bool = False,
) -> str:
    """Returns a JSON document, a list with an object a face.

    Keys: picture, face, box ([left, top, right, bottom] or null), value, interval ([low, high] or
    null), coverage, calibrated (whether labels keep the coverage, or only the model's distribution
    does), unit, warnings (a line on each thing that is wrong with the checkpoint, mostly none), and
    distribution, the probability of each label by its name. With a threshold: threshold and
    prob_at_least, null where the method gives a value alone. With a greatest width: max_width and
    answered; where that is false, value is null.
    """
    names = label_names(space)
    rows = [
        {
            "picture": answer.picture,
            "face": answer.face,
            "box": None if answer.box is None else [round(x, 1) for x in answer.box],
            "value": shortest(answer.value if answer.answered else None),
            "interval": interval_of(answer),
            **asked_fields(answer, asked),
            "coverage": coverage,
            "calibrated": calibrated,
            "unit": space.unit,
            "warnings": list(warnings),
            "distribution": dict(zip(names, map(shortest, answer.probs), strict=True)),
        }
        for answer in answers
    ]
    # A line a face, as a whole document still.
    lines = [cells.json_text(json.dumps(row, ensure_ascii=False, allow_nan=False)) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def asked_fields(answer: Answer, asked: Asked) -> dict[str, object]:
    """Returns the keys of an answer that only some questions have."""
    keys: dict[str, object] = {}
    if asked.threshold is not None:
        keys |= {"threshold": asked.threshold, "prob_at_least": shortest(answer.at_least)}
    if asked.max_width is not None:
        keys |= {"max_width": asked.max_width, "answered": answer.answered}
    return keys


def to_csv(answers: Sequence[Answer], space: LabelSpace, asked: Asked = NOTHING) -> str:
    """Returns the text of a CSV file, a row a face.

    Columns: picture, face, left, top, right, bottom, value, low, high, those of what is asked (as
    of `to_json`), p[l_1] ... p[l_K]. A value is empty where there is no answer. A picture's name
    that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"p[{name}]" for name in label_names(space)]
    first = ["picture", "face", "left", "top", "right", "bottom", "value", "low", "high"]
    writer.writerow([*first, *asked_columns(asked), *names])
    for answer in answers:
        edges = [""] * 4 if answer.box is None else [round(x, 1) for x in answer.box]
        value = answer.value if answer.answered else None
        numbers = [value, *(interval_of(answer) or [None, None])]
        name = cells.spreadsheet(answer.picture)
        probs = map(shortest, answer.probs)
        further = asked_values(answer, asked)
        writer.writerow([name, answer.face, *edges, *map(shortest, numbers), *further, *probs])
    return text.getvalue()


def asked_columns(asked: Asked) -> list[str]:
    """Returns the names of the columns that a CSV file has of what is asked."""
    names = ["threshold", "prob_at_least"] if asked.threshold is not None else []
    return names + (["max_width", "answered"] if asked.max_width is not None else [])


def asked_values(answer: Answer, asked: Asked) -> list[object]:
    """Returns an answer's values in these columns."""
    values = asked_fields(answer, asked).values()
    return [str(x).lower() if isinstance(x, bool) else x for x in values]


def interval_of(answer: Answer) -> list[float | None] | None:
    """Returns the ends of an answer's interval, or None where it has none."""
    if answer.low is None or answer.high is None:
        return None
    return [shortest(answer.low), shortest(answer.high)]


def shortest(x: float | None) -> float | None:
    """Returns the number with the fewest digits that give the same float32 back; None as it is."""
    return None if x is None else float(str(np.float32(x)))


def _cells(answer: Answer, space: LabelSpace) -> tuple[str, ...]:
    edges = "" if answer.box is None else " ".join(f"{x:.0f}" for x in answer.box)
    value, _, interval = summary(answer, space).partition(" ")
    return answer.picture, str(answer.face), edges, value, interval
