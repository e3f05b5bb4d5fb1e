"""Scores models on spoiled copies of the pictures that they were scored on."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ldl_jax.data.feed.feeds import Part
from ldl_jax.data.splits import protocols
from ldl_jax.data.synthetic import corruptions
from ldl_jax.data.synthetic.corruptions import CORRUPTIONS, SEVERITIES
from ldl_jax.evaluation import robustness
from ldl_jax.evaluation.robustness import IntervalAnswers, Robustness
from ldl_jax.placement import make_placement
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import feeding, scoring
from ldl_jax.run.candidates import same_values
from ldl_jax.run.config import Config
from ldl_jax.run.data import LogLine, Reader
from ldl_jax.run.scoring import Score, Scores

_AT_ONCE = 256  # pictures that are decoded once and spoiled in every way
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Spoiling:
    """Names the corruptions that pictures get, and their severities.

    Attributes:
      kinds: some of `CORRUPTIONS`.
      severities: some of 1 to 5.
      most: how many pictures are spoiled, drawn by the data's seed; all of them where None.

    Raises:
      ValueError: there is no such corruption or severity, or none is named, or no picture.
    """

    kinds: tuple[str, ...] = CORRUPTIONS
    severities: tuple[int, ...] = tuple(SEVERITIES)
    most: int | None = None

    def __post_init__(self) -> None:
        faults = []
        if unknown := [kind for kind in self.kinds if kind not in CORRUPTIONS]:
            listed = ", ".join(map(repr, unknown))
            faults.append(f"--corruptions: expected some of {', '.join(CORRUPTIONS)}, got {listed}")
        wrong = [severity for severity in self.severities if severity not in SEVERITIES]
        if wrong or not self.severities:
            listed = ", ".join(map(str, wrong)) or "none"
            faults.append(f"--severities: expected some of 1 to 5, got {listed}")
        if self.most is not None and self.most < 1:
            faults.append(f"--spoiled-pictures: expected 1 or more, got {self.most}")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def each(self) -> list[tuple[str, int]]:
        """Every corruption with every severity."""
        severities = sorted(set(self.severities))
        return [(kind, severity) for kind in dict.fromkeys(self.kinds) for severity in severities]


def score(
    scores: Scores, config: Config, spoiling: Spoiling, log: LogLine, progress: Progress
) -> Scores:
    """Returns scores with what the models do on spoiled copies of the same pictures.

    A picture is spoiled as the network sees it, cut out and resized to the stored size.

    Args:
      scores: of the pictures as they are, with the models.
      config: what these were made with.
      spoiling: what is done to the pictures.
      log: takes lines for the user.
      progress: called with how many pictures a model has answered for, and of how many.

    Raises:
      DataError, ValueError: a picture cannot be read, or a model has another space than its scores.
    """
    read, models = Reader(), []
    for model in scores.models:
        part = _pictures(model, config, scores.part, spoiling.most, read, log)
        known = _of_one(model, part, spoiling, progress)
        models.append(dataclasses.replace(model, robustness=known))
    return dataclasses.replace(scores, models=tuple(models))


def by_model(scores: Scores) -> dict[str, Robustness]:
    """Returns what `score` found, by the models' names; empty where it was not asked for."""
    named = {model.candidate.name: model.robustness for model in scores.models}
    return {name: known for name, known in named.items() if known is not None}


def _pictures(
    model: Score, config: Config, part: str, most: int | None, read: Reader, log: LogLine
) -> Part:
    """Returns the pictures of a part as a model's feed has them, `most` of them at the most."""
    as_trained = model.candidate.as_trained(config.data)
    records = read(as_trained)
    _, rows = scoring.chosen(config.data, records, part)
    if most is not None and most < len(rows):
        drawn = np.random.default_rng(config.data.seed).choice(len(rows), most, replace=False)
        rows = rows[np.sort(drawn)]
    alone = protocols.Parts(rows[:0], rows[:0], rows)
    # They are read one after the other here, and none is kept on a device.
    streamed = dataclasses.replace(as_trained, feed="stream")
    space = model.candidate.predictor.space
    return feeding.feeds_of(streamed, records, alone, space, make_placement(), log)["test"].part


def _of_one(model: Score, part: Part, spoiling: Spoiling, progress: Progress) -> Robustness:
    predictor, answers = model.candidate.predictor, model.predictions
    intervals = same_values(predictor.space, answers.space) and not predictor.value_alone
    ways = [None, *spoiling.each]
    done: list[list[IntervalAnswers]] = [[] for _ in ways]
    for start in range(0, len(part), _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, len(part)))
        images = np.stack([part.picture(int(row)) for row in numbers])
        for listed, way in zip(done, ways, strict=True):
            spoiled = images if way is None else corruptions.spoil(images, *way, 0, numbers)
            listed.append(_estimates(predictor, spoiled, intervals=intervals))
        progress(int(numbers[-1]) + 1, len(part))
    clean, *others = (_joined(listed) for listed in done)
    by_way = dict(zip(spoiling.each, others, strict=True))
    return robustness.measure(part.labels, clean, by_way, part.subjects)


def _estimates(predictor: Predictor, images: np.ndarray, *, intervals: bool) -> IntervalAnswers:
    prediction = predictor.answer(images)
    if not intervals:
        return IntervalAnswers(np.asarray(prediction.value))
    try:
        low, high = predictor.interval(np.asarray(prediction.probs), robustness.COVERAGE)
    except ValueError:  # of a model that was calibrated with too few pictures for it
        return IntervalAnswers(np.asarray(prediction.value))
    return IntervalAnswers(np.asarray(prediction.value), low, high)


def _joined(parts: Sequence[IntervalAnswers]) -> IntervalAnswers:
    first, low, high = zip(*parts, strict=True)
    if low[0] is None:
        return IntervalAnswers(np.concatenate(first))
    return IntervalAnswers(*(np.concatenate(column) for column in (first, low, high)))
