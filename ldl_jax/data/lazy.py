"""Pictures that are made when they are asked for: large sets need not be in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Draw = Callable[[np.ndarray], np.ndarray]


class LazyImages:
    """N pictures uint8 RGB [N, size, size, 3], of which only those asked for are made.

    Rows are taken as of an array along its first axis, `images[rows]`, by a number, a slice, or an
    array of numbers or of bools, and come as an array. `take` gives some rows as lazy pictures.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, size: int, draw: Draw) -> None:
        """`draw(rows) -> uint8 [n, size, size, 3]` makes rows int64 [n]; it may run in threads."""
        self.shape = (count, size, size, 3)
        self._draw = draw

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = np.arange(len(self))[rows]  # which checks them, too
        if numbers.ndim > 1:
            raise IndexError(f"rows: expected one axis of them, got shape {numbers.shape}")
        drawn = self._draw(np.atleast_1d(numbers))
        return drawn if numbers.ndim else drawn[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("copy: lazy pictures have no array to share")
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> LazyImages:
        """Some of the pictures, as lazy ones."""
        chosen = np.arange(len(self))[rows]
        return LazyImages(len(chosen), self.shape[1], lambda some: self._draw(chosen[some]))


def joined(first: LazyImages | np.ndarray, second: LazyImages | np.ndarray) -> LazyImages:
    """The pictures of both, uint8 of one size, the first ones first; nothing is made for it."""
    count = len(first)

    def draw(rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *first.shape[1:]), np.uint8)
        early = rows < count
        for images, where, numbers in ((first, early, rows), (second, ~early, rows - count)):
            if where.any():
                out[where] = images[numbers[where]]
        return out

    return LazyImages(count + len(second), first.shape[1], draw)
