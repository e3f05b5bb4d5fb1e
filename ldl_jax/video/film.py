"""Answers for a whole film, with what was wrong with it."""

import math
from collections.abc import Callable, Iterator

from ldl_jax.labels import LabelSpace
from ldl_jax.video.answering import FilmAnswers, Seen
from ldl_jax.video.reading import FilmReader, Frame
from ldl_jax.video.tables import Film
from ldl_jax.video.writing import Writer


def answer_film(
    reader: FilmReader,
    answers: FilmAnswers,
    space: LabelSpace,
    *,
    writer: Writer | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    show: Callable[[Seen], None] = lambda seen: None,
) -> Film:
    """Reads a film to its end, or as far as it can be read, and answers for its faces.

    Memory does not grow with the film, but by what is kept of each track.

    Args:
      reader: the film, from its beginning.
      answers: what answers; it is used up.
      space: the label space.
      writer: takes the frames with the answers drawn on them; see its `failed` afterwards.
      seconds: how much of the film is read; None for all of it.
      stop: asked after each frame whether to leave the rest.
      show: takes each frame that was answered, to show how far it is.

    Examples:
      >>> film = answer_film(
      ...     FilmReader(open_film(Path("clip.mp4"))),
      ...     FilmAnswers(predictor, detect=detect, alignment=predictor.alignment),
      ...     predictor.space,
      ... )  # doctest: +SKIP
      >>> [track.answer.value for track in film.tracks]  # doctest: +SKIP
      [34.2, 8.1]
    """
    reading = _Reading(reader, seconds, stop)
    count, ends = 0, 0.0
    wanted = answers.wanted if writer is None else lambda index: True
    for answered in answers.answer(reading.frames(wanted), keep=writer is not None):
        if writer is not None:
            writer.write(answered, space)
        count, ends = answered.frame.index + 1, answered.frame.seconds
        show(answered)
    damage = reader.damage
    if damage is not None and reading.stopped and damage.frame >= count:
        damage = None  # beyond what was asked for
    opened = reader.opened
    return Film(
        name=opened.name,
        frames=count,
        looks=answers.looks,
        fps=opened.fps,
        seconds=ends + 1 / (opened.fps or 25.0) if count else 0.0,
        size=opened.size,
        damage=damage,
        stopped=reading.stopped,
        pool=answers.pools.pool,
        tracks=tuple(answers.pools.tracks),
        left_out=answers.pools.left_out,
    )


class _Reading:
    """Reads a film until its end, a number of seconds, or a wish to stop."""

    def __init__(self, reader: FilmReader, seconds: float | None, stop: Callable[[], bool]) -> None:
        self._reader, self._stop = reader, stop
        self._seconds = math.inf if seconds is None else seconds
        self.stopped = False

    def frames(self, wanted: Callable[[int], bool]) -> Iterator[Frame]:
        """Yields the frames before that."""
        for frame in self._reader.read(wanted):
            self.stopped = self._stop() or frame.seconds >= self._seconds
            if self.stopped:
                return
            yield frame


def problems(film: Film, answers: FilmAnswers) -> list[str]:
    """Returns a line for each thing that was wrong with a film; mostly none."""
    lines = []
    if (damage := film.damage) is not None:
        lost = f", {damage.lost} could not" if damage.lost else ""
        lines.append(
            f"{film.name}: is damaged from frame {damage.frame} on ({damage.seconds:.2f} s; "
            f"{damage.reason}): {film.frames} frames could be read{lost}"
        )
    elif not film.frames and not film.stopped:
        lines.append(f"{film.name}: holds no frame")
    for reason, count in answers.failures.most_common(1):
        total = sum(answers.failures.values())
        lines.append(
            f"{film.name}: the detector failed in {total} of {film.looks} frames ({reason}, in "
            f"{count})"
        )
    for reason, count in answers.untracked.most_common(1):
        total = sum(answers.untracked.values())
        lines.append(
            f"{film.name}: faces could not be followed in {total} of {film.looks} frames "
            f"({reason}, in {count})"
        )
    if answers.unanswered:
        lines.append(
            f"{film.name}: the network's answer is no number for {answers.unanswered} faces"
        )
    if film.frames and not film.tracks and not lines:
        short = f"; {film.left_out} were seen in too few frames" if film.left_out else ""
        lines.append(f"{film.name}: no face was found in {film.looks} frames{short}")
    return lines
