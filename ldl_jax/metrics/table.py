"""The table of a run's metrics: the one place that lists them.

The summaries, the report's tables, the choice of the best weights, the columns of a sweep, the list
of runs and the documentation read it. A metric is added to all of them by a `MetricEntry`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import correlation, distribution, errors, labels
from ldl_jax.metrics.metric import (
    ArrayTree,
    Metric,
    Rows,
    Rules,
    averaged,
    mean_of,
    series,
)

# The units of a metric.
LABEL, PERCENT, NATS, PLAIN = "label", "%", "nats", ""
# The things that a metric may need of a part and of a method.
ORDER = "ordered labels"
VARIED = "labels that differ"
YEARS = "labels in years"
GROUPS = "groups of labels"
CLASSES = "groups or identities"
SIGMA = "sigma"
TRUTH = "true distributions"
MEASURED = "true distributions (not of older files)"
DISTRIBUTIONS = "distributions"


class Estimates(NamedTuple):
    """Estimates of N pictures, and what they are measured by; arrays [N]."""

    values: Rows  # in the label's unit
    labels: Rows
    probs: Rows  # [N, K]; [N, 0] where distributions are not kept
    sigma: Rows | None = None  # NaN where unknown; None where no label has one
    truth_kl: Rows | None = None  # KL(true || learned) in nats; NaN and None likewise
    measures: Mapping[str, Rows] = {}  # the other `metrics.truth.measures`, by key; NaN likewise


# The arrays that a metric is called on, and the mask.
Arguments = tuple[tuple[Rows, ...], Array | None]


def _values(estimates: Estimates, space: LabelSpace) -> Arguments:
    return (estimates.values, estimates.labels), None


def _probs(estimates: Estimates, space: LabelSpace) -> Arguments:
    return (estimates.probs, estimates.labels), None


def _classes(estimates: Estimates, space: LabelSpace) -> Arguments:
    """Identities are compared as they are, a value of groups as the group that holds it."""
    if not space.bounds:
        return (estimates.values, estimates.labels), None
    indices = []
    for x in (arrays.float32(x) for x in estimates[:2]):
        index = arrays.index(x, space).astype(jnp.float32)
        indices.append(arrays.nan_where(jnp.isnan(x), index))
    return tuple(indices), None


def _with_sigma(estimates: Estimates, space: LabelSpace) -> Arguments:
    assert estimates.sigma is not None, "needs SIGMA"
    return (*estimates[:2], estimates.sigma), arrays.float32(estimates.sigma) > 0


def _truth_kl(estimates: Estimates, space: LabelSpace) -> Arguments:
    assert estimates.truth_kl is not None, "needs TRUTH"
    return (estimates.truth_kl,), ~jnp.isnan(arrays.float32(estimates.truth_kl))


def _measure(key: str, estimates: Estimates, space: LabelSpace) -> Arguments:
    return (estimates.measures[key],), ~jnp.isnan(arrays.float32(estimates.measures[key]))


@averaged(mean_of, rows=1)
def _mean(x: Rows) -> Array:
    return series("x", x)


def _covered(space: LabelSpace) -> Metric[Array]:
    """Returns the fraction of `interval_coverage` at 90 %."""
    both = distribution.interval_coverage.over(space, 0.9)
    rules = Rules(both.init, both.update, both.merge, lambda acc: both.result(acc).fraction)
    return Metric(distribution.interval_coverage, lambda: rules, both.row_names)


@dataclasses.dataclass(frozen=True)
class MetricEntry:
    """A metric of a run: how it is called, measured and written, and whether more is better."""

    key: str  # its name in summaries, in generation_N.json and in a config's `best` and columns
    heading: str  # its name in tables
    better: str  # "less" or "more"; "" where neither is, as a coverage has a level to keep
    unit: str  # LABEL, PERCENT, NATS or PLAIN
    metric: Callable[[LabelSpace], Metric[Array]]  # of a space, the metric without parameters
    rows: Callable[[Estimates, LabelSpace], Arguments] = _values  # the arrays that it takes
    needs: tuple[str, ...] = (ORDER,)  # what a part or a method must offer, such as SIGMA
    form: str = "{:.3f}"  # how its number is written
    note: str = ""  # said below a table; "{unit}" is the label's, "{pictures}" whose it is
    heads: bool = False  # whether each head's estimate is measured as well, as "KEY_HEAD"
    shown: bool = True  # whether tables have it; a terminal of 80 columns has no room for all
    brief: bool = False  # whether the list of runs has it
    head: str = ""  # the head that is measured; "" where it is the method's own estimate

    @property
    def base(self) -> str:
        """The key without the head."""
        return self.key.removesuffix(f"_{self.head}")


def _ca(n: int) -> MetricEntry:
    return MetricEntry(
        f"ca{n}", f"CA({n}) %", "more", PERCENT, lambda space: errors.cumulative_accuracy.over(n),
        needs=(ORDER, YEARS), form="{:.2%}", brief=n == 5,
        note="CA(n): {pictures} with an error smaller than n {unit}, in %.",
    )  # fmt: skip


def _to_truth(key: str, better: str, unit: str = PLAIN) -> MetricEntry:
    """Returns the entry of a measure of `metrics.truth`, which tables do not show."""
    return MetricEntry(
        f"truth_{key}", f"{key} to truth", better, unit, lambda space: _mean,
        rows=functools.partial(_measure, f"truth_{key}"), needs=(ORDER, MEASURED), shown=False,
    )  # fmt: skip


_of_groups = functools.partial(MetricEntry, rows=_classes, form="{:.2%}")
_of_probs = functools.partial(MetricEntry, rows=_probs, needs=(ORDER, DISTRIBUTIONS), shown=False)
Accumulators = Mapping[str, ArrayTree]  # by a summary's keys
# In the order of a table's columns.
TABLE: tuple[MetricEntry, ...] = (
    MetricEntry("mae", "MAE", "less", LABEL, lambda space: errors.mae, heads=True, brief=True),
    MetricEntry("rmse", "RMSE", "less", LABEL, lambda space: errors.rmse),
    MetricEntry(
        "epsilon_error", "ε-error", "less", PLAIN, lambda space: errors.epsilon_error,
        rows=_with_sigma, needs=(ORDER, SIGMA),
    ),
    *map(_ca, (3, 5, 7)),
    _of_groups(
        "accuracy", "accuracy %", "more", PERCENT, lambda space: errors.accuracy,
        needs=(CLASSES,), brief=True,
        note="Accuracy: of the group; 1-off: of it or one beside it, in %.",
    ),
    _of_groups(
        "one_off_accuracy", "1-off %", "more", PERCENT, lambda space: errors.one_off_accuracy,
        needs=(GROUPS,),
    ),
    MetricEntry(
        "pearson", "Pearson r", "more", PLAIN, lambda space: correlation.pearson,
        needs=(ORDER, VARIED), brief=True,
    ),
    MetricEntry(
        "truth_kl", "KL to truth", "less", NATS, lambda space: _mean,
        rows=_truth_kl, needs=(ORDER, TRUTH), note="KL(true || learned distribution) in nats.",
    ),
    _of_probs("nll", "nll", "less", NATS, distribution.nll.over),
    _of_probs("crps", "crps", "less", LABEL, distribution.crps.over),
    _of_probs("coverage90", "coverage90", "", PLAIN, _covered),
    MetricEntry(
        "qwk", "QWK", "more", PLAIN, labels.quadratic_weighted_kappa.over,
        needs=(ORDER, VARIED), shown=False,
    ),
    MetricEntry("amae", "AMAE", "less", LABEL, labels.average_mae.over, shown=False),
    MetricEntry("mmae", "MMAE", "less", LABEL, labels.maximum_mae.over, shown=False),
    _to_truth("emd", "less", LABEL),
    _to_truth("js", "less", NATS),
    *(_to_truth(key, "less") for key in ("euclidean", "chebyshev", "clark", "canberra")),
    *(_to_truth(key, "more") for key in ("cosine", "intersection")),
)  # fmt: skip


def offers(
    space: LabelSpace,
    labels: np.ndarray,
    sigma: np.ndarray | None,
    truth: bool,
    probs: bool,
    measured: bool = False,
) -> frozenset[str]:
    """Returns what a part and a method offer to the metrics.

    `truth` says whether KL(true || learned) is known of some picture, `measured` whether the other
    measures are, `probs` whether the learned distributions are kept. `labels` and `sigma` are as in
    `Estimates`.
    """
    identities = space.unit == "identity"
    known = {
        ORDER: not identities,
        VARIED: bool(np.any(labels != labels[:1])),
        YEARS: space.unit == "years",
        GROUPS: bool(space.bounds),
        CLASSES: identities or bool(space.bounds),
        SIGMA: sigma is not None and bool(np.any(sigma > 0)),
        TRUTH: truth,
        MEASURED: measured,
        DISTRIBUTIONS: probs,
    }
    return frozenset(need for need, offered in known.items() if offered)


def keys(offered: frozenset[str], heads: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the keys of a summary, whose metrics need no more than what is offered.

    The errors of the estimate come first, then the heads', then all else.
    """
    chosen = [entry for entry in TABLE if offered.issuperset(entry.needs)]
    first = [entry.key for entry in chosen if entry.unit == LABEL and entry.shown]
    of_heads = [f"{entry.key}_{head}" for entry in chosen if entry.heads for head in heads]
    return tuple(dict.fromkeys([*first, *of_heads, *(entry.key for entry in chosen)]))


def find(key: str) -> MetricEntry | None:
    """Returns the entry of a summary's key, also of a head's, under its own key and heading."""
    for entry in TABLE:
        if entry.key == key:
            return entry
    for entry in TABLE:
        if entry.heads and key.startswith(f"{entry.key}_"):
            head = key.removeprefix(f"{entry.key}_")
            heading = f"{entry.heading} {head}"
            return dataclasses.replace(entry, key=key, heading=heading, heads=False, head=head)
    return None


def start(space: LabelSpace, names: Sequence[str]) -> Accumulators:
    """Returns the accumulators of no picture, by a summary's keys."""
    return {key: _entry(key).metric(space).init() for key in names}


def add(
    accs: Accumulators,
    estimates: Estimates,
    heads: Mapping[str, Rows],
    space: LabelSpace,
    mask: Array | None = None,
) -> Accumulators:
    """Adds pictures to the accumulators, those where `mask`, bool [N], is true."""
    result = {}
    for key, acc in accs.items():
        entry = _entry(key)
        values = heads[entry.head] if entry.head else estimates.values
        rows, known = entry.rows(estimates._replace(values=values), space)
        keep = known if mask is None else mask if known is None else known & mask
        result[key] = entry.metric(space).update(acc, *rows, mask=keep)
    return result


def results(accs: Accumulators, space: LabelSpace) -> dict[str, Array]:
    """Returns the metrics of all pictures that were added, by their keys."""
    return {key: _entry(key).metric(space).result(acc) for key, acc in accs.items()}


def _entry(key: str) -> MetricEntry:
    entry = find(key)
    assert entry is not None, key
    return entry


def markdown() -> str:
    """Returns the table in Markdown, for the documentation."""
    units = {LABEL: "the label's", PERCENT: "%", NATS: "nats", PLAIN: ""}
    lines = ["| key | heading | better | unit | needs |", "| --- | --- | --- | --- | --- |"]
    for entry in TABLE:
        needs = ", ".join(need for need in entry.needs if need != ORDER)
        better, unit = entry.better or "neither", units[entry.unit]
        lines.append(f"| `{entry.key}` | {entry.heading} | {better} | {unit} | {needs} |")
    return "\n".join(lines) + "\n"
