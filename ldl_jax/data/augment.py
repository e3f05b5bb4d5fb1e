"""Pictures to network inputs, inside the jitted step: crop, resize, flip, normalise.

Crop, resize and flip of a picture are one product with two small matrices (bilinear weights along
each axis), so a batch costs two batched matrix products whatever the recipe's parameters.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

_TRIES = 10  # of a random box that may not fit, as torchvision's RandomResizedCrop has it


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to every picture before the network; stored with the weights.

    Attributes:
      stored_size: side in pixels that a picture is first resized to, and kept as uint8.
      size: side in pixels of the network's input.
      mean: per channel, in the order of `channels`, on the scale 0-255, subtracted.
      std: per channel, in the same order, on the scale 0-255, divided by.
      crop: share of a picture's width and height that is kept, about its middle, before all else.
      channels: the order that the network takes them in, "rgb" or "bgr".
    """

    stored_size: int
    size: int
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    crop: float = 1.0
    channels: str = "rgb"

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr"):
            raise ValueError(f"channels: expected 'rgb' or 'bgr', got {self.channels!r}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Random resized crop and flip (CEN, "Pre-processing").

    Attributes:
      scale: range of the crop's share of the picture's area.
      aspect: range of the crop's width over its height, drawn evenly in its logarithm.
      flip: probability of a horizontal flip.
    """

    scale: tuple[float, float] = (0.8, 1.0)
    aspect: tuple[float, float] = (0.8, 1.25)
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"augment.scale: expected 0 < low <= high <= 1, got {self.scale}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"augment.aspect: expected 0 < low <= high, got {self.aspect}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"augment.flip: expected a probability, got {self.flip}")


def augment(
    key: jax.Array, images: jax.Array, recipe: Recipe, preprocessing: Preprocessing
) -> jax.Array:
    """Random network inputs float32 [B, size, size, 3] from uint8 pictures [B, S, S, 3]."""
    box_key, flip_key = jax.random.split(key)
    boxes = random_boxes(box_key, images.shape, recipe)
    flips = jax.random.bernoulli(flip_key, recipe.flip, (images.shape[0],))
    return normalise(crop_and_resize(images, boxes, flips, preprocessing.size), preprocessing)


def prepare(images: jax.Array, preprocessing: Preprocessing) -> jax.Array:
    """The network inputs float32 [B, size, size, 3] of whole uint8 pictures [B, S, S, 3]."""
    batch, height, width, _ = images.shape
    if (height, width) == (preprocessing.size, preprocessing.size):
        return normalise(images.astype(jnp.float32), preprocessing)
    whole = jnp.asarray([[0.0, 0.0, height, width]], jnp.float32)
    boxes = jnp.broadcast_to(whole, (batch, 4))
    flips = jnp.zeros((batch,), bool)
    return normalise(crop_and_resize(images, boxes, flips, preprocessing.size), preprocessing)


def normalise(images: jax.Array, preprocessing: Preprocessing) -> jax.Array:
    """(images - mean) / std, per channel, of float32 RGB images on the scale 0-255.

    The channels of the result are in the order that the network takes them in.
    """
    if preprocessing.channels == "bgr":
        images = images[..., ::-1]
    mean = jnp.asarray(preprocessing.mean, jnp.float32)[None, None, None, :]
    std = jnp.asarray(preprocessing.std, jnp.float32)[None, None, None, :]
    return (images - mean) / std


def random_boxes(key: jax.Array, shape: tuple[int, ...], recipe: Recipe) -> jax.Array:
    """Random crops [B, 4] as (top, left, height, width) in pixels of pictures [B, H, W, C].

    Each has a random share of the area and a random aspect, lies within the picture, and its place
    is uniform. A box that does not fit is drawn again, up to ten times; then the whole picture is
    taken.
    """
    batch, rows, columns = shape[:3]
    area_key, aspect_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (batch, _TRIES), jnp.float32, *recipe.scale)
    low, high = (math.log(a) for a in recipe.aspect)
    aspect = jnp.exp(jax.random.uniform(aspect_key, (batch, _TRIES), jnp.float32, low, high))
    heights = jnp.sqrt(area * (rows * columns) / aspect)
    widths = jnp.sqrt(area * (rows * columns) * aspect)
    fits = (heights <= rows) & (widths <= columns)
    first = jnp.argmax(fits, axis=1, keepdims=True)
    found = fits.any(axis=1)
    height = jnp.where(found, jnp.take_along_axis(heights, first, 1)[:, 0], float(rows))
    width = jnp.where(found, jnp.take_along_axis(widths, first, 1)[:, 0], float(columns))
    place = jax.random.uniform(place_key, (2, batch), jnp.float32)
    return jnp.stack([place[0] * (rows - height), place[1] * (columns - width), height, width], 1)


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
    vertical = _weights(boxes[:, 0], boxes[:, 2], rows, size)
    horizontal = _weights(boxes[:, 1], boxes[:, 3], columns, size)
    horizontal = jnp.where(flips[:, None, None], horizontal[:, ::-1, :], horizontal)
    lines = images.astype(jnp.float32).reshape(batch, rows, columns * channels)
    lines = jnp.einsum("bir,brl->bil", vertical, lines).reshape(batch, size, columns, channels)
    return jnp.einsum("bjc,bick->bijk", horizontal, lines)


def _weights(start: jax.Array, length: jax.Array, pixels: int, size: int) -> jax.Array:
    """Bilinear weights [B, size, pixels]: row i mixes the pixels that make output i."""
    step = (length / size)[:, None]
    centre = start[:, None] + (jnp.arange(size, dtype=jnp.float32)[None, :] + 0.5) * step - 0.5
    reach = jnp.maximum(step, 1.0)[:, :, None]
    pixel = jnp.arange(pixels, dtype=jnp.float32)[None, None, :]
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(pixel - centre[:, :, None]) / reach)
    return weights / weights.sum(axis=-1, keepdims=True)
