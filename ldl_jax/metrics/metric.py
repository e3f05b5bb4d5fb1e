"""The object that every metric is, and the two decorators that make one.

A metric is called on arrays: `mae(pred, labels, mask=None)`. It also adds up over batches, shards
and hosts: `acc = mae.init()`, `acc = mae.update(acc, pred, labels, mask=None)`,
`mae.merge(acc, acc)` and `mae.result(acc)`, all four pure and jit-able. A metric with parameters
takes them after the rows, `nll(probs, labels, space)`, and adds up once `over` has set them:
`nll.over(space).update(acc, probs, labels)`.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

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
ArrayTree = Array | Iterable["ArrayTree"] | Mapping[str, "ArrayTree"]
Acc = TypeVar("Acc")  # an accumulator: a pytree of arrays
Result = TypeVar("Result", covariant=True)
Out = TypeVar("Out")
T = TypeVar("T")
_KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD
_MASK = inspect.Parameter("mask", _KIND, default=None)


class Rules(NamedTuple, Generic[Acc, Result]):
    """The four pure functions that add a metric up, its parameters being set.

    `init()` is the accumulator of no row, `update(acc, *rows, mask=None)` adds rows, `merge(acc,
    acc)` has the rows of both, and `result(acc)` is the metric of all rows.
    """

    init: Callable[[], Acc]
    update: Callable[..., Acc]
    merge: Callable[[Acc, Acc], Acc]
    result: Callable[[Acc], Result]


class Mean(NamedTuple):
    """The sums of scores [*shape], and how many rows each is of, int32 [*shape]."""

    total: Sum
    rows: Array


class Metric(Generic[Result]):
    """A metric, callable on arrays, with `init`, `update`, `merge`, `result` and `over`.

    It is made by `averaged` or `accumulated`.
    """

    def __init__(
        self,
        described: Callable[..., object],  # gives the name and the docstring
        make: Callable[..., Rules[Acc, Result]],  # gives the four functions, of the parameters
        rows: Sequence[str],  # the names of the arrays of N rows
        parameters: Sequence[inspect.Parameter] = (),  # of `make`; keyword-only: for `over` alone
        each: Callable[..., Array] | None = None,  # `each(*rows, *parameters)` -> [N], by row
    ) -> None:
        functools.update_wrapper(self, described)
        first = [inspect.Parameter(name, _KIND) for name in rows]
        called = [p for p in parameters if p.kind is _KIND]
        self.__signature__ = inspect.Signature([*first, *called, _MASK])
        self.row_names = tuple(rows)
        self._of_rows = inspect.Signature([*first, _MASK])
        self.name = getattr(described, "__name__", "metric")
        self._described, self._make, self._each = described, make, each
        self._parameters = inspect.Signature(parameters)

    def __call__(self, *arguments: object, **named: object) -> Result:
        """Returns the metric of these rows alone: `metric(*rows, *parameters, mask=None)`."""
        *values, mask = _bound(self.__signature__, arguments, named).args
        rows, parameters = values[: len(self.row_names)], values[len(self.row_names) :]
        if self._each is not None:
            scores = self._each(*rows, *parameters)
            return jnp.where(kept(mask, scores.shape[0]), scores, 0.0)  # type: ignore[return-value]
        rules = self._make(*parameters)
        return rules.result(rules.update(rules.init(), *rows, mask=mask))

    def over(self, *parameters: object, **named: object) -> "Metric[Result]":
        """Returns the metric with its parameters set, such as `nll.over(space)`."""
        bound = _bound(self._parameters, parameters, named)
        rules = self._make(*bound.args, **bound.kwargs)
        each = self._each
        if each is not None:
            each = functools.partial(_followed, each, bound)
        return Metric(self._described, lambda: rules, self.row_names, (), each)

    @property
    def rules(self) -> Rules[Any, Result]:
        """The four functions, with the parameters' defaults; a TypeError where one has none."""
        unset = [p.name for p in self._parameters.parameters.values() if p.default is p.empty]
        if unset:
            raise TypeError(f"{self.name}: set {', '.join(unset)} first, by {self.name}.over(...)")
        bound = _bound(self._parameters, (), {})
        return self._make(*bound.args, **bound.kwargs)

    def init(self) -> ArrayTree:
        """Returns the accumulator of no row."""
        return self.rules.init()

    def update(self, acc: ArrayTree, *rows: object, **named: object) -> ArrayTree:
        """Adds the rows where `mask` is not zero: `update(acc, *rows, mask=None) -> acc`."""
        *values, mask = _bound(self._of_rows, rows, named).args
        return self.rules.update(acc, *values, mask=mask)

    def merge(self, a: ArrayTree, b: ArrayTree) -> ArrayTree:
        """Returns the accumulator of the rows of both."""
        return self.rules.merge(a, b)

    def result(self, acc: ArrayTree) -> Result:
        """Returns the metric of all rows of an accumulator."""
        return self.rules.result(acc)


def _followed(each: Callable[..., Array], bound: inspect.BoundArguments, *rows: Rows) -> Array:
    """Returns the scores of rows, with the parameters that are set."""
    return each(*rows, *bound.args, **bound.kwargs)


def _bound(
    signature: inspect.Signature, arguments: Sequence[object], named: Mapping[str, object]
) -> inspect.BoundArguments:
    """Returns the arguments by their names, with the defaults of those that are not given."""
    bound = signature.bind(*arguments, **named)
    bound.apply_defaults()
    return bound


def averaged(
    finish: Callable[..., Result],
    *,
    rows: int = 2,
    shape: Callable[..., tuple[int, ...]] = lambda *parameters: (),
    where: Callable[..., Array] | None = None,
    by_row: bool = False,
) -> Callable[[Callable[..., Array]], Metric[Result]]:
    """Makes a metric of a function that scores rows: `finish` of the mean of the scores.

    Args:
      finish: `finish(acc, *parameters)` is the metric, acc a `Mean`; `mean_of` is the plain mean.
      rows: how many of the score's arguments are arrays of N rows; the others are parameters.
      shape: `shape(*parameters)`, the shape of one row's scores; it may check the parameters.
      where: `where(*rows, *parameters)`, which scores count, bool [N, *shape]; None for all. The
        scores may then have the shape [N, 1].
      by_row: the metric, called on arrays, returns the scores [N] and not their mean.

    Returns:
      A decorator of the score: `score(*rows, *parameters)`, float32 [N, *shape].
    """

    def decorate(score: Callable[..., Array]) -> "Metric[Result]":
        def make(*parameters: object) -> Rules[Mean, Result]:
            cells = shape(*parameters)

            def init() -> Mean:
                return Mean(sums.zeros(cells), jnp.zeros(cells, jnp.int32))

            def update(acc: Mean, *arrays_of_rows: Rows, mask: Mask = None) -> Mean:
                scores = score(*arrays_of_rows, *parameters)
                keep = kept(mask, scores.shape[0]).reshape((-1,) + (1,) * len(cells))
                if where is not None:
                    keep = keep & where(*arrays_of_rows, *parameters)
                counts = jnp.broadcast_to(jnp.sum(keep, axis=0, dtype=jnp.int32), cells)
                return merge(acc, Mean(sums.over_rows(scores, keep), counts))

            def merge(a: Mean, b: Mean) -> Mean:
                return Mean(sums.added(a.total, b.total), a.rows + b.rows)

            return Rules(init, update, merge, lambda acc: finish(acc, *parameters))

        names = inspect.signature(score).parameters
        parameters = list(names.values())[rows:]
        return Metric(score, make, list(names)[:rows], parameters, score if by_row else None)

    return decorate


def accumulated(*rows: str) -> Callable[[Callable[..., Rules[Acc, Result]]], Metric[Result]]:
    """Makes a metric of a function that gives its `Rules`, of the parameters.

    `rows` are the names of the arrays of N rows that `update` takes.
    """

    def decorate(make: Callable[..., Rules[Acc, Result]]) -> "Metric[Result]":
        return Metric(make, make, rows, list(inspect.signature(make).parameters.values()))

    return decorate


def mean_of(acc: Mean, *parameters: object) -> Array:
    """Returns the mean of the scores, [*shape]."""
    return sums.mean(acc.total, acc.rows)


def together(metrics: Mapping[str, Metric[Out]]) -> Metric[dict[str, Out]]:
    """Makes one metric of several of the same rows; its result is a dict of theirs.

    >>> from ldl_jax import metrics
    >>> both = metrics.together({"mae": metrics.mae, "ca3": metrics.cumulative_accuracy.over(3)})
    >>> {name: float(x) for name, x in both([21.0, 33.0], [20.0, 30.0]).items()}
    {'mae': 2.0, 'ca3': 0.5}
    """
    chosen = dict(metrics)

    def each(call: Callable[..., T], *accs: Mapping[str, ArrayTree]) -> dict[str, T]:
        return {name: call(m, *(acc[name] for acc in accs)) for name, m in chosen.items()}

    rules = Rules(
        lambda: each(Metric.init),
        lambda acc, *rows, mask=None: each(lambda m, a: m.update(a, *rows, mask=mask), acc),
        lambda a, b: each(Metric.merge, a, b),
        lambda acc: each(Metric.result, acc),
    )
    rows = next(iter(chosen.values())).row_names
    return Metric(together, lambda: rules, rows)


def merged(metric: Metric[object], stacked: ArrayTree) -> ArrayTree:
    """Merges D accumulators that are stacked along a leading axis.

    Such a stack is what `jax.lax.all_gather` gives within a `jax.shard_map`, and what `jax.vmap`
    and `multihost_utils.process_allgather` give.
    """
    size = jax.tree.leaves(stacked)[0].shape[0]
    shards = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(size)]
    return functools.reduce(metric.merge, shards)


def kept(mask: Mask, size: int) -> Array:
    """Returns which rows count, [N] bool."""
    return jnp.ones(size, bool) if mask is None else arrays.with_shape("mask", mask, (size,)) > 0


def series(name: str, x: Rows) -> Array:
    """Returns `x` [N] as float32; a ValueError where it has another number of axes."""
    array = arrays.float32(x)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected shape [N], got {list(array.shape)}")
    return array


def pair(pred: Rows, labels: Rows) -> tuple[Array, Array]:
    """Returns estimates and labels, both [N] float32."""
    estimates = series("pred", pred)
    return estimates, arrays.with_shape("labels", labels, estimates.shape)


def distributions(probs: Rows, labels: Rows, space: LabelSpace) -> tuple[Array, Array]:
    """Returns distributions [N, K] and labels [N], both float32."""
    p = arrays.with_last_axis("probs", probs, space.size)
    if p.ndim != 2:
        raise ValueError(f"probs: expected shape [N, {space.size}], got {list(p.shape)}")
    return p, arrays.with_shape("labels", labels, p.shape[:1])


def own_index(labels: Array, space: LabelSpace) -> Array:
    """Returns each label's `arrays.index` [N] int32, and K where a label is NaN."""
    return jnp.where(jnp.isnan(labels), space.size, arrays.index(labels, space))
