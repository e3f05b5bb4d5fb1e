"""Predictions of a network for a part of a dataset, or their metrics: each picture once."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import metrics
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.data.feed.feeds import Feed, Part, once_each
from ldl_jax.evaluation import report
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.heads import Width
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Method, Prediction
from ldl_jax.metrics import table
from ldl_jax.placement import Placement

Tree = Any  # a pytree of arrays: weights, a feed's store or its item
# `predict(weights, images) -> Prediction` of preprocessed images.
Predict = Callable[[Tree, jax.Array], Prediction]
# `predict(weights, store, item) -> Prediction`
JittedPredict = Callable[[Tree, Tree, Tree], Prediction]


def jit_predict(
    predict: Predict,
    fetch: Callable[[Tree, Tree], Tree],
    preprocessing: Preprocessing,
    placement: Placement,
    like: Tree = None,
    *,
    distributions: bool = True,
) -> JittedPredict:
    """Returns the predict step on the devices, of an item of a feed.

    Every process gets all predictions. The weights live where the placement puts those like `like`,
    without it on every device. `distributions` keeps the probs.
    """

    def whole(weights: Tree, store: Tree, item: Tree) -> Prediction:
        batch = jax.lax.with_sharding_constraint(fetch(store, item), placement.by_batch)
        prediction = predict(weights, prepare(batch["images"], preprocessing))
        if distributions:
            return prediction
        return prediction._replace(probs=prediction.probs[:, :0])

    replicated, split = placement.replicated, placement.by_batch
    shardings = replicated if like is None else placement.shardings(like)
    return jax.jit(whole, in_shardings=(shardings, None, split), out_shardings=replicated)


def evaluate(
    predict: JittedPredict,
    weights: Tree,
    feed: Feed,
    space: LabelSpace,
    batch: int,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> Predictions:
    """Returns the predictions for all pictures of a feed, in their order.

    Args:
      predict: of `jit_predict`, with this feed's `fetch`.
      weights: the network's.
      feed: the pictures.
      space: the label space of the probabilities.
      batch: pictures at a time; the last batch is padded, and the padding dropped.
      progress: called with how many pictures are done, and of how many.
    """
    done = [*_answers(predict, weights, feed, batch, progress)]
    whole = jax.tree.map(lambda *parts: np.concatenate(parts)[: len(feed.part)], *done)
    return _predictions(whole, feed.part, space)


def _answers(
    predict: JittedPredict,
    weights: Tree,
    feed: Feed,
    batch: int,
    progress: Callable[[int, int], None],
) -> Iterator[Prediction]:
    """Yields the predictions of each batch, the last one padded, as NumPy arrays."""
    count, waiting = len(feed.part), collections.deque[Prediction]()
    for step, item in enumerate(feed.items(once_each(count, batch), 0)):
        waiting.append(predict(weights, feed.store, item))
        if len(waiting) > 2:  # results are fetched while the next batches are computed
            yield jax.device_get(waiting.popleft())
        progress(min((step + 1) * batch, count), count)
    yield from map(jax.device_get, waiting)


def summarize(
    predict: JittedPredict,
    weights: Tree,
    feed: Feed,
    space: LabelSpace,
    batch: int,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> dict[str, float]:
    """Returns the `report.summary` of all pictures of a feed; arguments as of `evaluate`.

    Streamed pictures may be too many for their distributions to be kept: their metrics are added
    up batch by batch.
    """
    if feed.store:
        return report.summary(evaluate(predict, weights, feed, space, batch, progress))
    part, rows = feed.part, once_each(len(feed.part), batch)
    totals: Tree = {}
    chosen: tuple[table.MetricEntry, ...] = ()
    prediction: Prediction | None = None
    for step, prediction in enumerate(_answers(predict, weights, feed, batch, progress)):
        if step == 0:
            probs = prediction.probs.shape[1] > 0
            chosen = table.entries(_offers(part, space, probs))
            totals = table.start(space, chosen, [*prediction.heads])
        estimates = _estimates(prediction, part, rows[step])
        mask = step * batch + np.arange(batch) < len(part)
        totals = _add(totals, estimates, prediction.heads, mask, space=space, chosen=chosen)
    assert prediction is not None, "a part has pictures"
    numbers = table.results(totals, space, chosen)
    return report.defined(numbers, chosen, [*prediction.heads])


@functools.partial(
    jax.jit,
    static_argnames=("space", "chosen"),
    compiler_options={"xla_backend_optimization_level": 0},  # compiled fast
)
def _add(
    totals: Tree,
    estimates: table.Estimates,
    heads: dict[str, jax.Array],
    mask: jax.Array,
    *,
    space: LabelSpace,
    chosen: tuple[table.MetricEntry, ...],
) -> Tree:
    return table.add(totals, estimates, heads, space, chosen, mask)


def metrics_of(
    part: Part, method: Method, width: Width, *, distributions: bool = True
) -> tuple[str, ...]:
    """Returns the keys that `report.summary` will have for a part, where all are defined.

    `distributions` says whether the probs are kept. The pictures are not looked at.
    """
    heads = jax.eval_shape(lambda: _untrained(method, width)).heads
    return table.keys(table.entries(_offers(part, method.space, distributions)), [*heads])


def _offers(part: Part, space: LabelSpace, probs: bool) -> frozenset[str]:
    return table.offers(space, part.labels, part.sigma, probs and part.truth is not None, probs)


def _untrained(method: Method, width: Width) -> Prediction:
    params = method.head.init(jax.random.key(0), width)
    if isinstance(width, int):
        return method.predict(method.head.apply(params, jnp.zeros((1, width), jnp.float32)))
    features = {name: jnp.zeros((1, size), jnp.float32) for name, size in width.items()}
    return method.predict(method.head.apply(params, features))


def _estimates(prediction: Prediction, part: Part, rows: np.ndarray | slice) -> table.Estimates:
    """Returns the estimates of some rows of a part, and what they are measured by."""
    probs = np.asarray(prediction.probs)
    truth = part.truth if probs.shape[1] else None
    return table.Estimates(
        values=np.asarray(prediction.value),
        labels=part.labels[rows],
        probs=probs,
        sigma=None if np.isnan(part.sigma).all() else part.sigma[rows],
        truth_kl=None if truth is None else np.asarray(metrics.kl_to_truth(probs, truth[rows])),
    )


def _predictions(prediction: Prediction, part: Part, space: LabelSpace) -> Predictions:
    estimates = _estimates(prediction, part, slice(None))
    return Predictions(
        **estimates._asdict(),
        ids=tuple(part.ids),
        space=space,
        heads={name: np.asarray(value) for name, value in prediction.heads.items()},
        subjects=part.subjects,
    )
