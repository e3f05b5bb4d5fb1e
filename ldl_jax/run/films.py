"""The films and the camera of `launch.predict`: what is checked, read and written."""

import contextlib
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, TaskID

from ldl_jax.data.align import Alignment, Detect
from ldl_jax.data.datasets.folders import Left
from ldl_jax.data.records import DataError
from ldl_jax.evaluation import grid
from ldl_jax.evaluation.answers import Asked, summary
from ldl_jax.evaluation.cells import plain
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import film_flags, targets
from ldl_jax.run.progress import bar
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.video import opening, tables
from ldl_jax.video.answering import FilmAnswers, Seen
from ldl_jax.video.film import answer_film, problems
from ldl_jax.video.pools import Pooling, Pools, PoolSettings
from ldl_jax.video.reading import FilmReader
from ldl_jax.video.writing import Writer


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
    return film_flags.CAMERA.value is not None


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
        present = [flag.name for flag in film_flags.ALL if flag.present]
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
    film_flags.check()
    opening.pyav()
    copy = targets.film_copy(annotate) if camera_given() and annotate is not None else None
    return ChosenFilms(targets.film_copies(films, annotate), film_flags.CAMERA.value, copy)


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
    tracker = film_flags.tracker_of()
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
                every=film_flags.EVERY.value,
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


def settings_of(task: FilmTask) -> PoolSettings:
    """Returns how the flags want the frames to be pooled."""
    pool = typing.cast(Pooling | None, film_flags.POOL.value)
    return PoolSettings(
        pool,
        film_flags.SHARED.value,
        coverage=task.coverage,
        least=film_flags.LEAST.value,
        boxes=film_flags.BOXES.value,
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
            seconds=film_flags.SECONDS.value,
            stop=lambda: interrupt.check() is not None,
            show=show,
        )
    progress.remove_task(task)
    lines = problems(film, answers)
    if writer is not None and writer.failed is not None:
        lines.append(str(writer.failed))
    return film, lines
