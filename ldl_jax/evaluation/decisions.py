"""Decisions at an age: how often somebody under it passes, and somebody over it is asked.

A person passes where the estimate is at or above the challenge age T, and is asked for a document
where it is below. Of those under the age t the share that passes is the false positive rate, of
those of t and over the share that is asked the false negative rate:

FPR(T) = |{n: y_n < t, ŷ_n >= T}| / |{n: y_n < t}|
FNR(T) = |{n: y_n >= t, ŷ_n < T}| / |{n: y_n >= t}|

T = t is a plain decision at t; "Challenge 25" at an age of 18 is t = 18, T = 25. The terms are
those of NIST's Face Analysis Technology Evaluation, Age Estimation and Verification (NIST IR 8525,
2024), where a positive is a person who is estimated to be within the ages that are allowed.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ldl_jax.evaluation import groups as of_people
from ldl_jax.evaluation import rates
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace

AGES = (18.0, 21.0, 25.0)
ABOVE = 10  # years up to which challenge ages lie above an age
STEP = 0.5  # years between the challenge ages that an operating point is chosen of
Decision = dict[str, Any]  # of JSON's types


def usual(space: LabelSpace) -> tuple[float, ...]:
    """Returns those of `AGES` that a label space can decide; none of other units than years."""
    if space.unit != "years":
        return ()
    return tuple(age for age in AGES if not _fault(age, space))


def check(thresholds: Sequence[float], space: LabelSpace) -> None:
    """Checks thresholds that somebody asks for.

    Raises:
      ValueError: they do not rise, or one is outside the labels, or within a group of them; the
        message says all that is wrong.
    """
    faults = [fault for t in thresholds if (fault := _fault(t, space))]
    if any(b <= a for a, b in itertools.pairwise(thresholds)):
        listed = ", ".join(f"{t:g}" for t in thresholds)
        faults.append(f"expected thresholds that rise, got {listed}")
    if faults:
        raise ValueError("; ".join(faults))


def _fault(t: float, space: LabelSpace) -> str:
    """Returns why a threshold cannot be decided among the labels, or ""."""
    if not space.low < t <= space.high:
        ends = f"above {space.low:g} and up to {space.high:g} {space.unit}"
        return f"{t:g} is outside the labels: expected {ends}"
    for low, high in space.bounds:
        if low < t <= high:
            return f"{t:g} is within the group {low:g} to {high:g}, whose label does not tell"
    return ""


def decide(predictions: Predictions, thresholds: Sequence[float] | None = None) -> list[Decision]:
    """Returns the error rates of decisions at each threshold, of JSON's types.

    Each rate is a `rates.Rate` with its exact 95 % interval. Keys of a threshold's:
      at: the threshold t.
      fpr, fnr: the rates of the plain decision, T = t.
      challenge: T from t to t + 10 in whole years, each {at, fpr, fnr}; T is at most the greatest
        label.
      by_label: a row for each whole year from t - 10 to t + 10 that has pictures: label (that year
        up to the next), pictures, and passes, the share that passes at each T.
      by_group: fpr and fnr of each group of people, and challenge, as above.

    `thresholds` are `usual` ones where None. A threshold with nobody under it, or nobody over it,
    has rates of None.

    Raises:
      ValueError: as of `check`.
    """
    space = predictions.space
    if thresholds is None:
        thresholds = usual(space)
    check(thresholds, space)
    labels, values = (x.astype(np.float64) for x in (predictions.labels, predictions.values))
    everybody = np.ones(len(predictions), bool)
    named = of_people.members(predictions)
    decisions = []
    for t in thresholds:
        ages = np.arange(t, min(t + ABOVE, max(space.high, t)) + 1e-6)
        decisions.append(
            {
                "at": float(t),
                **_at(labels, values, everybody, t, ages),
                "by_label": _by_label(labels, values, t, ages),
                "by_group": {
                    name: _at(labels, values, rows, t, ages)
                    for grouping in named
                    for name, rows in grouping.rows.items()
                },
            }
        )
    return decisions


def _at(
    labels: np.ndarray, values: np.ndarray, rows: np.ndarray, t: float, ages: np.ndarray
) -> Decision:
    """Returns the rates of some rows at each challenge age, and those of the first."""
    under, over = rows & (labels < t), rows & (labels >= t)
    passes = (values[under, None] >= ages).sum(axis=0)
    asked = (values[over, None] < ages).sum(axis=0)
    fpr = rates.rates(passes, int(under.sum()))
    fnr = rates.rates(asked, int(over.sum()))
    challenge = [
        {"at": float(age), "fpr": a, "fnr": b} for age, a, b in zip(ages, fpr, fnr, strict=True)
    ]
    return {"fpr": fpr[0], "fnr": fnr[0], "challenge": challenge}


def _by_label(
    labels: np.ndarray, values: np.ndarray, t: float, ages: np.ndarray
) -> list[dict[str, Any]]:
    rows = []
    for year in range(int(np.floor(t)) - ABOVE, int(np.floor(t)) + ABOVE + 1):
        inside = (labels >= year) & (labels < year + 1)
        if inside.any():
            passes = (values[inside, None] >= ages).mean(axis=0)
            rows.append({"label": year, "pictures": int(inside.sum()), "passes": passes.tolist()})
    return rows


class Operating(NamedTuple):
    """A challenge age that was chosen on one part; None where none can be shown to do.

    Attributes:
      at: the age t that is decided.
      challenge: T, the least challenge age that does.
      under: how many pictures of people under t the choice stands on.
      needed: the least number of such pictures that could show it.
    """

    at: float
    challenge: float | None
    under: int
    needed: int


def operating_point(
    predictions: Predictions, t: float, fpr: float, confidence: float = 0.95
) -> Operating:
    """Returns the least challenge age T >= t whose false positive rate is shown to be low enough.

    With the confidence given, over the drawing of these pictures, FPR(T) <= fpr for other people of
    the same population. From the greatest label down by half a unit, each T is tested with the
    exact binomial p-value P(X <= k), X ~ B(n, fpr), k of the n people under t having passed; the
    first that is not shown ends the search. FPR(T) falls as T rises, and tests in a fixed order
    need no correction for how many they are.

    It holds of people who are drawn as these are, one picture each, and not of a group among them.

    Args:
      predictions: of pictures that were neither trained nor will be tested on.
      t: the age that is decided.
      fpr: the greatest false positive rate, in (0, 1).
      confidence: in (0, 1).

    Source: Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
    Control" (2021), fixed sequence testing.
    """
    if not 0 < fpr < 1 or not 0 < confidence < 1:
        raise ValueError(f"fpr, confidence: expected between 0 and 1, got {fpr:g}, {confidence:g}")
    space = predictions.space
    check([t], space)
    values = predictions.values[predictions.labels < t]
    challenges = np.append(np.arange(t, space.high, STEP), space.high)[::-1]
    passed = (values[:, None] >= challenges).sum(axis=0)
    shown = rates.are_below(passed, len(values), fpr, confidence)
    in_a_row = int(np.argmin(np.append(shown, False)))  # the first that is not shown ends it
    chosen = float(challenges[in_a_row - 1]) if in_a_row else None
    return Operating(float(t), chosen, len(values), rates.needed(fpr, confidence))


def rates_at(predictions: Predictions, t: float, challenge: float) -> Decision:
    """Returns fpr and fnr of decisions at t with one challenge age."""
    everybody = np.ones(len(predictions), bool)
    labels, values = (x.astype(np.float64) for x in (predictions.labels, predictions.values))
    both = _at(labels, values, everybody, t, np.array([challenge]))
    return {"fpr": both["fpr"], "fnr": both["fnr"]}
