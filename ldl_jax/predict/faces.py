"""Answers for the faces in many picture files, in batches of one shape.

A few pictures at a time are decoded, in threads, while the network answers for those before. Only
the answers are kept.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ldl_jax.data import align, pictures
from ldl_jax.data.align import Alignment, Detect, Square
from ldl_jax.data.records import DataError
from ldl_jax.evaluation.answers import Answer
from ldl_jax.predict.predictor import Predictor

T = TypeVar("T")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


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
    """A face as the network takes it, and where in the picture it is.

    Both `box` and `square` are None where the whole picture is the face.
    """

    pixels: np.ndarray
    box: tuple[float, float, float, float] | None
    square: Square | None


class _Decoded(NamedTuple):
    """A picture whose faces are cut out, and the answers that they have so far."""

    path: Path
    crops: list[_Crop]
    problems: list[str]
    answers: list[Answer]


class _Row(NamedTuple):
    """The fields of `Answer` that the network gives for a face."""

    value: float
    low: float
    high: float
    probs: np.ndarray
    score_map: np.ndarray | None


def walk(names: Sequence[str]) -> list[tuple[Path, Path]]:
    """Finds the pictures that files and folders name, each once.

    A file counts whatever it is called. In a folder and all folders below it, the files with the
    suffix of a picture count, in sorted order.

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
            inside = (p for p in name.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            for path in sorted(inside):
                targets.setdefault(path, path.relative_to(name))
        else:
            raise ValueError(f"{name}: no such file or folder")
    if not targets:
        raise ValueError(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(names)}")
    return list(targets.items())


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
    workers = workers or os.cpu_count() or 1
    if detect is None:
        decoded = _aligned(predictor, paths, workers, batch)
    else:
        decoded = _detected(predictor, paths, workers, detect, alignment)
    waiting: deque[_Decoded] = deque()
    queue: deque[tuple[_Crop, _Decoded]] = deque()

    def compute() -> None:
        chosen = [queue.popleft() for _ in range(min(batch, len(queue)))]
        rows = _rows(predictor, [crop.pixels for crop, _ in chosen], batch, coverage, maps)
        for (crop, picture), row in zip(chosen, rows, strict=True):
            face = len(picture.answers) + 1
            if not np.isfinite(row.value):
                picture.problems.append(
                    f"{picture.path}: face {face}: the network's answer is no number"
                )
            picture.answers.append(
                Answer(str(picture.path), face, crop.box, crop.square, **row._asdict())
            )

    for picture in decoded:
        waiting.append(picture)
        queue.extend((crop, picture) for crop in picture.crops)
        while len(queue) >= batch:
            compute()
        yield from _done(waiting)
    while queue:
        compute()
    yield from _done(waiting)


def _done(waiting: deque[_Decoded]) -> Iterator[Picture]:
    """Takes the pictures from the head of the queue that have all their answers."""
    while waiting and len(waiting[0].crops) == len(waiting[0].answers):
        picture = waiting.popleft()
        finite = tuple(answer for answer in picture.answers if np.isfinite(answer.value))
        yield Picture(picture.path, finite, tuple(picture.problems))


def _rows(
    predictor: Predictor, pixels: list[np.ndarray], batch: int, coverage: float, maps: bool
) -> list[_Row]:
    """Answers for faces, at most a batch of them."""
    images = np.zeros((batch, *pixels[0].shape), np.uint8)
    images[: len(pixels)] = pixels
    prediction = predictor.answer(images)
    probs = np.asarray(prediction.probs)
    low, high = predictor.interval(probs, coverage)
    scores = predictor.score_maps(images) if maps else [None] * batch
    return [
        _Row(
            value=float(prediction.value[i]),
            low=float(low[i]),
            high=float(high[i]),
            probs=np.array(probs[i]),
            score_map=scores[i],
        )
        for i in range(len(pixels))
    ]


def _aligned(
    predictor: Predictor, paths: Sequence[Path], workers: int, batch: int
) -> Iterator[_Decoded]:
    """Decodes each picture as one face."""
    stored = predictor.preprocessing

    def read(path: Path) -> np.ndarray:
        return pictures.decode_one(path, stored.stored_size, stored.crop)

    for path, pixels in _ahead(paths, read, workers, 2 * batch):
        if isinstance(pixels, DataError):
            yield _Decoded(path, [], [str(pixels)], [])
        else:
            yield _Decoded(path, [_Crop(pixels, None, None)], [], [])


def _detected(
    predictor: Predictor,
    paths: Sequence[Path],
    workers: int,
    detect: Detect,
    alignment: Alignment,
) -> Iterator[_Decoded]:
    """Decodes each picture, and cuts out the faces that are found in it."""
    least = round(predictor.preprocessing.stored_size / predictor.preprocessing.crop)
    for path, image in _ahead(paths, pictures.read, workers, 2 * workers):
        if isinstance(image, DataError):
            yield _Decoded(path, [], [str(image)], [])
            continue
        try:
            faces = detect(image)
        except Exception as error:  # a detector may raise anything; the other pictures go on
            yield _Decoded(path, [], [f"{path}: the detector failed ({error})"], [])
            continue
        crops = []
        for face in faces:
            square = align.square_of(face, alignment)
            pixels = predictor.fitted(align.cut(image, square, least))
            crops.append(_Crop(pixels, face.box, square))
        yield _Decoded(path, crops, [] if crops else [f"{path}: no face was found"], [])


def _ahead(
    paths: Sequence[Path], read: Callable[[Path], T], workers: int, window: int
) -> Iterator[tuple[Path, T | DataError]]:
    """Reads each path, in order, with at most `window` read ahead in threads."""

    def safely(path: Path) -> T | DataError:
        try:
            return read(path)
        except DataError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        pending: deque[tuple[Path, Future[T | DataError]]] = deque()
        try:
            for path in paths:
                pending.append((path, pool.submit(safely, path)))
                if len(pending) >= window:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        finally:
            for _, future in pending:
                future.cancel()
