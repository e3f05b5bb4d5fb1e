"""Fits a calibration to distributions and labels that the network was not trained on."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.calibration.conformal import SCORES, least_count, own_scores, thresholds
from ldl_jax.calibration.fitted import Calibration, Cell, apply
from ldl_jax.calibration.recalibration import fit_recalibration
from ldl_jax.calibration.temperature import fit_temperature, temper
from ldl_jax.labels import LabelSpace

# The coverages that thresholds are kept of: a higher one serves those between.
COVERAGES = tuple(
    round(float(x), 4)
    for x in (*np.arange(0.05, 0.5, 0.05), *np.arange(0.5, 0.995, 0.01), 0.995, 0.999)
)
_KNOTS = 2, 50  # the fewest and the most steps of the recalibration's curve


@dataclasses.dataclass(frozen=True)
class Options:
    """Says which parts of a calibration are fitted, and how.

    Attributes:
      temperature: whether distributions are tempered.
      recalibrate: whether their cumulative probabilities are mapped.
      score: of the intervals, one of `SCORES`.
      edges: the labels that ranges with thresholds of their own begin at, but for the first.
      groups: whether groups of people have thresholds of their own.
      coverage: what the intervals must be able to hold, in (0, 1): there must be labels enough.
      seed: of the draw of the labels that are for the distributions.
      network: what tells the network, for `Calibration.network`.
      data: what the pictures are, in words.

    Raises:
      ValueError: naming everything that is wrong.

    Examples:
      >>> calibration.Options(score="rps", coverage=0.95).parted
      True
    """

    temperature: bool = True
    recalibrate: bool = True
    score: str = "cdf"
    edges: tuple[float, ...] = ()
    groups: bool = False
    coverage: float = 0.9
    seed: int = 0
    network: str = ""
    data: str = ""

    def __post_init__(self) -> None:
        faults = []
        if self.score not in SCORES:
            faults.append(f"score: expected one of {', '.join(SCORES)}, got {self.score!r}")
        if not 0 < self.coverage <= COVERAGES[-1]:
            faults.append(
                f"coverage: expected above 0, at most {COVERAGES[-1]}, got {self.coverage}"
            )
        if self.groups and self.edges:
            faults.append("groups, edges: intervals are by group or by label, not by both")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def parted(self) -> bool:
        """Returns whether a third of the labels is for the distributions, not for intervals."""
        return self.temperature or self.recalibrate


def fit(
    probs: ArrayLike,
    labels: ArrayLike,
    space: LabelSpace,
    options: Options,
    groups: Sequence[str] = (),
    subjects: Sequence[str] = (),
) -> Calibration:
    """Fits temperature, recalibration and thresholds to N distributions and labels.

    The thresholds are of labels that the temperature and the map have not seen, since only these
    are exchangeable with new ones: a third of the rows, drawn by the seed, is for these two, and
    the others are for the thresholds. All pictures of a person are on one side.

    Args:
      probs: p [N, K], as the network gives them.
      labels: y [N].
      space: the K label values.
      options: what is fitted.
      groups: N groups of people, "" where unknown; needed where the options want them.
      subjects: N persons, "" where unknown.

    Raises:
      ValueError: the labels are too few for the coverage; the message says how many are needed. Or
        a number is not finite, no label has a group, or an edge leaves a range empty.

    Examples:
      >>> rng, space = np.random.default_rng(0), LabelSpace.range(0, 9)
      >>> p = rng.dirichlet(np.ones(10), 2000)
      >>> y = np.array([rng.choice(10, p=row) for row in p], float)
      >>> sure = p**3 / np.sum(p**3, axis=1, keepdims=True)  # too sure, by a power of 3
      >>> fitted = calibration.fit(sure, y, space, calibration.Options())
      >>> 2.5 < fitted.temperature < 3.5
      True
    """
    p = np.asarray(arrays.with_last_axis("probs", probs, space.size))
    y = np.asarray(arrays.with_shape("labels", labels, p.shape[:-1]))
    if p.ndim != 2:
        raise ValueError(f"probs: expected shape [N, {space.size}], got {list(p.shape)}")
    if not (np.isfinite(p).all() and np.isfinite(y).all()):
        raise ValueError("probs, labels: expected finite numbers")
    for name, values in (("groups", groups), ("subjects", subjects)):
        if len(values) not in (0, len(y)):
            raise ValueError(f"{name}: expected {len(y)}, got {len(values)}")
    if options.groups and not any(groups):
        raise ValueError("groups: none is known of these pictures")
    first, second = _parted(len(y), subjects, options)
    check_count(len(y), options, len(second))
    known = _maps(p, y, space, options, first)
    calibrated = np.asarray(apply(known, p[second]))
    label_scores = np.asarray(own_scores(calibrated, y[second], space, options.score))
    by_group: tuple[Cell, ...] = ()
    if options.groups:
        of = np.asarray(groups)[second]
        names = sorted({name for name in of.tolist() if name})
        by_group = tuple(_cell(name, label_scores[of == name]) for name in names)
    ranges = _ranges(label_scores, y[second], space, options) if options.edges else ()
    return dataclasses.replace(
        known, overall=_cell("", label_scores), groups=by_group, edges=options.edges, ranges=ranges
    )


def _parted(count: int, subjects: Sequence[str], options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows for the distributions, and those for the intervals."""
    if not options.parted:
        return np.arange(0), np.arange(count)
    named = [name or f"\0{row}" for row, name in enumerate(subjects or [""] * count)]
    persons = np.unique(named, return_inverse=True)[1]
    order = np.random.default_rng(options.seed).permutation(int(persons.max(initial=-1)) + 1)
    later = order[persons] >= len(order) // 3
    return np.flatnonzero(~later), np.flatnonzero(later)


def check_count(count: int, options: Options, thresholded: int | None = None) -> None:
    """Checks that so many labels are enough for the options' coverage.

    Args:
      count: of labels.
      options: what is to be fitted.
      thresholded: how many of them are for the thresholds, where that is known already.

    Raises:
      ValueError: they are too few; the message says how many are needed.

    Examples:
      >>> calibration.check_count(13, calibration.Options())
    """
    needed, parted = least_count(options.coverage), options.parted
    if thresholded is None:
        thresholded = count - count // 3 if parted else count
    if thresholded >= needed and (thresholded < count or not parted):
        return
    text = f"coverage: {options.coverage:g} needs {needed} labels that are for the intervals alone"
    if parted:
        whole = next(n for n in itertools.count(3) if n - n // 3 >= needed)
        text += f", so {whole} in all, as a third of them is for the distributions"
    raise ValueError(f"{text}; there are {count}")


def _maps(
    p: np.ndarray, y: np.ndarray, space: LabelSpace, options: Options, rows: np.ndarray
) -> Calibration:
    """Returns the calibration without its thresholds."""
    mask = np.isin(np.arange(len(y)), rows)  # rows of one number, so that little is compiled
    temperature, levels, curve = 1.0, np.zeros(0), np.zeros(0)
    if options.temperature:
        temperature = float(fit_temperature(p, y, space, mask))
    if options.recalibrate:
        levels = np.linspace(0, 1, int(np.clip(round(len(rows) ** 0.5), *_KNOTS)) + 1)
        levels = levels.astype(np.float32)
        curve = np.asarray(fit_recalibration(temper(p, temperature), y, space, levels, mask))
        curve = np.concatenate([[0.0], curve[1:-1], [1.0]])
    return Calibration(
        space=space,
        network=options.network,
        data=options.data,
        temperature=temperature,
        levels=tuple(map(float, levels)),
        curve=tuple(map(float, curve)),
        score=options.score,
        coverages=COVERAGES,
        overall=Cell("", 0, ()),
    )


def _cell(name: str, own: np.ndarray) -> Cell:
    return Cell(name, len(own), tuple(map(float, thresholds(own, COVERAGES))))


def _ranges(
    own: np.ndarray, labels: np.ndarray, space: LabelSpace, options: Options
) -> tuple[Cell, ...]:
    """Returns the thresholds of each range of labels."""
    values = np.asarray(space.values)[np.asarray(arrays.index(arrays.float32(labels), space))]
    of = np.searchsorted(np.asarray(options.edges), values, side="right")
    ends = ["", *(f"{edge:g}" for edge in options.edges), ""]
    names = [f"{low or 'below'} to {high}" for low, high in itertools.pairwise(ends)]
    names[0], names[-1] = f"below {ends[1]}", f"{ends[-2]} and above"
    needed = least_count(options.coverage)
    few = [
        f"{name} has {int(np.sum(of == index))}"
        for index, name in enumerate(names)
        if np.sum(of == index) < needed
    ]
    if few:
        raise ValueError(
            f"coverage: {options.coverage:g} needs {needed} labels in each range, and of the "
            f"{len(labels)} for the intervals {', '.join(few)}; take wider ranges"
        )
    return tuple(_cell(name, own[of == index]) for index, name in enumerate(names))
