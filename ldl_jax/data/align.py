"""Cuts the faces that a detector found out of pictures, upright and to one size."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

KINDS = ("none", "box", "similarity", "quad")
# The five points of an upright face in MTCNN's box made square, from its middle, in units of its
# side. They are means over frontal faces, made symmetric, so that a margin means the same for "box"
# and "similarity".
TEMPLATE = np.array(
    [(-0.18, -0.12), (0.18, -0.12), (0.0, 0.10), (-0.15, 0.255), (0.15, 0.255)], np.float64
)
_OUTSIDE = 8  # a square that is more times as wide as its picture is a mistake


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Says how faces are cut out of pictures; stored with the weights.

    Attributes:
      kind: "box", the detector's box made square; "similarity", the square that a similarity
        transform of the eyes, the nose and the corners of the mouth makes upright; "quad", the
        square of the unified benchmark (`quad_square`), from those points too; or "none", not
        known: the pictures came as they are. In that case "box" stands in where faces are detected.
      margin: added on each of the four sides, as a share of the square's side. 0.4 is
        that of DEX (Rothe et al. 2018), whose IMDB-WIKI pictures SSR-Net was trained on; 0 that of
        the benchmark's quad.
    """

    kind: str = "none"
    margin: float = 0.4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"alignment.kind: one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 <= self.margin <= 4:
            raise ValueError(f"alignment.margin: expected 0 to 4, got {self.margin}")


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A face found in a picture; coordinates in pixels from the left and top edges.

    Attributes:
      box: (left, top, right, bottom).
      points: [5, 2], x and y of the eye on the left of the picture, the other eye, the nose, the
        corner of the mouth on the left, and the other corner.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray


class Square(NamedTuple):
    """A square in a picture, turned about its middle (x, y); lengths in pixels."""

    x: float
    y: float
    side: float
    angle: float  # radians from the picture's x axis to its own, clockwise as y points down


Detect = Callable[[Image.Image], list[Face]]


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Fits the similarity transform that takes points to others: scale s, rotation R, shift t.

    min Σ_i |s R a_i + t - b_i|² over s > 0, rotations R without reflection, and t.

    Args:
      source: a [N, 2].
      target: b [N, 2].

    Raises:
      ValueError: the source points are all one.

    Source: Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns" (1991), Eqs. 40-42.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - middle_a, b - middle_b
    spread = np.square(a).sum()
    if not spread > 0:
        raise ValueError(f"source: expected points that differ, got {a + middle_a}")
    left, singular, right = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = float((singular * signs).sum() / spread)
    return scale, rotation, middle_b - scale * rotation @ middle_a


def square_of(face: Face, alignment: Alignment) -> Square:
    """Returns the square of a picture that is cut out for a face; "none" is taken as "box"."""
    wider = 1 + 2 * alignment.margin
    if alignment.kind == "similarity":
        scale, rotation, shift = similarity(TEMPLATE, face.points)
        angle = math.atan2(rotation[1, 0], rotation[0, 0])
        return Square(float(shift[0]), float(shift[1]), scale * wider, angle)
    if alignment.kind == "quad":
        square = quad_square(face.points)
        return square._replace(side=square.side * wider)
    return box_square(face.box, alignment)


def box_square(box: Sequence[float] | np.ndarray, alignment: Alignment) -> Square:
    """Returns the square about a box's middle with its longer side, and the alignment's margin."""
    left, top, right, bottom = map(float, box)
    side = max(right - left, bottom - top) * (1 + 2 * alignment.margin)
    return Square((left + right) / 2, (top + bottom) / 2, side, 0.0)


def overlap(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    """Returns the area that two boxes share, as a part of what either covers.

    Examples:
      >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
      0.3333333333333333
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    covered = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / covered if covered > 0 else 0.0


def is_plausible(square: Square, size: tuple[int, int]) -> bool:
    """Returns whether a square can be cut out of a picture of that size: finite, and not huge."""
    finite = all(map(math.isfinite, square))
    return finite and 1 <= square.side <= _OUTSIDE * max(size)


def quad_square(points: np.ndarray) -> Square:
    """Returns the unified benchmark's square about a face's five points.

    With e the vector from the left eye of the picture to the right one, and m that from their
    middle to the mouth's, the square's x axis is along e + (m_y, -m_x), half its side is
    max(1.92 |e|, 1.89 |m|), and its middle lies 0.1 m below the eyes'. The benchmark takes the
    outer and inner corners' middle for an eye, and cuts coordinates down to whole pixels.

    Args:
      points: [5, 2], as in `Face`.

    Raises:
      ValueError: the points are all one.

    Source: Paplhám and Franc, "A Call to Reflect on Evaluation Practices for Age Estimation"
    (2024), its published code and alignment configuration; the form is that of FFHQ (Karras et
    al. 2019), whose factors are 2.0 and 1.8.
    """
    points = np.asarray(points, np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across, down = points[1] - points[0], mouth - eyes
    axis = across + np.array([down[1], -down[0]])
    half = max(1.92 * float(np.hypot(*across)), 1.89 * float(np.hypot(*down)))
    if not half > 0 or not np.hypot(*axis) > 0:
        raise ValueError(f"points: expected points that differ, got {points.tolist()}")
    x, y = eyes + 0.1 * down
    return Square(float(x), float(y), 2 * half, math.atan2(axis[1], axis[0]))


def corners_square(corners: np.ndarray) -> Square:
    """Returns the square with the four corners [4, 2], from its upper left clockwise."""
    corners = np.asarray(corners, np.float64)
    x, y = corners.mean(axis=0)
    edges = np.roll(corners, -1, axis=0) - corners
    across = edges[0] - edges[2]
    side, angle = np.hypot(*edges.T).mean(), math.atan2(across[1], across[0])
    return Square(float(x), float(y), float(side), angle)


def square_corners(square: Square) -> np.ndarray:
    """Returns the corners [4, 2] of a square, from its upper left clockwise."""
    c, s = math.cos(square.angle), math.sin(square.angle)
    half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (square.side / 2)
    return half @ np.array([(c, s), (-s, c)]) + [square.x, square.y]


def face_of(points: np.ndarray) -> Face:
    """Returns the face with five points [5, 2]; its box is MTCNN's about the mean such face."""
    scale, _, shift = similarity(TEMPLATE, points)
    x, y = (float(value) for value in shift)
    return Face((x - scale / 2, y - scale / 2, x + scale / 2, y + scale / 2), np.asarray(points))


def centred(faces: list[Face], size: tuple[int, int]) -> Face:
    """Returns the face whose box lies nearest to the middle of a picture of that size."""

    def away(face: Face) -> float:
        left, top, right, bottom = face.box
        return math.hypot(left + right - size[0], top + bottom - size[1])

    return min(faces, key=away)


def cut(image: Image.Image, square: Square, least: int) -> Image.Image:
    """Cuts the square out of an RGB picture, upright; outside the picture it is black.

    The result is about as many pixels wide as in the picture, but `least` or more, and no more than
    needed to reduce it well to `least`. Resize it afterwards, antialiased.
    """
    reduced = max(1, int(square.side / (2 * least)))
    small = image.reduce(reduced) if reduced > 1 else image
    # `reduce` rounds sizes up: the last pixel of a row may stand for fewer.
    x, y, side = (value / reduced for value in square[:3])
    size = max(least, round(side))
    step = side / size
    c, s = step * math.cos(square.angle), step * math.sin(square.angle)
    half = size / 2
    matrix = (c, -s, x - half * (c - s), s, c, y - half * (s + c))
    return small.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def paste(image: Image.Image, square: Square, size: tuple[int, int]) -> Image.Image:
    """Puts what `cut` took back in its place: an RGBA picture of that size, clear elsewhere."""
    step = image.width / square.side
    c, s = step * math.cos(square.angle), step * math.sin(square.angle)
    half = image.width / 2
    matrix = (c, s, half - c * square.x - s * square.y, -s, c, half + s * square.x - c * square.y)
    clear = image.convert("RGBA")
    return clear.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
