"""Batches of pictures, checked, and cut into the one size that a program is compiled for."""

import typing
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.typing import ArrayLike

Tree = typing.TypeVar("Tree")
ROWS = 64  # distributions at a time
_SMALL = 500e6  # multiply-adds for a picture, up to which several at a time are as quick


def checked(images: ArrayLike) -> np.ndarray:
    """Returns pictures as an array.

    Raises:
      ValueError: they are not uint8 [B, H, W, 3], or there are none.
    """
    expected = "images: expected uint8 [B, H, W, 3]"
    try:
        array = np.asarray(images)
    except ValueError:  # NumPy's of a ragged list
        shapes = sorted({str(list(np.shape(image))) for image in _rows(images)})
        raise ValueError(
            f"{expected}, got pictures of several shapes: {', '.join(shapes[:5])}; resize them, or "
            "call for each shape by itself"
        ) from None
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"{expected}, got {array.dtype} {list(array.shape)}")
    if 0 in array.shape:
        raise ValueError(
            f"{expected} with at least one picture of at least 1 x 1 pixels, got "
            f"{list(array.shape)}"
        )
    return array


def _rows(images: ArrayLike) -> list[np.ndarray]:
    """Returns the pictures of a ragged list, one that is ragged itself as an empty array."""
    rows = []
    for image in typing.cast(Sequence[ArrayLike], images):
        try:
            rows.append(np.asarray(image))
        except ValueError:
            rows.append(np.zeros(0))
    return rows


def pictures_at_once(multiply_adds: int) -> int:
    """Returns the one batch size that a network's answers are computed in.

    On two cores of a CPU a picture costs as much in a batch of 4 as in one of 256 or less, whose
    maps no cache holds, and a padded batch of 4 answers for one picture in a few milliseconds. Of
    a network with more to do for a picture, any batch is as many times the time of one.

    Args:
      multiply_adds: those of an answer for one picture.
    """
    if jax.default_backend() != "cpu":
        return 64
    return 4 if multiply_adds <= _SMALL else 1


def batched(function: Callable[[np.ndarray], Tree], rows: np.ndarray, size: int) -> Tree:
    """Applies a jitted function of a batch to any number of rows, as NumPy arrays.

    The rows go in batches of `size`, the last of which is padded with zeros, so that one program is
    compiled for any number of rows.
    """
    results = []
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
        padded[: len(batch)] = batch
        count = len(batch)
        results.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], function(padded)))
    if len(results) == 1:
        return results[0]
    return typing.cast(Tree, jax.tree.map(lambda *parts: np.concatenate(parts), *results))
