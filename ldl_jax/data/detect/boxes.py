"""Boxes of MTCNN: their overlap, and pictures and candidates at the sizes that its networks take.

A box is (left, top, right, bottom) in pixels. All is NumPy: numbers of boxes and sizes of pictures
differ from call to call, and would each be compiled anew.
"""

import numpy as np


def suppress(boxes: np.ndarray, scores: np.ndarray, most: float, *, least_area: bool) -> np.ndarray:
    """Returns the indices of the boxes that no box of a higher score overlaps, the best first.

    Unlike the usual suppression, a box that is left out itself still suppresses others, as in the
    package `mtcnn`.

    Args:
      boxes: [N, 4].
      scores: [N].
      most: the greatest overlap that is no reason to leave a box out.
      least_area: whether the overlap is the share of the smaller box, not that of the union.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    left, top, right, bottom = boxes[order].T
    area = (right - left) * (bottom - top)
    width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    whole = np.minimum(area[:, None], area) if least_area else area[:, None] + area - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        overlaps = np.triu(shared / whole > most, 1)
    return order[~overlaps.any(axis=0)]


def squared(boxes: np.ndarray) -> np.ndarray:
    """Returns squares with the boxes' middles and their longer sides."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    side = sizes.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sizes / 2 - side / 2
    return np.concatenate([corner, corner + side], axis=1)


def shifted(boxes: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moves each edge of boxes [N, 4] by shifts [N, 4] in units of the box's size plus one."""
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + shifts * np.tile(sizes, 2)


def summed(pixels: np.ndarray) -> np.ndarray:
    """Returns the sums [H + 1, W + 1, C] over all pixels above and to the left of each corner."""
    height, width, channels = pixels.shape
    sums = np.zeros((height + 1, width + 1, channels))
    np.cumsum(pixels, axis=0, out=sums[1:, 1:], dtype=np.float64)
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def reduced(sums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduces a picture to a size: each new pixel is the mean of the area that it covers.

    Args:
      sums: the picture's, by `summed`.
      height: at most the picture's.
      width: at most the picture's.

    Returns:
      float32 [height, width, C].
    """
    # The sum up to a point within a pixel is linear in the point's x and in its y.
    for axis, size in enumerate((height, width)):
        edges = np.linspace(0, sums.shape[axis] - 1, size + 1)
        below = np.minimum(edges.astype(int), sums.shape[axis] - 2)
        part = np.expand_dims(edges - below, tuple({0, 1, 2} - {axis}))
        lower, upper = sums.take(below, axis), sums.take(below + 1, axis)
        scale = size / (sums.shape[axis] - 1)
        sums = np.diff(lower + (upper - lower) * part, axis=axis) * scale
    return sums.astype(np.float32)


def cut(pixels: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Cuts boxes out of a picture, each to size x size pixels, bilinearly; black outside of it.

    The first and last pixels' middles lie on the box's edges, in a picture whose width W is counted
    from the first to the last pixel's middle, so that x stands for x (W - 1) / W: TensorFlow's
    `crop_and_resize` for boxes as shares of the picture.

    Args:
      pixels: [H, W, C]; zero is what is outside.
      boxes: [N, 4].
      size: of the result.

    Returns:
      float32 [N, size, size, C].
    """
    height, width = pixels.shape[:2]
    steps = np.linspace(0, 1, size)
    columns = (boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * steps) / width
    rows = (boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * steps) / height
    columns, rows = columns * (width - 1), rows * (height - 1)
    inside = ((rows >= 0) & (rows <= height - 1))[:, :, None]
    inside = inside & ((columns >= 0) & (columns <= width - 1))[:, None, :]
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    left, top = columns.astype(int), rows.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across = (columns - left).astype(np.float32)[:, None, :, None]
    down = (rows - top).astype(np.float32)[:, :, None, None]

    def row(y: np.ndarray) -> np.ndarray:
        first, second = (pixels[y[:, :, None], x[:, None, :]] for x in (left, right))
        return first + (second - first) * across

    upper = row(top)
    return np.where(inside[..., None], upper + (row(bottom) - upper) * down, 0).astype(np.float32)
