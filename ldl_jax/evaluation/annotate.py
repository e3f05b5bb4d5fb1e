"""Answers drawn on their picture: each face's box, value, interval and distribution."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ldl_jax.evaluation.answers import Answer, Box, summary
from ldl_jax.labels import LabelSpace

LEAST = 320  # pixels of the shorter side of what is drawn; smaller pictures are enlarged
_BOX, _INSIDE, _OUTSIDE = "#E69F00", "#E69F00", "#9a9a9a"  # Okabe & Ito's orange
_PANEL, _TEXT, _AXIS = (20, 20, 20, 205), "#ffffff", "#cccccc"
_SMALLEST = 11  # pixels of a letter's height that can be read


def annotate(image: Image.Image, answers: Sequence[Answer], space: LabelSpace) -> Image.Image:
    """Returns a copy of an RGB picture with a panel for each answer.

    A panel has the value, its interval in brackets, and the distribution as bars, from the least
    label to the greatest; bars within the interval are orange, and the white line is the value. A
    face with a box has its panel beside it, and a picture that is one face below it.
    """
    image, scale = enlarged(image)
    covered: list[Box] = []
    for answer in answers:
        if answer.box is None:
            height = max(_SMALLEST, round(image.width / 16)) * 5
            below = (0, image.height, image.width, image.height + height)
            extended = Image.new("RGB", below[2:])
            extended.paste(image)
            image = extended
            _panel(image, below, answer, space)
            continue
        left, top, right, bottom = (edge * scale for edge in answer.box)
        box = left, top, right, bottom
        panel = _place(box, image.size, covered)
        covered += [panel, box]
        line = max(2, round(min(image.size) / 250))
        ImageDraw.Draw(image).rectangle(box, outline=_BOX, width=line)
        _panel(image, panel, answer, space)
    return image


def enlarged(image: Image.Image) -> tuple[Image.Image, float]:
    """Returns a copy of a picture that is large enough to draw on, and its enlargement."""
    scale = math.ceil(LEAST / min(image.size))
    if scale <= 1:
        return image.copy(), 1.0
    size = (image.width * scale, image.height * scale)
    return image.resize(size, Image.Resampling.BICUBIC), float(scale)


def _place(box: Box, size: tuple[int, int], covered: Sequence[Box]) -> Box:
    """Places a face's panel below, above, or beside its box, over as little else as possible."""
    left, top, right, bottom = box
    letter = max(_SMALLEST, min((right - left) / 9, min(size) / 22))
    width, height, gap = 9 * letter, 5 * letter, 0.3 * letter
    middle = (left + right - width) / 2
    below, above = (middle, bottom + gap), (middle, top - gap - height)
    beside = (right + gap, top), (left - gap - width, top)
    panels = [_within(x, y, width, height, size) for x, y in (below, above, *beside)]
    return min(panels, key=lambda panel: sum(_shared(panel, other) for other in [*covered, box]))


def _within(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> Box:
    x = min(max(0.0, x), max(0.0, size[0] - width))
    y = min(max(0.0, y), max(0.0, size[1] - height))
    return x, y, x + width, y + height


def _shared(a: Box, b: Box) -> float:
    """Returns the area that two boxes have in common."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _panel(image: Image.Image, place: Box, answer: Answer, space: LabelSpace) -> None:
    """Draws onto the picture: text, bars, and the ends of the axis, from the top."""
    left, top, right, bottom = (round(edge) for edge in place)
    letter = (bottom - top) / 5
    layer = Image.new("RGBA", (right - left, bottom - top), _PANEL)
    draw = ImageDraw.Draw(layer)
    width, pad = layer.width, round(0.4 * letter)
    text = summary(answer, space)
    large = font(draw, text, 1.15 * letter, width - 2 * pad)
    draw.text((width / 2, 0.95 * letter), text, _TEXT, large, anchor="mm")
    _bars(draw, (pad, 1.75 * letter, width - pad, 3.9 * letter), answer, space)
    small = font(draw, f"{space.low:g}  {space.high:g}", 0.75 * letter, width - 2 * pad)
    draw.text((pad, 4.45 * letter), f"{space.low:g}", _AXIS, small, anchor="lm")
    draw.text((width - pad, 4.45 * letter), f"{space.high:g}", _AXIS, small, anchor="rm")
    image.paste(layer, (left, top), layer)


def _bars(draw: ImageDraw.ImageDraw, area: Box, answer: Answer, space: LabelSpace) -> None:
    left, top, right, bottom = area
    step = (right - left) / space.size
    values = np.asarray(space.values)
    tallest = float(answer.probs.max()) or 1.0
    for index, (value, p) in enumerate(zip(values, answer.probs, strict=True)):
        height = float(p) / tallest * (bottom - top)
        if height < 0.5:
            continue
        start = left + index * step
        low, high = answer.low, answer.high
        inside = low is not None and high is not None and low - 1e-4 <= value <= high + 1e-4
        draw.rectangle(
            (round(start), bottom - height, max(round(start), round(start + step) - 1), bottom),
            fill=_INSIDE if inside else _OUTSIDE,
        )
    draw.line((left, bottom, right, bottom), _AXIS)
    x = left + (float(np.interp(answer.value, values, np.arange(space.size))) + 0.5) * step
    draw.line((x, top - 1, x, bottom), _TEXT, max(1, round((bottom - top) / 30)))


def font(
    draw: ImageDraw.ImageDraw, text: str, height: float, width: float
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns Pillow's own font at that height, or smaller where the text would be too wide."""
    font = ImageFont.load_default(height)
    wide = draw.textlength(text, font)
    return font if wide <= width else ImageFont.load_default(height * width / wide)
