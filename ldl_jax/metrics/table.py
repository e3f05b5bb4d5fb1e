"""The table of a run's metrics: the one place that lists them.

The summaries, the report's tables, the choice of the best weights, the columns of a sweep, the list
of runs and the documentation read it. A metric is added to all of them by a `MetricEntry`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.correlation import pearson
from ldl_jax.metrics.distribution import crps, interval_coverage, nll
from ldl_jax.metrics.errors import (
    accuracy,
    cumulative_accuracy,
    epsilon_error,
    mae,
    one_off_accuracy,
    rmse,
)
from ldl_jax.metrics.metric import Acc, Metric, Rows, Rules, averaged, mean_of, series

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
DISTRIBUTIONS = "distributions"


class Estimates(NamedTuple):
    """Estimates of N pictures, and what they are measured by.

    Attributes:
      values: [N], in the label's unit.
      labels: [N].
      probs: [N, K]; [N, 0] where distributions are not kept.
      sigma: [N], NaN where unknown; None where no label has one.
      truth_kl: [N], KL(true || learned) in nats, NaN where unknown; None where none is known.
    """

    values: Rows
    labels: Rows
    probs: Rows
    sigma: Rows | None = None
    truth_kl: Rows | None = None


# `rows(estimates, space)`: the arrays that a metric is called on, and the mask.
RowsOf = Callable[[Estimates, LabelSpace], tuple[tuple[Rows, ...], Array | None]]


def _values(given: Estimates, space: LabelSpace) -> tuple[tuple[Rows, ...], Array | None]:
    return (given.values, given.labels), None


def _probs(given: Estimates, space: LabelSpace) -> tuple[tuple[Rows, ...], Array | None]:
    return (given.probs, given.labels), None


def _classes(given: Estimates, space: LabelSpace) -> tuple[tuple[Rows, ...], Array | None]:
    """Identities are compared as they are, a value of groups as the group that holds it."""
    if not space.bounds:
        return (given.values, given.labels), None
    both = (arrays.float32(given.values), arrays.float32(given.labels))
    return tuple(arrays.index(x, space) for x in both), None


def _with_sigma(given: Estimates, space: LabelSpace) -> tuple[tuple[Rows, ...], Array | None]:
    assert given.sigma is not None, "needs SIGMA"
    return (given.values, given.labels, given.sigma), arrays.float32(given.sigma) > 0


def _truth_kl(given: Estimates, space: LabelSpace) -> tuple[tuple[Rows, ...], Array | None]:
    assert given.truth_kl is not None, "needs TRUTH"
    return (given.truth_kl,), ~jnp.isnan(arrays.float32(given.truth_kl))


@averaged(mean_of, rows=1)
def _mean(x: Rows) -> Array:
    return series("x", x)


def _covered(space: LabelSpace) -> Metric[Array]:
    """Returns the fraction of `interval_coverage` at 90 %."""
    both = interval_coverage.over(space, 0.9)
    rules = Rules(both.init, both.update, both.merge, lambda acc: both.result(acc).fraction)
    return Metric(interval_coverage, lambda: rules, both.row_names)


@dataclasses.dataclass(frozen=True)
class MetricEntry:
    """A metric of a run.

    Attributes:
      key: its name in summaries, in generation_N.json and in a config's `best` and columns.
      heading: its name in tables.
      better: "less" or "more"; "" where neither is, as of a coverage, which has a level to keep.
      unit: LABEL, PERCENT, NATS or PLAIN.
      metric: `metric(space)`, the metric without parameters.
      rows: the arrays that it takes.
      needs: what a part or a method must offer, such as SIGMA.
      form: how its number is written.
      note: said below a table, of its unit; "{unit}" is the label's.
      heads: whether each head's own estimate is measured as well, as "KEY_HEAD".
      shown: whether tables have it; a terminal of 80 columns has no room for all.
      brief: whether the list of runs has it.
    """

    key: str
    heading: str
    better: str
    unit: str
    metric: Callable[[LabelSpace], Metric[Array]]
    rows: RowsOf = _values
    needs: tuple[str, ...] = (ORDER,)
    form: str = "{:.3f}"
    note: str = ""
    heads: bool = False
    shown: bool = True
    brief: bool = False


def _ca(n: int) -> MetricEntry:
    return MetricEntry(
        f"ca{n}", f"CA({n}) %", "more", PERCENT, lambda space: cumulative_accuracy.over(n),
        needs=(ORDER, YEARS), form="{:.2%}", brief=n == 5,
        note="CA(n): test pictures with an error smaller than n {unit}, in %.",
    )  # fmt: skip


Chosen = Sequence[MetricEntry]
# In the order of a table's columns.
TABLE: tuple[MetricEntry, ...] = (
    MetricEntry("mae", "MAE", "less", LABEL, lambda space: mae, heads=True, brief=True),
    MetricEntry("rmse", "RMSE", "less", LABEL, lambda space: rmse),
    MetricEntry(
        "epsilon_error", "ε-error", "less", PLAIN, lambda space: epsilon_error,
        rows=_with_sigma, needs=(ORDER, SIGMA),
    ),
    _ca(3),
    _ca(5),
    _ca(7),
    MetricEntry(
        "accuracy", "accuracy %", "more", PERCENT, lambda space: accuracy,
        rows=_classes, needs=(CLASSES,), form="{:.2%}", brief=True,
        note="Accuracy: of the group; 1-off: of it or one beside it, in %.",
    ),
    MetricEntry(
        "one_off_accuracy", "1-off %", "more", PERCENT, lambda space: one_off_accuracy,
        rows=_classes, needs=(GROUPS,), form="{:.2%}",
    ),
    MetricEntry(
        "pearson", "Pearson r", "more", PLAIN, lambda space: pearson,
        needs=(ORDER, VARIED), brief=True,
    ),
    MetricEntry(
        "truth_kl", "KL to truth", "less", NATS, lambda space: _mean,
        rows=_truth_kl, needs=(ORDER, TRUTH),
        note="KL(true || learned distribution) in nats.",
    ),
    MetricEntry(
        "nll", "nll", "less", NATS, nll.over,
        rows=_probs, needs=(ORDER, DISTRIBUTIONS), shown=False,
    ),
    MetricEntry(
        "crps", "crps", "less", LABEL, crps.over,
        rows=_probs, needs=(ORDER, DISTRIBUTIONS), shown=False,
    ),
    MetricEntry(
        "coverage90", "coverage90", "", PLAIN, _covered,
        rows=_probs, needs=(ORDER, DISTRIBUTIONS), shown=False,
    ),
)  # fmt: skip


def offers(
    space: LabelSpace, labels: np.ndarray, sigma: np.ndarray | None, truth: bool, probs: bool
) -> frozenset[str]:
    """Returns what a part and a method offer to the metrics.

    Args:
      space: the method's label space.
      labels: [N], the part's.
      sigma: [N], NaN where unknown; None where no label has one.
      truth: whether a true distribution is known of some picture.
      probs: whether the learned distributions are kept.
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
        DISTRIBUTIONS: probs,
    }
    return frozenset(need for need, offered in known.items() if offered)


def entries(offered: Collection[str]) -> tuple[MetricEntry, ...]:
    """Returns the metrics that need no more than what is offered."""
    return tuple(entry for entry in TABLE if set(entry.needs) <= set(offered))


def keys(chosen: Chosen, heads: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns a summary's keys: errors of the estimate, then the heads', then all else."""
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
            heading = f"{entry.heading} {key.removeprefix(f'{entry.key}_')}"
            return dataclasses.replace(entry, key=key, heading=heading, heads=False)
    return None


def start(space: LabelSpace, chosen: Chosen, heads: Sequence[str] = ()) -> dict[str, Acc]:
    """Returns the accumulators of no picture, by their keys; of the heads too."""
    by_key = {entry.key: entry.metric(space).init() for entry in chosen}
    return {key: by_key[_base(key, chosen)] for key in keys(chosen, heads)}


def add(
    accs: Mapping[str, Acc],
    given: Estimates,
    heads: Mapping[str, Rows],
    space: LabelSpace,
    chosen: Chosen,
    mask: Array | None = None,
) -> dict[str, Acc]:
    """Adds pictures to the accumulators, those where `mask`, bool [N], is true."""
    result = {}
    for entry in chosen:
        metric = entry.metric(space)
        estimates = {entry.key: given}
        if entry.heads:
            estimates |= {f"{entry.key}_{h}": given._replace(values=x) for h, x in heads.items()}
        for key, some in estimates.items():
            rows, known = entry.rows(some, space)
            keep = known if mask is None else mask if known is None else known & mask
            result[key] = metric.update(accs[key], *rows, mask=keep)
    return result


def results(accs: Mapping[str, Acc], space: LabelSpace, chosen: Chosen) -> dict[str, Array]:
    """Returns the metrics of all pictures that were added, by their keys."""
    metrics = {entry.key: entry.metric(space) for entry in chosen}
    return {key: metrics[_base(key, chosen)].result(acc) for key, acc in accs.items()}


def markdown() -> str:
    """Returns the table in Markdown, for the documentation."""
    units = {LABEL: "the label's", PERCENT: "%", NATS: "nats", PLAIN: ""}
    lines = ["| key | heading | better | unit | needs |", "| --- | --- | --- | --- | --- |"]
    for entry in TABLE:
        needs = ", ".join(need for need in entry.needs if need != ORDER)
        better = entry.better or "neither"
        lines.append(
            f"| `{entry.key}` | {entry.heading} | {better} | {units[entry.unit]} | {needs} |"
        )
    return "\n".join(lines) + "\n"


def _base(key: str, chosen: Chosen) -> str:
    """Returns the key of the entry that a key is of."""
    of_heads = (entry.key for entry in chosen if entry.heads and key.startswith(f"{entry.key}_"))
    return key if any(entry.key == key for entry in chosen) else next(of_heads)
