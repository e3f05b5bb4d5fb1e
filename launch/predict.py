"""Answers for the faces in pictures: a value, an interval and the distribution for each.

python -m launch.predict picture.jpg folder/ --checkpoint=runs/quickstart --annotate=out/
python -m launch.predict faces/ --checkpoint=imdb.h5 --aligned --csv=ages.csv
"""

from __future__ import annotations

import collections
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image
from rich.console import Console

import ldl_jax
from ldl_jax.data import align, pictures
from ldl_jax.data.align import Alignment
from ldl_jax.evaluation import answers, score_maps
from ldl_jax.evaluation.annotate import annotate
from ldl_jax.evaluation.answers import Answer
from ldl_jax.evaluation.predictions import replacing
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.run.progress import bar

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir, one checkpoint, or the authors' SSR-Net file"
)
_ALIGNED = flags.DEFINE_boolean(
    "aligned", False, "each picture is one face, already cut out: look for none"
)
_ALIGN = flags.DEFINE_enum(
    "align",
    None,
    ["box", "similarity", "quad"],
    "how faces are cut out; by default as the checkpoint's training pictures were",
)
_MARGIN = flags.DEFINE_float(
    "margin", None, "around a face, as a share of its box; by default the checkpoint's"
)
_COVERAGE = flags.DEFINE_float("coverage", 0.9, "what the intervals hold of the distribution")
_BATCH = flags.DEFINE_integer("batch", 64, "faces at a time")
_JSON = flags.DEFINE_string("json", None, "a JSON file to write; - for standard output")
_CSV = flags.DEFINE_string("csv", None, "a CSV file to write; - for standard output")
_ANNOTATE = flags.DEFINE_string(
    "annotate", None, "a folder for the pictures with boxes, values and distributions on them"
)
_SCORE_MAP = flags.DEFINE_string(
    "score-map", None, "a folder for the pictures with their score maps over them"
)

Draw = Callable[[Image.Image, Sequence[Answer]], Image.Image]


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """A kind of picture that is drawn, and the file for each picture that it is drawn on."""

    draw: Draw
    files: dict[Path, Path]


def main(arguments: Sequence[str]) -> None:
    """Answers; ends the process with 1 where something is wrong, the other pictures done."""
    quiet()
    if not arguments[1:]:
        fail("give pictures or folders: python -m launch.predict photo.jpg --checkpoint=DIR")
    checkpoint = _CHECKPOINT.value
    if checkpoint is None:
        fail("--checkpoint: give a run's workdir, a checkpoint, or the authors' SSR-Net file")
    try:
        whole = run(arguments[1:], checkpoint)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; no table, JSON or CSV was written\n")
        sys.exit(130)
    except (ValueError, OSError) as error:
        fail(str(error))
    if not whole:
        sys.exit(1)


def run(names: Sequence[str], checkpoint: str) -> bool:
    """Answers for pictures and folders; whether nothing was wrong with any of them."""
    _check_flags()
    found = faces.walk(names)
    outputs = _outputs(found)
    predictor = ldl_jax.load(checkpoint)
    drawings = _drawings(predictor, outputs)
    err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    alignment = _alignment(predictor.alignment, err)
    detect = None if _ALIGNED.value else _detector()
    rows: list[Answer] = []
    problems = 0
    with bar(err) as progress:
        task = progress.add_task("pictures", total=len(found))
        for picture in faces.answer(
            predictor,
            [path for path, _ in found],
            detect=detect,
            alignment=alignment,
            batch=_BATCH.value,
            coverage=_COVERAGE.value,
            maps=_SCORE_MAP.value is not None,
        ):
            for problem in picture.problems:
                err.print(f"error: {' '.join(problem.split())}")
            problems += len(picture.problems)
            if picture.answers:
                _draw(picture, drawings)
            # A map is as large as many distributions, and drawn by now.
            rows += [dataclasses.replace(answer, score_map=None) for answer in picture.answers]
            progress.advance(task)
    if rows and all(np.count_nonzero(row.probs > 1e-6) <= 2 for row in rows):
        err.print(
            f"the method {predictor.about['method']['name']} gives a value alone: its distribution "
            "is the labels next to it, and its interval says nothing of how sure it is"
        )
    _write(rows, predictor)
    return problems == 0


def _check_flags() -> None:
    """What can be wrong before anything is read.

    Raises:
      ValueError: a flag's value, or two that do not go together.
    """
    if not 0 < _COVERAGE.value < 1:
        raise ValueError(f"--coverage: expected between 0 and 1, got {_COVERAGE.value}")
    if _BATCH.value < 1:
        raise ValueError(f"--batch: expected 1 or more, got {_BATCH.value}")
    for flag in (_ALIGN, _MARGIN):
        if _ALIGNED.value and flag.value is not None:
            raise ValueError(f"--{flag.name}: with --aligned no face is cut out; leave one of them")
    given = {
        flag.name: flag.value
        for flag in (_JSON, _CSV, _ANNOTATE, _SCORE_MAP)
        if flag.value is not None
    }
    places: dict[Any, str] = {}
    for name, value in given.items():
        place = value if value == "-" else Path(value).absolute()
        if place in places:
            raise ValueError(f"--{places[place]} and --{name} both go to {value}; give two places")
        places[place] = name
        _check_place(name, value)


def _check_place(name: str, value: str) -> None:
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


def _outputs(found: Sequence[tuple[Path, Path]]) -> dict[str, dict[Path, Path]]:
    """For each folder of drawings, the file of each picture.

    Raises:
      ValueError: two pictures would have one file, or a file would replace a picture that is read.
    """
    inputs = {path.resolve() for path, _ in found}
    stems = [relative.with_suffix("") for _, relative in found]
    counts = collections.Counter(stems)
    outputs: dict[str, dict[Path, Path]] = {}
    for flag in (_ANNOTATE, _SCORE_MAP):
        if flag.value is None:
            continue
        files: dict[Path, Path] = {}
        taken: set[Path] = set()
        for (path, relative), stem in zip(found, stems, strict=True):
            # a.jpg and a.png beside each other keep their whole names.
            name = f"{stem}.png" if counts[stem] == 1 else f"{relative}.png"
            file = Path(flag.value) / name
            if file in taken:
                raise ValueError(
                    f"--{flag.name}: {path} and another picture would both be {file}; "
                    "give their folders in two calls"
                )
            if file.resolve() in inputs:
                raise ValueError(f"--{flag.name}: {file} is one of the pictures; give a new folder")
            taken.add(file)
            files[path] = file
        outputs[flag.name] = files
    return outputs


def _alignment(stored: Alignment, err: Console) -> Alignment:
    """How faces are cut out: as the flags say, or as the checkpoint's pictures were."""
    changes: dict[str, Any] = {}
    if _ALIGN.value is not None:
        changes["kind"] = _ALIGN.value
    if _MARGIN.value is not None:
        changes["margin"] = _MARGIN.value
    chosen = dataclasses.replace(stored, **changes)
    if chosen.kind == "none" and not _ALIGNED.value:
        err.print(
            "the checkpoint does not say how its training pictures were cut out: faces are cut "
            f"out by their box with a margin of {chosen.margin:g}; see --align and --margin, or "
            "--aligned"
        )
    return chosen


def _detector() -> align.Detect:
    try:
        return align.mtcnn()
    except ValueError as error:
        raise ValueError(f"{error}; or give faces already cut out, with --aligned") from None


def _drawings(predictor: Predictor, outputs: dict[str, dict[Path, Path]]) -> list[_Drawing]:
    drawings = []
    if _ANNOTATE.value is not None:
        drawings.append(
            _Drawing(
                lambda image, found: annotate(image, found, predictor.space),
                outputs[_ANNOTATE.name],
            )
        )
    if _SCORE_MAP.value is not None:
        predictor.check_score_maps()
        crop = predictor.preprocessing.crop
        drawings.append(
            _Drawing(
                lambda image, found: score_maps.overlay(image, found, crop),
                outputs[_SCORE_MAP.name],
            )
        )
    return drawings


def _draw(picture: faces.Picture, drawings: Sequence[_Drawing]) -> None:
    if not drawings:
        return
    image = pictures.read(picture.path)  # again: pictures are not kept while faces wait
    for drawing in drawings:
        with replacing(drawing.files[picture.path]) as temporary:
            drawing.draw(image, picture.answers).save(temporary, "PNG")


def _write(rows: Sequence[Answer], predictor: Predictor) -> None:
    """The table, unless standard output is taken, and the files."""
    space, coverage = predictor.space, _COVERAGE.value
    if "-" not in (_JSON.value, _CSV.value) and rows:
        Console().print(answers.table(rows, space, coverage))
    if _JSON.value is not None:
        _put(answers.to_json(rows, space, coverage), _JSON.value)
    if _CSV.value is not None:
        _put(answers.to_csv(rows, space), _CSV.value)


def _put(text: str, place: str) -> None:
    if place == "-":
        sys.stdout.write(text)
        return
    with replacing(place) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def cli() -> None:
    """Runs the command, for `python -m launch.predict` and for `ldl-predict`."""
    start(main)


if __name__ == "__main__":
    cli()
