"""Calibrates a trained model on pictures that it was not trained on, and keeps that with it."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import files
from ldl_jax.calibration import Calibration, Options, check_count, fit, guarantee, least_count, rank
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import split_file
from ldl_jax.evaluation import calibrating, rates
from ldl_jax.evaluation.calibrating import Figures
from ldl_jax.evaluation.groups import joined
from ldl_jax.export import card
from ldl_jax.predict import one_file
from ldl_jax.predict.loading import load
from ldl_jax.predict.predictor import Predictor
from ldl_jax.predict.trust import check_name
from ldl_jax.run import config as schema
from ldl_jax.run import data, scoring, seen
from ldl_jax.run.candidates import Candidate, compared_in
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.data import LogLine
from ldl_jax.run.model_answers import answers_of
from ldl_jax.train import calibrated
from ldl_jax.train.stored import read_step
from ldl_jax.workdir import read_json

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class LabelledPart:
    """Labelled pictures to calibrate with.

    Attributes:
      config: its data section names the dataset and its parts.
      part: which, one of `scoring.PARTS`.
      of_run: whether they are the validation part of the model's own run.
    """

    config: Config
    part: str
    of_run: bool


@dataclasses.dataclass(frozen=True)
class CalibrationOutcome:
    """A calibration, and what it is worth.

    Attributes:
      calibration: fitted on all the pictures.
      pictures: how many there are.
      before: the figures of the answers as they were.
      after: those of calibrated answers, by cross-validation; None where there are too few labels.
      notes: remarks for readers of the numbers.
    """

    calibration: Calibration
    pictures: int
    before: Figures
    after: Figures | None
    notes: tuple[str, ...]


def validation_of(path: Path, trust: Sequence[str] = ()) -> LabelledPart:
    """Returns the validation part of the run that a checkpoint is of, by its own split.json.

    Args:
      path: the checkpoint.
      trust: the modules of readers that the run's config may have imported.

    Raises:
      ValueError: it is of no run, its files cannot be read, nothing was held out, or its data has
        a reader that is not trusted.
    """
    workdir = seen.workdir_of(path)
    remedy = "give labelled pictures that it was not trained on, with --config.data.name=..."
    if workdir is None:
        raise ValueError(f"{path} is of no run here, so it has no validation part; {remedy}")
    saved = schema.completed(read_json(workdir / "config.json"))["data"]
    config = schema.from_dict(schema.defaults().to_dict() | {"data": saved})
    for key, source in (("data.name", config.data), ("data.test.name", config.data.test)):
        check_name(key, source.name, trust, workdir)
    split = workdir / "split.json"
    if not split_file.ids(split, "validation"):
        raise DataError(
            f"{workdir}: the run held out no validation part, and train and test are not for "
            f"calibration; train with data.validation_fraction=0.2, or {remedy}"
        )
    section = dataclasses.replace(config.data, split_file=str(split))
    return LabelledPart(dataclasses.replace(config, data=section), "validation", of_run=True)


def calibrate(
    predictor: Predictor,
    path: Path,
    pictures: LabelledPart,
    options: Options,
    log: LogLine,
    progress: Progress,
) -> CalibrationOutcome:
    """Fits a calibration of a model to labelled pictures; nothing is written.

    Args:
      predictor: the model, without a calibration.
      path: where it was read from.
      pictures: that it was not trained on.
      options: what is fitted.
      log: takes lines for the user.
      progress: called with how many pictures the model has answered for, and of how many.

    Raises:
      ConfigError, DataError, ValueError: what is wrong with the model or the pictures.
    """
    candidate, reader = Candidate(path.name, path, predictor), data.Reader()
    config = pictures.config
    records = reader(candidate.as_trained(config.data))
    rows = scoring.chosen(config.data, records, pictures.part)[1]
    notes = _notes(candidate, pictures, records, rows)
    if predictor.value_alone:
        options = dataclasses.replace(options, temperature=False, recalibrate=False)
        notes.append(
            f"the method {predictor.about.method['name']} gives a value alone: its distribution is "
            "left as it is, and it has intervals now"
        )
    check_count(len(rows), options)
    quiet = scoring.of_all(log)
    answers = answers_of(candidate, config, records, rows, quiet, progress)
    name = f"{records.name}, {pictures.part} part" if pictures.part != "all" else records.name
    head = predictor.trained.params["head"]
    options = dataclasses.replace(options, network=calibrated.network_mark(head), data=name)
    known = answers.probs, answers.labels, predictor.space
    groups = joined(answers.groups)
    whom = groups, answers.subjects
    log(f"fits on {len(rows)} pictures, and measures by {calibrating.FOLDS}-fold cross-validation")
    fitted = fit(*known, options, *whom)
    after = None
    try:
        after = calibrating.crossed(*known, options, *whom)
    except ValueError as error:
        notes.append(f"cross-validation was left out: {error}")
    before = calibrating.before(*known, groups if options.groups else ())
    return CalibrationOutcome(
        fitted, len(rows), before, after, (*notes, *_guarantees(fitted, options))
    )


def _notes(
    candidate: Candidate, pictures: LabelledPart, records: Records, rows: np.ndarray
) -> list[str]:
    """Returns remarks on the pictures; raises ValueError where they are not for calibration."""
    space, labels = candidate.predictor.space, records.labels[rows]
    try:
        _, outside = compared_in(space, None, records.unit, labels)
    except ValueError as error:
        raise ValueError(f"the model {error}") from None
    config = pictures.config.data
    if not pictures.of_run:
        if config.space != "train":
            raise ConfigError(
                "data.space: a calibration is of the model's own labels; leave it out"
            )
        try:
            counts = seen.shared(candidate.checkpoint, config, records, rows)
        except (KeyError, TypeError, AttributeError):
            counts = None
        used = [
            f"{counts[part]} in {part}" for part in ("train", "test") if counts and counts[part]
        ]
        if used:
            raise DataError(
                f"of {len(rows)} pictures the model's run has {' and '.join(used)}, and these are "
                "not for calibration; take its validation part, or other pictures"
            )
        trained = seen.note(candidate.checkpoint, config, records, rows)
        return [note for note in (outside, trained, candidate.alignment_note(records)) if note]
    return [outside] if outside else []


def _guarantees(fitted: Calibration, options: Options) -> list[str]:
    """Returns what the intervals promise, and on which condition."""
    lines = [guarantee(fitted), *_spread(fitted, options.coverage)]
    needed = least_count(options.coverage)
    few = [f"{cell.name} ({cell.count})" for cell in fitted.groups if cell.count < needed]
    if few:
        lines.append(
            f"groups of fewer than {needed} pictures have the intervals of all at "
            f"{options.coverage:.0%}: {', '.join(few)}"
        )
    return lines


def _spread(fitted: Calibration, coverage: float) -> list[str]:
    """Returns a line on how far the share that intervals hold varies from draw to draw."""
    cells = fitted.groups or fitted.ranges or (fitted.overall,)
    texts = []
    for cell in cells:
        if rank(cell.count, coverage) <= cell.count:
            low, high = rates.conformal_range(cell.count, None, coverage)
            name = f" ({cell.name})" if cell.name else ""
            texts.append(f"{100 * low:.1f} to {100 * high:.1f} % of {cell.count} labels{name}")
    if not texts:
        return []
    return [
        f"what intervals of {100 * coverage:.4g}% hold of ever more new pictures lies, in 95 of "
        f"100 draws of the pictures that calibrate, within {', '.join(texts)}; of few new "
        "pictures it varies more"
    ]


def keep(
    predictor: Predictor, path: Path, calibration: Calibration, target: Path | None = None
) -> Path:
    """Keeps a calibration with a model, in its checkpoint or its file, or in a new file.

    Args:
      predictor: the model.
      path: where it was read from.
      calibration: of it.
      target: the new file, in one (.safetensors); None keeps it where the model is.

    Returns: the checkpoint or the file that has it now.
    Raises: ValueError, OSError: it cannot be written, or the model's run is training.
    """
    if target is not None or predictor.folder is None:
        about = dataclasses.replace(predictor.about, calibration=calibration)
        model = Predictor(about, predictor.trained)
        model.notes = predictor.notes
        model.notes = card.notes_of(model, path)  # which says that it is calibrated
        file = path if target is None else target
        one_file.write(model, file, dtype=_dtype(predictor) if target is None else "float32")
        return file
    workdir = seen.workdir_of(predictor.folder)
    about = read_step(predictor.folder)[0]  # as it is stored: of a run on features, the head's
    about = dataclasses.replace(about, calibration=calibration)
    if workdir is None:
        calibrated.keep(predictor.folder, about)
        return predictor.folder
    try:
        with files.lock(workdir):
            calibrated.keep(predictor.folder, about)
    except TimeoutError:
        raise ValueError(f"{workdir} is in use by a running job; calibrate it afterwards") from None
    return predictor.folder


def _dtype(predictor: Predictor) -> str:
    """Returns the type that a file's weights were kept in: bfloat16 where no bit is lost in it."""

    def whole(leaf: jax.Array | np.ndarray) -> bool:
        array = jnp.asarray(leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            return True
        return bool(jnp.all(array == array.astype(jnp.bfloat16).astype(array.dtype)))

    leaves: Sequence[jax.Array] = jax.tree.leaves(predictor.trained)
    return "bfloat16" if all(map(whole, leaves)) else "float32"


def opened(
    path: Path, trust: Sequence[str], unsealed: bool, in_place: bool, log: LogLine
) -> Predictor:
    """Loads a model without its calibration.

    Raises:
      ValueError: it cannot be read, or is of a kind of file that a calibration cannot be kept in.
    """
    predictor = load(path, trust=trust, allow_unsealed=unsealed, raw=True, log=log)
    if in_place and predictor.folder is None and not one_file.knows(path):
        raise ValueError(
            f"{path} is not this project's file, and a calibration cannot be kept in it; give "
            "--to=NAME.safetensors"
        )
    return predictor
