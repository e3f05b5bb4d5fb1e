"""Draws a contact sheet: pictures with the square that is cut out, beside the result."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ldl_jax.data import align, pictures
from ldl_jax.data.align import Square
from ldl_jax.data.prepare import chunk
from ldl_jax.data.prepare.chunk import LeftOut, PictureForm
from ldl_jax.data.records import DataError, Records

CELL, GAP, LINE = 160, 4, 18  # pixels
_SQUARE, _POINT, _HALO, _OUTSIDE = (255, 196, 0), (0, 230, 118), (20, 20, 20), (225, 225, 225)
_FINE = 3  # pictures are drawn so many times as large and then reduced, for smooth lines


def sheet(records: Records, form: PictureForm, count: int = 8, columns: int = 2) -> Image.Image:
    """Draws some pictures from all over the records, before and after.

    On the left a picture is whole, with the square (yellow; its upper edge is thick) and the points
    that come with the dataset (green). On the right it is as prepared. Below stand the name, and
    why a picture is left out.

    Args:
      records: the pictures.
      form: how each is made ready.
      count: how many, at most.
      columns: of pairs.
    """
    rows = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int))
    high, wide = CELL + LINE + GAP, 2 * CELL + 4 * GAP
    lines = -(-len(rows) // columns)
    page = Image.new("RGB", (min(columns, len(rows)) * wide, lines * high), (255, 255, 255))
    font = ImageFont.load_default(12)
    for index, row in enumerate(rows.tolist()):
        top, left = (index // columns) * high, (index % columns) * wide
        before, after, text = _pair(records, row, form)
        page.paste(before, (left + (CELL - before.width) // 2, top + (CELL - before.height) // 2))
        if after is not None:
            page.paste(after, (left + CELL + GAP, top))
        name = records.ids[row] if not text else f"{records.ids[row]}: {text}"
        ImageDraw.Draw(page).text((left, top + CELL + 2), name[-52:], (60, 60, 60), font)
    return page


def _pair(
    records: Records, row: int, form: PictureForm
) -> tuple[Image.Image, Image.Image | None, str]:
    """Returns a picture, the prepared one, and what is wrong with it."""
    try:
        image = chunk.picture(records, row)
    except DataError:
        return Image.new("RGB", (CELL, CELL), _OUTSIDE), None, "cannot be read"
    try:
        square = chunk.chosen_square(records, row, image, form) if form.aligned else None
        after = pictures.read(chunk.encoded(records, row, form))
    except LeftOut as reason:
        return _drawn(records, row, image, None), None, str(reason)
    after.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    if max(after.size) < CELL:
        scale = CELL / max(after.size)
        after = after.resize((round(after.width * scale), round(after.height * scale)))
    return _drawn(records, row, image, square), after, ""


def _drawn(records: Records, row: int, image: Image.Image, square: Square | None) -> Image.Image:
    """Draws the picture on a canvas that holds its square too, with the square and the points."""
    ends = np.array([(0, 0), image.size], np.float64)
    if square is not None:
        ends = np.concatenate([ends, align.square_corners(square)])
    origin = ends.min(axis=0)
    width, height = ends.max(axis=0) - origin
    scale = _FINE * CELL / max(width, height)
    whole = (max(_FINE, round(width * scale)), max(_FINE, round(height * scale)))
    canvas = Image.new("RGB", whole, _OUTSIDE)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    corner = np.round(-origin * scale).astype(int).tolist()
    canvas.paste(image.resize(size, Image.Resampling.BICUBIC), (corner[0], corner[1]))
    draw = ImageDraw.Draw(canvas)
    if square is not None:
        corners = [tuple(corner) for corner in (align.square_corners(square) - origin) * scale]
        for color, wider in ((_HALO, 2 * _FINE), (_SQUARE, 0)):
            draw.line([*corners, corners[0]], color, _FINE + wider, "curve")
            draw.line(corners[:2], color, 3 * _FINE + wider)
    if records.points is not None and np.isfinite(records.points[row]).all():
        for x, y in (records.points[row] - origin) * scale:
            for color, radius in ((_HALO, 3 * _FINE), (_POINT, 2 * _FINE)):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), color)
    return canvas.reduce(_FINE)
