"""Answers for the faces of a film: found, followed, answered in batches over frames, and pooled."""

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ldl_jax.data import align
from ldl_jax.data.align import Alignment, Detect
from ldl_jax.evaluation.answers import Answer, Box
from ldl_jax.predict import crops
from ldl_jax.predict.predictor import Predictor
from ldl_jax.video.pools import Pools, PoolSettings
from ldl_jax.video.reading import Frame
from ldl_jax.video.tracking import MakeTracker, Tracker

_HELD = 2**25  # pixels of the frames that wait for their faces' answers
_MOST_HELD = 32  # of these frames
_LINGER = 0.2  # seconds for which a face that was not found again is still drawn
_CUT = 27.0  # mean difference of two frames' colours, of 255, between which the film is cut
_CELLS = 16  # along a side of what they are compared in


class Seen(NamedTuple):
    """A frame and the answers for its faces, each pooled over the track so far.

    A face's number in its answer is the track's. It has one from its `least`-th frame on.
    """

    frame: Frame
    answers: tuple[Answer, ...]


class _Face(NamedTuple):
    track: int
    box: Box  # as it is drawn
    detected: Box | None  # as the detector gave it; None between two looks
    pixels: np.ndarray | None  # for the network; None between two looks


class _WaitingFrame(NamedTuple):
    frame: Frame
    faces: list[_Face]


class FilmAnswers:
    """Answers for one film or camera.

    Attributes:
      pools: the tracks and what is pooled of them.
      looks: frames in which faces were looked for.
      failures: why the detector failed, with the count of frames.
      untracked: why one's own tracker failed, with the count of frames.
      unanswered: faces for which the network's answer was no number.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        detect: Detect | None,
        alignment: Alignment,
        settings: PoolSettings | None = None,
        batch: int = 64,
        every: int = 1,
        live: bool = False,
        tracker: MakeTracker = Tracker,
    ) -> None:
        """Makes ready for a film.

        Args:
          predictor: the network.
          detect: finds the faces; None where each frame is one face, already cut out.
          alignment: how a face that is found is cut out.
          settings: how frames are pooled.
          batch: faces at a time.
          every: faces are looked for in every so many frames, and answered there.
          live: answer for each frame at once, as of a camera.
          tracker: makes what follows the faces from frame to frame.

        Raises:
          ValueError: an argument is out of range, or a product is asked for of a method that gives
            a value alone, whose distributions are points.
        """
        if every < 1 or batch < 1:
            raise ValueError(f"every, batch: expected 1 or more, got {every}, {batch}")
        self._predictor, self._detect, self._alignment = predictor, detect, alignment
        self._batch, self._every, self._live = batch, every, live
        self.pools = Pools(predictor, settings or PoolSettings())
        self._tracker = tracker()
        self._look_before: np.ndarray | None = None
        self.looks, self.unanswered = 0, 0
        self.failures: Counter[str] = Counter()
        self.untracked: Counter[str] = Counter()

    def wanted(self, index: int) -> bool:
        """Returns whether faces are looked for in the frame of that number."""
        return index % self._every == 0

    def answer(self, frames: Iterable[Frame], *, keep: bool = False) -> Iterator[Seen]:
        """Yields each frame as soon as its faces have their answers.

        Args:
          frames: in their order; those that are `wanted` with their picture.
          keep: whether the yielded frames have their picture still.
        """
        waiting: deque[_WaitingFrame] = deque()
        count = 0
        for frame in frames:
            tracked = self._look(frame) if self.wanted(frame.index) else self._between(frame)
            count += sum(face.pixels is not None for face in tracked)
            pixels = frame.image.width * frame.image.height if keep and frame.image else 1
            waiting.append(
                _WaitingFrame(frame if keep else dataclasses.replace(frame, image=None), tracked)
            )
            most = 1 if self._live else max(1, min(_MOST_HELD, _HELD // pixels))
            if count >= self._batch or len(waiting) >= most:
                yield from self._flush(waiting)
                count = 0
        yield from self._flush(waiting)
        self.pools.finish(self.looks)

    def _look(self, frame: Frame) -> list[_Face]:
        """Finds the faces of a frame, gives them their tracks, and cuts them out."""
        image = frame.image
        assert image is not None, "a frame in which faces are looked for has a picture"
        self.looks += 1
        if self._detect is None:
            whole = (0.0, 0.0, float(image.width), float(image.height))
            return [_Face(0, whole, whole, self._predictor.fitted(image))]
        cut = self._is_cut(image)
        try:
            squares = [
                (face.box, crops.square_in(face, self._alignment, image))
                for face in self._detect(image)
            ]
        except Exception as error:  # a detector may raise anything; the other frames go on
            self.failures[" ".join(str(error).split()) or type(error).__name__] += 1
            squares = []
        boxes = [box for box, _ in squares]
        try:
            if cut:
                self._tracker.restart()
            numbers = self._tracker.update(boxes, frame.seconds, image)
        except ValueError as error:  # of one's own tracker; the other frames go on
            self.untracked[" ".join(str(error).split())] += 1
            squares, numbers = [], []
        stored = self._predictor.preprocessing
        least = round(stored.stored_size / stored.crop)
        shown = {track.index: track.shown for track in self._tracker.followed}
        lingering = [face for face in self._between(frame) if face.track not in numbers]
        return lingering + [
            _Face(
                track,
                _box(shown[track]),
                box,
                self._predictor.fitted(align.cut(image, square, least)),
            )
            for track, (box, square) in zip(numbers, squares, strict=True)
        ]

    def _between(self, frame: Frame) -> list[_Face]:
        """Predicts where the faces are that were found last a moment ago."""
        if self._detect is None:
            size = frame.image.size if frame.image else (0, 0)
            return [_Face(0, (0.0, 0.0, float(size[0]), float(size[1])), None, None)]
        return [
            _Face(track.index, _box(track.predicted(frame.seconds, track.shown)), None, None)
            for track in self._tracker.followed
            if not track.misses or frame.seconds - track.seconds <= _LINGER
        ]

    def _is_cut(self, image: Image.Image) -> bool:
        """Returns whether the film was cut since the last look: nearly all colours changed."""
        step = max(1, min(image.size) // (4 * _CELLS))
        coarse = Image.fromarray(np.ascontiguousarray(np.asarray(image)[::step, ::step]))
        cells = np.asarray(coarse.resize((_CELLS, _CELLS), Image.Resampling.BOX), np.float32)
        before, self._look_before = self._look_before, cells
        return before is not None and float(np.abs(cells - before).mean()) > _CUT

    def _flush(self, waiting: deque[_WaitingFrame]) -> Iterator[Seen]:
        """Answers for the faces of all frames that wait, and yields the frames."""
        pixels = [f.pixels for _, tracked in waiting for f in tracked if f.pixels is not None]
        predictions = iter(self._predictions(pixels))
        while waiting:
            frame, tracked = waiting.popleft()
            answers = []
            for face in tracked:
                if face.pixels is not None and face.detected is not None:
                    value, probs = next(predictions)
                    if np.isfinite(value):
                        self.pools.add(face.track, frame, face.detected, value, probs)
                    else:
                        self.unanswered += 1
                answer = self.pools.answer(face.track, face.box)
                if answer is not None:
                    answers.append(answer)
            yield Seen(frame, tuple(answers))
        if self._detect is not None:
            self.pools.end_others({track.index for track in self._tracker.followed})

    def _predictions(self, pixels: Sequence[np.ndarray]) -> Iterator[tuple[float, np.ndarray]]:
        for start in range(0, len(pixels), self._batch):
            prediction = self._predictor.answer(np.stack(pixels[start : start + self._batch]))
            probs = np.asarray(prediction.probs)
            yield from zip(np.asarray(prediction.value).tolist(), probs, strict=True)


def _box(edges: np.ndarray) -> Box:
    left, top, right, bottom = edges.tolist()
    return left, top, right, bottom
