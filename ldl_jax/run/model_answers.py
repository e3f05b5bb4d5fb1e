"""Takes a model's answers for labelled pictures, and says what its calibrated intervals hold."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ldl_jax.calibration import Calibration, rank
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.augment.views import Views
from ldl_jax.data.records import Records
from ldl_jax.data.splits import protocols
from ldl_jax.evaluation import calibrating, evaluate, rates
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement
from ldl_jax.run import feeding, kept_features
from ldl_jax.run.candidates import Candidate, same_values
from ldl_jax.run.config import Config
from ldl_jax.run.data import LogLine

Progress = Callable[[int, int], None]
COVERAGE = 0.9
T = TypeVar("T")


def answers_of(
    candidate: Candidate,
    config: Config,
    records: Records,
    rows: np.ndarray,
    log: LogLine,
    progress: Progress,
) -> Predictions:
    """Returns a model's answers for some rows.

    A run on features has kept those of its pictures, and its model answers from them
    (`kept_features`). Another network that has much to do for a picture takes as few at a time as a
    CPU answers fastest (`Predictor.batch_size`), and not the config's evaluation.batch_size.
    """
    placement, predictor = make_placement(), candidate.predictor
    batch_size, space = config.evaluation.batch_size, predictor.space
    placement.check_batch("evaluation.batch_size", batch_size)
    known = kept_features.answering(candidate, config, records, rows, placement, log)
    inputs: Preprocessing | Views
    if known is not None:
        feed, predict, weights, inputs = known
    else:
        if predictor.batch_size == 1:
            batch_size = placement.devices
        alone = protocols.Parts(rows[:0], rows[:0], rows)
        as_trained = candidate.as_trained(config.data)
        feed = feeding.feeds_of(as_trained, records, alone, space, placement, log)["test"]
        (predict, weights), inputs = predictor.pure, predictor.preprocessing
    distributions = config.evaluation.distributions
    step = evaluate.jit_predict(predict, feed.fetch, inputs, placement, distributions=distributions)
    whole = -(-len(rows) // placement.devices) * placement.devices  # few pictures are one batch
    weights, batch_size = placement.place(weights), min(batch_size, whole)
    return evaluate.evaluate(step, weights, feed, space, batch_size, progress)


def of_part(answers: Predictions, records: Records, rows: np.ndarray) -> Predictions:
    """Returns the answers for some rows, of those for more; unreadable pictures have none."""
    wanted = {records.ids[row] for row in rows.tolist()}
    chosen = [index for index, name in enumerate(answers.ids) if name in wanted]
    if len(chosen) == len(answers):
        return answers

    def some(array: np.ndarray) -> np.ndarray:
        return array[chosen]

    def few(values: Sequence[T]) -> tuple[T, ...]:
        return tuple(values[index] for index in chosen) if values else ()

    return dataclasses.replace(
        answers,
        ids=few(answers.ids),
        labels=some(answers.labels),
        values=some(answers.values),
        probs=some(answers.probs),
        heads={name: some(head) for name, head in answers.heads.items()},
        sigma=None if answers.sigma is None else some(answers.sigma),
        truth_kl=None if answers.truth_kl is None else some(answers.truth_kl),
        subjects=few(answers.subjects),
        measures={name: some(column) for name, column in answers.measures.items()},
        groups={kind: few(of) for kind, of in answers.groups.items()},
    )


def in_space(answers: Predictions, space: LabelSpace) -> Predictions:
    """Returns the answers in the space that they are compared in."""
    if same_values(space, answers.space):
        return answers
    nothing = np.zeros((len(answers), 0), np.float32)
    return dataclasses.replace(answers, probs=nothing, space=space, truth_kl=None, measures={})


def held(known: Calibration | None, answers: Predictions, groups: Sequence[str]) -> str:
    """Returns what a calibrated model's intervals of 90 % hold of the labels, in words.

    Beside each share stands the range that it lies in for 95 % of all draws of the pictures that
    calibrated and of these (`rates.conformal_range`), where the calibration has a law for it: of
    all together, or of each group where groups are calibrated apart.
    """
    if known is None or not answers.probs.shape[1]:
        return ""
    ends = calibrating.intervals(known, answers.probs, answers.space, groups, (COVERAGE,))
    figures = calibrating.figures(answers.probs, answers.labels, answers.space, ends, groups)
    if not np.isfinite(figures.coverage[COVERAGE]):
        return "calibrated, with too few labels for intervals of 90 %"
    named = [name for name in answers.subjects if name]
    alone = len(named) == len(set(named))  # else the law, of a picture a person, does not hold
    apart = bool(known.groups or known.ranges)
    of_all = "" if apart or not alone else _range(known.overall.count, len(answers))
    text = (
        f"calibrated intervals of 90 % hold {figures.coverage[COVERAGE]:.1%} of the labels"
        f"{of_all and f' ({of_all})'} and are {figures.width[COVERAGE]:.2f} {answers.unit} wide"
    )
    if not any(groups):
        return text
    counts = {cell.name: cell.count for cell in known.groups if alone}
    by_group = []
    for name, (share, count) in figures.groups.items():
        expected = _range(counts.get(name, 0), count)
        by_group.append(f"{name} {share:.1%} ({'; '.join(filter(None, (str(count), expected)))})")
    return f"{text}; by group: {', '.join(by_group)}"


def _range(calibrated: int, tested: int) -> str:
    """Returns the range that is expected, in words; "" where labels were too few to calibrate."""
    if rank(calibrated, COVERAGE) > calibrated:
        return ""
    low, high = rates.conformal_range(calibrated, tested, COVERAGE)
    return f"expected of {calibrated} calibrated: {100 * low:.1f} to {100 * high:.1f} %"
