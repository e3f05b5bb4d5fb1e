"""Spoils pictures, drawn or real, in five known degrees, for tests of robustness.

Lengths are shares of the picture's side, so a severity is the same at every size. Changes of the
light, the pose and the sensor are part of a drawing; the others are made to the finished picture.
Of a real picture all are.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from ldl_jax.data.synthetic.people import Look

CORRUPTIONS = ("blur", "jpeg", "low_light", "noise", "occlusion", "rotation")
SEVERITIES = range(1, 6)
_QUALITY = (50, 30, 18, 10, 5)
_SENSOR = 0.02  # standard deviation of a sensor's noise, of full scale


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


def spoil(
    pictures: np.ndarray, corruption: str, severity: int, seed: int, numbers: np.ndarray
) -> np.ndarray:
    """Returns spoiled copies of real pictures uint8 [n, S, S, 3].

    blur, jpeg and occlusion are those of `spoil_pictures`. low_light: the values are 1 - 0.17 s of
    what they were, with a sensor's noise of 0.02 of full scale, less the part of it that the
    picture keeps. noise: normal, with a standard deviation of 0.04 s of full scale. rotation: by
    9 s degrees about the middle, to the left or to the right; what comes in repeats the edge.

    Args:
      pictures: n of them.
      corruption: one of `CORRUPTIONS`.
      severity: s, 1 to 5.
      seed: of what is drawn.
      numbers: of the pictures, int [n]. What is drawn for a picture depends on it and the seed
        alone.

    Raises:
      ValueError: there is no such corruption or severity.
    """
    if corruption not in CORRUPTIONS:
        raise ValueError(
            f"corruption: expected one of {', '.join(CORRUPTIONS)}, got {corruption!r}"
        )
    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected 1 to 5, got {severity!r}")
    result = pictures.copy()
    if corruption in ("blur", "jpeg", "occlusion"):
        return spoil_pictures(result, corruption, severity, seed, numbers)
    for picture, index in zip(result, numbers, strict=True):
        rng = np.random.default_rng((seed, 8, int(index)))
        if corruption == "rotation":
            picture[:] = _rotated(picture, 9.0 * severity * np.sign(rng.random() - 0.5))
            continue
        gain = 1 - 0.17 * severity if corruption == "low_light" else 1.0
        spread = _SENSOR * (1 - gain**2) ** 0.5 if gain < 1 else 0.04 * severity
        noise = rng.standard_normal(picture.shape, np.float32) * np.float32(255 * spread)
        picture[:] = np.clip(picture * np.float32(gain) + noise, 0, 255).round()
    return result


def _rotated(picture: np.ndarray, degrees: float) -> np.ndarray:
    margin = len(picture) // 4  # a turned square reaches 0.21 of its side beyond itself
    wide = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = Image.fromarray(wide).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(turned)[margin:-margin, margin:-margin]


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
