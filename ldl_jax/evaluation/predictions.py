"""The predictions file: a model's estimate for each test picture, one row a picture."""

import contextlib
import csv
import dataclasses
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax import files
from ldl_jax.evaluation import cells as text_cells
from ldl_jax.labels import SPACES, LabelSpace

FIRST = ("id", "label", "value")
# Of these a cell may be empty: not known for this picture.
OPTIONAL = ("sigma", "truth_kl")
MEASURES = tuple(
    f"truth_{name}"
    for name in (
        *("emd", "js", "euclidean", "chebyshev", "clark", "canberra", "cosine", "intersection"),
    )
)
UNIT, SPACE, SUBJECT = "unit", "space", "subject"
GROUP = "group."  # begins a column of groups of people, as group.sex
_TEXTS = ("id", UNIT, SPACE, SUBJECT)  # columns that hold no numbers
_PROB = re.compile(r"p\[(.+)\]")


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Estimates of N test pictures; arrays are float32, values in the space's unit.

    `heads` has what single heads estimate, as "distribution" (CEN, Eq. 16) and "regression" (Eq.
    17), of which the estimate is the mean (Eq. 18). What is known of no picture is None or empty.

    Raises:
      ValueError: a field's shape is wrong, a number that must be finite is not, or a head has the
        name of another column.
    """

    ids: tuple[str, ...]  # N names of pictures
    labels: np.ndarray  # [N], the true labels
    values: np.ndarray  # [N], the estimates
    probs: np.ndarray  # [N, K], the learned distributions; [N, 0] where they are not kept
    space: LabelSpace  # of the distributions and of the estimates
    heads: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # each [N]
    sigma: np.ndarray | None = None  # [N], the labels' standard deviations; NaN where unknown
    truth_kl: np.ndarray | None = None  # [N], KL(true || learned) in nats; NaN where unknown
    subjects: tuple[str, ...] = ()  # N names of who is shown, "" where unknown
    # Other measures between the true and the learned distributions, by `MEASURES`; as truth_kl
    measures: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    # N groups of people by what they are groups of, as {"sex": (...)}; "" where not given
    groups: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for field in ("labels", "values", "probs", *OPTIONAL):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, np.asarray(getattr(self, field), np.float32))
        if not self.ids:
            raise ValueError("ids: expected at least one picture")
        heads = {name: np.asarray(head, np.float32) for name, head in self.heads.items()}
        object.__setattr__(self, "heads", heads)
        measures = {name: np.asarray(x, np.float32) for name, x in self.measures.items()}
        object.__setattr__(self, "measures", measures)
        for name in heads:
            is_column = name in (*FIRST, *OPTIONAL, *MEASURES, *_TEXTS) or name.startswith(GROUP)
            if is_column or _PROB.fullmatch(name):
                raise ValueError(f"heads: {name!r} is the name of another column")
        size = 0 if self.probs.ndim == 2 and self.probs.shape[1] == 0 else self.space.size
        self._check("probs", self.probs, (len(self), size))
        for name, column in {"labels": self.labels, "values": self.values, **heads}.items():
            self._check(name, column, (len(self),))
        for name, column in {**self.optional, **measures}.items():
            if column.shape != (len(self),):
                raise ValueError(f"{name}: expected shape {(len(self),)}, got {column.shape}")
        if self.subjects and len(self.subjects) != len(self):
            raise ValueError(f"subjects: expected {len(self)}, got {len(self.subjects)}")
        for kind, of in self.groups.items():
            if len(of) != len(self):
                raise ValueError(f"groups: {kind}: expected {len(self)}, got {len(of)}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def optional(self) -> dict[str, np.ndarray]:
        """The columns that may hold NaN and are not all unknown, but for the measures."""
        columns = {name: getattr(self, name) for name in OPTIONAL}
        return {name: column for name, column in columns.items() if column is not None}

    @property
    def unit(self) -> str:
        """The unit of a label."""
        return self.space.unit

    @property
    def space_values(self) -> np.ndarray:
        """The label values of the distributions, float32 [K]; [0] where they are not kept."""
        return np.asarray(self.space.values if self.probs.shape[1] else (), np.float32)

    def _check(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        finite = np.isfinite(array).reshape(len(self), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(f"{name}: must be finite; row {row}, {self.ids[row]!r}, is not")


def write(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Writes one CSV, atomically: id, label, value, <heads>, sigma, truth_kl, p[l_1] ... p[l_K].

    The other measures to the truth, where there are some, follow truth_kl.

    Numbers have the fewest digits that give the same float32 back. An unknown number is an empty
    cell. Three columns may follow: unit where it is not years, space where the columns before do
    not give it (of groups "0..2 4..6", of a grid "0:1:100" or its values), and subject; then one
    for each kind of groups of people, as group.sex. A text that a spreadsheet would take for a
    formula has an apostrophe before it, which `read` takes away.
    """
    optional = predictions.optional | predictions.measures
    columns: dict[str, Sequence[str]] = {
        "id": [*map(text_cells.spreadsheet, predictions.ids)],
        "label": _text(predictions.labels),
        "value": _text(predictions.values),
        **{name: _text(head) for name, head in predictions.heads.items()},
        **{name: _text(column) for name, column in optional.items()},
    }
    names = [f"p[{value.removesuffix('.0')}]" for value in _text(predictions.space_values)]
    columns |= dict(zip(names, map(_text, predictions.probs.T), strict=True))
    count, space = len(predictions), predictions.space
    if space.unit != "years":
        columns[UNIT] = [text_cells.spreadsheet(space.unit)] * count
    if not names or _space_of_columns(names, space.unit) != space:
        columns[SPACE] = [_space_text(space)] * count
    if any(predictions.subjects):
        columns[SUBJECT] = [*map(text_cells.spreadsheet, predictions.subjects)]
    for kind, of in predictions.groups.items():
        columns[f"{GROUP}{kind}"] = [*map(text_cells.spreadsheet, of)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    files.write(path, text.getvalue())


def read(path: str | os.PathLike[str]) -> Predictions:
    """Reads what `write` wrote, to the last bit, or a file from before it had the space.

    Such a file's space is that of its p[l_k]: of `labels.SPACES`, where one has these values, else
    a grid. Where it keeps no distributions, it is a grid of its least and its greatest label.

    Raises:
      ValueError: naming the file and the row (as a spreadsheet counts: the header is row 1) or the
        column that is missing, repeated, or holds something else than a number.
    """
    # utf-8-sig: a spreadsheet that saves the file again marks it so.
    with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(file, strict=True)
        try:
            header, *rows = list(reader) or [[]]
        except csv.Error as error:
            raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    _check_table(path, header, rows)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    texts = {
        name: tuple(map(text_cells.from_spreadsheet, columns.pop(name)))
        for name in header
        if name in _TEXTS or name.startswith(GROUP)
    }
    for name in (UNIT, SPACE):
        if len(set(texts.get(name, ("",)))) != 1:
            raise ValueError(f"{path}: column {name}: expected one {name}, got {set(texts[name])}")
    numbers = {name: _numbers(path, name, cells) for name, cells in columns.items()}
    probs = [name for name in numbers if _PROB.fullmatch(name)]
    heads = [name for name in numbers if name not in (*FIRST, *OPTIONAL, *MEASURES, *probs)]
    unit = texts.get(UNIT, ("years",))[0]
    try:
        if SPACE in texts:
            space = _space_of_text(texts[SPACE][0], unit)
        elif probs:
            space = _space_of_columns(probs, unit)
        else:
            low, high = float(numbers["label"].min()), float(numbers["label"].max())
            space = LabelSpace((low, max(high, low + 1)), unit)
        return Predictions(
            ids=texts["id"],
            labels=numbers["label"],
            values=numbers["value"],
            probs=np.array([numbers[name] for name in probs]).T.reshape(len(rows), len(probs)),
            space=space,
            heads={name: numbers[name] for name in heads},
            sigma=numbers.get("sigma"),
            truth_kl=numbers.get("truth_kl"),
            measures={name: numbers[name] for name in MEASURES if name in numbers},
            subjects=texts.get(SUBJECT, ()),
            groups={
                name.removeprefix(GROUP): of for name, of in texts.items() if name.startswith(GROUP)
            },
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _space_of_columns(names: Sequence[str], unit: str) -> LabelSpace:
    """Returns the space that the columns p[l_k] say: one of `SPACES` of these values, or a grid."""
    values = tuple(float(name[2:-1]) for name in names)
    for space in SPACES.values():
        if values == space.values:
            return dataclasses.replace(space, unit=unit)
    return LabelSpace(values, unit)


def _space_text(space: LabelSpace) -> str:
    """Returns the bounds of groups, or low:step:high, or the values."""
    if space.bounds:
        return " ".join(f"{_short(low)}..{_short(high)}" for low, high in space.bounds)
    low, high = space.values[0], space.values[-1]
    step = round((high - low) / (space.size - 1), 9)
    text = f"{_short(low)}:{_short(step)}:{_short(high)}"
    with contextlib.suppress(ValueError):
        if _space_of_text(text, space.unit) == space:
            return text
    return " ".join(map(_short, space.values))


def _short(x: float) -> str:
    return repr(float(x)).removesuffix(".0")


def _space_of_text(text: str, unit: str) -> LabelSpace:
    try:
        if ".." in text:
            pairs = [pair.split("..") for pair in text.split()]
            return LabelSpace.groups([(float(low), float(high)) for low, high in pairs], unit)
        if ":" in text:
            low, step, high = map(float, text.split(":"))
            return LabelSpace.range(low, high, step, unit)
        return LabelSpace(tuple(map(float, text.split())), unit)
    except ValueError as error:
        raise ValueError(f"column {SPACE}: {text!r}: {error}") from error


def _text(numbers: np.ndarray) -> list[str]:
    """Returns the shortest decimals that round back to the same float32; NaN is empty."""
    return ["" if text == "nan" else text for text in numbers.astype("U").tolist()]


def _numbers(path: str | os.PathLike[str], name: str, cells: Sequence[str]) -> np.ndarray:
    unknown = "nan" if name in (*OPTIONAL, *MEASURES) else ""

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
                expected = f"expected a finite number, got {cell!r}"
                raise ValueError(f"{path}: row {row}, column {name}: {expected}") from None
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
            expected = f"{len(header)} cells as in the header"
            raise ValueError(f"{path}: row {row}: expected {expected}, got {len(cells)}")
    if not rows:
        raise ValueError(f"{path}: has a header, but no row")
