"""Predicts a value, an interval and the distribution for each face in pictures.

python -m launch.predict picture.jpg folder/ --checkpoint=runs/quickstart --annotate=out/
python -m launch.predict faces/ --checkpoint=imdb.h5 --aligned --csv=ages.csv
"""

import collections
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
from ldl_jax.evaluation.cells import plain, plain_lines
from ldl_jax.files import whole, write
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import answering
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.run.progress import bar, teller

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir, one checkpoint, or the file of an age model"
)
_BATCH = flags.DEFINE_integer("batch", 64, "faces at a time")
_JSON = flags.DEFINE_string("json", None, "a JSON file to write; - for standard output")
_CSV = flags.DEFINE_string("csv", None, "a CSV file to write; - for standard output")
_ANNOTATE = flags.DEFINE_string(
    "annotate", None, "a folder for the pictures with boxes, values and distributions on them"
)
_SCORE_MAP = flags.DEFINE_string(
    "score-map", None, "a folder for the pictures with their score maps over them"
)

# A function that draws answers on a picture, and the file to write for each picture.
Drawing = tuple[Callable[[Image.Image, Sequence[Answer]], Image.Image], dict[Path, Path]]


def main(arguments: Sequence[str]) -> None:
    """Prints the answers; ends the process with 1 if a picture failed, after all the others."""
    quiet()
    if not arguments[1:]:
        fail("give pictures or folders: python -m launch.predict photo.jpg --checkpoint=DIR")
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
    """Answers for pictures and folders; returns whether all of them went well."""
    _check_flags()
    left: folders.Left = {}
    walked = faces.walk(names, left)
    outputs = _outputs(walked)
    err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for note in folders.left_notes(left):
        err.print(plain(note))
    tell = teller(err)
    predictor, warnings = answering.load(checkpoint, tell)
    drawings = _drawings(predictor, outputs)
    alignment = answering.alignment(predictor, tell)
    detect = answering.detector()
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
            maps=_SCORE_MAP.value is not None,
            workers=answering.decoders(),
        ):
            for problem in picture.problems:
                err.print(plain(f"error: {' '.join(problem.split())}"))
            problems += len(picture.problems)
            if picture.answers:
                _draw(picture, drawings)
            # The maps are drawn by now, and each is as large as many distributions.
            rows += [dataclasses.replace(answer, score_map=None) for answer in picture.answers]
            progress.update(task, advance=1, description=f"{len(rows)} faces in pictures")
    if rows:
        answering.tell_value_alone(predictor, tell)
    _write(rows, predictor, warnings)
    if fault := answering.older(predictor):
        err.print(f"error: {fault}")
        return False
    return problems == 0


def _check_flags() -> None:
    """Checks the flags before anything is read.

    Raises:
      ValueError: a flag has a wrong value, or two flags do not go together.
    """
    if _BATCH.value < 1:
        raise ValueError(f"--batch: expected 1 or more, got {_BATCH.value}")
    answering.check()
    targets: dict[str | Path, str] = {}
    for flag in (_JSON, _CSV, _ANNOTATE, _SCORE_MAP):
        name, value = flag.name, flag.value
        if value is None:
            continue
        target = value if value == "-" else Path(value).absolute()
        if target in targets:
            raise ValueError(
                f"--{targets[target]} and --{name} both go to {value}; give two places"
            )
        targets[target] = name
        _check_target(name, value)


def _check_target(name: str, value: str) -> None:
    if not value:
        raise ValueError(f"--{name}: expected a path, got an empty one")
    path, folder = Path(value), name in ("annotate", "score-map")
    if folder and (value == "-" or path.is_file()):
        raise ValueError(f"--{name}: expected a folder, {value} is not one")
    if not folder and path.is_dir():
        raise ValueError(f"--{name}: expected a file, {value} is a folder")
    for parent in path.absolute().parents:
        if parent.is_file():
            raise ValueError(f"--{name}: {value} cannot be made, {parent} is a file")


def _outputs(walked: Sequence[tuple[Path, Path]]) -> dict[str, dict[Path, Path]]:
    """Returns, by the flag of each folder of drawings, the file to write for each picture.

    Raises:
      ValueError: two pictures would share a file, or one would replace a picture or lie elsewhere.
    """
    inputs = {path.resolve() for path, _ in walked}
    stems = [relative.with_suffix("") for _, relative in walked]
    counts = collections.Counter(stems)
    outputs: dict[str, dict[Path, Path]] = {}
    for flag in (_ANNOTATE, _SCORE_MAP):
        if flag.value is None:
            continue
        files: dict[Path, Path] = {}
        chosen: set[Path] = set()
        for (path, relative), stem in zip(walked, stems, strict=True):
            # Pictures a.jpg and a.png in one folder keep their whole names.
            name = f"{stem}.png" if counts[stem] == 1 else f"{relative}.png"
            file = Path(flag.value) / name
            if not file.parent.resolve().is_relative_to(Path(flag.value).resolve()):
                raise ValueError(f"--{flag.name}: {file} leads out of that folder, by a link in it")
            if file in chosen:
                raise ValueError(
                    f"--{flag.name}: {path} and another picture would both be {file}; "
                    "give their folders in two calls"
                )
            if file.resolve() in inputs:
                raise ValueError(f"--{flag.name}: {file} is one of the pictures; give a new folder")
            chosen.add(file)
            files[path] = file
        outputs[flag.name] = files
    return outputs


def _drawings(predictor: Predictor, outputs: dict[str, dict[Path, Path]]) -> list[Drawing]:
    drawings: list[Drawing] = []
    if _ANNOTATE.value is not None:
        draw = functools.partial(annotate, space=predictor.space)
        drawings.append((draw, outputs[_ANNOTATE.name]))
    if _SCORE_MAP.value is not None:
        predictor.check_score_maps()
        overlay = functools.partial(score_maps.overlay, crop=predictor.preprocessing.crop)
        drawings.append((overlay, outputs[_SCORE_MAP.name]))
    return drawings


def _draw(picture: faces.Picture, drawings: Sequence[Drawing]) -> None:
    if not drawings:
        return
    image = pictures.read(picture.path)  # read again: pictures are not kept while faces wait
    for draw, files in drawings:
        with whole(files[picture.path]) as file:
            draw(image, picture.answers).save(file, "PNG")


def _write(rows: Sequence[Answer], predictor: Predictor, warnings: Sequence[str] = ()) -> None:
    """Prints the table, unless JSON or CSV go to standard output, and writes the files."""
    space, coverage = predictor.space, answering.COVERAGE.value
    if "-" not in (_JSON.value, _CSV.value) and rows:
        grid.show(Console(), answers.table(rows, space, coverage))
    if _JSON.value is not None:
        _put(answers.to_json(rows, space, coverage, warnings), _JSON.value)
    if _CSV.value is not None:
        _put(answers.to_csv(rows, space), _CSV.value)


def _put(text: str, place: str) -> None:
    if place == "-":
        shown = plain_lines(text) if sys.stdout.isatty() else text
        sys.stdout.buffer.write(shown.encode("utf-8", "surrogateescape"))  # as a file's
        return
    write(place, text)


def cli() -> None:
    """Runs the command, for `python -m launch.predict` and for `ldl-predict`."""
    start(main)


if __name__ == "__main__":
    cli()
