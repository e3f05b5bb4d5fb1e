"""Operating points: a challenge age chosen on the validation part, and checked on the test part."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ldl_jax.evaluation import decisions
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.run.scoring import Scores


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Asks for an operating point: a false positive rate, and with what confidence.

    Raises:
      ValueError: one of the two is not between 0 and 1.
    """

    fpr: float
    confidence: float

    def __post_init__(self) -> None:
        for flag, value in (("max-fpr", self.fpr), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise ValueError(f"--{flag}: expected between 0 and 1, got {value:g}")


def choose(
    wanted: Wanted,
    thresholds: Sequence[float] | None,
    validation: Scores,
    test: Scores,
) -> list[dict[str, Any]]:
    """Returns a model's operating point at each threshold, of JSON's types, model by model.

    Keys: model, at, wanted_fpr, confidence, challenge (None where none can be shown to do), under
    (how many validation pictures the choice stands on), needed (the least number that could do),
    validation and test, the rates at that challenge age (fpr, fnr; None without one).
    """
    rows = []
    for chosen, tested in zip(validation.models, test.models, strict=True):
        space = tested.predictions.space
        for t in decisions.usual(space) if thresholds is None else thresholds:
            point = decisions.operating_point(chosen.predictions, t, wanted.fpr, wanted.confidence)
            rows.append(
                {
                    "model": tested.candidate.name,
                    "at": point.at,
                    "wanted_fpr": wanted.fpr,
                    "confidence": wanted.confidence,
                    "challenge": point.challenge,
                    "under": point.under,
                    "needed": point.needed,
                    "validation": _rates(chosen.predictions, point),
                    "test": _rates(tested.predictions, point),
                }
            )
    return rows


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns a line on what the points say, and on each that could not be chosen."""
    if not rows:
        return ["no threshold lies within the labels: there is no challenge age to choose"]
    first = rows[0]
    texts = [
        "challenge ages: the least for which the validation part shows a false positive rate of "
        f"at most {first['wanted_fpr']:.3g} with {first['confidence']:.3g} confidence"
    ]
    for row in rows:
        if row["challenge"] is None:
            few = row["under"] < row["needed"]
            why = f"; {row['needed']} are needed at the least" if few else ""
            texts.append(
                f"{row['model']}, at {row['at']:g}: none can be shown to do, of {row['under']} "
                f"validation pictures under it{why}"
            )
    return texts


def _rates(predictions: Predictions, point: decisions.Operating) -> dict[str, Any] | None:
    if point.challenge is None:
        return None
    return decisions.rates_at(predictions, point.at, point.challenge)
