"""Lists a dataset, a row a picture, before any picture is opened."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np

from ldl_jax.data.align import Alignment
from ldl_jax.data.lazy import LazyImages
from ldl_jax.files import content_of

T = TypeVar("T")
_SHOWN = 20  # faults of a file that a message lists
# The fields with an entry a picture.
ROWS = (
    *("ids", "labels", "sources", "paths", "images", "packed", "sigma"),
    *("subjects", "split", "truth", "votes", "folds", "quads", "points", "boxes"),
)


class DataError(ValueError):
    """Raised for a dataset that cannot be used as it is; the message names file and remedy.

    The message is one line, whatever it quotes from a file.
    """

    def __init__(self, message: str) -> None:
        printable = (c if c.isprintable() else repr(c)[1:-1] for c in message)
        super().__init__("".join(printable))


def file_content(path: Path, file: str) -> bytes:
    """Returns a regular file's bytes; DataError, with `file` as its name, where it is none."""
    try:
        return content_of(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error


class FaultsError(DataError):
    """Raised for all faults of one file at once: a line for each of the first, and their count."""

    def __init__(self, name: str, faults: Sequence[str] = ()) -> None:
        super().__init__(faults[0] if faults else name)
        self.faults = tuple(faults)
        if len(faults) > 1:
            shown = [str(DataError(fault)) for fault in faults[:_SHOWN]]
            rest = len(faults) - len(shown)
            shown += [f"and {rest:,} more"] if rest else []
            self.args = ("\n  - ".join([f"{name}: {len(faults):,} faults", *shown]),)


class Faults:
    """Collects what is wrong with a file, to say all of it at once; `name` is the file's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts: list[str] = []

    def add(self, fault: object) -> None:
        """Adds a fault: a text, or an error with one."""
        if isinstance(fault, FaultsError):
            self._texts += fault.faults
        else:
            self._texts.append(str(fault))

    def __len__(self) -> int:
        return len(self._texts)

    def tried(self, function: Callable[..., T], *arguments: object) -> T | None:
        """Returns `function(*arguments)`; None after a DataError, which is a fault."""
        try:
            return function(*arguments)
        except DataError as error:
            self.add(error)
            return None

    def check(self) -> None:
        """Raises FaultsError if there is any fault."""
        if self._texts:
            raise FaultsError(self._name, self._texts)


class FoldSplit(NamedTuple):
    """An official way to part the folds: the numbers in `Records.folds` that each part takes."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """N labelled pictures of one dataset, in the dataset's own order.

    Attributes:
      name: the dataset's name.
      ids: N unique names of pictures (the path relative to the root, or a number).
      labels: float32 [N], in `unit`.
      sources: N positions that the labels were read from ("ages.csv row 12"), for error messages;
        the ids where none are given.
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
      vote_values: float32 [M], the values that people could vote for, where votes are known.
      votes: float32 [N, M], how many people voted for each of `vote_values`; zeros where unknown.
      unit: what a label is measured in.
      folds: int64 [N], the official fold that a picture lies in, from 0; -1 where it is in none.
      fold_splits: how official runs part the folds; empty where run i tests on fold i and trains
        on the others.
      quads: float32 [N, 4, 2], the corners (x, y) in pixels of the square about the face that is
        to be cut out, from its upper left clockwise; NaN where unknown.
      points: float32 [N, 5, 2], x and y in pixels of the eye on the left of the picture, the other
        eye, the tip of the nose, the corner of the mouth on the left, and the other corner; NaN
        where unknown.
      boxes: float32 [N, 4], the left, top, right and bottom edge in pixels of the face that the
        label is of, which tell the faces of one picture apart; NaN where unknown.
      alignment: how the pictures were cut out of larger ones; None where that is not known.
      groups: N names of groups of people by what they are groups of, as {"sex": ("male", "", ...)},
        for errors by group; "" where unknown. Nothing that trains is given them.
      bounds: the least and the greatest value of each group of values, where labels are the middles
        of groups; empty where they are numbers.
      notes: remarks for readers of the results, such as pictures that were left out, and why.
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sources: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    images: np.ndarray | LazyImages | None = None
    packed: Sequence[bytes] | None = None
    sigma: np.ndarray | None = None
    subjects: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    truth_values: np.ndarray | None = None
    truth: np.ndarray | None = None
    vote_values: np.ndarray | None = None
    votes: np.ndarray | None = None
    unit: str = "years"
    folds: np.ndarray | None = None
    fold_splits: tuple[FoldSplit, ...] = ()
    quads: np.ndarray | None = None
    points: np.ndarray | None = None
    boxes: np.ndarray | None = None
    alignment: Alignment | None = None
    groups: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    bounds: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.ids)
        if count == 0:
            raise DataError(f"{self.name}: lists no picture")
        if not self.sources:
            object.__setattr__(self, "sources", tuple(self.ids))
        faults = Faults(self.name)
        for field in ROWS[1:]:
            value = getattr(self, field)
            missing = value is None or (isinstance(value, (tuple, list)) and not value)
            if not missing and len(value) != count:
                faults.add(f"{self.name}: {field} has {len(value)} rows, ids has {count}")
        for kind, names in self.groups.items():
            if len(names) != count:
                faults.add(f"{self.name}: groups.{kind} has {len(names)} rows, not {count}")
        if not self.paths and self.images is None and self.packed is None:
            faults.add(f"{self.name}: gives neither paths nor images nor packed pictures")
        faults.check()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shares_pictures(self) -> bool:
        """True if a picture is listed for each of its faces, which boxes tell apart."""
        return self.boxes is not None and 0 < len(set(self.paths)) < len(self.paths)

    def content(self, row: int) -> bytes:
        """Reads a picture that is in a file or packed; raises DataError where that fails."""
        if self.packed is not None:
            return self.packed[row]
        return file_content(self.paths[row], str(self.paths[row]))

    def take(self, rows: slice | np.ndarray) -> "Records":
        """Returns the records of some rows, a slice or int64 [M], in the order given."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        groups = {kind: tuple(of[row] for row in numbers) for kind, of in self.groups.items()}
        changes: dict[str, Any] = {"groups": groups}
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
    """Some rows of a sequence, or of two that follow each other, looked up one by one."""

    def __init__(self, first: Sequence[T], rows: np.ndarray, second: Sequence[T] = ()) -> None:
        self._first, self._second, self._rows = first, second, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> "Chosen[T]": ...

    def __getitem__(self, index: int | slice) -> "T | Chosen[T]":
        if isinstance(index, slice):
            return Chosen(self._first, self._rows[index], self._second)
        row, count = int(self._rows[index]), len(self._first)
        return self._first[row] if row < count else self._second[row - count]
