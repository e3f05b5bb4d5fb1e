"""Makes network inputs of pictures inside the jitted step: augments, resizes, normalises.

The order is crop, flip and warp as one resampling, then one's own change, colours, normalisation
and GridMask. Steps that a recipe does not use cost nothing. `recipes` has the papers'.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from ldl_jax import factories
from ldl_jax.data.augment import own_change
from ldl_jax.data.augment.colour import Colour, random_colours
from ldl_jax.data.augment.gridmask import GridMask, random_masks
from ldl_jax.data.augment.mixup import CMixup
from ldl_jax.data.augment.resize import crop_and_resize
from ldl_jax.data.augment.views import Views, draw
from ldl_jax.data.augment.warp import Warp, random_warp

_SIDE = 2**14  # pixels of a picture's side; a record of somebody else's may ask for any
_TRIES = 10  # to draw a box that fits, as in torchvision's RandomResizedCrop


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Says how every picture is prepared for the network; stored with the weights."""

    stored_size: int  # side in pixels that a picture is first resized to, and kept as uint8
    size: int  # side in pixels of the network's input
    # Subtracted and divided by, per channel, in the order of `channels`, on the scale 0-255.
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    crop: float = 1.0  # share of a picture's width and height kept, about its middle, before all
    channels: str = "rgb"  # the order that the network takes them in, "rgb" or "bgr"
    square: bool = False  # keep the middle square of the shorter side, not the picture's aspect

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr"):
            raise ValueError(f"channels: expected 'rgb' or 'bgr', got {self.channels!r}")
        if not min(self.size, self.stored_size) >= 1 or max(self.size, self.stored_size) > _SIDE:
            raise ValueError(
                f"size, stored_size: expected 1 to {_SIDE} pixels, got {self.size}, "
                f"{self.stored_size}"
            )
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop: expected more than 0 and at most 1, got {self.crop}")
        if not all(map(math.isfinite, self.mean)) or not all(0 < x < math.inf for x in self.std):
            raise ValueError(
                f"mean, std: expected finite numbers, std above 0, got {self.mean}, {self.std}"
            )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Says how training pictures are changed; by default CEN's random resized crop and flip.

    Attributes:
      scale: range of the crop's share of the picture's area.
      aspect: range of the crop's width over its height, drawn evenly in its logarithm.
      flip: probability of a horizontal flip.
      warp: rotation, shear, shift, zoom and loss of resolution, after crop and flip.
      colour: grey, brightness, contrast, saturation and hue.
      gridmask: squares of a grid that are hidden from the network.
      mixup: pictures and labels mixed with those of a near label, after all else (`mixup.mixed`).
      name: a change of one's own, "package.module:factory" (`own_change.made`); "" for none.
      options: the arguments of its factory.
    """

    scale: tuple[float, float] = (0.8, 1.0)
    aspect: tuple[float, float] = (0.8, 1.25)
    flip: float = 0.5
    warp: Warp = dataclasses.field(default_factory=Warp)
    colour: Colour = dataclasses.field(default_factory=Colour)
    gridmask: GridMask = dataclasses.field(default_factory=GridMask)
    mixup: CMixup = dataclasses.field(default_factory=CMixup)
    name: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.name and not factories.is_own(self.name):
            raise ValueError(f"augment.name: expected package.module:factory, got {self.name!r}")
        if self.options and not self.name:
            raise ValueError(
                f"augment.options.{next(iter(self.options))}: is of a change of one's own; name "
                "it with augment.name"
            )
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"augment.scale: expected 0 < low <= high <= 1, got {self.scale}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"augment.aspect: expected 0 < low <= high, got {self.aspect}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"augment.flip: expected a probability, got {self.flip}")


def augment(
    key: jax.Array,
    images: jax.Array,
    recipe: Recipe,
    preprocessing: Preprocessing | Views,
    progress: jax.Array | float | None = None,
) -> jax.Array:
    """Makes random network inputs float32 [B, size, size, 3] from uint8 pictures [B, S, S, 3].

    Of `Views`, whose recipe was applied before, it draws one of each picture instead.

    Args:
      key: the same key gives the same inputs.
      images: RGB.
      recipe: the random changes.
      preprocessing: how the result is normalised, and its size.
      progress: how much of the training is over, from 0 to 1; only recipes that change need it.

    Raises:
      ValueError: the recipe changes over training, and `progress` is None.
    """
    if isinstance(preprocessing, Views):
        return draw(key, images, preprocessing)
    if progress is None and len(set(recipe.gridmask.probability)) > 1:
        raise ValueError("progress: the probability of augment.gridmask changes; got None")
    box_key, flip_key = jax.random.split(key)
    # The data start at 2, since fold_in gives the keys of `split` for 0 and 1.
    warp_key, colour_key, mask_key = (jax.random.fold_in(key, data) for data in (2, 3, 4))
    boxes = random_boxes(box_key, images.shape, recipe)
    flips = jax.random.bernoulli(flip_key, recipe.flip, (images.shape[0],))
    size = preprocessing.size
    if recipe.warp.still:
        pictures = crop_and_resize(images, boxes, flips, size)
    else:
        pictures = random_warp(warp_key, images, boxes, flips, size, recipe.warp)
    if recipe.name:
        own_key = jax.random.fold_in(key, 6)  # mixup takes 5
        pictures = own_change.changed(own_key, pictures, recipe.name, recipe.options)
    if not recipe.colour.still:
        pictures = random_colours(colour_key, pictures, recipe.colour)
    pictures = normalise(pictures, preprocessing)
    if not recipe.gridmask.still:
        over = jnp.asarray(0.0 if progress is None else progress, jnp.float32)
        visible = random_masks(mask_key, len(images), size, recipe.gridmask, over)
        pictures = jnp.where(visible[..., None], pictures, 0.0)
    return pictures


def prepare(images: jax.Array, preprocessing: Preprocessing | Views) -> jax.Array:
    """Makes the network inputs float32 [B, size, size, 3] of uint8 pictures [B, S, S, 3].

    `Views` are inputs already.
    """
    if isinstance(preprocessing, Views):
        return images
    batch, height, width, _ = images.shape
    if (height, width) == (preprocessing.size, preprocessing.size):
        return normalise(images.astype(jnp.float32), preprocessing)
    whole = jnp.asarray([[0.0, 0.0, height, width]], jnp.float32)
    boxes = jnp.broadcast_to(whole, (batch, 4))
    flips = jnp.zeros((batch,), bool)
    return normalise(crop_and_resize(images, boxes, flips, preprocessing.size), preprocessing)


def normalise(images: jax.Array, preprocessing: Preprocessing) -> jax.Array:
    """Returns (images - mean) / std, per channel, of float32 RGB images on the scale 0-255.

    The channels of the result are in the order that the network takes them in.
    """
    if preprocessing.channels == "bgr":
        images = images[..., ::-1]
    mean = jnp.asarray(preprocessing.mean, jnp.float32)[None, None, None, :]
    std = jnp.asarray(preprocessing.std, jnp.float32)[None, None, None, :]
    return (images - mean) / std


def random_boxes(key: jax.Array, shape: tuple[int, ...], recipe: Recipe) -> jax.Array:
    """Draws crops [B, 4] as (top, left, height, width) in pixels of pictures [B, H, W, C].

    Each has a random share of the area and a random aspect, lies within the picture, and its
    position is uniform. A box that does not fit is drawn again, up to ten times; then the whole
    picture is taken.
    """
    batch, rows, columns = shape[:3]
    area_key, aspect_key, corner_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (batch, _TRIES), jnp.float32, *recipe.scale)
    low, high = (math.log(a) for a in recipe.aspect)
    aspect = jnp.exp(jax.random.uniform(aspect_key, (batch, _TRIES), jnp.float32, low, high))
    heights = jnp.sqrt(area * (rows * columns) / aspect)
    widths = jnp.sqrt(area * (rows * columns) * aspect)
    fits = (heights <= rows) & (widths <= columns)
    first = jnp.argmax(fits, axis=1, keepdims=True)
    fit = fits.any(axis=1)
    height = jnp.where(fit, jnp.take_along_axis(heights, first, 1)[:, 0], float(rows))
    width = jnp.where(fit, jnp.take_along_axis(widths, first, 1)[:, 0], float(columns))
    corner = jax.random.uniform(corner_key, (2, batch), jnp.float32)
    return jnp.stack([corner[0] * (rows - height), corner[1] * (columns - width), height, width], 1)
