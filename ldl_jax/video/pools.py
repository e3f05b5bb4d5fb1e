"""Pools the answers for the faces of each track, frame by frame, into one answer."""

import dataclasses
import typing
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import arrays, calibration, decoders
from ldl_jax.calibration import Calibration
from ldl_jax.decoders import pooling
from ldl_jax.evaluation.answers import NOTHING, Answer, Asked, Box
from ldl_jax.labels import LabelSpace
from ldl_jax.predict.predictor import Predictor
from ldl_jax.video.reading import Frame

Pooling = Literal["product", "mean"]
POOLINGS: tuple[Pooling, ...] = typing.get_args(Pooling)


@dataclasses.dataclass(frozen=True)
class PoolSettings:
    """Says how the frames of a track become one answer.

    Attributes:
      pool: "product", which narrows with frames, or "mean" (`ldl_jax.decoders.product_pool`,
        `mean_pool`); None takes the product, and the mean of a method that gives a value alone.
      shared: the part of a frame's error that all frames of a face share, from 0 to 1: however
        many there are, they are worth less than 1 / shared independent ones.
      memory: seconds in which the rest of the error is forgotten.
      coverage: what an interval holds, between 0 and 1: a share of the distribution, or of the
        labels where the model is calibrated.
      least: a track of fewer frames with an answer is left out.
      boxes: whether tracks keep the box of each frame.
      group: of the people in the film, where the model is calibrated by group.
      asked: a threshold, and the width from which on intervals have no answer.
    """

    pool: Pooling | None = None
    shared: float = 0.5
    memory: float = 1.0
    coverage: float = 0.9
    least: int = 3
    boxes: bool = False
    group: str = ""
    asked: Asked = NOTHING

    def __post_init__(self) -> None:
        faults = []
        if self.pool not in (None, *POOLINGS):
            faults.append(f"pool: expected {' or '.join(POOLINGS)}, got {self.pool!r}")
        if not 0 <= self.shared <= 1:
            faults.append(f"shared: expected 0 to 1, got {self.shared}")
        if not self.memory > 0:
            faults.append(f"memory: expected seconds above 0, got {self.memory}")
        if not 0 < self.coverage < 1:
            faults.append(f"coverage: expected between 0 and 1, got {self.coverage}")
        if self.least < 1:
            faults.append(f"least: expected 1 or more, got {self.least}")
        if faults:
            raise ValueError("; ".join(faults))


class FrameBox(NamedTuple):
    """The box of a face in the frame of that number."""

    frame: int
    box: Box


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """The pooled answer for a face that was followed.

    Attributes:
      answer: the estimate, its interval and the pooled distribution; its face is the track's
        number, from 1, and its box that of the last frame.
      frames: how many frames have an answer for it.
      worth: how many independent frames they are worth; None of a mean.
      first, last: the numbers of its first and last frame, from 0.
      first_second, last_second: when they are shown.
      boxes: of its frames, where they were asked for.
    """

    answer: Answer
    frames: int
    worth: float | None
    first: int
    last: int
    first_second: float
    last_second: float
    boxes: tuple[FrameBox, ...] = ()


class _State(NamedTuple):
    """Holds what the device keeps of a track.

    The value of a picture may differ from the mean of its distribution (a median, CEN's second
    head). The pooled value is the pooled distribution's mean and the mean of these differences.
    """

    pool: pooling.Running
    difference: jax.Array
    inside: jax.Array  # [K], the share of frames whose calibrated interval holds the label
    pooled: jax.Array  # [K]
    numbers: jax.Array  # [4]: value, low, high, worth


@dataclasses.dataclass
class _Pooled:
    state: _State
    first: Frame
    last: Frame
    box: Box
    frames: int = 0
    track_number: int | None = None
    shown: tuple[float, float | None, float | None] = (0.0, None, None)
    boxes: list[FrameBox] = dataclasses.field(default_factory=list)


class Pools:
    """The pools of all tracks of a film; those that have ended keep their answer alone.

    Attributes:
      pool: how the frames are pooled.
      tracks: the tracks that have ended, by their numbers, once `finish` was called all of them.
      left_out: the tracks that had too few frames.
    """

    def __init__(self, predictor: Predictor, settings: PoolSettings) -> None:
        """Makes ready to pool.

        Raises:
          ValueError: the method has no distributions that could be multiplied, or the model was
            calibrated with too few labels for the coverage that each frame needs.
        """
        alone = predictor.stand_in
        if alone and settings.pool == "product":
            raise ValueError(
                f"pool: the method {predictor.about.method['name']} gives a value alone, of which "
                "there is no product; take mean"
            )
        self.pool: Pooling = settings.pool or ("mean" if alone else "product")
        self.tracks: list[Track] = []
        self.left_out = 0
        self._settings, self._alone = settings, predictor.value_alone
        self._open: dict[int, _Pooled] = {}
        self._count = 0
        self._space, size = predictor.space, predictor.space.size
        self._limit, self._score = _limit(predictor.about.calibration, settings), "cdf"
        if predictor.about.calibration is not None:
            self._score = predictor.about.calibration.score
        none = jnp.zeros(size)
        self._empty = _State(pooling.Running.empty(size), jnp.zeros(()), none, none, jnp.zeros(4))

    def add(self, track: int, frame: Frame, box: Box, value: float, probs: np.ndarray) -> None:
        """Pools the network's answer for one frame of a track."""
        pooled = self._open.get(track)
        if pooled is None:
            pooled = self._open[track] = _Pooled(self._empty, frame, frame, box)
        gap = np.float32(frame.seconds - pooled.last.seconds)
        arguments = pooled.state, np.float32(value), probs, gap, self._limit
        how = {"space": self._space, "settings": self._settings, "pool": self.pool}
        pooled.state = _step(*arguments, **how, score=self._score)
        value, low, high, _ = np.asarray(pooled.state.numbers).tolist()
        pooled.shown = (value, None, None) if self._alone else (value, low, high)
        pooled.last, pooled.box = dataclasses.replace(frame, image=None), box
        pooled.frames += 1
        if pooled.frames == 1:
            pooled.first = pooled.last
        if self._settings.boxes:
            pooled.boxes.append(FrameBox(frame.index, box))
        if pooled.track_number is None and pooled.frames >= self._settings.least:
            self._count += 1
            pooled.track_number = self._count

    def answer(self, track: int, box: Box) -> Answer | None:
        """Returns the answer of a track so far, with that box; None while it has few frames."""
        pooled = self._open.get(track)
        if pooled is None or pooled.track_number is None:
            return None
        probs = np.asarray(pooled.state.pooled)
        answer = Answer("", pooled.track_number, box, None, *pooled.shown, probs)
        # A frame shows no probability of the threshold; it is computed once, at the track's end.
        return dataclasses.replace(self._settings.asked, threshold=None).of(answer, self._space)

    def end_others(self, followed: set[int]) -> None:
        """Ends the tracks that are followed no longer."""
        for track in [track for track in self._open if track not in followed]:
            self._end(self._open.pop(track))

    def finish(self, looks: int) -> None:
        """Ends all tracks; in a film of fewer frames than `least` one in all of them counts."""
        for pooled in self._open.values():
            if pooled.track_number is None and 0 < looks <= pooled.frames:
                self._count += 1
                pooled.track_number = self._count
        self.end_others(set())
        self.tracks.sort(key=lambda track: track.answer.face)

    def _end(self, pooled: _Pooled) -> None:
        if pooled.track_number is None:
            self.left_out += 1
            return
        worth = float(pooled.state.numbers[3]) if self.pool == "product" else None
        probs = np.asarray(pooled.state.pooled)
        answer = Answer("", pooled.track_number, pooled.box, None, *pooled.shown, probs)
        answer = self._settings.asked.of(answer, self._space)
        first, last = pooled.first, pooled.last
        self.tracks.append(
            Track(
                answer,
                pooled.frames,
                worth,
                first.index,
                last.index,
                first.seconds,
                last.seconds,
                tuple(pooled.boxes),
            )
        )


def _stepped(
    state: _State,
    value: jax.Array,
    probs: jax.Array,
    gap: jax.Array,
    limit: jax.Array | None,
    *,
    space: LabelSpace,
    settings: PoolSettings,
    pool: Pooling,
    score: str,
) -> _State:
    """Returns the state with one more frame of the face."""
    running = pooling.add(state.pool, probs, gap, settings.memory)
    difference = value - decoders.expectation(probs, space)
    difference = state.difference + (difference - state.difference) / running.frames
    pooled = running.mean if pool == "mean" else running.product(settings.shared)
    inside = state.inside
    if limit is None:
        low, high = decoders.interval(pooled, space, settings.coverage)
    else:
        ends = calibration.conformal_interval(probs, space, limit, score)
        values = arrays.grid(space, 1)
        holds = ((values >= ends[0]) & (values <= ends[1])).astype(jnp.float32)
        inside = inside + (holds - inside) / running.frames
        low, high = calibration.majority_interval(inside, space)
    value = decoders.expectation(pooled, space) + difference
    worth = running.effective_count(settings.shared)
    return _State(running, difference, inside, pooled, jnp.stack([value, low, high, worth]))


# Compiled once for all films.
_step = jax.jit(_stepped, static_argnames=("space", "settings", "pool", "score"))


def _limit(known: Calibration | None, settings: PoolSettings) -> np.ndarray | None:
    """Returns the threshold of each frame's interval, of which more than half hold the label.

    Raises:
      ValueError: the calibration's labels were too few for it.
    """
    if known is None:
        return None
    each = calibration.single_coverage(settings.coverage)
    try:
        return np.asarray(calibration.limits(known, each, settings.group), np.float32)
    except ValueError as error:
        raise ValueError(
            f"coverage: {settings.coverage:g} of a film needs intervals of {each:g} of its frames "
            f"({str(error).removeprefix('coverage: ')})"
        ) from None
