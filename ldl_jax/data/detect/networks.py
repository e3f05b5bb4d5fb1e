"""MTCNN's three networks as pure functions of their weights.

PNet looks at every place of a picture, RNet and ONet at candidates cut out of it. Convolutions are
valid ones; each is followed by a PReLU with a slope a channel.

Source: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks" (2016), Figure 2, in the layout of the package `mtcnn` 1.0 (Keras: kernels [H, W, I, O]).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

Arrays = Sequence[ArrayLike]

# The shape of each array of each network, in the order in which Keras lists them.
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "pnet": [
        *((3, 3, 3, 10), (10,), (1, 1, 10)),
        *((3, 3, 10, 16), (16,), (1, 1, 16)),
        *((3, 3, 16, 32), (32,), (1, 1, 32)),
        *((1, 1, 32, 4), (4,), (1, 1, 32, 2), (2,)),
    ],
    "rnet": [
        *((3, 3, 3, 28), (28,), (1, 1, 28)),
        *((3, 3, 28, 48), (48,), (1, 1, 48)),
        *((2, 2, 48, 64), (64,), (1, 1, 64)),
        *((576, 128), (128,), (128,)),
        *((128, 4), (4,), (128, 2), (2,)),
    ],
    "onet": [
        *((3, 3, 3, 32), (32,), (1, 1, 32)),
        *((3, 3, 32, 64), (64,), (1, 1, 64)),
        *((3, 3, 64, 64), (64,), (1, 1, 64)),
        *((2, 2, 64, 128), (128,), (1, 1, 128)),
        *((1152, 256), (256,), (256,)),
        *((256, 4), (4,), (256, 10), (10,), (256, 2), (2,)),
    ],
}


def pnet(weights: Arrays, images: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Proposes faces at every second pixel of pictures that lie in the corner of larger arrays.

    Args:
      weights: as `SHAPES["pnet"]`.
      images: [N, S, S, 3], the pixels as (value - 127.5) / 128; anything beyond a picture's size.
      sizes: [N, 2], the height and width of each picture in its array.

    Returns:
      Shifts of the box's left, top, right and bottom edge, in units of 11 pixels [N, H, W, 4],
      and the probability of a face [N, H, W]. Place (y, x) sees the 12 x 12 pixels from (2y, 2x);
      places that see beyond the picture's edge mean nothing.
    """
    hidden = _prelu(_convolution(images, weights[0], weights[1]), weights[2])
    # The pooling's last window may hang over the picture's edge, and is the maximum of what it
    # holds of the picture alone.
    inside = _inside(hidden.shape[1:3], sizes - 2)
    hidden = jnp.where(inside, hidden, -jnp.inf)
    hidden = _pool(hidden, 2, "SAME")
    hidden = jnp.where(_inside(hidden.shape[1:3], (sizes - 1) // 2), hidden, 0.0)
    hidden = _prelu(_convolution(hidden, weights[3], weights[4]), weights[5])
    hidden = _prelu(_convolution(hidden, weights[6], weights[7]), weights[8])
    shifts = _convolution(hidden, weights[9], weights[10])
    return shifts, _face(_convolution(hidden, weights[11], weights[12]))


def rnet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Judges candidates [N, 24, 24, 3]: shifts of the box [N, 4] in its size, face [N]."""
    hidden = _pool(_prelu(_convolution(images, weights[0], weights[1]), weights[2]), 3, "SAME")
    hidden = _pool(_prelu(_convolution(hidden, weights[3], weights[4]), weights[5]), 3, "VALID")
    hidden = _prelu(_convolution(hidden, weights[6], weights[7]), weights[8])
    hidden = _prelu(_dense(_flat(hidden), weights[9], weights[10]), weights[11])
    return _dense(hidden, weights[12], weights[13]), _face(_dense(hidden, weights[14], weights[15]))


def onet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Judges candidates [N, 48, 48, 3]: shifts [N, 4], face [N], and five points.

    The points [N, 10] are x of both eyes, the nose and both corners of the mouth, then y, from the
    candidate's left and top edge in its size.
    """
    hidden = _pool(_prelu(_convolution(images, weights[0], weights[1]), weights[2]), 3, "SAME")
    hidden = _pool(_prelu(_convolution(hidden, weights[3], weights[4]), weights[5]), 3, "VALID")
    hidden = _pool(_prelu(_convolution(hidden, weights[6], weights[7]), weights[8]), 2, "SAME")
    hidden = _prelu(_convolution(hidden, weights[9], weights[10]), weights[11])
    hidden = _prelu(_dense(_flat(hidden), weights[12], weights[13]), weights[14])
    shifts, points = (
        _dense(hidden, weights[15], weights[16]),
        _dense(hidden, weights[17], weights[18]),
    )
    return shifts, _face(_dense(hidden, weights[19], weights[20])), points


def _convolution(images: jax.Array, kernel: ArrayLike, bias: ArrayLike) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    kernel = jnp.asarray(kernel)
    result = lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=layout)
    return result + _last(bias, result.ndim)


def _dense(features: jax.Array, kernel: ArrayLike, bias: ArrayLike) -> jax.Array:
    return features @ jnp.asarray(kernel) + _last(bias, features.ndim)


def _last(values: ArrayLike, rank: int) -> jax.Array:
    """Returns values of the last axis with leading axes of one, up to a rank."""
    return jnp.reshape(values, (1,) * (rank - 1) + (-1,))


def _prelu(values: jax.Array, slope: ArrayLike) -> jax.Array:
    return jnp.where(values >= 0, values, _last(slope, values.ndim) * values)


def _pool(values: jax.Array, size: int, padding: str) -> jax.Array:
    """Returns the maximum of windows that begin at every second place."""
    window, strides = (1, size, size, 1), (1, 2, 2, 1)
    return lax.reduce_window(values, -jnp.inf, lax.max, window, strides, padding)


def _inside(shape: tuple[int, ...], sizes: jax.Array) -> jax.Array:
    """Returns which places [N, H, W, 1] of arrays of that height and width lie in their picture."""
    rows, columns = jnp.arange(shape[0])[None, :, None, None], jnp.arange(shape[1])[None, None]
    heights, widths = sizes[:, 0], sizes[:, 1]
    inside = rows < heights[:, None, None, None]
    return inside & (columns[..., None] < widths[:, None, None, None])


def _flat(values: jax.Array) -> jax.Array:
    """Returns the features [N, W * H * C] of [N, H, W, C]: columns first, as the weights want."""
    return jnp.swapaxes(values, 1, 2).reshape(values.shape[0], -1)


def _face(logits: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits, axis=-1)[..., 1]
