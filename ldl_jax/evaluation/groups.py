"""Errors by group of people and by intersection, with bootstrap intervals over the people."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ldl_jax import decoders
from ldl_jax.evaluation import compare
from ldl_jax.evaluation.predictions import Predictions

NOT_GIVEN = "not given"
LEAST = 30  # people of a group, below which its numbers say little
MOST = 100  # intersections that are listed
COVERAGE = 0.9  # of the intervals whose coverage is compared
RESAMPLES, LEVEL = 1000, 0.95
_AT_ONCE = 2_000_000  # random numbers, to bound the memory
_interval = jax.jit(decoders.interval, static_argnums=(1, 2))


class Grouping(NamedTuple):
    """Parts people into groups in one way.

    Attributes:
      of: what the groups are of, as "sex" or "sex, skin" of an intersection.
      rows: bool [N] of each group, by its name, as "sex: male".
      unknown: the name of those whose group is not given, which is no group; or "".
    """

    of: str
    rows: dict[str, np.ndarray]
    unknown: str = ""


def members(predictions: Predictions) -> list[Grouping]:
    """Returns the groups of each kind, and with several kinds those of their intersection.

    Groups without a kind of their own (of the kind "group") go by their bare names. In an
    intersection are those whose every group is given. One of more than 100 groups is left out.
    """
    kinds = {kind: np.array(of) for kind, of in predictions.groups.items()}
    result = []
    for kind, of in kinds.items():
        names = [*sorted({*of.tolist()} - {""}), *([""] if (of == "").any() else [])]
        rows = {_name(kind, name): of == name for name in names}
        result.append(Grouping(kind, rows, _name(kind, "") if "" in names else ""))
    if len(kinds) > 1:
        tuples = list(zip(*predictions.groups.values(), strict=True))
        known = sorted({names for names in tuples if all(names)})
        if known and len(known) <= MOST:
            index = {names: i for i, names in enumerate(known)}
            where = np.array([index.get(names, -1) for names in tuples])
            titles = [", ".join(map(_name, kinds, names)) for names in known]
            crossed = {title: where == i for i, title in enumerate(titles)}
            result.append(Grouping(", ".join(kinds), crossed))
    return result


def joined(known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns each picture's group in the intersection of all kinds; "" where one is not given.

    Of one kind they are its own names; of none the result is empty.

    Examples:
      >>> joined({"sex": ("male", ""), "skin": ("I", "II")})
      ('sex: male, skin: I', '')
    """
    if len(known) < 2:
        return next(iter(known.values()), ())
    rows = zip(*known.values(), strict=True)
    return tuple(", ".join(map(_name, known, names)) if all(names) else "" for names in rows)


def choose(
    known: Mapping[str, tuple[str, ...]], kinds: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Returns the groups of some kinds alone.

    Raises:
      ValueError: naming every kind that there is not, and those that there are.
    """
    if missing := [kind for kind in kinds if kind not in known]:
        there = ", ".join(known) or "none"
        raise ValueError(f"no groups of {', '.join(map(repr, missing))}; there are: {there}")
    return {kind: known[kind] for kind in kinds}


def compare_groups(predictions: Predictions) -> dict[str, Any]:
    """Returns the errors of each group and how far groups are apart, of JSON's types.

    Intervals are of 95 %: percentiles over people drawn anew with replacement, each with all of his
    or her pictures, as of `compare.paired_difference`. Keys:
      by_group: of each group, in every grouping of `members`: pictures, people, mae, bias (mean of
        estimate - label), coverage90 (the share of labels within the central intervals of 90 %,
        with distributions); and each one's NAME_interval, None where it has none.
      group_differences: of each grouping with two groups or more of at least 30 people, and of each
        metric: the greatest and the least group, the difference of their metrics and the ratio of
        the least to the greatest, with the intervals of these two groups' difference and ratio. A
        bias has no ratio. People whose group is not given are no group here.
      groups_too_small: the groups of fewer than 30 people, which no difference is taken of.

    Without groups the three are empty.

    The two groups are named by what is seen: of more than two groups that are alike some are
    farthest apart by chance, and the interval, of these two alone, is too narrow by that.
    """
    named = members(predictions)
    if not named:
        return {"by_group": {}, "group_differences": [], "groups_too_small": []}
    clusters = np.asarray(compare.by_subject(predictions))
    columns = _columns(predictions)
    rows = {name: of for grouping in named for name, of in grouping.rows.items()}
    people = {name: len(np.unique(clusters[of])) for name, of in rows.items()}
    pairs = [
        (grouping.of, metric, *ends)
        for grouping in named
        for metric, column in columns.items()
        if (ends := _farthest(grouping, people, column))
    ]
    low, high = _resampled(clusters, columns, rows, [pair[1:] for pair in pairs])
    by_group: dict[str, dict[str, Any]] = {}
    position = 0
    for name, members_of in rows.items():
        by_group[name] = {"pictures": int(members_of.sum()), "people": people[name]}
        for metric, column in columns.items():
            by_group[name][metric] = float(column[members_of].mean())
            by_group[name][f"{metric}_interval"] = _ends(low, high, position)
            position += 1
    differences = []
    for of, metric, greatest, least in pairs:
        first, last = by_group[greatest][metric], by_group[least][metric]
        row: dict[str, Any] = {"of": of, "metric": metric, "greatest": greatest, "least": least}
        row |= {"difference": first - last, "difference_interval": _ends(low, high, position)}
        if metric != "bias":
            ratio = last / first if first else None
            row |= {"ratio": ratio, "ratio_interval": _ends(low, high, position + 1)}
        differences.append(row)
        position += 2
    small = [name for name in rows if people[name] < LEAST and name not in _unknown(named)]
    return {"by_group": by_group, "group_differences": differences, "groups_too_small": small}


def _name(kind: str, name: str) -> str:
    name = name or NOT_GIVEN
    return name if kind == "group" else f"{kind}: {name}"


def _unknown(named: Sequence[Grouping]) -> set[str]:
    return {grouping.unknown for grouping in named}


def _columns(predictions: Predictions) -> dict[str, np.ndarray]:
    """Returns each metric's values of single pictures, float64 [N], whose mean it is."""
    error = predictions.values.astype(np.float64) - predictions.labels
    columns = {"mae": np.abs(error), "bias": error}
    if predictions.probs.shape[1]:
        low, high = _interval(predictions.probs, predictions.space, COVERAGE)
        inside = (predictions.labels >= np.asarray(low)) & (predictions.labels <= np.asarray(high))
        columns["coverage90"] = inside.astype(np.float64)
    return columns


def _farthest(
    grouping: Grouping, people: Mapping[str, int], column: np.ndarray
) -> tuple[str, str] | None:
    """Returns the groups of the greatest and the least mean; None of fewer than two groups."""
    means = {
        name: float(column[of].mean())
        for name, of in grouping.rows.items()
        if name != grouping.unknown and people[name] >= LEAST
    }
    if len(means) < 2:
        return None
    return max(means, key=lambda name: means[name]), min(means, key=lambda name: means[name])


def _resampled(
    clusters: np.ndarray,
    columns: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray],
    pairs: Sequence[tuple[str, str, str]],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the intervals of every group's metrics, then of the pairs' differences.

    In the order of `rows`, each with all `columns`; then of each pair of groups, (metric, greatest,
    least), the difference and the ratio.
    """
    count = int(clusters.max()) + 1
    sums = np.stack(
        [np.bincount(clusters, of * x, count) for of in rows.values() for x in columns.values()]
    )
    sizes = np.stack([np.bincount(clusters, of, count) for of in rows.values()])
    names = list(rows)
    position = {
        (name, metric): i * len(columns) + j
        for i, name in enumerate(names)
        for j, metric in enumerate(columns)
    }
    ends = [[position[name, metric] for name in (a, b)] for metric, a, b in pairs]

    def statistic(index: np.ndarray, axis: int = -1) -> np.ndarray:
        """Returns the numbers [M, R] of R draws of people [R, C], or [M] of one draw [C]."""
        draws = np.atleast_2d(index)
        flat = draws + count * np.arange(len(draws))[:, None]
        times = np.bincount(flat.ravel(), minlength=len(draws) * count).astype(np.float64)
        drawn = times.reshape(-1, count).T
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (sums @ drawn) / np.repeat(sizes @ drawn, len(columns), axis=0)
            others = [x for a, b in ends for x in (means[a] - means[b], means[b] / means[a])]
        numbers = np.concatenate([means, np.reshape(others, (-1, len(draws)))])
        return numbers[:, 0] if index.ndim == 1 else numbers

    if count == 1:  # drawn anew it is the same
        once = statistic(np.zeros(1, np.int64))
        return once, once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of groups that a draw may leave out
        interval = stats.bootstrap(
            (np.arange(count),),
            statistic,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, _AT_ONCE // count),
            confidence_level=LEVEL,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)


def _ends(low: np.ndarray, high: np.ndarray, position: int) -> list[float] | None:
    """Returns the ends of an interval; None where a draw left a group without anybody."""
    ends = [float(low[position]), float(high[position])]
    return ends if np.isfinite(ends).all() else None
