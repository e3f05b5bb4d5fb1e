"""MTCNN in JAX: finds the faces of a picture, each with a box and five points.

A pyramid of reduced pictures is searched by PNet; what it proposes is judged by RNet, and what is
left by ONet, which also gives the points.

Source: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks" (2016). Weights, steps and constants are those of the package `mtcnn` 1.0, whose boxes and
points, rounded there to whole pixels, these are.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from PIL import Image

from ldl_jax.data.align import Detect, Face
from ldl_jax.data.detect import boxes, networks, weights

_LONGEST = 1024  # pixels of the side of a picture in which faces are looked for
_CELL = 12  # pixels that PNet sees at a place
_TILE = 128  # pixels of the squares into which a picture is cut for PNet
_PLACES = (_TILE - _CELL) // 2 + 1  # along a side of a tile
_STEP = 2 * _PLACES  # pixels from a tile to the next
# Rows of one call: numbers of tiles and candidates differ, and each would be compiled anew.
_TILES, _CANDIDATES, _FINALISTS = 8, 64, 16
_MOST = 4000  # proposals of one picture; their overlaps are a matrix

_Sides = TypeVar("_Sides", int, np.ndarray)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Says which faces are found.

    Attributes:
      proposal: the least probability of a face for PNet, which proposes candidates; from 0 to 1.
      refinement: the same for RNet, which refines them.
      threshold: the same for ONet, whose word is the last.
      smallest: pixels of the least side of a face's box; smaller ones cost more time.
      factor: from a level of the pyramid to the next, between 0 and 1.
    """

    proposal: float = 0.6
    refinement: float = 0.7
    threshold: float = 0.8
    smallest: float = 20.0
    factor: float = 0.709

    def __post_init__(self) -> None:
        faults = [
            f"{name}: expected 0 to 1, got {getattr(self, name)}"
            for name in ("proposal", "refinement", "threshold")
            if not 0 <= getattr(self, name) <= 1
        ]
        if not self.smallest >= _CELL:
            faults.append(f"smallest: expected at least {_CELL} pixels, got {self.smallest}")
        if not 0 < self.factor < 1:
            faults.append(f"factor: expected a number between 0 and 1, got {self.factor}")
        if faults:
            raise ValueError("; ".join(faults))


def detector(settings: Settings | None = None, path: str | None = None) -> Detect:
    """Loads the detector: RGB picture -> its faces, the largest first.

    In pictures of more than 1024 pixels faces are looked for in a reduced copy.

    Args:
      settings: which faces are found; None takes the package's own.
      path: a `.safetensors` file of the weights; None takes the installed package `mtcnn`'s.

    Raises:
      ValueError: there are no weights, or the file holds others.
      OSError: the file cannot be read.
    """
    settings = settings or Settings()
    arrays = jax.tree.map(jax.device_put, weights.load(path))

    def detect(image: Image.Image) -> list[Face]:
        scale = max(1.0, max(image.size) / _LONGEST)
        if scale > 1:
            width, height = (max(1, round(side / scale)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        edges, points = _find(np.asarray(image.convert("RGB")), arrays, settings)
        faces = [
            Face((left, top, right, bottom), np.asarray(five))
            for (left, top, right, bottom), five in zip(
                (edges * scale).tolist(), points * scale, strict=True
            )
        ]
        return sorted(faces, key=lambda face: face.box[0] - face.box[2])

    return detect


def _find(
    picture: np.ndarray, arrays: weights.Weights, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the boxes [N, 4] and points [N, 5, 2] of a picture's faces."""
    pixels = ((picture - 127.5) / 128).astype(np.float32)
    squares = _proposals(pixels, arrays["pnet"], settings)

    candidates = boxes.cut(pixels, squares, 24)
    shifts, scores = _in_parts(_rnet, arrays["rnet"], [candidates], _CANDIDATES)
    sure = scores > settings.refinement
    squares, scores = boxes.shifted(squares, shifts)[sure], scores[sure]
    squares = squares[boxes.suppress(squares, scores, 0.7, least_area=False)]
    squares = boxes.squared(squares)

    finalists = boxes.cut(pixels, squares, 48)
    shifts, scores, points = _in_parts(_onet, arrays["onet"], [finalists], _FINALISTS)
    sizes = squares[:, 2:] - squares[:, :2] + 1
    points = points.reshape(-1, 2, 5).swapaxes(1, 2) * sizes[:, None] + squares[:, None, :2] - 1
    fitted = boxes.shifted(squares, shifts)
    keep = np.flatnonzero(scores > settings.threshold)
    keep = keep[boxes.suppress(fitted[keep], scores[keep], 0.7, least_area=True)]
    height, width = pixels.shape[:2]
    most = np.array([width - 1, height - 1] * 2)
    return np.clip(fitted[keep], 0, most), points[keep]


def _proposals(pixels: np.ndarray, arrays: Sequence[np.ndarray], settings: Settings) -> np.ndarray:
    """Returns the squares [N, 4] where PNet sees a face at any level of the pyramid."""
    levels = list(_levels(pixels.shape[0], pixels.shape[1], settings))
    sums = boxes.summed(pixels) if levels else np.zeros((0, 0, 0))
    tiles: list[np.ndarray] = []
    sizes: list[tuple[int, int]] = []
    places: list[tuple[int, int, int]] = []  # a tile's level, and its first place
    for level, (_, height, width) in enumerate(levels):
        small = boxes.reduced(sums, height, width)
        for y in range(0, _count(height), _PLACES):
            for x in range(0, _count(width), _PLACES):
                part = small[2 * y : 2 * y + _TILE, 2 * x : 2 * x + _TILE]
                tile = np.zeros((_TILE, _TILE, 3), np.float32)
                tile[: part.shape[0], : part.shape[1]] = part
                tiles.append(tile)
                sizes.append(part.shape[:2])
                places.append((level, y, x))
    if not tiles:
        return np.zeros((0, 4))
    inputs = [np.stack(tiles), np.asarray(sizes, np.int32)]
    shifts, scores = _in_parts(_pnet, arrays, inputs, _TILES)
    counts = _count(np.asarray(sizes))
    rows, columns = np.arange(_PLACES)[:, None], np.arange(_PLACES)
    inside = (rows < counts[:, :1, None]) & (columns < counts[:, 1:, None])
    sure = np.nonzero(inside & (scores > settings.proposal))
    shifts, scores = shifts[sure], scores[sure]
    level, first_y, first_x = np.asarray(places)[sure[0]].T
    corner = 2 * np.stack([first_x + sure[2], first_y + sure[1]], axis=1)
    candidates = np.concatenate([corner + 1, corner + _CELL], axis=1) + shifts * (_CELL - 1)
    candidates /= np.asarray([scale for scale, _, _ in levels])[level][:, None]
    survivors = []
    for index in range(len(levels)):
        chosen = _best(np.flatnonzero(level == index), scores)
        survivors.append(
            chosen[boxes.suppress(candidates[chosen], scores[chosen], 0.5, least_area=False)]
        )
    chosen = _best(np.concatenate(survivors), scores)
    chosen = chosen[boxes.suppress(candidates[chosen], scores[chosen], 0.7, least_area=False)]
    return boxes.squared(candidates[chosen])


def _levels(height: int, width: int, settings: Settings) -> Iterator[tuple[float, int, int]]:
    """Yields the scale, height and width of each level of the pyramid, the largest first."""
    octaves = math.log(min(height, width) / _CELL) / -math.log(settings.factor)
    for index in range(round(octaves - 1)):
        scale = _CELL / settings.smallest * settings.factor**index
        if min(height, width) * scale >= _CELL:
            yield scale, int(height * scale), int(width * scale)


def _count(side: _Sides) -> _Sides:
    """Returns the number of PNet's places along a side of a picture, or along each of many."""
    return (side - 2 + 1) // 2 - 4


def _best(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the rows, or those of the highest scores where there are too many."""
    if len(rows) <= _MOST:
        return rows
    return rows[np.argsort(-scores[rows], kind="stable")[:_MOST]]


def _in_parts(
    network: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray],
    rows: int,
) -> list[np.ndarray]:
    """Calls a network with `rows` rows of its inputs at a time, the last ones filled up."""
    count = len(inputs[0])
    parts = []
    for start in range(0, max(count, 1), rows):
        part = [array[start : start + rows] for array in inputs]
        missing = rows - len(part[0])
        filled = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in part]
        parts.append(network(arrays, *filled))
    return [np.concatenate(column)[:count] for column in zip(*jax.device_get(parts), strict=True)]


_pnet, _rnet, _onet = jax.jit(networks.pnet), jax.jit(networks.rnet), jax.jit(networks.onet)
