"""Predicts a value, an interval and the distribution for each face in pictures.

python -m launch.predict picture.jpg folder/ --checkpoint=runs/quickstart --annotate=out/
python -m launch.predict faces/ --checkpoint=imdb.h5 --aligned --csv=ages.csv
"""

import collections
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from PIL import Image
from rich.console import Console

import ldl_jax
from ldl_jax.calibration import limits
from ldl_jax.data import pictures
from ldl_jax.data.align import Alignment, Detect
from ldl_jax.data.datasets import folders
from ldl_jax.data.detect import choice
from ldl_jax.evaluation import answers, grid, score_maps
from ldl_jax.evaluation.annotate import annotate
from ldl_jax.evaluation.answers import Answer
from ldl_jax.evaluation.cells import plain, plain_lines
from ldl_jax.files import whole, write
from ldl_jax.predict import faces
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.run.progress import bar

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir, one checkpoint, or the file of an age model"
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
_COVERAGE = flags.DEFINE_float(
    "coverage",
    0.9,
    "what the intervals hold: of new labels, where the model is calibrated, else of the "
    "distribution",
)
_RAW = flags.DEFINE_boolean("raw", False, "answer as the network does, without its calibration")
_GROUP = flags.DEFINE_string(
    "group", "", "of the people in the pictures, where the model is calibrated by group"
)
_DETECTOR = flags.DEFINE_string(
    "detector",
    "mtcnn",
    "what finds the faces: mtcnn, a .safetensors file of its weights, or package.module:factory",
)
_DETECTOR_OPTION = flags.DEFINE_multi_string(
    "detector-option",
    [],
    "NAME=VALUE of the detector, as smallest=40 or factor=0.8 of mtcnn's; may be repeated",
)
_THRESHOLD = flags.DEFINE_float(
    "detector-threshold", None, "the least confidence of a face that is found, from 0 to 1"
)
_MEGAPIXELS = flags.DEFINE_float(
    "max-megapixels",
    None,
    "the largest picture that is read, in millions of pixels; by default 178",
)
_TRUST = flags.DEFINE_multi_string(
    "trust", [], "a module that the checkpoint may have imported, and so run: package.module"
)
_OLDER = flags.DEFINE_boolean(
    "allow-older", False, "exit with 0 where a newer checkpoint is damaged and an older one answers"
)
_UNSEALED = flags.DEFINE_boolean(
    "allow-unsealed", False, "read a checkpoint that was sealed once and has no seal now"
)
_NONFINITE = flags.DEFINE_boolean("allow-nonfinite", False, "take weights that are NaN or infinite")
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
    warnings: list[str] = []
    predictor = ldl_jax.load(
        checkpoint,
        trust=_TRUST.value,
        allow_unsealed=_UNSEALED.value,
        allow_nonfinite=_NONFINITE.value,
        raw=_RAW.value,
        log=warnings.append,
    )
    warnings += _interval_notes(predictor)
    for line in warnings:
        err.print(plain(f"warning: {line}"))
    drawings = _drawings(predictor, outputs)
    alignment = _alignment(predictor.alignment, err)
    detect = None if _ALIGNED.value else _detector()
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
            coverage=_COVERAGE.value,
            group=_GROUP.value,
            maps=_SCORE_MAP.value is not None,
            workers=None if _MEGAPIXELS.value is None else faces.allow(_MEGAPIXELS.value),
        ):
            for problem in picture.problems:
                err.print(plain(f"error: {' '.join(problem.split())}"))
            problems += len(picture.problems)
            if picture.answers:
                _draw(picture, drawings)
            # The maps are drawn by now, and each is as large as many distributions.
            rows += [dataclasses.replace(answer, score_map=None) for answer in picture.answers]
            progress.update(task, advance=1, description=f"{len(rows)} faces in pictures")
    if rows and predictor.value_alone:
        err.print(
            f"the method {predictor.about.method['name']} gives a value alone: its distribution "
            "is the labels next to it, and it has no interval"
        )
    _write(rows, predictor, warnings)
    if predictor.older and not _OLDER.value:
        err.print("error: an older checkpoint answered; where that is wanted, give --allow-older")
        return False
    return problems == 0


def _interval_notes(predictor: Predictor) -> list[str]:
    """Returns what to say of the group; raises ValueError where the coverage cannot be had."""
    known, group = predictor.about.calibration, _GROUP.value
    if known is not None:
        try:
            limits(known, _COVERAGE.value, group)
        except ValueError as error:
            raise ValueError(f"--{error}; or leave the calibration out, with --raw") from None
    names = [cell.name for cell in known.groups] if known is not None else []
    if group and group not in names:
        listed = f"it knows {', '.join(names)}" if names else "it knows none"
        return [f"the model is not calibrated for the group {group!r} ({listed}): all's are taken"]
    return []


def _check_flags() -> None:
    """Checks the flags before anything is read.

    Raises:
      ValueError: a flag has a wrong value, or two flags do not go together.
    """
    if not 0 < _COVERAGE.value < 1:
        raise ValueError(f"--coverage: expected between 0 and 1, got {_COVERAGE.value}")
    if _BATCH.value < 1:
        raise ValueError(f"--batch: expected 1 or more, got {_BATCH.value}")
    if _THRESHOLD.value is not None and not 0 <= _THRESHOLD.value <= 1:
        raise ValueError(f"--detector-threshold: expected 0 to 1, got {_THRESHOLD.value}")
    if _MEGAPIXELS.value is not None and not 0 < _MEGAPIXELS.value < 1e5:
        raise ValueError(f"--max-megapixels: expected above 0, got {_MEGAPIXELS.value}")
    for flag in (_ALIGN, _MARGIN, _THRESHOLD, _DETECTOR, _DETECTOR_OPTION):
        if _ALIGNED.value and flag.present:
            raise ValueError(f"--{flag.name}: with --aligned no face is cut out; leave one of them")
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


def _alignment(stored: Alignment, err: Console) -> Alignment:
    """Returns how faces are cut out: as the flags say, else as the checkpoint's pictures were."""
    margin = stored.margin if _MARGIN.value is None else _MARGIN.value
    chosen = dataclasses.replace(stored, kind=_ALIGN.value or stored.kind, margin=margin)
    if chosen.kind == "none" and not _ALIGNED.value:
        err.print(
            "the checkpoint does not say how its training pictures were cut out: faces are cut "
            f"out by their box with a margin of {chosen.margin:g}; see --align and --margin, or "
            "--aligned"
        )
    return chosen


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--detector-option: expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)  # a number, true or false
    except ValueError:
        return name, value


def _detector() -> Detect:
    settings: dict[str, object] = dict(map(_option, _DETECTOR_OPTION.value))
    if _THRESHOLD.value is not None:
        settings["threshold"] = _THRESHOLD.value
    try:
        return choice.load(_DETECTOR.value, **settings)
    except ValueError as error:
        raise ValueError(f"{error}; or give faces already cut out, with --aligned") from None


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
    space, coverage = predictor.space, _COVERAGE.value
    if "-" not in (_JSON.value, _CSV.value) and rows:
        promised = predictor.about.calibration is not None
        grid.show(Console(), answers.table(rows, space, coverage, promised))
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
