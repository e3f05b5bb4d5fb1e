"""Convolution and max pooling, in other forms where XLA's own are slow on CPUs.

Every form computes the same function as XLA's. `benchmarks/convolution.py` measures them, and
`ldl_jax.models.forms` says which of them pay for a version of jax:

- A strided RGB stem of up to 32 channels reads 2x2 pixels as channels (before jax 0.11).
- A convolution whose result is small gathers patches for one matrix product. From jax 0.11 on one
  of 1x1 is a product of pixels, and one of a map of at most 2x2 a product of whole maps.
- Max pooling takes maxima of shifted views, one axis after the other. Its gradient is 14 times as
  fast as select-and-scatter.

`depthwise` (MobileNet) and `in_cells` (SSR-Net) have one use each. Elsewhere XLA's form stays.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from ldl_jax.models.exchange import shifted, weighted
from ldl_jax.models.forms import at_hand, form_of, out_size, pools_by_windows, rewrites
from ldl_jax.models.forms import plain as plain

_LAYOUT = ("NHWC", "HWIO", "NHWC")
Reduce = Callable[[jax.Array, jax.Array], jax.Array]
HE_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nnx.Module):
    """Convolves with a square kernel [k, k, in, out].

    The kernel starts He-normal by fan-out unless `initial` says otherwise. `padding` is added on
    each side and is k // 2 by default; there is no bias by default.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = False,
        initial: nnx.Initializer = HE_FAN_OUT,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        self.kernel = nnx.Param(initial(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        if bias:
            self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.biased = bias
        self.stride = stride
        self.padding = size // 2 if padding is None else padding
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves x [B, H, W, in] into [B, H', W', out] in the compute dtype."""
        y = self.unbiased(x)
        if self.biased:
            y = shifted(y, self.bias[...], self.dtype)
        return y

    def unbiased(self, x: jax.Array) -> jax.Array:
        """Convolves without adding the bias, which the normalisation that follows takes."""
        convolved = functools.partial(convolve, stride=self.stride, padding=self.padding)
        return weighted(convolved, x.astype(self.dtype), self.kernel[...], self.dtype)


class DepthwiseConv(nnx.Module):
    """Convolves each channel by itself with a square kernel [k, k, 1, C].

    `padding` is as in `Conv`. There is no bias until a normalisation is folded into the layer.
    """

    bias: nnx.Param

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        initial = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
        self.kernel = nnx.Param(initial(rngs.params(), (size, size, 1, channels), jnp.float32))
        self.biased = False
        self.stride = stride
        self.padding = size // 2 if padding is None else padding
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves x [B, H, W, C] into [B, H', W', C] in the compute dtype."""
        convolved = functools.partial(depthwise, stride=self.stride, padding=self.padding)
        y = weighted(convolved, x.astype(self.dtype), self.kernel[...], self.dtype)
        if self.biased:
            y = shifted(y, self.bias[...], self.dtype)
        return y


def depthwise(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolves each channel of x [B, H, W, C] with its own kernel [k, k, 1, C].

    On CPUs it sums shifted views, each times its weight: MobileNet-0.25 at 64x64 becomes 5 times as
    fast in inference, and its gradients 3 times.
    """
    if not rewrites():
        return direct(x, kernel, stride, padding, groups=x.shape[-1])
    size = kernel.shape[0]
    height, width = (out_size(n, size, stride, padding) for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    y = jnp.zeros((x.shape[0], height, width, x.shape[3]), x.dtype)
    for row in range(size):
        for column in range(size):
            ends = row + stride * (height - 1) + 1, column + stride * (width - 1) + 1
            view = x[:, row : ends[0] : stride, column : ends[1] : stride]
            y += view * kernel[row, column][None, None]
    return y


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolves x [B, H, W, in] with a kernel [k, k, in, out] in the fastest form known."""
    if not rewrites():
        return direct(x, kernel, stride, padding)
    form = form_of(x.shape, kernel.shape, stride, padding)
    if form == "space_to_depth":
        return space_to_depth(x, kernel)
    if form == "dense":
        return dense(x, kernel, stride, padding)
    if form == "patches":
        return patches(x, kernel, stride, padding)
    x = lax.optimization_barrier(x) if at_hand().kept else x
    return direct(x, kernel, stride, padding)


def direct(
    x: jax.Array, kernel: jax.Array, stride: int, padding: int, groups: int = 1
) -> jax.Array:
    """Returns XLA's own convolution, in groups of channels where there are several."""
    strides, edges = (stride, stride), [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, kernel, strides, edges, dimension_numbers=_LAYOUT, feature_group_count=groups
    )


def patches(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolves by one product of gathered patches [B, H', W', k*k*in] and the kernel."""
    size, _, inputs, outputs = kernel.shape
    rows = _views(x, 1, size, stride, padding, 0.0)
    views = [view for row in rows for view in _views(row, 2, size, stride, padding, 0.0)]
    columns = jnp.concatenate(views, axis=-1) if len(views) > 1 else views[0]
    # Both are matrices, since XLA copies the operands of a product with more axes for its gradient.
    y = columns.reshape(-1, columns.shape[-1]) @ kernel.reshape(size * size * inputs, outputs)
    return y.reshape(*columns.shape[:-1], outputs)


def dense(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolves by one product of whole maps and a matrix [H*W*in, H'*W'*out] of the kernel.

    A map of 2x2 under a kernel of 3x3 has 4 inputs for each result, where a patch has 9 with its
    zeros.
    """
    size, _, inputs, outputs = kernel.shape
    batch, rows, columns = x.shape[:3]
    height, width = (out_size(n, size, stride, padding) for n in (rows, columns))
    taps = jnp.pad(kernel, ((rows, rows), (columns, columns), (0, 0), (0, 0)))
    of_result = []  # for each pixel of the result the tap of each input
    for i in range(height):
        for j in range(width):
            top, left = rows + padding - stride * i, columns + padding - stride * j
            of_result.append(taps[top : top + rows, left : left + columns])
    matrix = jnp.stack(of_result, axis=3)
    y = x.reshape(batch, -1) @ matrix.reshape(rows * columns * inputs, height * width * outputs)
    return y.reshape(batch, height, width, outputs)


def space_to_depth(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 2, by stride 1 on cells of 2x2 pixels that are read as channels.

    The kernel's size k must be 3 mod 4; the padding is k // 2.
    """
    size, _, inputs, outputs = kernel.shape
    taps = (size + 1) // 2
    # One row and column of zeros before the kernel makes its size even.
    kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, 2, taps, 2, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(taps, taps, 4 * inputs, outputs)
    height, width = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    cells = _collected(x, 2, 0)
    # The convolution itself pads: a separate pad makes the whole form 4 times as slow.
    edges = [(taps // 2, taps // 2 - 1)] * 2
    return lax.conv_general_dilated(cells, kernel, (1, 1), edges, dimension_numbers=_LAYOUT)


def in_cells(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolves 3x3 with stride 1 into cells of 2x2 results, [B, H'/2, W'/2, 4, out].

    It multiplies patches of 4x4 pixels with the kernel at its four positions in them. So four
    pixels of RGB need 48 inputs instead of 4 * 27, and a pooling of 2x2 finds each of its windows
    side by side.

    Args:
      x: [B, H, W, in], H and W even.
      kernel: [3, 3, in, out].
      padding: 0 or 1.
    """
    inputs, outputs = kernel.shape[2:]
    columns = _collected(x, 4, padding)
    shifts = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in range(2) for j in range(2)]
    kernels = jnp.stack([jnp.pad(kernel, shift) for shift in shifts], axis=3)
    y = columns.reshape(-1, 16 * inputs) @ kernels.reshape(16 * inputs, 4 * outputs)
    return y.reshape(*columns.shape[:3], 4, outputs)


def _collected(x: jax.Array, size: int, padding: int) -> jax.Array:
    """Gathers patches of that size, 2 apart, [B, H', W', size * size * in].

    A convolution with an identity copies them. Views would be cheaper to write, but XLA fuses them
    with what computes the pictures and augments a picture once for each patch that it is in.
    """
    count = size * size * x.shape[-1]
    copies = jnp.eye(count, dtype=x.dtype).reshape(size, size, x.shape[-1], count)
    edges = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, copies, (2, 2), edges, dimension_numbers=_LAYOUT)


def max_pool(x: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Takes maxima over windows of x [B, H, W, C], first along the rows, then down the columns.

    Equal maxima of a window share its gradient.
    """
    if pools_by_windows():
        return _windows(x, lax.max, -jnp.inf, (size, stride, padding))
    for axis in (2, 1):
        x = functools.reduce(_larger, _views(x, axis, size, stride, padding, -jnp.inf))
    return x


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the larger of each two; equal ones share the gradient, and NaN stays NaN."""
    # The gradient of jnp.maximum and of a maximum over axes asks which element equals the result;
    # where XLA computes the element anew it may round otherwise, and then none does.
    return jnp.where(a > b, a, jnp.where(a < b, b, a / 2 + b / 2))


def average_pool(x: jax.Array, size: int) -> jax.Array:
    """Averages x [B, H, W, C] over cells of size x size; drops incomplete cells at the ends."""
    if pools_by_windows():
        return _windows(x, lax.add, 0.0, (size, size, 0)) / size**2
    cells = _cells_of(x, size)
    if size > 2:
        return cells.mean(axis=(2, 4))
    # A sum that is written out has a gradient that is twice as fast on CPUs.
    corners = [cells[:, :, i, :, j] for i in range(size) for j in range(size)]
    return functools.reduce(jnp.add, corners) / size**2


def _windows(x: jax.Array, reduce: Reduce, start: float, sizes: tuple[int, int, int]) -> jax.Array:
    """Returns XLA's own reduction of the windows of x, for their size, stride and padding."""
    window, stride = ((1, n, n, 1) for n in sizes[:2])
    edges = [(0, 0), (sizes[2],) * 2, (sizes[2],) * 2, (0, 0)]
    return lax.reduce_window(x, np.asarray(start, x.dtype), reduce, window, stride, edges)


def _cells_of(x: jax.Array, size: int) -> jax.Array:
    """Returns the cells [B, h, size, w, size, C] of maps, without incomplete ones at the ends."""
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    x = x[:, : rows * size, : columns * size]
    return x.reshape(batch, rows, size, columns, size, channels)


def keras_padded(x: jax.Array) -> jax.Array:
    """Pads x [B, H, W, C] for a 3x3 convolution of stride 2, as TensorFlow's SAME does.

    An even side gets its row or column of zeros at the end alone, an odd one at both ends.
    """
    height, width = x.shape[1:3]
    return jnp.pad(x, ((0, 0), (height % 2, 1), (width % 2, 1), (0, 0)))


def _views(
    x: jax.Array, axis: int, size: int, stride: int, padding: int, fill: float
) -> list[jax.Array]:
    """Returns the k shifted views of padded x along an axis, one for each offset in the window."""
    span = stride * (out_size(x.shape[axis], size, stride, padding) - 1) + 1
    edges = [(padding, padding) if a == axis else (0, 0) for a in range(x.ndim)]
    x = jnp.pad(x, edges, constant_values=fill)
    return [lax.slice_in_dim(x, i, i + span, stride, axis) for i in range(size)]
