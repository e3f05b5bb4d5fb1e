"""Scores trained models on a labelled set, without any training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import protocols
from ldl_jax.evaluation import analysis, compare, decisions, report
from ldl_jax.evaluation import groups as of_people
from ldl_jax.evaluation.compare import Difference
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.evaluation.robustness import Robustness
from ldl_jax.labels import LabelSpace
from ldl_jax.run import data, seen
from ldl_jax.run.candidates import Candidate, load_all, spaces_of
from ldl_jax.run.config import Config, ConfigError, DataConfig
from ldl_jax.run.data import LogLine, Reader
from ldl_jax.run.model_answers import Progress, answers_of, held, in_space, of_part
from ldl_jax.run.progress import once

PARTS = ("test", "validation", "train", "all")


@dataclasses.dataclass(frozen=True)
class Score:
    """A model's answers for the pictures, and what they are worth.

    Attributes:
      candidate: the model.
      predictions: for each picture, in the space that it is compared in.
      summary: the metrics.
      analysis: of the errors.
      difference: of the MAE from the first model's; None of the first.
      notes: remarks for readers of the numbers.
      robustness: the errors on spoiled pictures, where these were looked at.
    """

    candidate: Candidate
    predictions: Predictions
    summary: dict[str, float]
    analysis: dict[str, Any]
    difference: Difference | None
    notes: tuple[str, ...]
    robustness: Robustness | None = None


@dataclasses.dataclass(frozen=True)
class Scores:
    """The models on one part of a dataset.

    Attributes:
      part: which, one of PARTS.
      protocol: what a number of it may be called: the protocol's name, with what leaks.
      models: a score a model.
      notes: remarks on the dataset.
    """

    part: str
    protocol: str
    models: tuple[Score, ...]
    notes: tuple[str, ...]

    @property
    def pictures(self) -> str:
        """The pictures of the part, as tables call them."""
        return report.pictures_of(self.part)


def score(
    checkpoints: Sequence[Path],
    config: Config,
    part: str,
    log: LogLine,
    progress: Progress,
    trust: Sequence[str] = (),
    thresholds: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    raw: bool = False,
) -> Scores:
    """Returns the scores of models on a part of the dataset that a config's data section names.

    A model sees the pictures as it was trained to: its own size, crop, colours and flip.

    Args:
      checkpoints: what `ldl_jax.load` takes.
      config: `data` names the dataset and its parts, `evaluation` the pictures at a time and
        whether their distributions are kept; all else is left alone.
      part: one of PARTS; "all" needs no split.
      log: takes lines for the user.
      progress: called with how many pictures a model has answered for, and of how many.
      trust: the modules of checkpoints' own methods that may be run, as of `ldl_jax.load`.
      thresholds: as of `analysis.analyse`.
      groups: the kinds of groups that errors are compared by; all of them where None.
      raw: whether models answer without their calibration.

    Raises:
      ConfigError, DataError, ValueError: what is wrong with a model, the dataset or the config.
    """
    asked = trust, thresholds, groups, raw
    return score_parts(checkpoints, config, (part,), log, progress, *asked)[0]


def score_parts(
    checkpoints: Sequence[Path],
    config: Config,
    parts: Sequence[str],
    log: LogLine,
    progress: Progress,
    trust: Sequence[str] = (),
    thresholds: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    raw: bool = False,
) -> list[Scores]:
    """Returns the scores on several parts, as `score`: each model is loaded, and asked, once."""
    candidates, read = load_all(checkpoints, trust, log, raw), Reader()
    records = read(candidates[0].as_trained(config.data))
    split, rows_of = None, dict[str, np.ndarray]()
    for part in parts:
        split, rows_of[part] = chosen(config.data, records, part, split)
    rows = np.concatenate([*rows_of.values()])
    spaces = spaces_of(candidates, records, rows, config.data.space)
    _check_flags(records, [space for space, _ in spaces], thresholds, groups)
    of_split = config.data, records, split
    # What is to be said of the split is said once, with the last part.
    names = [_protocol(*of_split, x, checkpoints, _quiet) for x in parts[:-1]]
    names.append(_protocol(*of_split, parts[-1], checkpoints, log))
    log_once = once(log if split and len(parts) == 1 else of_all(log))
    scores: list[list[Score]] = [[] for _ in parts]
    for candidate, (space, note) in zip(candidates, spaces, strict=True):
        own_records = read(candidate.as_trained(config.data))  # faces are drawn in its size
        answers = answers_of(candidate, config, own_records, rows, log_once, progress)
        for part, listed in zip(parts, scores, strict=True):
            some, known = of_part(answers, records, rows_of[part]), listed[0] if listed else None
            about = candidate, config, records, rows_of[part], space, note
            listed.append(_scored(some, about, known, thresholds, groups))
    each = zip(parts, names, scores, strict=True)
    return [Scores(part, name, tuple(listed), records.notes) for part, name, listed in each]


# A model, the config, the records, the rows, the space to compare in, and a note on that.
_About = tuple[Candidate, Config, Records, np.ndarray, LabelSpace, str]


def _scored(
    answers: Predictions,
    about: _About,
    first: Score | None,
    thresholds: Sequence[float] | None,
    groups: Sequence[str] | None,
) -> Score:
    """Returns what a model's answers for a part are worth; `first` is the first model's."""
    candidate, config, records, rows, space, note = about
    known = candidate.predictor.about.calibration
    intervals = held(known, answers, of_people.joined(answers.groups))
    answers = in_space(answers, space)
    if groups is not None:
        answers = dataclasses.replace(answers, groups=of_people.choose(answers.groups, groups))
    trained = seen.note(candidate.checkpoint, config.data, records, rows)
    notes = (note, candidate.alignment_note(records), trained, intervals)
    return Score(
        candidate,
        answers,
        report.summary(answers),
        analysis.analyse(answers, _thresholds(records, space, thresholds)),
        None if first is None else compare.paired_difference(answers, first.predictions),
        tuple(filter(None, notes)),
    )


def _quiet(text: str) -> None:
    """Takes a line that is said elsewhere."""


def _check_flags(
    records: Records,
    spaces: Sequence[LabelSpace],
    thresholds: Sequence[float] | None,
    groups: Sequence[str] | None,
) -> None:
    """Raises ValueError for thresholds outside the labels, and for groups that there are not."""
    faults = []
    known = [*spaces, *([LabelSpace.groups(records.bounds)] if records.bounds else [])]
    for space in dict.fromkeys(known):
        try:
            decisions.check(thresholds or (), space)
        except ValueError as error:
            faults.append(f"--thresholds: {error}")
    try:
        of_people.choose(records.groups, groups or ())
    except ValueError as error:
        faults.append(f"--groups: {records.name}: {error}")
    if faults:
        raise ValueError("; ".join(dict.fromkeys(faults)))


def _thresholds(
    records: Records, space: LabelSpace, thresholds: Sequence[float] | None
) -> Sequence[float]:
    """Returns the thresholds that are decided: the usual ones where none are asked for."""
    if thresholds is not None:
        return thresholds
    usual = decisions.usual(space)
    if records.bounds:  # a label within such a group does not tell
        known = decisions.usual(LabelSpace.groups(records.bounds, records.unit))
        usual = tuple(age for age in usual if age in known)
    return usual


def chosen(
    config: DataConfig, records: Records, part: str, known: protocols.Parts | None = None
) -> tuple[protocols.Parts | None, np.ndarray]:
    """Returns the split, where one is needed, and the rows of the part; `known` is that split."""
    parts, rows = known, np.arange(len(records))
    if part != "all":
        if config.protocol in protocols.FOLDED and config.fold < 0 and not config.split_file:
            raise ConfigError(
                f"data.fold: the protocol {config.protocol!r} has several runs, name one of them, "
                "as 0; or take --part=all"
            )
        try:
            parts = data.parts_of(config, records) if known is None else known
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
    return parts, rows


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
        return f"{parts.name}, {part} part"
    # A run on the same pictures has left their hashes.
    workdir = next((run for path in checkpoints if (run := seen.workdir_of(path))), None)
    return data.audited(config, records, parts, workdir, log)[0]


def of_all(log: LogLine) -> LogLine:
    """Returns a log that does not call all pictures of a dataset test pictures."""
    return lambda text: log(text.replace(" test pictures, labels", " pictures, labels"))
