"""Pictures that are made when they are asked for: large sets need not be in memory."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np


class Source(Protocol):
    """N pictures; other processes get it pickled."""

    def draw(self, rows: np.ndarray) -> np.ndarray:
        """Rows int64 [n] as uint8 [n, size, size, 3]; it may run in threads."""

    def take(self, rows: np.ndarray) -> Source:
        """Some rows alone, int64 [n]."""


class LazyImages:
    """N pictures uint8 RGB [N, size, size, 3], of which only those asked for are made.

    Rows are taken as of an array along its first axis, `images[rows]`, by a number, a slice, or an
    array of numbers or of bools, and come as an array. `take` gives some rows as lazy pictures.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, size: int, source: Source) -> None:
        self.shape = (count, size, size, 3)
        self._source = source

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = np.arange(len(self))[rows]  # which checks them, too
        if numbers.ndim > 1:
            raise IndexError(f"rows: expected one axis of them, got shape {numbers.shape}")
        drawn = self._source.draw(np.atleast_1d(numbers))
        return drawn if numbers.ndim else drawn[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("copy: lazy pictures have no array to share")
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> LazyImages:
        """Some of the pictures, as lazy ones."""
        chosen = np.arange(len(self))[rows]
        return LazyImages(len(chosen), self.shape[1], self._source.take(chosen))


def joined(first: LazyImages | np.ndarray, second: LazyImages | np.ndarray) -> LazyImages:
    """The pictures of both, uint8 of one size, the first ones first; nothing is made for it."""
    count = len(first) + len(second)
    return LazyImages(count, first.shape[1], _Joined(first, second, np.arange(count)))


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Some rows of two sets, counted through both."""

    first: LazyImages | np.ndarray
    second: LazyImages | np.ndarray
    numbers: np.ndarray

    def draw(self, rows: np.ndarray) -> np.ndarray:
        numbers = self.numbers[rows]
        count = len(self.first)
        out = np.empty((len(rows), *self.first.shape[1:]), np.uint8)
        early = numbers < count
        for images, where, own in (
            (self.first, early, numbers),
            (self.second, ~early, numbers - count),
        ):
            if where.any():
                out[where] = images[own[where]]
        return out

    def take(self, rows: np.ndarray) -> _Joined:
        return dataclasses.replace(self, numbers=self.numbers[rows])
