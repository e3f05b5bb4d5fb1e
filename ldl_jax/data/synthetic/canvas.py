"""Paints layers of signed distances, in face units, on a chunk of pictures at a time.

A layer paints nothing outside its box, so that no picture depends on which others share its chunk.
All arrays are float32, and Python numbers keep them so; float64 would halve the speed.
"""

import collections
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ldl_jax.data.synthetic.people import Look
from ldl_jax.processes.memory import keep_small_freed

Box = tuple[float, float, float, float]  # left, top, right, bottom in face units
Size = float | np.ndarray  # one for all faces, or [n, 1, 1]

_CHUNK_PIXELS = 160_000  # pixels painted at once; few enough for the processor's cache
_FEW = 5  # large faces are painted one by one


@dataclasses.dataclass
class Patch:
    """A window of n pictures: what has been painted there, and where each pixel lies."""

    rgb: np.ndarray  # [3, n, h, w] in [0, 1], changed by painting
    dark: np.ndarray  # [n, h, w], how much light the skin loses; gathered first, applied once
    head: np.ndarray  # [n, h, w], how much of a pixel the head covers
    x: np.ndarray  # [n, h, w], face units
    y: np.ndarray  # [n, h, w], face units
    pixel: np.ndarray  # [n, 1, 1], a pixel's side in face units
    f: Look  # scalars [n, 1, 1] and colours [3, n, 1, 1]

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Returns the share of each pixel inside a shape (distance < 0), its edge blurred."""
        return np.clip(0.5 - distance / self.pixel, 0, 1)

    def stroke(self, distance: np.ndarray, width: Size) -> np.ndarray:
        """Returns the share of each pixel that a line covers, even one thinner than a pixel."""
        thin = np.minimum(width / self.pixel, 1)
        return np.clip((0.5 * width - np.abs(distance)) / self.pixel + 0.5, 0, thin)

    def paint(self, colour: Size, mask: np.ndarray) -> None:
        """Lays a colour, or a grey, [3, n, 1, 1] over what is there."""
        over = colour - self.rgb
        over *= mask
        self.rgb += over


Layer = tuple[Callable[[Patch], None], Box, str]  # paints; where; on faces whose flag is not 0


def render(
    layers: Sequence[Layer],
    look: Look,
    size: int,
    seed: int,
    numbers: np.ndarray | None = None,
    workers: int | None = None,
) -> np.ndarray:
    """Draws pictures uint8 RGB [N, size, size, 3] of N faces.

    Equal looks give equal faces at every size, but for the sensor's noise, drawn by (seed, number).

    Args:
      layers: what is painted, from the background on.
      look: N faces.
      size: height and width in pixels.
      seed: of the noise.
      numbers: the faces' numbers [N]; None for 0, 1, ... N - 1.
      workers: threads; None for one a processor. The pictures don't depend on it.
    """
    count = len(look.scale)
    numbers = np.arange(count) if numbers is None else numbers
    pictures = np.empty((count, size, size, 3), np.uint8)
    fitting = _CHUNK_PIXELS // size**2
    step = fitting if fitting >= _FEW else 1  # one face alone lets the layers' windows fit it

    def draw(start: int) -> None:
        rows = slice(start, start + step)
        canvas = _canvas(look.take(rows), size)
        spans = _spans(canvas.f, [box for _, box, _ in layers], size)
        for layer, span in zip(layers, spans, strict=True):
            _apply(layer, canvas, span)
        pictures[rows] = _develop(canvas, seed, numbers[rows])

    keep_small_freed()  # a third of the time would go into page faults otherwise
    starts = range(0, count, step)
    if len(starts) == 1:
        draw(0)
    else:  # NumPy releases the interpreter's lock while it computes
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            collections.deque(pool.map(draw, starts), maxlen=0)
    return pictures


def _canvas(look: Look, size: int) -> Patch:
    f = Look(**{
        name: column.T[..., None, None] if column.ndim == 2 else column[:, None, None]
        for name, column in vars(look).items()
    })  # fmt: skip
    grid = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    u, v = grid[None, None, :] - f.shift_x, grid[None, :, None] - f.shift_y
    cos, sin = f.cos / f.scale, f.sin / f.scale
    x, y = cos * u + sin * v, cos * v - sin * u
    rgb = np.empty((3, *x.shape), np.float32)
    return Patch(rgb, np.zeros_like(x), np.zeros_like(x), x, y, (2 / size) / f.scale, f)


def _apply(layer: Layer, canvas: Patch, span: np.ndarray) -> None:
    """Paints a layer in its box, on the faces whose flag is not 0 (on all, where it has none)."""
    paint, _, flag = layer
    f, count = canvas.f, len(canvas.x)
    rows = np.flatnonzero(getattr(f, flag)) if flag else np.arange(count)
    if not rows.size:
        return
    # This is the smallest window that holds the box on each of these faces.
    (top, left), (bottom, right) = span[0, rows].min(0), span[1, rows].max(0)
    where = (..., slice(top, bottom), slice(left, right))
    names = ("rgb", "dark", "head", "x", "y")
    rgb, dark, head, x, y = (getattr(canvas, name)[where] for name in names)
    if rows.size == count:
        paint(Patch(rgb, dark, head, x, y, canvas.pixel, f))
        return
    few = Look(**{k: c[:, rows] if c.ndim == 4 else c[rows] for k, c in vars(f).items()})
    part = Patch(rgb[:, rows], dark[rows], head[rows], x[rows], y[rows], canvas.pixel[rows], few)
    paint(part)
    rgb[:, rows], dark[rows], head[rows] = part.rgb, part.dark, part.head


def _spans(f: Look, boxes: Sequence[Box], size: int) -> np.ndarray:
    """Returns where each box lies on each of n faces, in pixels: int64 [boxes, 2, n, 2].

    The second axis is from and to (which is not in it), the last one y and x.
    """
    corners = np.array(boxes, np.float32)[:, [[0, 1], [0, 3], [2, 1], [2, 3]]]
    px, py = corners[..., 0, None], corners[..., 1, None]  # [boxes, 4, 1]
    cos, sin = ((f.scale * turn)[:, 0, 0] for turn in (f.cos, f.sin))
    y = f.shift_y[:, 0, 0] + sin * px + cos * py
    x = f.shift_x[:, 0, 0] + cos * px - sin * py
    corners_at = (np.stack([y, x], -1) + 1) * (size / 2)  # [boxes, 4, n, 2]
    ends = np.stack([np.floor(corners_at.min(1)) - 1, np.floor(corners_at.max(1)) + 2], 1)
    return np.clip(ends, 0, size).astype(np.int64)


def _develop(p: Patch, seed: int, numbers: np.ndarray) -> np.ndarray:
    """Adds light from a side, the lamp's colour and the sensor's noise, and makes it 8 bits."""
    f = p.f
    p.rgb *= f.gain * (1 + f.light_x * p.x - f.light_y * p.y)
    p.rgb *= np.stack([1 + f.warm, np.ones_like(f.warm), 1 - f.warm])
    for row, index in enumerate(numbers):
        p.rgb[:, row] += f.noise[row] * _noise((seed, 2, int(index)), p.rgb[:, row].shape)
    np.clip(p.rgb, 0, 1, out=p.rgb)
    p.rgb *= 255
    p.rgb += 0.5
    return p.rgb.astype(np.uint8).transpose(1, 2, 3, 0)


def _noise(seed: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Draws numbers of mean 0 and variance 1 that are close to normal, in float32.

    Each is the sum of four random bytes (the Irwin-Hall distribution): a third of the time.
    """
    count = math.prod(shape)
    words = np.random.default_rng(seed).integers(0, 2**64, -(-count // 2), np.uint64)
    sums = words.view(np.uint8)[: 4 * count].reshape(4, *shape).sum(0, dtype=np.uint16)
    return (sums - np.float32(510)) / np.float32(np.sqrt((256**2 - 1) / 3))
