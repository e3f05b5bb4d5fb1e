"""What all metrics are made of: accumulators over batches, shards and hosts.

An accumulator is a pytree of int32 counts and of `metrics_sums.Sum`, which are int32 as well, and
merging adds the leaves. So any batches, in any order, on any devices, give what one pass gives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import sums
from ldl_jax.metrics.sums import Sum

Rows = ArrayLike
Mask = ArrayLike | None
Score = Callable[..., Array]  # (pred, labels, ...) -> [N, ...], numbers for each row


class Metric(NamedTuple):
    """A metric over batches, shards or hosts, however split; all four are pure and jit-able."""

    init: Callable[[], Any]  # () -> acc, of no row
    update: Callable[..., Any]  # (acc, *rows, mask=None) -> acc; rows as the plain function's
    merge: Callable[[Any, Any], Any]  # (acc, acc) -> acc, of the rows of both
    result: Callable[[Any], Any]  # (acc) -> what the plain function gives


class Mean(NamedTuple):
    """Sums of scores, and how many rows they are of."""

    total: Sum  # [...]
    rows: Array  # [] int32


def added(a: Any, b: Any) -> Any:
    """The merge of accumulators whose leaves are all sums."""
    return jax.tree.map(jnp.add, a, b)


def averaged(
    score: Score,
    finish: Callable[[Array], Any] = lambda mean: mean,
    shape: tuple[int, ...] = (),
) -> Metric:
    """The metric `finish(mean over the rows of score(pred, labels, ...))`.

    Args:
      score: of two arrays of N rows, and of keywords that `update` passes on; float32 [N, *shape].
      finish: of the mean [*shape].
      shape: of one row's scores.
    """

    def init() -> Mean:
        return Mean(sums.zeros(shape), jnp.zeros((), jnp.int32))

    def update(acc: Mean, pred: Rows, labels: Rows, mask: Mask = None, **more: Any) -> Mean:
        scores = score(pred, labels, **more)
        keep = kept(mask, scores.shape[0])
        return added(acc, Mean(sums.over_rows(scores, keep), count(keep)))

    def result(acc: Mean) -> Any:
        return finish(sums.mean(acc.total, acc.rows))

    return Metric(init, update, added, result)


def together(metrics: Mapping[str, Metric]) -> Metric:
    """Several metrics of the same rows as one, whose result is a dict of theirs."""
    chosen = dict(metrics)

    def each(call: Callable[..., Any], *accs: dict[str, Any]) -> dict[str, Any]:
        return {name: call(m, *(acc[name] for acc in accs)) for name, m in chosen.items()}

    return Metric(
        lambda: each(lambda m: m.init()),
        lambda acc, *rows, **more: each(lambda m, a: m.update(a, *rows, **more), acc),
        lambda a, b: each(lambda m, x, y: m.merge(x, y), a, b),
        lambda acc: each(lambda m, a: m.result(a), acc),
    )


def merged(metric: Metric, stacked: Any) -> Any:
    """The accumulator of all rows of D accumulators stacked along a leading axis.

    Such a stack is what `jax.vmap`, a `jax.shard_map` whose output is split, and
    `multihost_utils.process_allgather` give. Within a `shard_map`, `jax.lax.psum` of the
    accumulators does the same for every metric but that of `spearman_rows`.
    """
    size = jax.tree.leaves(stacked)[0].shape[0]
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(size)]
    return functools.reduce(metric.merge, parts)


def once(metric: Metric, *rows: Any, mask: Mask, **more: Any) -> Any:
    """The metric of these rows alone: what every plain function is."""
    return metric.result(metric.update(metric.init(), *rows, mask=mask, **more))


def kept(mask: Mask, size: int) -> Array:
    """Which rows count, [N] bool.

    Raises:
      ValueError: the mask has another shape, or the rows are more than a sum holds.
    """
    if size > sums.MOST_ROWS:
        raise ValueError(f"rows: expected at most {sums.MOST_ROWS} at once, got {size}")
    return jnp.ones(size, bool) if mask is None else arrays.with_shape("mask", mask, (size,)) > 0


def count(keep: Array) -> Array:
    """How many rows are kept, [] int32."""
    return jnp.sum(keep, dtype=jnp.int32)


def series(name: str, x: Rows) -> Array:
    """`x` [N] as float32.

    Raises:
      ValueError: it has another number of axes.
    """
    array = arrays.float32(x)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected shape [N], got {list(array.shape)}")
    return array


def pair(pred: Rows, labels: Rows) -> tuple[Array, Array]:
    """Estimates and labels, both [N] float32.

    Raises:
      ValueError: they are not of one shape [N].
    """
    estimates = series("pred", pred)
    return estimates, arrays.with_shape("labels", labels, estimates.shape)


def distributions(probs: Rows, labels: Rows, space: LabelSpace) -> tuple[Array, Array]:
    """Distributions [N, K] and labels [N], both float32.

    Raises:
      ValueError: K disagrees, or they are not of as many rows.
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    if p.ndim != 2:
        raise ValueError(f"probs: expected shape [N, {space.size}], got {list(p.shape)}")
    return p, arrays.with_shape("labels", labels, p.shape[:1])


def own_index(labels: Array, space: LabelSpace) -> Array:
    """The index [N] int32 of each label's own value, as `arrays.index`; K where a label is NaN."""
    return jnp.where(jnp.isnan(labels), space.size, arrays.index(labels, space))
