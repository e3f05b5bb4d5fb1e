"""Spoils drawn pictures in five known degrees, for tests of robustness.

Lengths are shares of the picture's side, so a severity is the same at every size. Changes of the
light, the pose and the sensor are part of the drawing; the others are made to the finished picture.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from ldl_jax.data.synthetic.people import Look

CORRUPTIONS = ("blur", "jpeg", "low_light", "noise", "occlusion", "rotation")
SEVERITIES = range(1, 6)
_QUALITY = (50, 30, 18, 10, 5)


def spoil_look(look: Look, corruption: str, severity: int, seed: int) -> Look:
    """Returns the look of N spoiled pictures, unchanged if the corruption follows the drawing.

    low_light: the light is 1 - 0.17 s of what it was, and the sensor's noise stays. noise: the
    sensor's standard deviation is greater by 0.04 s of full scale. rotation: by 9 s degrees, to the
    left or to the right, by (seed, number).
    """
    changed = Look(**vars(look))
    if corruption == "low_light":
        changed.gain = look.gain * np.float32(1 - 0.17 * severity)
    elif corruption == "noise":
        changed.noise = look.noise + np.float32(0.04 * severity)
    elif corruption == "rotation":
        numbers = range(len(look.cos))
        sides = np.array([np.random.default_rng((seed, 8, i)).random() for i in numbers])
        angle = np.deg2rad(9.0 * severity) * np.sign(sides - 0.5)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        changed.cos = look.cos * cos - look.sin * sin
        changed.sin = look.sin * cos + look.cos * sin
    return changed


def spoil_pictures(
    pictures: np.ndarray, corruption: str, severity: int, seed: int, numbers: np.ndarray
) -> np.ndarray:
    """Spoils finished pictures uint8 [n, S, S, 3], unless the corruption was one of the look.

    blur: Gaussian, with a standard deviation of 0.008 s S pixels. jpeg: of quality 50, 30, 18, 10
    or 5. occlusion: an even grey rectangle of 0.08 s of the picture's area, whose
    position, shape and grey depend on (seed, number).
    """
    size = pictures.shape[1]
    if corruption == "blur":
        blur = ImageFilter.GaussianBlur(0.008 * severity * size)
        return _each(pictures, lambda image: image.filter(blur))
    if corruption == "jpeg":
        return _each(pictures, lambda image: _compressed(image, _QUALITY[severity - 1]))
    if corruption == "occlusion":
        for picture, index in zip(pictures, numbers, strict=True):
            _cover(picture, severity, np.random.default_rng((seed, 8, int(index))).random(4))
    return pictures


def _each(pictures: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    for picture in pictures:
        picture[:] = np.asarray(change(Image.fromarray(picture)))
    return pictures


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _cover(picture: np.ndarray, severity: int, draws: np.ndarray) -> None:
    """Draws a rectangle of aspect 1/2 to 2, all of it within the picture."""
    size = len(picture)
    area, aspect = 0.08 * severity, 2.0 ** (2 * draws[2] - 1)
    sides = np.sqrt(area * aspect), np.sqrt(area / aspect)
    width, height = (round(size * min(side, 0.95)) for side in sides)
    left, top = round((size - width) * draws[0]), round((size - height) * draws[1])
    picture[top : top + height, left : left + width] = round(60 + 120 * draws[3])
