"""Measures what a calibration is worth, before and after, on labels that it was not fitted to."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ldl_jax import arrays, metrics
from ldl_jax.calibration import Calibration, Options, apply, fit, interval
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.labels import LabelSpace

LEVELS = (0.5, 0.8, 0.9, 0.95)
FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Figures:
    """Measures of the distributions and the intervals of labelled pictures.

    Attributes:
      nll: the negative log-likelihood of the labels, in nats.
      ece: the expected calibration error of the most probable label.
      quantile_error: `metrics.quantile_calibration_error`.
      coverage: the share of labels in the intervals, by the share that was asked for; NaN where
        there were too few labels for it.
      width: the intervals' mean width, in the label's unit, likewise.
      groups: the share of each group's labels in the intervals of 90 %, and their number.
    """

    nll: float
    ece: float
    quantile_error: float
    coverage: dict[float, float]
    width: dict[float, float]
    groups: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)


Ends = Mapping[float, tuple[np.ndarray, np.ndarray]]


def figures(
    probs: np.ndarray,
    labels: np.ndarray,
    space: LabelSpace,
    ends: Ends,
    groups: Sequence[str] = (),
) -> Figures:
    """Returns the figures of N distributions, and of intervals [low], [high] by their coverage."""
    values = np.asarray(space.values, np.float32)[
        np.asarray(arrays.index(arrays.float32(labels), space))
    ]
    inside = {level: (values >= low) & (values <= high) for level, (low, high) in ends.items()}
    known = {level: bool(np.isfinite(low).all()) for level, (low, _) in ends.items()}
    of, by_group = np.asarray(groups), {}
    for name in sorted(set(groups)) if 0.9 in inside else ():
        rows = of == name
        by_group[name or "(unknown)"] = (float(inside[0.9][rows].mean()), int(rows.sum()))
    return Figures(
        nll=float(metrics.nll(probs, labels, space)),
        ece=float(metrics.ece(probs, labels, space)),
        quantile_error=float(metrics.quantile_calibration_error(probs, labels, space)),
        coverage={x: float(inside[x].mean()) if known[x] else math.nan for x in ends},
        width={x: float(np.mean(high - low)) for x, (low, high) in ends.items()},
        groups=by_group,
    )


def intervals(
    known: Calibration | None,
    probs: np.ndarray,
    space: LabelSpace,
    groups: Sequence[str] = (),
    levels: Sequence[float] = LEVELS,
) -> Ends:
    """Returns the intervals of answers at some coverages; NaN where there are too few labels."""
    ends: dict[float, tuple[np.ndarray, np.ndarray]] = {}
    of = np.asarray(groups or [""] * len(probs))
    for level in levels:
        low, high = np.full((2, len(probs)), np.nan, np.float32)
        for name in np.unique(of) if known is not None and known.groups else ("",):
            try:
                both = interval(known, probs, space, level, str(name))
            except ValueError:  # a calibration of few labels has no interval of a high coverage
                continue
            rows = (of == name) if known is not None and known.groups else slice(None)
            low[rows], high[rows] = (np.asarray(end)[rows] for end in both)
        ends[level] = low, high
    return ends


def before(
    probs: np.ndarray, labels: np.ndarray, space: LabelSpace, groups: Sequence[str] = ()
) -> Figures:
    """Returns the figures of answers as the network gives them, with central intervals."""
    return figures(probs, labels, space, intervals(None, probs, space), groups)


def crossed(
    probs: np.ndarray,
    labels: np.ndarray,
    space: LabelSpace,
    options: Options,
    groups: Sequence[str] = (),
    subjects: Sequence[str] = (),
) -> Figures:
    """Returns the figures of calibrated answers, each calibrated by the four folds it is not in.

    All pictures of a person are in one fold.

    Raises:
      ValueError: four folds have too few labels.
    """
    named = [name or f"\0{row}" for row, name in enumerate(subjects or [""] * len(labels))]
    persons = np.unique(named, return_inverse=True)[1]
    order = np.random.default_rng(options.seed + 1).permutation(int(persons.max()) + 1)
    fold = order[persons] % FOLDS
    after = np.zeros_like(probs)
    ends = {level: np.full((2, len(labels)), np.nan, np.float32) for level in LEVELS}
    for index in range(FOLDS):
        rest, held = np.flatnonzero(fold != index), np.flatnonzero(fold == index)
        if not len(held):
            continue
        known = fit(
            probs[rest],
            labels[rest],
            space,
            options,
            [groups[int(row)] for row in rest] if groups else (),
            [subjects[int(row)] for row in rest] if subjects else (),
        )
        after[held] = apply(known, probs[held])
        of_held = [groups[int(row)] for row in held] if groups else ()
        for level, both in intervals(known, after[held], space, of_held).items():
            ends[level][:, held] = both
    return figures(after, labels, space, {level: (x[0], x[1]) for level, x in ends.items()}, groups)


def table(first: Figures, second: Figures | None, space: LabelSpace) -> Grid:
    """Returns the figures before and after as a table."""
    digits = 1 if space.high - space.low >= 10 else 2
    rows = [
        ("negative log-likelihood, nats", "nll", "{:.3f}"),
        ("error of the most probable label (ECE)", "ece", "{:.3f}"),
        ("error of the quantiles", "quantile_error", "{:.5f}"),
    ]
    cells = [
        [text, *(_shown(form, None if x is None else getattr(x, key)) for x in (first, second))]
        for text, key, form in rows
    ]
    for level in LEVELS:
        share = [None if x is None else x.coverage[level] for x in (first, second)]
        width = [None if x is None else x.width[level] for x in (first, second)]
        cells.append([f"labels in intervals of {level:.0%}", *(_shown("{:.1%}", x) for x in share)])
        form = f"{{:.{digits}f}}"
        cells.append([f"their width, {space.unit}", *(_shown(form, x) for x in width)])
    for name, (share_of, count) in first.groups.items():
        later = None if second is None else second.groups[name][0]
        text = f"labels in intervals of 90%, {name} ({count})"
        cells.append([text, _shown("{:.1%}", share_of), _shown("{:.1%}", later)])
    columns = [Column("", right=False), Column("as it was"), Column("calibrated")]
    return Grid(columns, cells, caption=f"calibrated: by cross-validation in {FOLDS} folds")


def _shown(form: str, number: float | None) -> str:
    return "-" if number is None or math.isnan(number) else form.format(number)
