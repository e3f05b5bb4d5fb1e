"""Defines a part of a dataset, and its feed for the jitted step."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from ldl_jax.data import pictures
from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import DataError

Rows = Sequence[np.ndarray]  # row s has the indices [B] of step s
Store = dict[str, jax.Array]
Batch = dict[str, jax.Array]
PyTree = Any
Place = Callable[[PyTree], PyTree]


class Split(Protocol):
    """Gives arrays to a jitted function that has an axis of them split over devices."""

    def __call__(self, tree: PyTree, axis: int = 0) -> PyTree:
        """Returns the arrays, on the devices or on their way: see `Placement.device_put`."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Holds the pictures of one part (train, validation or test) of a dataset.

    Attributes:
      ids: N names.
      labels: float32 [N].
      sigma: float32 [N], NaN where unknown.
      size: side of a stored picture in pixels.
      crop: share of a picture's width and height that is kept.
      square: whether that is the middle square of the shorter side.
      images: uint8 [N, size, size, 3] where the pictures are in memory, or lazy pictures, which are
        streamed: each is made when it is asked for.
      paths: N files, where the pictures are in files.
      packed: N files' bytes, each read when it is asked for, where they are in an archive.
      truth: float32 [N, K], the true distribution, where it is known; NaN where it is of a few
        pictures only.
      votes: float32 [N, K], how many people voted for each label value, where votes are known.
      groups: N names of groups of people by what they are groups of; no batch has them.
      subjects: N names of who is shown, "" where unknown, where there are any.
      features: float32 [N, W, D], where a network's features take the pictures' place: those of W
        views of each picture.
    """

    ids: Sequence[str]
    labels: np.ndarray
    sigma: np.ndarray
    size: int
    crop: float = 1.0
    square: bool = False
    images: np.ndarray | LazyImages | None = None
    paths: Sequence[Path] = ()
    packed: Sequence[bytes] | None = None
    truth: np.ndarray | None = None
    votes: np.ndarray | None = None
    groups: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    features: np.ndarray | None = None

    @property
    def stored(self) -> np.ndarray | LazyImages | None:
        """The arrays that device memory has as "images": the features, or the pictures."""
        return self.images if self.features is None else self.features

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The arrays [N, ...] that batches have beside the pictures, by name."""
        known = {"labels": self.labels, "sigma": self.sigma, "votes": self.votes}
        return {name: column for name, column in known.items() if column is not None}

    def picture(self, index: int) -> np.ndarray:
        """Returns one picture, uint8 [size, size, 3]; see `read`."""
        out = np.empty((self.size, self.size, 3), np.uint8)
        self.read(index, out)
        return out

    def read(self, index: int, out: np.ndarray) -> None:
        """Writes one picture into `out`, uint8 [size, size, 3].

        Raises:
          DataError: it cannot be read; the message names its file, or its id in an archive.
        """
        if self.images is not None:
            out[...] = self.images[index]
        elif self.packed is None:
            pictures.decode_into(self.paths[index], out, self.crop, square=self.square)
        else:
            try:
                pictures.decode_into(self.packed[index], out, self.crop, square=self.square)
            except MemoryError:
                raise
            except Exception as error:  # a missing or damaged archive raises errors of all kinds
                reason = " ".join(str(error).split())
                raise DataError(f"{self.ids[index]}: {reason}") from error


@dataclasses.dataclass(frozen=True)
class Feed:
    """Gives the jitted step the pictures of a part.

    `fetch(store, item)` is pure and returns a batch with uint8 "images" [B, S, S, 3], float32
    "labels" and "sigma" [B], and where the part has them "votes" [B, K]. `items(rows, start)`
    yields the items of rows[start:], for the jitted step to take. `spans(rows, ends, start,
    length)` yields one item for each end, with a leading axis: the items of rows[start:ends[0]], of
    rows[ends[0]:ends[1]] and so on, for steps that run in one call, with `fetch` inside. The axis
    is as long as the span, or `length`, the last item again and again.
    """

    part: Part
    store: Store  # arrays to pass to the jitted step, {} where the pictures are streamed
    fetch: Callable[[Store, Any], Batch]
    items: Callable[..., Iterator[Any]]
    spans: Callable[..., Iterator[Any]]
