"""What a dataset lists before any picture is opened: one row a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ldl_jax.data.align import Alignment
from ldl_jax.data.lazy import LazyImages

T = TypeVar("T")
# What has one entry a picture.
ROWS = (
    "ids",
    "labels",
    "sources",
    "paths",
    "images",
    "packed",
    "sigma",
    "subjects",
    "split",
    "truth",
    "folds",
    "quads",
    "points",
    "groups",
)


class DataError(ValueError):
    """A dataset that cannot be used as it is; the message names the file and the remedy.

    It is one line, whatever a file holds that it quotes.
    """

    def __init__(self, message: str) -> None:
        printable = (c if c.isprintable() else repr(c)[1:-1] for c in message)
        super().__init__("".join(printable))


class FoldSplit(NamedTuple):
    """One official way to part the folds: the numbers in `Records.folds` that each part takes."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Records:
    """N labelled pictures of one dataset, in the dataset's own order.

    Attributes:
      name: the dataset's name.
      ids: N unique names of pictures (the path relative to the root, or a number).
      labels: float32 [N], in `unit`.
      sources: N places the labels were read from ("ages.csv row 12"), for error messages.
      paths: N picture files; empty where `images` or `packed` holds the pictures.
      images: uint8 RGB [N, H, W, 3], for sets made in memory, or lazy pictures that are made when
        they are asked for.
      packed: N encoded pictures (the bytes of a JPEG or PNG file), of a prepared set; each is read
        from its archive when it is asked for.
      sigma: float32 [N], the label's standard deviation; NaN where unknown.
      subjects: N names of who is shown; "" where unknown.
      split: N of "train", "validation", "test" (the official split), or "" where there is none.
      truth_values: float32 [M], the grid of `truth`, where the true distribution is known.
      truth: float32 [N, M], the true label distribution of each picture over `truth_values`.
      unit: what a label is measured in.
      folds: int64 [N], the official fold that a picture lies in, from 0; -1 where it is in none.
      fold_splits: how official runs part the folds; empty where run i tests on fold i and trains
        on the others.
      quads: float32 [N, 4, 2], the corners (x, y) in pixels of the square about the face that is
        to be cut out, from its upper left clockwise; NaN where unknown.
      points: float32 [N, 5, 2], x and y in pixels of the eye on the left of the picture, the other
        eye, the tip of the nose, the corner of the mouth on the left, and the other corner; NaN
        where unknown.
      alignment: how the pictures were cut out of larger ones; None where that is not known.
      groups: N names of the group of who is shown, as for errors by group; "" where unknown.
      notes: what a reader of the results must know, such as pictures that were left out, and why.
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sources: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    images: np.ndarray | LazyImages | None = None
    packed: Sequence[bytes] | None = None
    sigma: np.ndarray | None = None
    subjects: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    truth_values: np.ndarray | None = None
    truth: np.ndarray | None = None
    unit: str = "years"
    folds: np.ndarray | None = None
    fold_splits: tuple[FoldSplit, ...] = ()
    quads: np.ndarray | None = None
    points: np.ndarray | None = None
    alignment: Alignment | None = None
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.ids)
        if count == 0:
            raise DataError(f"{self.name}: lists no picture")
        for field in ROWS[1:]:
            value = getattr(self, field)
            missing = value is None or (isinstance(value, tuple) and not value)
            if not missing and len(value) != count:
                raise DataError(f"{self.name}: {field} has {len(value)} rows, ids has {count}")
        if not self.paths and self.images is None and self.packed is None:
            raise DataError(f"{self.name}: gives neither paths nor images nor packed pictures")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: slice | np.ndarray) -> Records:
        """The records of some rows, a slice or int64 [M], in the order given."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        changes: dict[str, Any] = {}
        for field in ROWS:
            value = getattr(self, field)
            if isinstance(value, tuple):
                changes[field] = tuple(value[row] for row in numbers) if value else ()
            elif isinstance(value, np.ndarray):
                changes[field] = value[rows]
            elif isinstance(value, LazyImages):
                changes[field] = value.take(np.asarray(numbers, np.int64))
            elif value is not None:
                changes[field] = Chosen(value, np.asarray(numbers, np.int64))
        return dataclasses.replace(self, **changes)


class Chosen(Sequence[T]):
    """Some rows of a sequence, each looked up when it is asked for."""

    def __init__(self, whole: Sequence[T], rows: np.ndarray) -> None:
        self._whole, self._rows = whole, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Chosen(self._whole, self._rows[place])
        return self._whole[int(self._rows[place])]
