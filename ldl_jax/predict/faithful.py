"""Checks whether score maps are faithful: whether the marked places are those that answers need."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from ldl_jax.evaluation import compare
from ldl_jax.labels import LabelSpace

Answer = Callable[[np.ndarray], np.ndarray]  # pictures uint8 [B, S, S, 3] -> probs [B, K]


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Says how far answers move where a region of a picture is deleted.

    The distance of two distributions is the mean shift of their labels, ∫|F - F'| in the label's
    unit (earth mover's distance).

    Attributes:
      marked: the mean distance where the region is the one that the map marks.
      random: where it is another one of the same size and form, drawn at random.
      difference: marked - random.
      interval: its 95 % interval over other pictures.
      share: of pictures whose marked region moves the answer further than their random ones do on
        the mean.
      pictures: how many there are.
    """

    marked: float
    random: float
    difference: float
    interval: tuple[float, float]
    share: float
    pictures: int


def deletion(
    answer: Answer,
    images: np.ndarray,
    maps: np.ndarray,
    space: LabelSpace,
    *,
    side: float = 0.3,
    draws: int = 8,
    seed: int = 0,
) -> Faithfulness:
    """Deletes from each picture the square that its map marks, and squares at random.

    The marked square is the one of all its places where the scores are greatest, of either sign: in
    the sum of their sizes. What is deleted has the picture's mean colour.

    Args:
      answer: the model, as `lambda images: predictor.answer(images).probs`.
      images: uint8 [N, S, S, 3], as the model takes them.
      maps: scores [N, h, w], as of `influence.influence`.
      space: the K label values.
      side: of the squares, as a share of the picture's, in (0, 1).
      draws: random squares of each picture, at least 1.
      seed: of their places.

    Raises:
      ValueError: an argument has another shape or range.

    Source: Samek et al., "Evaluating the Visualization of What a Deep Neural Network Has Learned"
    (IEEE TNNLS 2017), with one region, and regions of its size for comparison.
    """
    images, maps = np.asarray(images), np.asarray(maps, np.float32)
    if images.ndim != 4 or not len(images) or maps.ndim != 3 or len(maps) != len(images):
        expected = "pictures [N, S, S, 3] and maps [N, h, w]"
        raise ValueError(f"images, maps: expected {expected}, got {images.shape}, {maps.shape}")
    if not 0 < side < 1 or draws < 1:
        raise ValueError(f"side, draws: expected (0, 1) and 1 or more, got {side}, {draws}")
    size = images.shape[1]
    width = max(1, round(side * size))
    whole = np.asarray(answer(images))
    marked = _moved(answer, images, whole, _marked(np.abs(maps), size, width), width, space)
    places = np.random.default_rng(seed).integers(0, size - width + 1, (draws, len(images), 2))
    moved = [_moved(answer, images, whole, each, width, space) for each in places]
    others = np.mean(moved, axis=0)
    change = compare.crossed_difference(marked, others)
    return Faithfulness(
        marked=float(marked.mean()),
        random=float(others.mean()),
        difference=change.mean,
        interval=(change.low, change.high),
        share=float((marked > others).mean()),
        pictures=len(images),
    )


def weight_within(maps: np.ndarray, masks: np.ndarray) -> tuple[float, float]:
    """Returns how much of what maps mark lies within masks, and how much of the area does.

    Of each map the scores above 0 are taken, scaled up to the masks' size; both are means over the
    pictures. A map that marks nothing in particular has as much of one as of the other.

    Args:
      maps: scores [N, h, w].
      masks: bool [N, S, S]; a picture whose mask is empty does not count.

    Raises:
      ValueError: no mask holds a pixel.
    """
    shares, areas = [], []
    for score_map, mask in zip(maps, masks, strict=True):
        positive = np.clip(_enlarged(score_map, len(mask)), 0, None)
        if mask.any() and positive.sum() > 0:
            shares.append(float(positive[mask].sum() / positive.sum()))
            areas.append(float(mask.mean()))
    if not shares:
        raise ValueError("masks: expected one that holds a pixel, got none")
    return float(np.mean(shares)), float(np.mean(areas))


def _marked(maps: np.ndarray, size: int, width: int) -> np.ndarray:
    """Returns the top left corner [N, 2] of each map's square of the greatest sum."""
    corners = []
    for score_map in maps:
        total = np.zeros((size + 1, size + 1))
        total[1:, 1:] = _enlarged(score_map, size).cumsum(0, dtype=np.float64).cumsum(1)
        sums = total[width:, width:] - total[:-width, width:]
        sums = sums - total[width:, :-width] + total[:-width, :-width]
        corners.append(np.unravel_index(np.argmax(sums), sums.shape))
    return np.array(corners)


def _enlarged(score_map: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(np.asarray(score_map, np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _moved(
    answer: Answer,
    images: np.ndarray,
    whole: np.ndarray,
    corners: Sequence[np.ndarray] | np.ndarray,
    width: int,
    space: LabelSpace,
) -> np.ndarray:
    """Returns how far each answer moves where a square is deleted, float64 [N]."""
    spoiled = images.copy()
    for picture, (top, left) in zip(spoiled, corners, strict=True):
        mean = picture.mean(axis=(0, 1)).round().astype(np.uint8)
        picture[top : top + width, left : left + width] = mean
    below = np.cumsum(np.asarray(answer(spoiled), np.float64) - whole, axis=1)
    return np.abs(below[:, :-1]) @ np.diff(np.asarray(space.values, np.float64))
