"""Says where an array of the traced function lies in the graph.

Two things are put off until an operation asks for them, and so are mostly never done:

- A transposition. A convolution of ONNX wants its channels second, and those of the library have
  them last. An array keeps the order in which the last operation left its axes, and what works
  element by element keeps that order; so no transpositions stand between convolutions.
- A repetition. An axis along which all elements are equal is stored once, since ONNX broadcasts.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ldl_jax.lowering.steps import Shape

_FEW = 4096  # elements of a constant that are looked through


@dataclasses.dataclass(frozen=True)
class Value:
    """An array in the graph.

    Attributes:
      source: the name of a tensor, or the elements of a constant.
      shape: the shape that the traced function has it in.
      dtype: the type of its elements in the graph.
      order: the i-th axis of the tensor is axis `order[i]` of the array.
      thin: the axes of the array of which the tensor has only one element, which counts for all.
    """

    source: str | np.ndarray
    shape: Shape
    dtype: np.dtype
    order: tuple[int, ...]
    thin: frozenset[int] = frozenset()

    @property
    def constant(self) -> np.ndarray | None:
        """The elements of a constant, or None."""
        return None if isinstance(self.source, str) else self.source

    @property
    def straight(self) -> bool:
        """Returns whether the tensor has its axes in the array's order."""
        return self.order == straight(len(self.order))

    def position(self, axis: int) -> int:
        """Returns which axis of the tensor an axis of the array is."""
        return self.order.index(axis)

    def scalar(self) -> float | None:
        """Returns the one number that a constant consists of, or None."""
        array = self.constant
        return None if array is None or array.size != 1 else array.reshape(()).item()


def straight(rank: int) -> tuple[int, ...]:
    """Returns the order of axes as they are."""
    return tuple(range(rank))


def constant_value(array: np.ndarray, shape: Shape) -> Value:
    """Returns a constant of some shape, whose axes of one element count for all.

    One whose elements are all the same has one element.
    """
    if 1 < array.size <= _FEW and (array == array.reshape(-1)[0]).all():
        array = array.reshape(-1)[:1].reshape((1,) * array.ndim)
    pairs = enumerate(zip(array.shape, shape, strict=True))
    thin = frozenset(axis for axis, (stored, wanted) in pairs if stored == 1 and wanted != 1)
    return Value(array, shape, array.dtype, straight(array.ndim), thin)


def without(order: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Returns an order of axes after some axes of the array are gone."""
    left = [axis for axis in range(len(order)) if axis not in axes]
    return tuple(left.index(axis) for axis in order if axis not in axes)


def spread(value: Value, shape: Shape) -> Value:
    """Returns a value as one of a shape that its axes of one element broadcast to."""
    if len(value.shape) != len(shape) or value.shape == tuple(shape):
        return value
    pairs = enumerate(zip(value.shape, shape, strict=True))
    thin = frozenset(axis for axis, (stored, wanted) in pairs if stored == 1 and wanted != 1)
    return dataclasses.replace(value, shape=tuple(shape), thin=value.thin | thin)
