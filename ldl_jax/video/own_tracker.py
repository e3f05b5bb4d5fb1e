"""Follows faces with a tracker that a user brings along, "package.module:factory"."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ldl_jax import factories
from ldl_jax.evaluation.answers import Box
from ldl_jax.video.tracking import Followed, moved

# `track(boxes, seconds)` or `track(boxes, seconds, image)`: the number of each box's track.
Track = Callable[..., Sequence[int]]
_BOXES = ((20.0, 20.0, 60.0, 60.0), (200.0, 20.0, 240.0, 60.0))  # of a trial
_SIZE = (320, 240)


class OwnTracker:
    """Gives the boxes of each frame the numbers that a user's function gives them.

    The factory is `factory(**options) -> track`, and `track(boxes, seconds)` returns a whole number
    of 0 or more for each box, the same one for the same face, and another one for another face.
    Boxes are (left, top, right, bottom) in pixels. A function with a parameter `image` is given
    the frame, too, as an RGB `PIL.Image`. Where the film is cut its method `restart()` is called;
    of a function without one a new one is made. Faces that it finds again, however late, go on:
    their tracks end with the film.

    Attributes:
      followed: the tracks so far.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        """Makes the tracker.

        Raises:
          ValueError: it cannot be imported or made.
        """
        self._name, self._options = name, options
        self._make()
        self._numbers: dict[int, int] = {}  # the track of each of the function's numbers
        self._next = 0
        self.followed: list[Followed] = []

    def update(
        self, boxes: Sequence[Box], seconds: float, image: Image.Image | None = None
    ) -> list[int]:
        """Returns the number of each box's track.

        Args:
          boxes: (left, top, right, bottom) in pixels.
          seconds: when the frame was taken; not before the frame before.
          image: the frame.

        Raises:
          ValueError: the function raised an error, or gave something else than a number a box.
        """
        edges_of = [tuple(map(float, box)) for box in boxes]
        try:
            result = self._track(edges_of, seconds, *((image,) if self._takes_image else ()))
        except Exception as error:  # a user's file is a program, and may raise anything
            raise ValueError(
                f"tracker: {self._name!r} raised {factories.said(error, self._track)}"
            ) from error
        answers = _checked(self._name, result, len(edges_of))
        known = {track.index: track for track in self.followed}
        for track in self.followed:
            track.misses += 1
        indices = []
        for answer, box in zip(answers, boxes, strict=True):
            if answer not in self._numbers:
                self._numbers[answer] = self._next
                self._next += 1
            index = self._numbers[answer]
            edges = np.asarray(box, np.float64)
            if index in known:
                moved(known[index], edges, seconds)
            else:
                self.followed.append(Followed(index, edges, edges, np.zeros(2), seconds))
            indices.append(index)
        return indices

    def restart(self) -> None:
        """Tells the tracker that the film was cut; one that cannot be told is made anew."""
        if callable(restart := getattr(self._track, "restart", None)):
            try:
                restart()
            except Exception as error:
                why = factories.said(error, restart)
                raise ValueError(f"tracker: {self._name!r}: its restart raised {why}") from error
            return
        self._make()
        self._numbers = {}
        self.followed = []

    def _make(self) -> None:
        """Makes the user's function, and looks whether it takes the frame."""
        factory = factories.imported("tracker", self._name, "factory(**options)")
        track = factories.call(
            "tracker", self._name, factory, {}, self._options, "--tracker-option="
        )
        if not callable(track):
            raise _error(self._name, type(track).__name__, "a function of boxes and seconds")
        self._track: Track = track
        self._takes_image = "image" in factories.parameters(track)


def check(name: str, options: Mapping[str, object]) -> None:
    """Follows two faces that stand still, through frames with both, one, and none of them.

    Raises:
      ValueError: the tracker cannot be made or called, gives something else than a whole number a
        box, the same one to two boxes of a frame, or others to faces that do not move; the message
        says which.
    """
    image = Image.new("RGB", _SIZE, (128, 128, 128))
    tracker = OwnTracker(name, options)
    frames = (_BOXES, _BOXES, _BOXES[:1], ())
    first = [tracker.update(boxes, index / 25, image) for index, boxes in enumerate(frames)]
    if first[0] != first[1]:
        raise _error(
            name,
            "other numbers in a second frame with the same two boxes",
            "the same: a face keeps its number",
        )
    tracker.restart()
    tracker.update(_BOXES, 0.2, image)


def _checked(name: str, result: Any, count: int) -> list[int]:
    shown = f"{result!r:.60} for {count} boxes"
    expected = "a list of a whole number of 0 or more for each"
    if not isinstance(result, Sequence | np.ndarray) or len(result) != count:
        raise _error(name, shown, expected)
    if not all(
        isinstance(x, int | np.integer) and not isinstance(x, bool) and x >= 0 for x in result
    ):
        raise _error(name, shown, expected)
    answers = [int(x) for x in result]
    if len({*answers}) != count:
        raise _error(name, shown, f"{expected}, each another one")
    return answers


def _error(name: str, actual: str, expected: str) -> ValueError:
    return ValueError(f"tracker: {name!r} gave {actual}, expected {expected}")
