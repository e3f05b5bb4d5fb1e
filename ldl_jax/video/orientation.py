"""Turns frames upright, as their display matrix says."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

_NEAR = 1e-2  # of a matrix's entries, to be taken as one of the eight turns that lose nothing


class Turn(NamedTuple):
    """The linear part of a display matrix: a pixel (x, y) is shown at (a x + c y, b x + d y)."""

    a: float
    b: float
    c: float
    d: float


def turn_of(matrix: bytes) -> Turn | None:
    """Reads FFmpeg's display matrix, nine int32; None where it turns nothing or is none."""
    if len(matrix) < 36:
        return None
    a, b, _, c, d, *_ = (value / 65536 for value in np.frombuffer(matrix[:36], "<i4").tolist())
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across > 0 or not down > 0 or abs(a * d - b * c) < 0.5 * across * down:
        return None
    turn = Turn(a / across, b / across, c / down, d / down)
    return None if max(abs(turn.a - 1), abs(turn.d - 1)) < _NEAR else turn


def upright(pixels: np.ndarray, turn: Turn | None) -> Image.Image:
    """Returns a frame [H, W, 3] as it is shown; what a slanting turn leaves open is black."""
    if turn is None:
        return Image.fromarray(pixels)
    if abs(turn.b) < _NEAR and abs(turn.c) < _NEAR:  # halves and mirror images
        down, across = turn.d < 0, turn.a < 0
    elif abs(turn.a) < _NEAR and abs(turn.d) < _NEAR:  # quarters
        pixels = pixels.swapaxes(0, 1)
        down, across = turn.b < 0, turn.c < 0
    else:
        mirrored = turn.a * turn.d < turn.b * turn.c
        image = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels)
        sign = -1 if mirrored else 1
        angle = math.degrees(math.atan2(sign * turn.b, sign * turn.a))
        return image.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
    pixels = pixels[:: -1 if down else 1, :: -1 if across else 1]
    return Image.fromarray(np.ascontiguousarray(pixels))
