"""Pictures in, answers out: many files, the faces in them, in batches of one shape.

Nothing but answers is kept: a few pictures at a time are decoded, in threads, while the ones before
are answered.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
    """A picture that is done.

    Attributes:
      path: its file.
      answers: of its faces.
      problems: a line on each thing that is wrong with it; mostly none.
    """

    path: Path
    answers: tuple[Answer, ...]
    problems: tuple[str, ...] = ()


class _Crop(NamedTuple):
    """A face as the network takes it, and where it came from; None where it is all there is."""

    pixels: np.ndarray
    box: tuple[float, float, float, float] | None
    square: Square | None


class _Found(NamedTuple):
    path: Path
    crops: list[_Crop]
    problems: list[str]


def walk(names: Sequence[str]) -> list[tuple[Path, Path]]:
    """The pictures that files and folders name, each once, with a relative path for what is drawn.

    A file counts whatever it is called; folders are gone through to their depth, in sorted order,
    for files that are called like a picture.

    Raises:
      ValueError: a name is of nothing, or there is no picture.
    """
    found: dict[Path, Path] = {}
    for name in map(Path, names):
        if name.is_file():
            found.setdefault(name, Path(name.name))
        elif name.is_dir():
            inside = (p for p in name.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            for path in sorted(inside):
                found.setdefault(path, path.relative_to(name))
        else:
            raise ValueError(f"{name}: no such file or folder")
    if not found:
        raise ValueError(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(names)}")
    return list(found.items())


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
    """The answers for pictures, in their order, each as soon as all its faces have theirs.

    Args:
      predictor: the network.
      paths: the pictures.
      detect: finds the faces; None where each picture is a face already cut out.
      alignment: how a face that is found is cut out.
      batch: faces at a time; the last batch is padded, so only one shape is compiled.
      coverage: of the intervals.
      maps: whether answers have score maps.
      workers: threads that decode; None takes one a processor.
    """
    workers = workers or os.cpu_count() or 1
    if detect is None:
        found = _aligned(predictor, paths, workers, batch)
    else:
        found = _detected(predictor, paths, workers, detect, alignment)
    waiting: deque[tuple[_Found, list[Answer]]] = deque()
    queue: deque[tuple[_Crop, _Found, list[Answer]]] = deque()

    def compute() -> None:
        chosen = [queue.popleft() for _ in range(min(batch, len(queue)))]
        rows = _rows(predictor, [crop.pixels for crop, _, _ in chosen], batch, coverage, maps)
        for (crop, one, answers), row in zip(chosen, rows, strict=True):
            number = len(answers) + 1
            if not np.isfinite(row["value"]):
                one.problems.append(f"{one.path}: face {number}: the network's answer is no number")
            answers.append(Answer(str(one.path), number, crop.box, crop.square, **row))

    for one in found:
        waiting.append((one, []))
        queue.extend((crop, *waiting[-1]) for crop in one.crops)
        while len(queue) >= batch:
            compute()
        yield from _done(waiting)
    while queue:
        compute()
    yield from _done(waiting)


def _done(waiting: deque[tuple[_Found, list[Answer]]]) -> Iterator[Picture]:
    """The pictures at the head that have all their answers."""
    while waiting and len(waiting[0][0].crops) == len(waiting[0][1]):
        one, answers = waiting.popleft()
        finite = tuple(a for a in answers if np.isfinite(a.value))
        yield Picture(one.path, finite, tuple(one.problems))


def _rows(
    predictor: Predictor, pixels: list[np.ndarray], batch: int, coverage: float, maps: bool
) -> list[dict[str, Any]]:
    """What is answered for each face, as fields of `Answer`."""
    images = np.zeros((batch, *pixels[0].shape), np.uint8)
    images[: len(pixels)] = pixels
    prediction = predictor.answer(images)
    probs = np.asarray(prediction.probs)
    low, high = predictor.interval(probs, coverage)
    scores = predictor.score_maps(images) if maps else [None] * batch
    return [
        {
            "value": float(prediction.value[i]),
            "low": float(low[i]),
            "high": float(high[i]),
            "probs": np.array(probs[i]),
            "score_map": scores[i],
        }
        for i in range(len(pixels))
    ]


def _aligned(
    predictor: Predictor, paths: Sequence[Path], workers: int, batch: int
) -> Iterator[_Found]:
    """Each picture as one face."""
    stored = predictor.preprocessing

    def read(path: Path) -> np.ndarray:
        return pictures.decode_one(path, stored.stored_size, stored.crop)

    for path, pixels in _ahead(paths, read, workers, 2 * batch):
        if isinstance(pixels, DataError):
            yield _Found(path, [], [str(pixels)])
        else:
            yield _Found(path, [_Crop(pixels, None, None)], [])


def _detected(
    predictor: Predictor,
    paths: Sequence[Path],
    workers: int,
    detect: Detect,
    alignment: Alignment,
) -> Iterator[_Found]:
    """The faces that are found in each picture."""
    least = round(predictor.preprocessing.stored_size / predictor.preprocessing.crop)
    for path, image in _ahead(paths, pictures.read, workers, 2 * workers):
        if isinstance(image, DataError):
            yield _Found(path, [], [str(image)])
            continue
        try:
            faces = detect(image)
        except Exception as error:  # a detector's own, of any kind: the other pictures go on
            yield _Found(path, [], [f"{path}: the detector failed ({error})"])
            continue
        crops = []
        for face in faces:
            square = align.square_of(face, alignment)
            pixels = predictor.fitted(align.cut(image, square, least))
            crops.append(_Crop(pixels, face.box, square))
        yield _Found(path, crops, [] if crops else [f"{path}: no face was found"])


def _ahead(
    paths: Sequence[Path], read: Callable[[Path], T], workers: int, window: int
) -> Iterator[tuple[Path, T | DataError]]:
    """What `read` gives for each path, in order, with at most `window` read ahead in threads."""

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
