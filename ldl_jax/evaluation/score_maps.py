"""Score maps drawn over their picture: what raises the answer, and what lowers it.

Red raises it, blue lowers it, and where a place does neither the picture stays as it is.
The two colours are the ends of the cool-warm map, which are as light and as far from grey as each
other, and their opacity grows evenly with the score.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ldl_jax.data.align import Square, paste
from ldl_jax.evaluation.annotate import enlarged, font
from ldl_jax.evaluation.answers import Answer

# Source: Moreland, "Diverging Color Maps for Scientific Visualization" (2009).
LOWERS, RAISES = (59, 76, 192), (180, 4, 38)
_OPACITY = 0.75  # of the greatest score
_SIDE = 512  # pixels that a map is drawn with before it is put in its place
_PAPER, _INK = (255, 255, 255), (34, 34, 34)


def overlay(
    image: Image.Image, answers: Sequence[Answer], crop: float = 1.0, unit: str = ""
) -> Image.Image:
    """Returns a copy of an RGB picture with each face's score map over what was cut out for it.

    Below it is a legend: the colours from the greatest score of the picture's faces, of either
    sign, to its opposite, in `unit`. `crop` is the share of what was cut out that the network saw,
    about its middle.
    """
    image, scale = enlarged(image)
    result = image.convert("RGBA")
    scores = [_scores(answer) for answer in answers]
    most = max((float(np.abs(score_map).max()) for score_map in scores), default=0.0)
    for answer, score_map in zip(answers, scores, strict=True):
        colours = _whole(coloured(score_map, _SIDE, most), crop)
        if answer.square is None:
            layer = colours.resize(image.size, Image.Resampling.BILINEAR)
        else:
            x, y, side, angle = answer.square
            layer = paste(colours, Square(x * scale, y * scale, side * scale, angle), image.size)
        result = Image.alpha_composite(result, layer)
    return _with_legend(result.convert("RGB"), most, unit)


def coloured(score_map: np.ndarray, side: int, most: float | None = None) -> Image.Image:
    """Scales a map [h, w] up bilinearly to RGBA [side, side].

    A score of `most` is red, of -most blue, and of 0 clear; by default it is the map's greatest of
    either sign. A map of zeros is clear.
    """
    values = Image.fromarray(np.asarray(score_map, np.float32))
    scores = np.asarray(values.resize((side, side), Image.Resampling.BILINEAR))
    return Image.fromarray(_pixels(scores, most or float(np.abs(scores).max())))


def _scores(answer: Answer) -> np.ndarray:
    if answer.score_map is None:
        raise ValueError(f"answers: {answer.picture} has no score map")
    return np.asarray(answer.score_map, np.float32)


def _pixels(scores: np.ndarray, most: float) -> np.ndarray:
    """Returns the colours of scores [h, w], uint8 RGBA [h, w, 4]."""
    share = np.clip(scores / (most or 1.0), -1, 1)
    colours = np.where(
        (share > 0)[..., None], np.array(RAISES, np.uint8), np.array(LOWERS, np.uint8)
    )
    opacity = np.round(255 * _OPACITY * np.abs(share)).astype(np.uint8)
    return np.ascontiguousarray(np.dstack([colours, opacity]))


def _with_legend(image: Image.Image, most: float, unit: str) -> Image.Image:
    """Returns the picture above a strip that says what the colours stand for."""
    width = image.width
    letter = max(12, min(22, width // 26))
    strip = Image.new("RGBA", (width, round(4.2 * letter)), (*_PAPER, 255))
    bar = np.tile(np.linspace(-most, most, max(width - 2 * letter, 2)), (round(1.1 * letter), 1))
    colours = Image.fromarray(_pixels(bar, most))
    grey = Image.new("RGBA", colours.size, (128, 128, 128, 255))
    strip.paste(Image.alpha_composite(grey, colours), (letter, round(0.6 * letter)))
    draw = ImageDraw.Draw(strip)
    places = ((letter, "l"), (width / 2, "m"), (width - letter, "r"))
    words = ("lowers the answer", "neutral", "raises it")
    numbers = (f"-{most:.2g}", f"0 {unit}".strip(), f"+{most:.2g}")
    for texts, y in ((numbers, 2.3), (words, 3.4)):
        for text, (x, anchor) in zip(texts, places, strict=True):
            shown = font(draw, text, 0.85 * letter, width / 3 - letter)
            draw.text((x, y * letter), text, _INK, shown, anchor=f"{anchor}m")
    result = Image.new("RGB", (width, image.height + strip.height), _PAPER)
    result.paste(image, (0, 0))
    result.paste(strip.convert("RGB"), (0, image.height))
    return result


def _whole(colours: Image.Image, crop: float) -> Image.Image:
    """Puts what the network saw into the middle of what was cut out."""
    if crop == 1:
        return colours
    side = round(colours.width / crop)
    result = Image.new("RGBA", (side, side))
    result.paste(colours, ((side - colours.width) // 2,) * 2)
    return result
