"""Score maps drawn over their picture, where they show what speaks for the answer."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from ldl_jax.data.align import Square, paste
from ldl_jax.evaluation.annotate import enlarged
from ldl_jax.evaluation.answers import Answer

_OPACITY = 0.45
_SIDE = 512  # pixels that a map is drawn with before it is put in its place


def overlay(image: Image.Image, answers: Sequence[Answer], crop: float = 1.0) -> Image.Image:
    """Returns a copy of an RGB picture with each face's score map over what was cut out for it.

    Blue is the least score of a face, red its greatest. `crop` is the share of what was cut out
    that the network saw, about its middle.
    """
    image, scale = enlarged(image)
    result = image.convert("RGBA")
    for answer in answers:
        if answer.score_map is None:
            raise ValueError(f"answers: {answer.picture} has no score map")
        colours = _whole(coloured(answer.score_map, _SIDE), crop)
        if answer.square is None:
            layer = colours.resize(image.size, Image.Resampling.BILINEAR)
        else:
            x, y, side, angle = answer.square
            layer = paste(colours, Square(x * scale, y * scale, side * scale, angle), image.size)
        result = Image.alpha_composite(result, layer)
    return result.convert("RGB")


def coloured(score_map: np.ndarray, side: int) -> Image.Image:
    """Scales a map [h, w] up bilinearly to RGBA [side, side]; its least is blue, its most red."""
    values = Image.fromarray(np.asarray(score_map, np.float32))
    scores = np.asarray(values.resize((side, side), Image.Resampling.BILINEAR))
    span = float(scores.max() - scores.min())
    share = (scores - scores.min()) / (span or 1.0)
    pixels = colormaps["turbo"](share, alpha=_OPACITY, bytes=True)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _whole(colours: Image.Image, crop: float) -> Image.Image:
    """Puts what the network saw into the middle of what was cut out."""
    if crop == 1:
        return colours
    side = round(colours.width / crop)
    result = Image.new("RGBA", (side, side))
    result.paste(colours, ((side - colours.width) // 2,) * 2)
    return result
