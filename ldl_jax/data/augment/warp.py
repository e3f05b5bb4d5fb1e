"""Rotates, shears, shifts, zooms, crops and flips pictures as one affine warp."""

import dataclasses

import jax
import jax.numpy as jnp

from ldl_jax.data.augment.resize import shrink

BORDERS = ("edge", "black")


@dataclasses.dataclass(frozen=True)
class Warp:
    """Describes a random affine warp about the picture's middle; by default nothing moves.

    Rotation, shear, shift and zoom come in this order, each with its own probability.

    Attributes:
      rotation: greatest angle in degrees; uniform, either way.
      rotation_probability: of a picture to be rotated.
      shear: greatest angle in degrees; uniform, either way. Columns slide along themselves by the
        angle's sine, and the width shrinks by its cosine (Keras).
      shear_probability: of a picture to be sheared.
      shift: greatest shift as a share of the side; uniform, either way, for each axis.
      shift_probability: of a picture to be shifted.
      zoom: range of how much of the side is seen, for each axis; above 1 the face is smaller
        (Keras).
      zoom_probability: of a picture to be zoomed.
      resolution: range of the side, as a share of the network's input, that a picture is first
        reduced to (uniform, whole pixels) before it is enlarged again: the face loses detail and
        keeps its size.
      border: the colour beyond the picture, "edge" (its nearest pixel) or "black".
    """

    rotation: float = 0.0
    rotation_probability: float = 1.0
    shear: float = 0.0
    shear_probability: float = 1.0
    shift: float = 0.0
    shift_probability: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)
    zoom_probability: float = 1.0
    resolution: tuple[float, float] = (1.0, 1.0)
    border: str = "edge"

    def __post_init__(self) -> None:
        for name, limit in (("rotation", 180), ("shear", 89), ("shift", 1)):
            if not 0 <= (value := getattr(self, name)) <= limit:
                raise ValueError(f"augment.warp.{name}: expected 0 to {limit}, got {value}")
            _probability(f"{name}_probability", getattr(self, f"{name}_probability"))
        _probability("zoom_probability", self.zoom_probability)
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"augment.warp.zoom: expected 0 < low <= high, got {self.zoom}")
        low, high = self.resolution
        if not 0 < low <= high <= 1:
            problem = f"expected 0 < low <= high <= 1, got {self.resolution}"
            raise ValueError(f"augment.warp.resolution: {problem}")
        if self.border not in BORDERS:
            known = ", ".join(BORDERS)
            raise ValueError(f"augment.warp.border: expected one of {known}, got {self.border!r}")

    @property
    def still(self) -> bool:
        """True if nothing ever moves."""
        moves = (self.rotation, self.shear, self.shift) != (0, 0, 0)
        return not moves and self.zoom == self.resolution == (1, 1)


def _probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"augment.warp.{name}: expected a probability, got {value}")


def random_warp(
    key: jax.Array, images: jax.Array, boxes: jax.Array, flips: jax.Array, size: int, recipe: Warp
) -> jax.Array:
    """Returns each picture's box, flipped where asked and warped, as float32 [B, size, size, C].

    Pictures larger than `size` are first reduced to it (antialiased, as Pillow does it), or to
    what `recipe.resolution` asks for; the warp then takes one bilinear sample a pixel.

    Args:
      key: of the draws.
      images: [B, H, W, C], uint8 or float.
      boxes: float32 [B, 4], (top, left, height, width) in pixels of `images`.
      flips: bool [B], whether left and right change places, before the warp.
      size: side of the result in pixels.
      recipe: the warp to draw.
    """
    side_key, matrix_key = jax.random.split(key)
    batch, rows, columns, _ = images.shape
    extents = jnp.full((batch, 2), jnp.asarray([rows, columns], jnp.float32))
    if recipe.resolution != (1, 1) or max(rows, columns) > size:
        sides = random_sides(side_key, batch, size, recipe.resolution)
        images = shrink(images, sides, size, _sides(size, recipe.resolution)[0])
        scale = sides[:, None] / jnp.asarray([[rows, columns]], jnp.float32)
        boxes = boxes * jnp.concatenate([scale, scale], 1)
        extents = jnp.stack([sides, sides], 1)
    matrices = place(random_matrices(matrix_key, batch, recipe), boxes, flips)
    return warp(images, matrices, size, extents, recipe.border)


def random_sides(
    key: jax.Array, batch: int, size: int, resolution: tuple[float, float]
) -> jax.Array:
    """Draws sides float32 [B], whole pixels, uniform from round(low size) to round(high size)."""
    low, high = _sides(size, resolution)
    return jax.random.randint(key, (batch,), low, high + 1).astype(jnp.float32)


def _sides(size: int, resolution: tuple[float, float]) -> tuple[int, int]:
    low, high = (max(1, round(share * size)) for share in resolution)
    return low, high


def random_matrices(key: jax.Array, batch: int, recipe: Warp) -> jax.Array:
    """Draws affine maps float32 [B, 2, 3] from points (x, y, 1) of the result to the picture's.

    The middle is (0, 0), and the side's length is 1; x points right and y down. The map is
    R(θ) S(φ) T(t) Z(z), since the last map is the first that is applied to a point of the result.
    """
    keys = jax.random.split(key, 8)

    def draw(
        index: int, probability: float, low: float, high: float, rest: float, *shape: int
    ) -> jax.Array:
        happens = jax.random.bernoulli(keys[index], probability, (batch, *(1 for _ in shape)))
        values = jax.random.uniform(keys[index + 4], (batch, *shape), jnp.float32, low, high)
        return jnp.where(happens, values, rest)

    turn, slant = (jnp.deg2rad(jnp.float32(x)) for x in (recipe.rotation, recipe.shear))
    angle = turn * draw(0, recipe.rotation_probability, -1, 1, 0)
    shear = slant * draw(1, recipe.shear_probability, -1, 1, 0)
    shift = recipe.shift * draw(2, recipe.shift_probability, -1, 1, 0, 2)
    zoom = draw(3, recipe.zoom_probability, *recipe.zoom, 1, 2)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # R S maps a point (x, y) so: the shear gives (x cos φ, y - x sin φ), which the rotation turns.
    across, down = jnp.cos(shear), -jnp.sin(shear)
    first = jnp.stack([cos * across - sin * down, sin * across + cos * down], 1)
    second = jnp.stack([-sin, cos], 1)
    offset = first * shift[:, :1] + second * shift[:, 1:]
    return jnp.stack([first * zoom[:, :1], second * zoom[:, 1:], offset], 2)


def place(matrices: jax.Array, boxes: jax.Array, flips: jax.Array) -> jax.Array:
    """Takes the maps [B, 2, 3] of `random_matrices` to the pixels (x, y) of pictures with boxes.

    Args:
      matrices: float32 [B, 2, 3].
      boxes: float32 [B, 4], (top, left, height, width) in pixels; edges, not pixel centres.
      flips: bool [B], whether the box's left and right change places.
    """
    extent = boxes[:, 3:1:-1]
    middle = boxes[:, 1::-1] + extent / 2
    mirrored = jnp.where(flips, -1.0, 1.0)
    signs = jnp.stack([mirrored, jnp.ones_like(mirrored)], 1)
    scaled = matrices * (signs * extent)[:, :, None]
    return scaled.at[:, :, 2].add(middle)


def warp(
    images: jax.Array, matrices: jax.Array, size: int, extents: jax.Array, border: str
) -> jax.Array:
    """Warps pictures by affine maps, with bilinear samples, to float32 [B, size, size, C].

    Args:
      images: [B, H, W, C], uint8 or float.
      matrices: float32 [B, 2, 3], from (x, y, 1) in the result, whose middle is (0, 0) and whose
        side is 1, to (x, y) in the picture's pixels, whose top left corner is (0, 0).
      size: side of the result in pixels.
      extents: float32 [B, 2], height and width of the picture in each of `images`; the rest is
        never read.
      border: the colour beyond that, "edge" (the nearest pixel) or "black" (0, mixed in over the
        pixel's width on which it begins).
    """
    batch, rows, columns, channels = images.shape
    line = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size - 0.5
    x, y = line[None, None, :], line[None, :, None]
    m = matrices[:, :, :, None, None]
    across = _neighbours(m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2], extents[:, 1], border)
    down = _neighbours(m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2], extents[:, 0], border)
    pixels = images.reshape(batch, rows * columns, channels)
    result = jnp.zeros((), jnp.float32)
    for row, vertical in down:
        for column, horizontal in across:
            index = (row * columns + column).reshape(batch, size * size, 1)
            corner = jnp.take_along_axis(pixels, index, axis=1, mode="clip")
            corner = corner.reshape(batch, size, size, channels).astype(jnp.float32)
            result = result + corner * (vertical * horizontal)[..., None]
    return result


def _neighbours(
    points: jax.Array, extent: jax.Array, border: str
) -> list[tuple[jax.Array, jax.Array]]:
    """Returns the two pixels (indices and weights, [B, size, size]) on both sides of each point."""
    last = extent[:, None, None] - 1
    low = jnp.floor(points - 0.5)
    share = points - 0.5 - low
    neighbours = []
    for pixel, weight in ((low, 1 - share), (low + 1, share)):
        if border == "black":
            weight = jnp.where((pixel >= 0) & (pixel <= last), weight, 0.0)
        neighbours.append((jnp.clip(pixel, 0.0, last).astype(jnp.int32), weight))
    return neighbours
