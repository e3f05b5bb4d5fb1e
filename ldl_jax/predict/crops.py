"""The faces of a picture as the network takes them, and the answers for faces of many pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ldl_jax.data import align, pictures
from ldl_jax.data.align import Alignment, Detect, Face, Square
from ldl_jax.data.records import DataError
from ldl_jax.evaluation.answers import Answer, Box
from ldl_jax.predict.influence import influence
from ldl_jax.predict.predictor import Predictor


class Crop(NamedTuple):
    """A face as the network takes it, and where it is; None where the picture is the face."""

    pixels: np.ndarray
    box: Box | None = None
    square: Square | None = None


class NumberedCrop(NamedTuple):
    """A face, its picture's name, and its number in the picture, from 1."""

    picture: str
    face: int
    crop: Crop


def read(
    predictor: Predictor, source: Path | bytes, detect: Detect | None, name: str = ""
) -> np.ndarray | Image.Image:
    """Reads a picture's file, or its bytes, as `cut` takes it.

    Args:
      predictor: the network, whose preprocessing is applied where the picture is the face.
      source: the file or its bytes.
      detect: finds the faces; None where each picture is a face already cut out.
      name: what messages call the bytes.

    Returns:
      uint8 [S, S, 3] where the picture is the face, else the whole picture.

    Raises:
      DataError: it cannot be read as a picture.
    """
    if detect is None:
        stored = predictor.preprocessing
        size, crop, square = stored.stored_size, stored.crop, stored.square
        return pictures.decode_one(source, size, crop, name, square=square)
    return pictures.read(source, name)


def cut(
    predictor: Predictor,
    image: np.ndarray | Image.Image,
    detect: Detect | None,
    alignment: Alignment,
    name: str,
) -> Iterator[Crop]:
    """Cuts the faces out of a picture of `read`.

    Raises:
      DataError: the detector found no face, or failed; the message begins with `name`.
    """
    if detect is None or isinstance(image, np.ndarray):
        yield Crop(np.asarray(image))
        return
    try:
        squares = [(face.box, square_in(face, alignment, image)) for face in detect(image)]
    except Exception as error:  # a detector may raise anything; the other pictures go on
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: the detector failed ({reason})") from error
    if not squares:
        raise DataError(f"{name}: no face was found")
    stored = predictor.preprocessing
    least = round(stored.stored_size / stored.crop)
    for box, square in squares:
        yield Crop(predictor.fitted(align.cut(image, square, least)), box, square)


def answer(
    predictor: Predictor,
    faces: Sequence[NumberedCrop],
    coverage: float,
    *,
    group: str = "",
    maps: bool = False,
) -> list[Answer]:
    """Answers for faces in one batch; a value that is no number is left in its answer.

    Args:
      predictor: the network.
      faces: at least one.
      coverage: the share of the distribution that an interval holds.
      group: of the people, where the model is calibrated by group.
      maps: whether answers have score maps.
    """
    images = np.stack([face.crop.pixels for face in faces])
    prediction = predictor.answer(images)
    probs = np.asarray(prediction.probs)
    low = high = [None] * len(images)
    if not predictor.value_alone:
        low, high = (edges.tolist() for edges in predictor.interval(probs, coverage, group))
    scores = influence(predictor, images) if maps else [None] * len(faces)
    return [
        Answer(
            *(picture, face, crop.box, crop.square),
            *(float(prediction.value[index]), low[index], high[index]),
            *(probs[index].copy(), scores[index]),
        )
        for index, (picture, face, crop) in enumerate(faces)
    ]


def not_a_number(answer: Answer) -> str:
    """Returns a line on an answer whose value is no number, or nothing where it is one."""
    if np.isfinite(answer.value):
        return ""
    return f"{answer.picture}: face {answer.face}: the network's answer is no number"


def square_in(face: Face, alignment: Alignment, image: Image.Image) -> Square:
    """Returns the square to cut out; ValueError where a detector cannot mean its face."""
    square = align.square_of(face, alignment)
    bare = square._replace(side=square.side / (1 + 2 * alignment.margin))
    if not align.is_plausible(bare, image.size):
        raise ValueError(f"it gave the box {face.box} in a picture of {image.size}")
    return square
