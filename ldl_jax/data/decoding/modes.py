"""Turns decoded pictures of every mode into RGB: grey of any depth, palettes, transparency."""

import numpy as np
from PIL import Image

from ldl_jax.data.decoding import formats

_BITS, _PHOTOMETRIC = 258, 262  # TIFF's tags
_WHITE_IS_ZERO = 0
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")


def rgb(image: Image.Image) -> Image.Image:
    """Returns a picture as RGB: deep grey scaled by its range, transparency composed on white.

    Raises:
      ValueError: its values have no defined range (floats, signed or 32-bit integers), its
        colours cannot be turned into RGB, or it is transparent and has more than half the pixels
        that are read of others.
    """
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        return _deep_grey(image).convert("RGB")
    if image.mode in _ALPHA or image.has_transparency_data:
        # Composing takes several copies of a picture that a file of few bytes may declare.
        formats.check_pixels(image.width * image.height, copies=2)
        # Also a grey value, or a colour, may be transparent.
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = (255, 255, 255, 255)
        return Image.alpha_composite(Image.new("RGBA", layer.size, white), layer).convert("RGB")
    if image.mode == "RGB":
        return image
    return image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """Returns grey of more than 8 bits in 8; Pillow's own conversion clips at 255."""
    bits, inverted = 16, False
    # Pillow gives the grey of a PGM and of a PNG file, whatever its depth, the range 0..65535.
    known = image.mode.startswith("I;") or (image.mode == "I" and image.format in ("PPM", "PNG"))
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        bits = int(np.max(tags.get(_BITS, (16,))))
        inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        known = image.mode.startswith("I;") and 8 <= bits <= 16
    if not known:
        kind = "floating-point numbers" if image.mode == "F" else "32-bit or signed integers"
        raise ValueError(
            f"its pixels are {kind}, whose range is not defined; save it with 8 or 16 bits"
        )
    values = np.asarray(image)
    grey = np.minimum(values >> (bits - 8), 255).astype(np.uint8)
    grey = 255 - grey if inverted else grey
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey = np.where(values == hidden, np.uint8(255), grey)
    return Image.fromarray(grey)
