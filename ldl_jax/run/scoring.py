"""Scores trained models on a labelled set, without any training."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.feed.feeds import Part
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import protocols
from ldl_jax.evaluation import analysis, compare, evaluate, report
from ldl_jax.evaluation.compare import Difference
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement
from ldl_jax.predict.predictor import Predictor, load
from ldl_jax.run import data, seen
from ldl_jax.run.config import Config, ConfigError, DataConfig
from ldl_jax.run.data import LogLine, Reader
from ldl_jax.run.named import short_names

PARTS = ("test", "validation", "train", "all")
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Score:
    """A model's answers for the pictures, and what they are worth.

    Attributes:
      name: the model's, in tables and in names of files.
      checkpoint: where it was read from.
      predictor: the model.
      predictions: for each picture, in the space that it is compared in.
      summary: the metrics.
      analysis: of the errors.
      difference: of the MAE from the first model's; None of the first.
      notes: remarks for readers of the numbers.
    """

    name: str
    checkpoint: Path
    predictor: Predictor
    predictions: Predictions
    summary: dict[str, float]
    analysis: dict[str, Any]
    difference: Difference | None
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The models on one part of a dataset.

    Attributes:
      part: which, one of PARTS.
      protocol: what a number of it may be called: the protocol's name, with what leaks.
      pictures: the part itself.
      models: a score a model.
      notes: remarks on the dataset.
    """

    part: str
    protocol: str
    pictures: Part
    models: tuple[Score, ...]
    notes: tuple[str, ...]


def score(
    checkpoints: Sequence[Path], config: Config, part: str, log: LogLine, progress: Progress
) -> Scores:
    """Returns the scores of models on a part of the dataset that a config's data section names.

    A model sees the pictures as it was trained to: its own size, crop, colours and flip.

    Args:
      checkpoints: what `ldl_jax.load` takes.
      config: `data` names the dataset and its parts, `evaluation.batch_size` the pictures at a
        time; all else is left alone.
      part: one of PARTS; "all" needs no split.
      log: takes lines for the user.
      progress: called with how many pictures a model has answered for, and of how many.

    Raises:
      ConfigError, DataError, ValueError: what is wrong with a model, the dataset or the config.
    """
    said: set[str] = set()

    def log_once(text: str) -> None:  # models of one size have the same pictures
        if text not in said:
            log(text)
        said.add(text)

    predictors = _load(checkpoints)
    names = short_names(checkpoints)
    read = Reader()
    configs = [_as_trained(config.data, predictor) for predictor in predictors]
    records = read(configs[0])
    parts, rows = _chosen(config.data, records, part)
    spaces, notes = _spaces(names, predictors, records, rows, config.data.space)
    for index, (path, predictor) in enumerate(zip(checkpoints, predictors, strict=True)):
        notes[index] += _alignment(predictor, records)
        notes[index] += seen.notes(path, configs[index], records, rows)
    protocol = _protocol(configs[0], records, parts, part, checkpoints, log)
    scores: list[Score] = []
    pictures: Part | None = None
    for index, predictor in enumerate(predictors):
        answers, pictures = _answers(
            predictor, config, configs[index], read(configs[index]), rows, log_once, progress
        )
        answers = _in_space(answers, spaces[index])
        first = scores[0].predictions if scores else None
        scores.append(
            Score(
                names[index],
                checkpoints[index],
                predictor,
                answers,
                report.summary(answers),
                analysis.analyse(answers, pictures.groups),
                None if first is None else compare.paired_difference(answers, first),
                tuple(notes[index]),
            )
        )
    assert pictures is not None, "there is a model"
    return Scores(part, protocol, pictures, tuple(scores), (*records.notes,))


def _load(checkpoints: Sequence[Path]) -> list[Predictor]:
    """Loads all models; the error names all that cannot be read."""
    predictors, faults = [], []
    for path in checkpoints:
        try:
            predictors.append(load(path))
        except ValueError as error:
            faults.append(str(error).removeprefix("path: "))
    if faults:
        raise ValueError(f"--checkpoint: {'; '.join(faults)}")
    return predictors


def _as_trained(config: DataConfig, predictor: Predictor) -> DataConfig:
    """Returns the data section with the sizes of the pictures that a model takes."""
    known = predictor.preprocessing
    return dataclasses.replace(
        config, size=known.size, stored_size=known.stored_size, crop=known.crop
    )


def _chosen(
    config: DataConfig, records: Records, part: str
) -> tuple[protocols.Parts | None, np.ndarray]:
    """Returns the split, where one is needed, and the rows of the part."""
    if part == "all":
        rows = np.arange(len(records))
    else:
        if config.protocol in protocols.FOLDED and config.fold < 0 and not config.split_file:
            raise ConfigError(
                f"data.fold: the protocol {config.protocol!r} has several runs, name one of them, "
                "as 0; or take --part=all"
            )
        try:
            parts = data.parts_of(config, records)
        except DataError as error:
            raise DataError(f"{error}; or score every picture with --part=all") from None
        rows = getattr(parts, part)
        if not len(rows):
            raise DataError(
                f"{records.name}: the {part} part is empty; hold some pictures out with "
                "data.validation_fraction, or take another --part"
            )
    unknown = rows[~np.isfinite(records.labels[rows])]
    if len(unknown):
        raise DataError(
            f"{records.sources[unknown[0]]}: the label is no number; {len(unknown)} of {len(rows)} "
            "are none"
        )
    return (None if part == "all" else parts), rows


def _spaces(
    names: Sequence[str],
    predictors: Sequence[Predictor],
    records: Records,
    rows: np.ndarray,
    stated: str,
) -> tuple[list[LabelSpace], list[list[str]]]:
    """Returns the label space that each model is compared in, and notes on it.

    Raises:
      ValueError: naming every model that cannot be compared with the labels.
    """
    space = None
    if stated != "train":
        with data.keys_below("data."):
            space = dataclasses.replace(LabelSpace.parse(stated), unit=records.unit)
        protocols.check_labels(records, space, rows)
    spaces, notes, faults = [], [], []
    for name, predictor in zip(names, predictors, strict=True):
        try:
            own, note = compared_in(predictor.space, space, records.unit, records.labels[rows])
        except ValueError as error:
            faults.append(f"{name} {error}")
            continue
        spaces.append(own)
        notes.append([note] if note else [])
    if faults:
        raise ValueError(f"--checkpoint: {'; '.join(faults)}")
    return spaces, notes


def compared_in(
    own: LabelSpace, stated: LabelSpace | None, unit: str, labels: np.ndarray
) -> tuple[LabelSpace, str]:
    """Returns the space that a model is compared with labels in, and a note for the reader or "".

    In the space that is stated, if one is, else in the model's own. Years are years: of ages the
    values are compared whatever the two spaces are. Another unit, as a score, is a scale of its
    own, so the model's ends must be those that are stated, or hold all labels.

    Args:
      own: the model's space.
      stated: the space of the labels, where it is known.
      unit: of the labels.
      labels: [N].

    Raises:
      ValueError: the two cannot be compared; the message goes on after the model's name.
    """
    if own.unit != unit:
        raise ValueError(f"answers in {own.unit}, and the labels are in {unit}")
    ends = f"{own.low:g} to {own.high:g} {unit}"
    if stated is not None and (stated.values, stated.bounds) == (own.values, own.bounds):
        return own, ""
    outside = int((~own.contains(labels)).sum())
    if unit != "years":
        other = stated is not None and (stated.low, stated.high) != (own.low, own.high)
        if other or outside:
            found = f"{labels.min():g} to {labels.max():g}"
            if stated is not None:
                found = f"{stated.low:g} to {stated.high:g}"
            raise ValueError(f"answers from {ends}, and the labels are from {found}: another scale")
    note = ""
    if outside:
        note = f"{outside} of {len(labels)} labels are beyond its own, {ends}"
    if stated is None:
        return own, note
    values = f"its values are compared, its distributions, over {own.size} labels, are left out"
    return stated, f"{values}; {note}" if note else values


def _alignment(predictor: Predictor, records: Records) -> list[str]:
    """Returns a note where faces were cut out in another way than the model is used to."""
    own, theirs = predictor.alignment, records.alignment
    if own.kind == "none" or own == theirs:
        return []
    text = f"its pictures were cut out by {own.kind} with a margin of {own.margin:g}"
    if theirs is None:
        return [f"{text}; how these were is not known"]
    other = f"{theirs.kind} with a margin of {theirs.margin:g}"
    return [f"{text}, these by {other}: errors differ by that alone"]


def _protocol(
    config: DataConfig,
    records: Records,
    parts: protocols.Parts | None,
    part: str,
    checkpoints: Sequence[Path],
    log: LogLine,
) -> str:
    """Returns what a number may be called; `log` takes the auditor's verdict on a test part."""
    for note in records.notes if parts is None else parts.notes:
        log(note)
    if parts is None:
        return "all pictures"
    if part != "test":
        return f"{parts.protocol}, {part} part"
    workdir = next((run for path in checkpoints if (run := seen.workdir_of(path))), None)
    return data.audited(config, records, parts, workdir, log)[0]


def _answers(
    predictor: Predictor,
    config: Config,
    own: DataConfig,
    records: Records,
    rows: np.ndarray,
    log: LogLine,
    progress: Progress,
) -> tuple[Predictions, Part]:
    """Returns a model's answers for some rows, and these as a part."""
    placement = make_placement()
    size = config.evaluation.batch_size
    placement.check_batch("evaluation.batch_size", size)
    least = -(-len(rows) // placement.devices) * placement.devices
    alone = protocols.Parts(rows[:0], rows[:0], rows)
    feed = data.feeds_of(own, records, alone, predictor.space, placement, log)["test"]
    predict, weights = predictor.pure
    step = evaluate.jit_predict(predict, feed.fetch, predictor.preprocessing, placement)
    answers = evaluate.evaluate(
        step, placement.place(weights), feed, predictor.space, min(size, least), progress
    )
    return answers, feed.part


def _in_space(answers: Predictions, space: LabelSpace) -> Predictions:
    """Returns the answers in the space that they are compared in."""
    if (space.values, space.bounds) == (answers.space.values, answers.space.bounds):
        return answers
    nothing = np.zeros((len(answers), 0), np.float32)
    return dataclasses.replace(answers, probs=nothing, space=space, truth_kl=None)
