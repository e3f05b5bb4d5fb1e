"""Batches of pictures, checked, and cut into the sizes that programs are compiled for."""

import typing
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.typing import ArrayLike

Tree = typing.TypeVar("Tree")
SIZES = (1, 4, 16, 64, 256)  # of the batches that are computed, each of them compiled once


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


def batched(function: Callable[[np.ndarray], Tree], rows: np.ndarray) -> Tree:
    """Applies a jitted function of a batch to any number of rows, as NumPy arrays.

    The rows go in batches of `SIZES`, the last of which is padded with zeros, so that no more than
    that many programs are compiled.
    """
    results = []
    for start in range(0, len(rows), SIZES[-1]):
        batch = rows[start : start + SIZES[-1]]
        size = next(size for size in SIZES if size >= len(batch))
        padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
        padded[: len(batch)] = batch
        count = len(batch)
        results.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], function(padded)))
    if len(results) == 1:
        return results[0]
    return typing.cast(Tree, jax.tree.map(lambda *parts: np.concatenate(parts), *results))
