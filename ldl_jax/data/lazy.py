"""Makes pictures when they are asked for, so that large sets need not be in memory."""

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike


class LazySource(Protocol):
    """Makes N pictures; other processes get it pickled."""

    def draw(self, rows: np.ndarray) -> np.ndarray:
        """Returns the rows int64 [n] as uint8 [n, size, size, 3]; it may run in threads."""

    def take(self, rows: np.ndarray) -> "LazySource":
        """Returns a source of some rows alone, int64 [n]."""


class LazyImages:
    """N pictures uint8 RGB [N, size, size, 3], of which only those asked for are made.

    Rows are taken as of an array along its first axis, `images[rows]`, by a number, a slice, or an
    array of numbers or of bools, and come as an array. `take` gives some rows as lazy pictures.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, size: int, source: LazySource) -> None:
        self.shape = (count, size, size, 3)
        self.source = source

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        numbers = np.asarray(np.arange(len(self))[rows])  # indexing also checks the rows
        if numbers.ndim > 1:
            raise IndexError(f"rows: expected one axis of them, got shape {numbers.shape}")
        drawn = self.source.draw(np.atleast_1d(numbers))
        return drawn if numbers.ndim else drawn[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("copy: lazy pictures have no array to share")
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> "LazyImages":
        """Returns some of the pictures, as lazy ones."""
        chosen = np.arange(len(self))[rows]
        return LazyImages(len(chosen), self.shape[1], self.source.take(chosen))


def joined(first: LazyImages | np.ndarray, second: LazyImages | np.ndarray) -> LazyImages:
    """Joins pictures of one size, uint8, the first ones first; makes none of them."""
    count = len(first) + len(second)
    return LazyImages(count, first.shape[1], _Joined(first, second, np.arange(count)))


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Gives some rows of two sets, counted through both."""

    first: LazyImages | np.ndarray
    second: LazyImages | np.ndarray
    numbers: np.ndarray

    def draw(self, rows: np.ndarray) -> np.ndarray:
        numbers, count = self.numbers[rows], len(self.first)
        out = np.empty((len(rows), *self.first.shape[1:]), np.uint8)
        early = numbers < count
        if early.any():
            out[early] = self.first[numbers[early]]
        if not early.all():
            out[~early] = self.second[numbers[~early] - count]
        return out

    def take(self, rows: np.ndarray) -> "_Joined":
        return dataclasses.replace(self, numbers=self.numbers[rows])
