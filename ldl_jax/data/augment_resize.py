"""Crop, resize and flip of a picture as one product with two small matrices.

Each holds bilinear weights along one axis, so a batch costs two batched matrix products whatever
the boxes are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def crop_and_resize(images: jax.Array, boxes: jax.Array, flips: jax.Array, size: int) -> jax.Array:
    """Each picture's box, flipped where asked, as float32 [B, size, size, C], bilinear.

    A box larger than the result is averaged over, not sampled (antialiased), as Pillow does it.

    Args:
      images: [B, H, W, C], uint8 or float.
      boxes: float32 [B, 4], (top, left, height, width) in pixels; edges, not pixel centres.
      flips: bool [B], whether left and right change places.
      size: side of the result in pixels.
    """
    batch, rows, columns, channels = images.shape
    index = jnp.arange(size, dtype=jnp.float32)[None, :]
    vertical = _weights(boxes[:, 0], boxes[:, 2] / size, index, rows)
    horizontal = _weights(boxes[:, 1], boxes[:, 3] / size, index, columns)
    horizontal = jnp.where(flips[:, None, None], horizontal[:, ::-1, :], horizontal)
    lines = images.astype(jnp.float32).reshape(batch, rows, columns * channels)
    lines = jnp.einsum("bir,brl->bil", vertical, lines).reshape(batch, size, columns, channels)
    return jnp.einsum("bjc,bick->bijk", horizontal, lines)


def shrink(images: jax.Array, sides: jax.Array, size: int) -> jax.Array:
    """Whole pictures, each resized to a side of its own, bilinear and antialiased.

    Args:
      images: [B, H, W, C], uint8 or float.
      sides: float32 [B], whole numbers of pixels from 1 to `size`.
      size: side of the result's array in pixels.

    Returns:
      float32 [B, size, size, C]; a picture is in the top left corner, [side, side], and its last
      row and column fill the rest.
    """
    batch, rows, columns, channels = images.shape
    index = jnp.minimum(jnp.arange(size, dtype=jnp.float32)[None, :], sides[:, None] - 1)
    start = jnp.zeros((batch,), jnp.float32)
    vertical = _weights(start, rows / sides, index, rows)
    horizontal = _weights(start, columns / sides, index, columns)
    lines = images.astype(jnp.float32).reshape(batch, rows, columns * channels)
    lines = jnp.einsum("bir,brl->bil", vertical, lines).reshape(batch, size, columns, channels)
    return jnp.einsum("bjc,bick->bijk", horizontal, lines)


def _weights(start: jax.Array, step: jax.Array, index: jax.Array, pixels: int) -> jax.Array:
    """Bilinear weights [B, size, pixels]: row i mixes the pixels that make output index[i]."""
    step = step[:, None]
    centre = start[:, None] + (index + 0.5) * step - 0.5
    reach = jnp.maximum(step, 1.0)[:, :, None]
    pixel = jnp.arange(pixels, dtype=jnp.float32)[None, None, :]
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(pixel - centre[:, :, None]) / reach)
    return weights / weights.sum(axis=-1, keepdims=True)
