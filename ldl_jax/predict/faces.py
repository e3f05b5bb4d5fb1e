"""Answers for the faces in many picture files, in batches of one shape.

A few pictures at a time are decoded, in threads, while the network answers for those before. Only
the answers are kept.
"""

import dataclasses
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from ldl_jax.data import align, pictures
from ldl_jax.data.align import Alignment, Detect, Face, Square
from ldl_jax.data.datasets.folders import Left, below
from ldl_jax.data.records import DataError
from ldl_jax.evaluation.answers import Answer, Box
from ldl_jax.predict.predictor import Predictor

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Picture:
    """The outcome for a picture.

    Attributes:
      path: its file.
      answers: an answer for each of its faces.
      problems: a line for each thing that is wrong with it; mostly none.
    """

    path: Path
    answers: tuple[Answer, ...]
    problems: tuple[str, ...] = ()


class _Crop(NamedTuple):
    """A face as the network takes it, and where it is; None where the picture is the face."""

    pixels: np.ndarray
    box: Box | None = None
    square: Square | None = None


class _Decoded(NamedTuple):
    """A picture whose faces are cut out, and the answers that they have so far."""

    path: Path
    crops: list[_Crop]
    problems: list[str]
    answers: list[Answer]


def walk(names: Sequence[str], left: Left | None = None) -> list[tuple[Path, Path]]:
    """Finds the pictures that files and folders name, each once.

    A file counts whatever it is called. In a folder and all folders below it, the files with the
    suffix of a picture count, in sorted order, by the rule of `ldl_jax.data.datasets.folders`;
    `left` takes what that leaves out.

    Returns:
      The path of each picture, and the relative path for what is drawn on it.

    Raises:
      ValueError: a name is neither a file nor a folder, or there is no picture.
    """
    targets: dict[Path, Path] = {}
    for name in map(Path, names):
        if name.is_file():
            targets.setdefault(name, Path(name.name))
        elif name.is_dir():
            omitted: Left = {}
            for path in sorted(name / file for file in below(name, omitted)):
                targets.setdefault(path, path.relative_to(name))
            for reason, files in omitted.items():
                if left is not None:
                    left.setdefault(reason, []).extend(str(name / file) for file in files)
        elif name.exists():
            raise ValueError(f"{name}: is no regular file and no folder")
        else:
            raise ValueError(f"{name}: no such file or folder")
    if not targets:
        raise ValueError(f"no pictures ({', '.join(pictures.SUFFIXES)}) in {', '.join(names)}")
    return list(targets.items())


def allow(megapixels: float) -> int | None:
    """Sets the largest picture that is read; returns the threads that may read such pictures.

    Pillow's own limit is 178 million pixels. One of 200 million takes 0.6 GB and more.
    """
    # Pillow refuses a picture of twice as many pixels, and warns of one with more than that.
    Image.MAX_IMAGE_PIXELS = max(1, int(megapixels * 1e6 / 2))
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return 1 if megapixels > 178 else None


def answer(
    predictor: Predictor,
    paths: Sequence[Path],
    *,
    detect: Detect | None,
    alignment: Alignment,
    batch: int = 64,
    coverage: float = 0.9,
    maps: bool = False,
    workers: int | None = None,
) -> Iterator[Picture]:
    """Answers for pictures, in their order, each as soon as all its faces have their answer.

    Args:
      predictor: the network.
      paths: the pictures.
      detect: finds the faces; None where each picture is a face already cut out.
      alignment: how a face that is found is cut out.
      batch: faces at a time; the last batch is padded, so that only one shape is compiled.
      coverage: the share of the distribution that an interval holds.
      maps: whether answers have score maps.
      workers: threads that decode; None takes one for each processor.
    """
    waiting: deque[_Decoded] = deque()
    queue: deque[tuple[_Crop, _Decoded]] = deque()
    compute = partial(_compute, predictor, queue, batch, coverage, maps)
    workers = workers or os.cpu_count() or 1
    for picture in _decoded(predictor, paths, detect, alignment, batch, workers):
        waiting.append(picture)
        queue.extend((crop, picture) for crop in picture.crops)
        while len(queue) >= batch:
            compute()
        yield from _done(waiting)
    if queue:
        compute()
    yield from _done(waiting)


def _done(waiting: deque[_Decoded]) -> Iterator[Picture]:
    """Takes the pictures from the head of the queue that have all their answers."""
    while waiting and len(waiting[0].crops) == len(waiting[0].answers):
        picture = waiting.popleft()
        finite = tuple(answer for answer in picture.answers if np.isfinite(answer.value))
        yield Picture(picture.path, finite, tuple(picture.problems))


def _compute(
    predictor: Predictor,
    queue: deque[tuple[_Crop, _Decoded]],
    batch: int,
    coverage: float,
    maps: bool,
) -> None:
    """Takes at most a batch of faces from the queue, and gives them their answers."""
    faces = [queue.popleft() for _ in range(min(batch, len(queue)))]
    images = np.zeros((batch, *faces[0][0].pixels.shape), np.uint8)
    images[: len(faces)] = [crop.pixels for crop, _ in faces]
    prediction = predictor.answer(images)
    probs = np.asarray(prediction.probs)
    low = high = [None] * batch
    if not predictor.value_alone:
        low, high = (edges.tolist() for edges in predictor.interval(probs, coverage))
    scores = predictor.score_maps(images) if maps else [None] * batch
    for index, (crop, (path, _, problems, answers)) in enumerate(faces):
        number, value = len(answers) + 1, float(prediction.value[index])
        if not np.isfinite(value):
            problems.append(f"{path}: face {number}: the network's answer is no number")
        numbers = (value, low[index], high[index])
        arrays = (probs[index].copy(), scores[index])
        answers.append(Answer(str(path), number, crop.box, crop.square, *numbers, *arrays))


def _decoded(
    predictor: Predictor,
    paths: Sequence[Path],
    detect: Detect | None,
    alignment: Alignment,
    batch: int,
    workers: int,
) -> Iterator[_Decoded]:
    """Decodes each picture, as one face or to cut out the faces that are found in it."""
    stored = predictor.preprocessing
    least = round(stored.stored_size / stored.crop)

    def read(path: Path) -> np.ndarray | Image.Image:
        if detect is None:
            square = stored.square
            return pictures.decode_one(path, stored.stored_size, stored.crop, square=square)
        return pictures.read(path)

    def cut(path: Path, image: np.ndarray | Image.Image) -> Iterator[_Crop]:
        if detect is None or isinstance(image, np.ndarray):
            yield _Crop(np.asarray(image))
            return
        try:
            squares = [(face.box, _square(face, alignment, image)) for face in detect(image)]
        except Exception as error:  # a detector may raise anything; the other pictures go on
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: the detector failed ({reason})") from error
        if not squares:
            raise DataError(f"{path}: no face was found")
        for box, square in squares:
            yield _Crop(predictor.fitted(align.cut(image, square, least)), box, square)

    for path, image in _ahead(paths, read, workers, 2 * (workers if detect else batch)):
        picture = _Decoded(path, [], [], [])
        try:
            picture.crops.extend(cut(path, image.result()))
        except DataError as error:
            picture.problems.append(str(error))
        yield picture


def _square(face: Face, alignment: Alignment, image: Image.Image) -> Square:
    """Returns the square to cut out; ValueError where a detector cannot mean its face."""
    square = align.square_of(face, alignment)
    bare = square._replace(side=square.side / (1 + 2 * alignment.margin))
    if not align.is_plausible(bare, image.size):
        raise ValueError(f"it gave the box {face.box} in a picture of {image.size}")
    return square


def _ahead(
    paths: Sequence[Path], read: Callable[[Path], T], workers: int, window: int
) -> Iterator[tuple[Path, Future[T]]]:
    """Reads each path, in order, with at most `window` read ahead in threads."""
    pending: deque[tuple[Path, Future[T]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for path in paths:
                pending.append((path, pool.submit(read, path)))
                if len(pending) >= window:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            pool.shutdown(cancel_futures=True)
