"""Follows faces from frame to frame, by the overlap of their boxes and by their motion."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from ldl_jax.evaluation.answers import Box

# Boxes are widened by these parts of their sides before they are compared, first by the smaller.
_BUFFERS = (0.3, 0.5)
_LEAST_OVERLAP = 0.2  # of two widened boxes, to be one face: intersection over union
_MOTION = 0.5  # part of the error of a predicted middle that corrects the velocity
_PLACE = 0.6  # part of it that moves the box that is drawn
_COAST = 0.4  # seconds for which a face that is not seen is taken to move on


@dataclasses.dataclass
class Followed:
    """A face that is followed.

    Attributes:
      index: of the track, from 0; never used again.
      box: [4], where it was found last.
      shown: [4], the same with the detector's trembling smoothed away.
      velocity: [2], of its middle, in pixels a second.
      seconds: when it was found last.
      finds: how often it was found.
      misses: how often in a row it was looked for since, and not found.
    """

    index: int
    box: np.ndarray
    shown: np.ndarray
    velocity: np.ndarray
    seconds: float
    finds: int = 1
    misses: int = 0

    def predicted(self, seconds: float, box: np.ndarray | None = None) -> np.ndarray:
        """Returns where the box is at that time, if the face moves on as it did."""
        moved = self.velocity * min(max(seconds - self.seconds, 0.0), _COAST)
        return (self.box if box is None else box) + np.tile(moved, 2)


class Tracking(Protocol):
    """Gives the boxes of each frame the numbers of their tracks; see `Tracker`."""

    followed: list[Followed]

    def update(
        self, boxes: Sequence[Box], seconds: float, image: Image.Image | None = None
    ) -> list[int]:
        """Returns the number of each box's track, from the boxes and the frame."""

    def restart(self) -> None:
        """Ends all tracks, as after a cut in the film."""


MakeTracker = Callable[[], Tracking]  # one for each film


class Tracker:
    """Gives the boxes of each frame the numbers of their tracks.

    Each track is predicted with constant velocity. Boxes are assigned to tracks so that the sum of
    the overlaps is the greatest; what is left is tried again with wider boxes, for faces that jump.
    A track ends when its face was not found for `patience` seconds and in `looks` frames.

    Source: Bewley et al., "Simple Online and Realtime Tracking" (2016), with the buffered overlap
    of Yang et al., "Hard to Track Objects with Irregular Motions and Similar Appearances? Make It
    Easier by Buffering the Matching Space" (2023).

    Examples:
      >>> tracker = Tracker()
      >>> tracker.update([(10, 10, 30, 30), (60, 10, 80, 30)], 0.0)
      [0, 1]
      >>> tracker.update([(62, 10, 82, 30), (14, 10, 34, 30), (10, 70, 30, 90)], 0.04)
      [1, 0, 2]
    """

    def __init__(self, patience: float = 0.8, looks: int = 3) -> None:
        self._patience, self._looks = patience, looks
        self._next = 0
        self.followed: list[Followed] = []

    def update(
        self, boxes: Sequence[Box], seconds: float, image: Image.Image | None = None
    ) -> list[int]:
        """Returns the number of each box's track; a face that is new begins one.

        Args:
          boxes: (left, top, right, bottom) in pixels.
          seconds: when the frame was taken; not before the frame before.
          image: the frame, which is not looked at.
        """
        arrays = [np.asarray(box, np.float64) for box in boxes]
        tracks: list[Followed | None] = [None] * len(arrays)
        free = list(self.followed)
        for buffer in _BUFFERS:
            rows = [index for index, track in enumerate(tracks) if track is None]
            predictions = [track.predicted(seconds) for track in free]
            pairs = _assigned([arrays[index] for index in rows], predictions, buffer)
            for row, column in pairs:
                tracks[rows[row]] = free[column]
            columns = {column for _, column in pairs}
            free = [track for column, track in enumerate(free) if column not in columns]
        for track in free:
            track.misses += 1
        numbers = []
        for box, known in zip(arrays, tracks, strict=True):
            track = known or Followed(self._next, box, box, np.zeros(2), seconds)
            if known is None:
                self._next += 1
                self.followed.append(track)
            else:
                moved(track, box, seconds)
            numbers.append(track.index)
        self._end(seconds)
        return numbers

    def restart(self) -> None:
        """Ends all tracks, as after a cut in the film."""
        self.followed = []

    def _end(self, seconds: float) -> None:
        self.followed = [
            track
            for track in self.followed
            if track.misses < self._looks or seconds - track.seconds <= self._patience
        ]


def moved(track: Followed, box: np.ndarray, seconds: float) -> None:
    """Moves a track to where its face was found."""
    gap = seconds - track.seconds
    predicted = track.predicted(seconds)
    if gap > 0:
        error = (box - predicted).reshape(2, 2).mean(axis=0)
        part = 1.0 if track.finds == 1 else _MOTION
        track.velocity = track.velocity + part / gap * error
    shown = track.predicted(seconds, track.shown)
    track.shown = shown + _PLACE * (box - shown)
    track.box, track.seconds = box, seconds
    track.finds, track.misses = track.finds + 1, 0


def _assigned(
    boxes: Sequence[np.ndarray], predictions: Sequence[np.ndarray], buffer: float
) -> list[tuple[int, int]]:
    """Returns the pairs of a box and a prediction that are one face, each in one pair at most."""
    if not boxes or not predictions:
        return []
    # It takes half a second to import, which pictures do without.
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    overlaps = _overlaps(_widened(np.stack(boxes), buffer), _widened(np.stack(predictions), buffer))
    overlaps[overlaps < _LEAST_OVERLAP] = 0
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if overlaps[a, b] > 0]


def _widened(boxes: np.ndarray, buffer: float) -> np.ndarray:
    added = buffer * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - added, boxes[:, 2:] + added], axis=1)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the intersection over the union of each box of a [N, 4] and of b [M, 4]: [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=-1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
