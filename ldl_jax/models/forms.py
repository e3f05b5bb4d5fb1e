"""The forms that convolutions take on CPUs, by version of jax."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

import jax

_PLAIN = contextvars.ContextVar("plain", default=False)
_WINDOWS = contextvars.ContextVar("windows", default=False)


class Forms(NamedTuple):
    """The forms that pay on CPUs, as `benchmarks/convolution.py` found for a version of jax."""

    version: tuple[int, int]  # the first that they are for
    stem: int  # the channels of the widest stem that reads 2x2 pixels as channels; 0 for none
    point: bool  # whether a convolution of 1x1 is a product
    dense: int  # the pixels of the largest map that is convolved as by a dense layer
    small: int  # the pixels of the largest result that is a product of patches
    kept: bool  # whether what is convolved is kept in memory, not computed anew for the gradient


# The newest first. From 0.11 on XLA takes YNNPACK's convolutions, which are 4 to 8 times as fast.
FORMS = (
    Forms(version=(0, 11), stem=0, point=True, dense=4, small=4, kept=True),
    Forms(version=(0, 0), stem=32, point=False, dense=0, small=4, kept=False),
)


def at_hand(version: tuple[int, ...] = jax.__version_info__) -> Forms:
    """Returns the line of `FORMS` for a version of jax."""
    return next(line for line in FORMS if version >= line.version)


def form_of(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: int,
    padding: int,
    line: Forms | None = None,
) -> str:
    """Returns the name of the function that convolves on CPUs.

    Args:
      shape: that of x, [B, H, W, in].
      kernel: its shape, [k, k, in, out].
      stride: in pixels, along both axes.
      padding: in pixels, on each side.
      line: of `FORMS`; that of the jax at hand by default.
    """
    line = line or at_hand()
    size, _, inputs, outputs = kernel
    height, width = (out_size(n, size, stride, padding) for n in shape[1:3])
    halves = stride == 2 and size % 4 == 3 and size > 3 and padding == size // 2
    if halves and inputs <= 4 and outputs <= line.stem:
        return "space_to_depth"
    # The matrix of a dense layer is made from the kernel anew for each batch.
    if size > 1 and shape[1] * shape[2] <= line.dense and shape[0] >= 16:
        return "dense"
    if (size == 1 and line.point) or height * width <= line.small:
        return "patches"
    return "direct"


def out_size(length: int, size: int, stride: int, padding: int) -> int:
    """Returns the length of a convolution's result along an axis."""
    return (length + 2 * padding - size) // stride + 1


@contextlib.contextmanager
def plain(*, pooling: bool = False) -> Iterator[None]:
    """Makes networks that are traced inside use XLA's own convolutions, on CPUs too.

    With `pooling`, pooling is XLA's own reduction of windows too, which other programs know.
    """
    tokens = _PLAIN.set(True), _WINDOWS.set(pooling)
    try:
        yield
    finally:
        _PLAIN.reset(tokens[0])
        _WINDOWS.reset(tokens[1])


def rewrites() -> bool:
    """Returns whether the forms that are fast on CPUs take the place of XLA's own."""
    return jax.default_backend() == "cpu" and not _PLAIN.get()


def joins() -> bool:
    """Returns whether layers side by side become one, as GPUs take a small network's best."""
    return jax.default_backend() != "cpu" and not _PLAIN.get()


def pools_by_windows() -> bool:
    """Returns whether pooling is XLA's own reduction of windows."""
    return _WINDOWS.get()
