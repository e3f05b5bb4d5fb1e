"""The films and the camera of `launch.predict`: their flags, what is checked, read and written."""

import contextlib
import math
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from rich.console import Console
from rich.progress import Progress, TaskID

from ldl_jax.data.align import Alignment, Detect
from ldl_jax.data.datasets.folders import Left
from ldl_jax.data.records import DataError
from ldl_jax.evaluation import grid
from ldl_jax.evaluation.answers import Asked, summary
from ldl_jax.evaluation.cells import plain
from ldl_jax.factories import is_own
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import targets
from ldl_jax.run.pairs import pairs
from ldl_jax.run.progress import bar
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.video import opening, own_tracker, tables
from ldl_jax.video.answering import FilmAnswers, Seen
from ldl_jax.video.film import answer_film, problems
from ldl_jax.video.pools import POOLINGS, Pooling, Pools, PoolSettings
from ldl_jax.video.reading import FilmReader
from ldl_jax.video.tracking import MakeTracker, Tracker
from ldl_jax.video.writing import Writer

_CAMERA = flags.DEFINE_string(
    "camera", None, "answer for a camera: its number, from 0, or its name; Ctrl-C ends it"
)
_EVERY = flags.DEFINE_integer(
    "every", 1, "of films: look for faces in every so many frames, and follow them between"
)
_POOL = flags.DEFINE_enum(
    "pool",
    None,
    POOLINGS,
    "of films: how a face's frames are pooled; the product narrows with frames, the mean does not; "
    "by default the product, and the mean for methods that give a value alone",
)
_SHARED = flags.DEFINE_float(
    "shared-error",
    0.5,
    "of films: the part of a frame's error that all frames of a face share, from 0 to 1",
)
_LEAST = flags.DEFINE_integer(
    "least-frames", 3, "of films: a face with an answer in fewer frames is left out"
)
_BOXES = flags.DEFINE_boolean(
    "boxes", False, "of films: the JSON has the box of each face in each frame"
)
_TRACKER = flags.DEFINE_string(
    "tracker", "", "of films: what follows the faces, package.module:factory; by default our own"
)
_TRACKER_OPTION = flags.DEFINE_multi_string(
    "tracker-option", [], "NAME=VALUE of the tracker's factory; may be repeated"
)
_SECONDS = flags.DEFINE_float(
    "seconds", None, "of films: stop after so many seconds; by default at the end"
)
_FLAGS = (_CAMERA, _EVERY, _POOL, _SHARED, _LEAST, _BOXES, _SECONDS, _TRACKER, _TRACKER_OPTION)


class ChosenFilms(NamedTuple):
    """The films to answer for, each with the file of its annotated copy, or one camera."""

    films: Mapping[Path, Path | None]
    camera: str | None
    copy: Path | None  # the annotated film of the camera


class FilmTask(NamedTuple):
    """Says how the command's other flags want films to be answered."""

    detect: Detect | None
    alignment: Alignment
    batch: int
    coverage: float
    megapixels: float | None
    warnings: Sequence[str]
    group: str
    asked: Asked


def camera_given() -> bool:
    """Returns whether the command line asks for a camera."""
    return _CAMERA.value is not None


def chosen(names: Sequence[str], annotate: str | None) -> ChosenFilms | None:
    """Returns the films that are named, or the camera; None where pictures are.

    Args:
      names: the files and folders of the command line.
      annotate: where annotated films go: a film's name, or a folder for several.

    Raises:
      ValueError: pictures and films are mixed, a flag is wrong or goes with the other only, or two
        films would share a file.
    """
    paths = [Path(name) for name in names]
    films = [path for path in paths if path.suffix.lower() in opening.SUFFIXES]
    films = list(dict.fromkeys(path for path in films if not path.is_dir()))
    if not films and not camera_given():
        present = [flag.name for flag in _FLAGS if flag.present]
        if present:
            raise ValueError(f"--{present[0]}: of films and cameras, and none is named")
        return None
    if camera_given() and names:
        raise ValueError(f"--camera: answers for the camera alone; leave out {names[0]}")
    pictures = [path for path in paths if path not in films]
    if pictures:
        raise ValueError(
            f"{films[0]} is a film and {pictures[0]} is none: give films and pictures in two calls"
        )
    for path in films:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        if not path.is_file():
            raise ValueError(f"{path}: is no regular file and no folder")
    _check_flags()
    opening.pyav()
    copy = targets.film_copy(annotate) if camera_given() and annotate is not None else None
    return ChosenFilms(targets.film_copies(films, annotate), _CAMERA.value, copy)


def walk(names: Sequence[str], left: Left) -> list[tuple[Path, Path]]:
    """Finds the pictures as `ldl_jax.predict.faces.walk`; where there are none, films are named."""
    try:
        return faces.walk(names, left)
    except ValueError as error:
        raise ValueError("; ".join([str(error), *hints(left)])) from error


def hints(left: Left) -> list[str]:
    """Returns a line on how to have the films answered that a folder's pictures leave out."""
    names = [name for names in left.values() for name in names]
    films = [name for name in names if Path(name).suffix.lower() in opening.SUFFIXES]
    return [f"films are answered where they are named: launch.predict {films[0]}"] if films else []


def run(
    films: ChosenFilms,
    predictor: Predictor,
    task: FilmTask,
    err: Console,
    json_place: str | None,
    csv_place: str | None,
) -> bool:
    """Answers for films, and writes the table, JSON and CSV; returns whether all went well.

    Raises:
      ValueError: the model cannot pool frames as the flags say; nothing is read or written then.
    """
    space, settings = predictor.space, settings_of(task)
    known = predictor.about.calibration
    try:
        Pools(predictor, settings)
    except ValueError as error:
        remedy = "" if known is None else "; or leave the calibration out, with --raw"
        raise ValueError(f"--{error}{remedy}") from None
    results, wrong, early = answer(films, predictor, task, err)
    if "-" not in (json_place, csv_place) and any(film.tracks for film in results):
        grid.show(Console(), tables.table(results, space, settings, known))
    if json_place is not None:
        text = tables.to_json(results, space, settings, task.warnings, calibrated=known is not None)
        targets.put(text, json_place)
    if csv_place is not None:
        targets.put(tables.to_csv(results, space, settings.asked), csv_place)
    if predictor.value_alone and any(film.tracks for film in results):
        err.print(
            f"the method {predictor.about.method['name']} gives a value alone: the frames' values "
            "are averaged, and there is no interval"
        )
    if early:
        err.print("stopped; what was answered before is written")
        sys.exit(130)
    return wrong == 0


def answer(
    films: ChosenFilms, predictor: Predictor, task: FilmTask, err: Console
) -> tuple[list[tables.Film], int, bool]:
    """Answers for each film, and says on `err` what is wrong with it.

    Ctrl-C ends the film that is being read; a second one ends the process.

    Returns: the films' answers, how many lines were wrong, and whether Ctrl-C ended them early.
    """
    settings = settings_of(task)
    tracker = tracker_of()
    results: list[tables.Film] = []
    wrong = 0
    live = films.camera is not None
    most = opening.MOST_PIXELS if task.megapixels is None else int(task.megapixels * 1e6)
    sources: list[tuple[Callable[[], opening.Opened], Path | None]] = [
        (lambda path=path: opening.open_film(path, most), copy)  # type: ignore[misc]
        for path, copy in films.films.items()
    ]
    if films.camera is not None:
        name = films.camera
        sources = [(lambda: opening.open_camera(name, most), films.copy)]
    with Interrupt() as interrupt, bar(err) as progress:
        for source, copy in sources:
            answers = FilmAnswers(
                predictor,
                detect=task.detect,
                alignment=task.alignment,
                settings=settings,
                batch=task.batch,
                every=_EVERY.value,
                live=live,
                tracker=tracker,
            )
            try:
                reader = FilmReader(source(), most)
            except DataError as error:
                err.print(plain(f"error: {' '.join(str(error).split())}"))
                wrong += 1
                continue
            film, lines = _one(reader, answers, copy, predictor, progress, interrupt)
            results.append(film)
            for line in lines:
                err.print(plain(f"error: {' '.join(line.split())}"))
            wrong += len(lines)
            if copy is not None and film.frames and reader.opened.has_sound:
                err.print(plain(f"{copy}: is without the film's sound"))
            if interrupt.check() is not None:
                break
        early = interrupt.check() is not None and not live
    return results, wrong, early


def tracker_of() -> MakeTracker:
    """Returns what makes the tracker that the flags name, one for each film."""
    if not _TRACKER.value:
        return Tracker
    options = pairs(_TRACKER_OPTION.name, _TRACKER_OPTION.value)
    return lambda: own_tracker.OwnTracker(_TRACKER.value, options)


def settings_of(task: FilmTask) -> PoolSettings:
    """Returns how the flags want the frames to be pooled."""
    pool = typing.cast(Pooling | None, _POOL.value)
    return PoolSettings(
        pool,
        _SHARED.value,
        coverage=task.coverage,
        least=_LEAST.value,
        boxes=_BOXES.value,
        group=task.group,
        asked=task.asked,
    )


def _one(
    reader: FilmReader,
    answers: FilmAnswers,
    copy: Path | None,
    predictor: Predictor,
    progress: Progress,
    interrupt: Interrupt,
) -> tuple[tables.Film, list[str]]:
    """Answers for one film; returns with it a line for each thing that is wrong."""
    task: TaskID = progress.add_task("frames", total=reader.opened.announced or None)

    def show(seen: Seen) -> None:
        texts = [f"#{a.face} {summary(a, predictor.space)}" for a in seen.answers]
        text = plain("  ".join(texts[:3]) or "frames")
        progress.update(task, completed=seen.frame.index + 1, description=text)

    writer = None if copy is None else Writer(copy, reader.opened.fps)
    with reader, writer or contextlib.nullcontext():
        film = answer_film(
            reader,
            answers,
            predictor.space,
            writer=writer,
            seconds=_SECONDS.value,
            stop=lambda: interrupt.check() is not None,
            show=show,
        )
    progress.remove_task(task)
    lines = problems(film, answers)
    if writer is not None and writer.failed is not None:
        lines.append(str(writer.failed))
    return film, lines


def _check_flags() -> None:
    faults = []
    if _EVERY.value < 1:
        faults.append(f"--every: expected 1 or more, got {_EVERY.value}")
    if not 0 <= _SHARED.value <= 1:
        faults.append(f"--shared-error: expected 0 to 1, got {_SHARED.value}")
    if _LEAST.value < 1:
        faults.append(f"--least-frames: expected 1 or more, got {_LEAST.value}")
    if _SECONDS.value is not None and not (0 < _SECONDS.value < math.inf):
        faults.append(f"--seconds: expected above 0, got {_SECONDS.value}")
    if _CAMERA.value == "":
        faults.append("--camera: expected a number or a name, got an empty one")
    if _TRACKER.value and not is_own(_TRACKER.value):
        faults.append(f"--tracker: expected package.module:factory, got {_TRACKER.value!r}")
    if _TRACKER_OPTION.value and not _TRACKER.value:
        faults.append("--tracker-option: is of a tracker of one's own; name it with --tracker")
    if faults:
        raise ValueError("; ".join(faults))
    if _TRACKER.value:
        own_tracker.check(_TRACKER.value, pairs(_TRACKER_OPTION.name, _TRACKER_OPTION.value))
