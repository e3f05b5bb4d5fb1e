"""The predictions file: what a model said about each test picture, one row a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ldl_jax import files

FIRST = ("id", "label", "value")
OPTIONAL = ("sigma", "truth_kl")  # a cell may be empty: not known for this picture
UNIT = "unit"
_PROB = re.compile(r"p\[(.+)\]")


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Estimates of N test pictures; arrays are float32, values in `unit`.

    Attributes:
      ids: N names of pictures.
      labels: [N], the true labels.
      values: [N], the estimates.
      probs: [N, K], the learned distributions over `space_values`; [N, 0] where they are not kept.
      space_values: [K], the label values; [0] where distributions are not kept.
      heads: each [N], what a single head estimates, as "distribution" (CEN, Eq. 16) and
        "regression" (Eq. 17), of which the estimate is the mean (Eq. 18); may be empty.
      sigma: [N], the labels' standard deviations; NaN where unknown. None: the set gives none.
      truth_kl: [N], KL(true || learned distribution) in nats; NaN where unknown. None as above.
      unit: what a label is measured in.

    Raises:
      ValueError: a field's shape is wrong, a number that must be finite is not, or a head has the
        name of another column.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray
    probs: np.ndarray
    space_values: np.ndarray
    heads: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    sigma: np.ndarray | None = None
    truth_kl: np.ndarray | None = None
    unit: str = "years"

    def __post_init__(self) -> None:
        for field in ("labels", "values", "probs", "space_values", *OPTIONAL):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, np.asarray(getattr(self, field), np.float32))
        if not self.ids:
            raise ValueError("ids: expected at least one picture")
        heads = {name: np.asarray(head, np.float32) for name, head in self.heads.items()}
        object.__setattr__(self, "heads", heads)
        for name in heads:
            if name in (*FIRST, *OPTIONAL, UNIT) or _PROB.fullmatch(name):
                raise ValueError(f"heads: {name!r} is the name of another column")
        if self.space_values.ndim != 1 or not np.all(np.diff(self.space_values) > 0):
            raise ValueError(f"space_values: expected [K], rising, got {self.space_values}")
        self._check("probs", self.probs, (len(self), len(self.space_values)))
        for name, column in {"labels": self.labels, "values": self.values, **heads}.items():
            self._check(name, column, (len(self),))
        for name in OPTIONAL:
            if (column := getattr(self, name)) is not None and column.shape != (len(self),):
                raise ValueError(f"{name}: expected shape {(len(self),)}, got {column.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def _check(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        finite = np.isfinite(array).reshape(len(self), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(f"{name}: must be finite; row {row}, {self.ids[row]!r}, is not")


def write(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Writes one CSV, atomically: id, label, value, <heads>, sigma, truth_kl, p[l_1] ... p[l_K].

    Numbers have the fewest digits that give the same float32 back. An unknown number is an empty
    cell. A last column, unit, is added where the unit is not years.
    """
    given = {name: getattr(predictions, name) for name in OPTIONAL}
    columns: dict[str, list[str]] = {
        "id": list(predictions.ids),
        "label": _text(predictions.labels),
        "value": _text(predictions.values),
        **{name: _text(head) for name, head in predictions.heads.items()},
        **{name: _text(column) for name, column in given.items() if column is not None},
    }
    names = [f"p[{value.removesuffix('.0')}]" for value in _text(predictions.space_values)]
    columns |= dict(zip(names, map(_text, predictions.probs.T), strict=True))
    if predictions.unit != "years":
        columns[UNIT] = [predictions.unit] * len(predictions)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    files.write(path, text.getvalue().encode())


def read(path: str | os.PathLike[str]) -> Predictions:
    """Reads what `write` wrote, to the last bit.

    Raises:
      ValueError: naming the file and the row (as a spreadsheet counts: the header is row 1) or the
        column that is missing, repeated, or holds something else than a number.
    """
    # utf-8-sig: a spreadsheet that saves the file again marks it so.
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    _check_table(path, header, rows)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    ids, units = columns.pop("id"), columns.pop(UNIT, ("years",))
    if len(set(units)) != 1:
        raise ValueError(f"{path}: column unit: expected one unit, got {sorted(set(units))}")
    numbers = {name: _numbers(path, name, cells) for name, cells in columns.items()}
    probs = {name: match[1] for name in numbers if (match := _PROB.fullmatch(name))}
    heads = [name for name in numbers if name not in (*FIRST, *OPTIONAL, *probs)]
    try:
        return Predictions(
            ids=ids,
            labels=numbers["label"],
            values=numbers["value"],
            probs=np.array([numbers[name] for name in probs]).T.reshape(len(ids), len(probs)),
            space_values=np.array([float(value) for value in probs.values()], np.float32),
            heads={name: numbers[name] for name in heads},
            sigma=numbers.get("sigma"),
            truth_kl=numbers.get("truth_kl"),
            unit=units[0],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _text(numbers: np.ndarray) -> list[str]:
    """The shortest decimals that round back to the same float32; NaN is empty."""
    return ["" if text == "nan" else text for text in numbers.astype("U").tolist()]


def _numbers(path: str | os.PathLike[str], name: str, cells: Sequence[str]) -> np.ndarray:
    unknown = "nan" if name in OPTIONAL else ""

    def parsed(some: Sequence[str]) -> np.ndarray:
        with np.errstate(over="ignore"):  # reported below as not finite
            numbers = np.array([float(cell or unknown) for cell in some]).astype(np.float32)
        if not unknown and not np.isfinite(numbers).all():
            raise ValueError
        return numbers

    try:
        return parsed(cells)
    except ValueError:
        for row, cell in enumerate(cells, start=2):
            try:
                parsed([cell])
            except ValueError:
                place = f"{path}: row {row}, column {name}"
                raise ValueError(f"{place}: expected a finite number, got {cell!r}") from None
        raise


def _check_table(path: str | os.PathLike[str], header: list[str], rows: list[list[str]]) -> None:
    missing = [name for name in FIRST if name not in header]
    if missing:
        raise ValueError(f"{path}: row 1: no column {', '.join(missing)}; got {header[:12]}")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: row 1: columns given twice: {', '.join(repeated)}")
    for row, cells in enumerate(rows, start=2):
        if len(cells) != len(header):
            raise ValueError(
                f"{path}: row {row}: expected {len(header)} cells as in the header, "
                f"got {len(cells)}"
            )
    if not rows:
        raise ValueError(f"{path}: has a header, but no row")
