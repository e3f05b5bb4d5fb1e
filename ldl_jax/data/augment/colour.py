"""Changes grey, brightness, contrast, saturation and hue of a picture as one map of its colours."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

LUMA = (0.299, 0.587, 0.114)  # for R, G and B: ITU-R 601, as in Pillow's "L" and both sources
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclasses.dataclass(frozen=True)
class Colour:
    """Describes random colours; by default nothing changes.

    A picture is first turned grey or not; then come brightness, contrast, saturation and hue in
    random order. With a factor f, uniform in 1 - value to 1 + value:

        brightness: f x;  contrast: f x + (1 - f) mean(luma);  saturation: f x + (1 - f) luma(x)

    Attributes:
      gray: probability that a picture loses its colours.
      brightness: how far its factor goes from 1.
      contrast: how far its factor goes from 1.
      saturation: how far its factor goes from 1.
      hue: greatest turn of HSV's hue, as a share of the circle; uniform, either way.
      clip: whether the result is limited to 0-255.
    """

    gray: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.gray <= 1:
            raise ValueError(f"augment.colour.gray: expected a probability, got {self.gray}")
        for name, limit in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0.5)):
            if not 0 <= (value := getattr(self, name)) <= limit:
                raise ValueError(f"augment.colour.{name}: expected 0 to {limit}, got {value}")

    @property
    def still(self) -> bool:
        """True if no colour ever changes."""
        return not any((self.gray, self.brightness, self.contrast, self.saturation, self.hue))


class Draws(NamedTuple):
    """Holds the random colours of each picture."""

    gray: jax.Array  # bool [B]
    factors: jax.Array  # float32 [B, 4], for brightness, contrast and saturation; hue's is 1
    turns: jax.Array  # float32 [B], turns of the hue, as a share of the circle
    order: jax.Array  # int32 [B, 4], which of BRIGHTNESS, CONTRAST, SATURATION, HUE comes when


def random_colours(key: jax.Array, images: jax.Array, recipe: Colour) -> jax.Array:
    """Gives pictures float32 [B, H, W, 3] (RGB, 0-255) random colours."""
    drawn = draw(key, images.shape[0], recipe)
    result = recolour(images, drawn, hue=recipe.hue > 0)
    return jnp.clip(result, 0.0, 255.0) if recipe.clip else result


def draw(key: jax.Array, batch: int, recipe: Colour) -> Draws:
    """Draws random colours for a batch of pictures."""
    gray_key, factor_key, hue_key, order_key = jax.random.split(key, 4)
    reach = jnp.asarray([[recipe.brightness, recipe.contrast, recipe.saturation, 0]], jnp.float32)
    numbers = jnp.tile(jnp.arange(4, dtype=jnp.int32), (batch, 1))
    return Draws(
        jax.random.bernoulli(gray_key, recipe.gray, (batch,)),
        1 + reach * jax.random.uniform(factor_key, (batch, 4), jnp.float32, -1, 1),
        recipe.hue * jax.random.uniform(hue_key, (batch,), jnp.float32, -1, 1),
        jax.random.permutation(order_key, numbers, axis=1, independent=True),
    )


def recolour(images: jax.Array, drawn: Draws, *, hue: bool) -> jax.Array:
    """Gives pictures float32 [B, H, W, 3] (RGB) the colours drawn, not limited to 0-255.

    Without hue, every change is linear in the picture and its mean, so one matrix and one offset a
    picture suffice. The turn of the hue is HSV's own and exact; the changes before it and after it
    are then a linear map each.

    Args:
      images: float32 [B, H, W, 3].
      drawn: the colours of each picture.
      hue: whether any hue turns.
    """
    identity = jnp.eye(3, dtype=jnp.float32)[None]
    colourless = jnp.broadcast_to(jnp.asarray(LUMA, jnp.float32), (1, 3, 3))
    start = jnp.where(drawn.gray[:, None, None], colourless, identity)
    if not hue:
        return _linear(images, start, drawn, jnp.ones_like(drawn.order, bool))
    turn = jnp.argmax(drawn.order == HUE, axis=1, keepdims=True)
    when = jnp.arange(4)[None, :]
    images = turn_hue(_linear(images, start, drawn, when < turn), drawn.turns)
    return _linear(images, jnp.broadcast_to(identity, start.shape), drawn, when > turn)


def turn_hue(images: jax.Array, turns: jax.Array) -> jax.Array:
    """Turns HSV's hue of pictures [B, H, W, 3] (RGB, on any scale); keeps saturation and value.

    With M and m a pixel's greatest and least channel and the hue h in sixths of the circle, a
    channel is M - (M - m) clip(min(k, 4 - k), 0, 1), k = (n + h) mod 6, n = 5, 3, 1 for R, G, B
    (A. R. Smith, "Color gamut transform pairs", 1978, in a form without cases).
    """
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    # One plane at a time: XLA's CPU code for a last axis of length 3 takes four times as long.
    high = jnp.maximum(jnp.maximum(red, green), blue)
    span = high - jnp.minimum(jnp.minimum(red, green), blue)
    safe = jnp.where(span > 0, span, 1.0)
    sixth = jnp.where(
        red == high,
        (green - blue) / safe,
        jnp.where(green == high, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = sixth + 6 * turns[:, None, None]

    def channel(n: float) -> jax.Array:
        k = turned + n
        k = k - 6 * jnp.floor(k / 6)
        return high - span * jnp.clip(jnp.minimum(k, 4 - k), 0.0, 1.0)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], -1)


def _linear(images: jax.Array, start: jax.Array, drawn: Draws, active: jax.Array) -> jax.Array:
    """Applies `start` [B, 3, 3] and then, where active [B, 4], the changes in their order."""
    luma = jnp.asarray(LUMA, jnp.float32)[None, :]
    matrix, offset = start, jnp.zeros_like(start[:, 0])
    mean = images.mean((1, 2))
    for position in range(4):
        which = drawn.order[:, position, None]
        factor = jnp.take_along_axis(drawn.factors, which, axis=1)
        factor = jnp.where(active[:, position, None], factor, 1.0)
        # Contrast draws towards the mean's luma, saturation towards each pixel's.
        mixed = (matrix * mean[:, None, :]).sum(-1) + offset
        grey = jnp.where(which == CONTRAST, (luma * mixed).sum(-1, keepdims=True), 0.0)
        pixel = jnp.where(which == SATURATION, 1 - factor, 0.0)
        grey = (1 - factor) * grey + pixel * (luma * offset).sum(-1, keepdims=True)
        offset = factor * offset + grey
        row = (luma[:, :, None] * matrix).sum(1, keepdims=True)
        matrix = factor[:, :, None] * matrix + pixel[:, :, None] * row
    columns = matrix[:, None, None]
    mapped = offset[:, None, None]
    for k in range(3):
        mapped = mapped + images[..., k : k + 1] * columns[..., k]
    return mapped
