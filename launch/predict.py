"""Predicts a value, an interval and the distribution for each face in pictures or films.

python -m launch.predict picture.jpg folder/ --checkpoint=runs/quickstart --annotate=out/
python -m launch.predict faces/ --checkpoint=imdb.h5 --aligned --csv=ages.csv
python -m launch.predict clip.mp4 --checkpoint=runs/quickstart --annotate=out.mp4 --json=out.json
python -m launch.predict --camera=0 --checkpoint=runs/quickstart
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from PIL import Image
from rich.console import Console

from ldl_jax.data import pictures
from ldl_jax.data.datasets import folders
from ldl_jax.evaluation import answers, grid, score_maps
from ldl_jax.evaluation.annotate import annotate
from ldl_jax.evaluation.answers import Answer
from ldl_jax.evaluation.cells import plain
from ldl_jax.files import whole
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import answering, films, targets
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.run.progress import bar, teller

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir, one checkpoint, or the file of an age model"
)
_AT_LEAST = flags.DEFINE_float(
    "threshold", None, "a label, as 18: gives the probability that somebody is that or more"
)
_WIDTH = flags.DEFINE_float(
    "max-width", None, "answers only where the interval is narrower than this"
)
_GROUP = flags.DEFINE_string(
    "group", "", "of the people in the pictures, where the model is calibrated by group"
)
_BATCH = flags.DEFINE_integer("batch", 64, "faces at a time")
_JSON = flags.DEFINE_string("json", None, "a JSON file to write; - for standard output")
_CSV = flags.DEFINE_string("csv", None, "a CSV file to write; - for standard output")
_ANNOTATE = flags.DEFINE_string(
    "annotate",
    None,
    "a folder for the pictures with boxes, values and distributions on them; of one film a file",
)
_SCORE_MAP = flags.DEFINE_string(
    "score-map",
    None,
    "a folder for the pictures with maps over them of what raises and what lowers the answer",
)

# A function that draws answers on a picture, and the file to write for each picture.
Drawing = tuple[Callable[[Image.Image, Sequence[Answer]], Image.Image], dict[Path, Path]]


def main(arguments: Sequence[str]) -> None:
    """Prints the answers; ends the process with 1 if a picture failed, after all the others."""
    quiet()
    if not arguments[1:] and not films.camera_given():
        fail(
            "give pictures or folders, films, or --camera: "
            "python -m launch.predict photo.jpg --checkpoint=DIR"
        )
    checkpoint = _CHECKPOINT.value
    if checkpoint is None:
        fail("--checkpoint: give a run's workdir, a checkpoint, or the file of an age model")
    try:
        faultless = run(arguments[1:], checkpoint)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; no table, JSON or CSV was written\n")
        sys.exit(130)
    except (ValueError, OSError) as error:
        fail(str(error))
    if not faultless:
        sys.exit(1)


def run(names: Sequence[str], checkpoint: str) -> bool:
    """Answers for pictures and folders, or films; returns whether all of them went well."""
    chosen = films.chosen(names, _ANNOTATE.value)
    _check_flags(are_films=chosen is not None)
    left: folders.Left = {}
    walked = films.walk(names, left) if chosen is None else []
    drawn = {flag.name: flag.value for flag in (_ANNOTATE, _SCORE_MAP)}
    outputs = targets.drawings(walked, drawn) if chosen is None else {}
    err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for note in (*folders.left_notes(left), *films.hints(left)):
        err.print(plain(note))
    tell = teller(err)
    predictor, warnings = answering.load(checkpoint, tell)
    warnings += answering.interval_notes(predictor, _GROUP.value, tell)
    space, of = predictor.space, (predictor.space, predictor.value_alone)
    asked = answers.check_asked(_AT_LEAST.value, _WIDTH.value, *of, stand_in=predictor.stand_in)
    drawings = _drawings(predictor, outputs) if chosen is None else []
    alignment = answering.alignment(predictor, tell)
    detect = answering.detector()
    if chosen is not None:
        megapixels, coverage = answering.MEGAPIXELS.value, answering.COVERAGE.value
        further = (warnings, _GROUP.value, asked)
        how = films.FilmTask(detect, alignment, _BATCH.value, coverage, megapixels, *further)
        well = films.run(chosen, predictor, how, err, _JSON.value, _CSV.value)
        return _is_newest(predictor, err) and well
    rows: list[Answer] = []
    problems = 0
    with bar(err) as progress:
        task = progress.add_task("pictures", total=len(walked))
        for picture in faces.answer(
            predictor,
            [path for path, _ in walked],
            detect=detect,
            alignment=alignment,
            batch=_BATCH.value,
            coverage=answering.COVERAGE.value,
            group=_GROUP.value,
            maps=_SCORE_MAP.value is not None,
            workers=answering.decoders(),
        ):
            for problem in picture.problems:
                err.print(plain(f"error: {' '.join(problem.split())}"))
            problems += len(picture.problems)
            answered = tuple(asked.of(answer, space) for answer in picture.answers)
            picture = dataclasses.replace(picture, answers=answered)
            if picture.answers:
                _draw(picture, drawings)
            # The maps are drawn by now, and each is as large as many distributions.
            rows += [dataclasses.replace(answer, score_map=None) for answer in picture.answers]
            progress.update(task, advance=1, description=f"{len(rows)} faces in pictures")
    if rows:
        answering.tell_value_alone(predictor, tell)
    _write(rows, predictor, warnings, asked)
    return _is_newest(predictor, err) and problems == 0


def _is_newest(predictor: Predictor, err: Console) -> bool:
    """Returns whether the newest checkpoint answered, or an older one that is allowed to."""
    if fault := answering.older(predictor):
        err.print(f"error: {fault}")
        return False
    return True


def _check_flags(*, are_films: bool) -> None:
    """Checks the flags before anything is read.

    Raises:
      ValueError: a flag has a wrong value, or two flags do not go together.
    """
    if _BATCH.value < 1:
        raise ValueError(f"--batch: expected 1 or more, got {_BATCH.value}")
    answering.check()
    if are_films and _SCORE_MAP.value is not None:
        raise ValueError("--score-map: of pictures alone, films have none")
    places: dict[str | Path, str] = {}
    for flag in (_JSON, _CSV, _ANNOTATE, _SCORE_MAP):
        name, value = flag.name, flag.value
        if value is None:
            continue
        target = value if value == "-" else Path(value).absolute()
        if target in places:
            raise ValueError(f"--{places[target]} and --{name} both go to {value}; give two places")
        places[target] = name
        if name != "annotate" or not are_films:  # of films `films.chosen` has checked it
            targets.check(name, value, folder=name in ("annotate", "score-map"))


def _drawings(predictor: Predictor, outputs: dict[str, dict[Path, Path]]) -> list[Drawing]:
    drawings: list[Drawing] = []
    if _ANNOTATE.value is not None:
        draw = functools.partial(annotate, space=predictor.space)
        drawings.append((draw, outputs[_ANNOTATE.name]))
    if _SCORE_MAP.value is not None:
        crop, unit = predictor.preprocessing.crop, predictor.space.unit
        overlay = functools.partial(score_maps.overlay, crop=crop, unit=unit)
        drawings.append((overlay, outputs[_SCORE_MAP.name]))
    return drawings


def _draw(picture: faces.Picture, drawings: Sequence[Drawing]) -> None:
    if not drawings:
        return
    image = pictures.read(picture.path)  # read again: pictures are not kept while faces wait
    for draw, files in drawings:
        with whole(files[picture.path]) as file:
            draw(image, picture.answers).save(file, "PNG")


def _write(
    rows: Sequence[Answer], predictor: Predictor, warnings: Sequence[str], asked: answers.Asked
) -> None:
    """Prints the table, unless JSON or CSV go to standard output, and writes the files."""
    space, coverage = predictor.space, answering.COVERAGE.value
    known = predictor.about.calibration
    if "-" not in (_JSON.value, _CSV.value) and rows:
        grid.show(Console(), answers.table(rows, space, coverage, asked, known, _GROUP.value))
    if _JSON.value is not None:
        calibrated = known is not None
        text = answers.to_json(rows, space, coverage, warnings, asked, calibrated=calibrated)
        targets.put(text, _JSON.value)
    if _CSV.value is not None:
        targets.put(answers.to_csv(rows, space, asked), _CSV.value)


def cli() -> None:
    """Runs the command, for `python -m launch.predict` and for `ldl-predict`."""
    start(main)


if __name__ == "__main__":
    cli()
