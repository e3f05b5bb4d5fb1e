"""Predictions of a network for a part of a dataset, or their metrics: each picture once."""

import collections
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import metrics
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.data.augment.views import Views
from ldl_jax.data.feed.feeds import Feed, Part, once_each
from ldl_jax.evaluation import report
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.heads import Width
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Method, Prediction
from ldl_jax.metrics import table
from ldl_jax.placement import Placement

Weights = TypeVar("Weights")  # the network's, a pytree of arrays
Store = Mapping[str, jax.Array]  # of a feed, as its items
Item = jax.Array | Mapping[str, jax.Array]
Predict = Callable[[Weights, jax.Array], Prediction]  # of preprocessed images
JittedPredict = Callable[[Weights, Store, Item], Prediction]
Progress = Callable[[int, int], None]  # takes how many pictures are done, and of how many
# Pictures that are computed at a time. A CPU's caches hold the maps of no more, and XLA computes
# all looks at a batch at once, which at 224 pixels needs many gigabytes.
_AT_ONCE = {"cpu": 16}
_measures = report.compiled_fast(metrics.measures, static_argnames="space")
_add = report.compiled_fast(table.add, static_argnames="space")


def jit_predict(
    predict: Predict[Weights],
    fetch: Callable[[dict[str, jax.Array], Item], dict[str, jax.Array]],
    preprocessing: Preprocessing | Views,
    placement: Placement,
    like: Weights | None = None,
    *,
    distributions: bool = True,
) -> JittedPredict[Weights]:
    """Returns the predict step on the devices, of an item of a feed.

    Every process gets all predictions. The weights live where the placement puts those like `like`,
    without it on every device. `distributions` keeps the probs.
    """

    def whole(weights: Weights, store: dict[str, jax.Array], item: Item) -> Prediction:
        batch = jax.lax.with_sharding_constraint(fetch(store, item), placement.by_batch)
        images = batch["images"]
        count = len(images)
        if placement.devices == 1 and images.ndim == 4:  # features are no maps
            count = _AT_ONCE.get(jax.default_backend(), count)
        prediction = a_few_at_once(
            lambda some: predict(weights, prepare(some, preprocessing)), images, count
        )
        return prediction if distributions else prediction._replace(probs=prediction.probs[:, :0])

    replicated, split = placement.replicated, placement.by_batch
    shardings = replicated if like is None else placement.shardings(like)
    return jax.jit(whole, in_shardings=(shardings, None, split), out_shardings=replicated)


def a_few_at_once(
    answer: Callable[[jax.Array], Prediction], images: jax.Array, count: int
) -> Prediction:
    """Returns the answers for pictures [B, ...], at most `count` of them computed at a time."""
    batch = len(images)
    if batch <= count:
        return answer(images)
    parts = -(-batch // count)
    count = -(-batch // parts)  # 50 pictures are four parts of 13, not of 16
    padding = parts * count - batch
    padded = jnp.concatenate([images, jnp.zeros((padding, *images.shape[1:]), images.dtype)])
    answers = jax.lax.map(answer, padded.reshape(parts, count, *images.shape[1:]))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:batch], answers)


def evaluate(
    predict: JittedPredict[Weights],
    weights: Weights,
    feed: Feed,
    space: LabelSpace,
    batch: int,
    progress: Progress = lambda done, count: None,
) -> Predictions:
    """Returns the predictions for all pictures of a feed, in their order.

    Args:
      predict: of `jit_predict`, with this feed's `fetch`.
      weights: the network's.
      feed: the pictures.
      space: the label space of the probabilities.
      batch: pictures at a time; the last batch is padded, and the padding dropped.
      progress: is called after each batch.
    """
    done, part = _answers(predict, weights, feed, batch, progress), feed.part
    prediction = jax.tree.map(lambda *batches: np.concatenate(batches)[: len(part)], *done)
    return Predictions(
        **_estimates(prediction, part, slice(None), space)._asdict(),
        ids=tuple(part.ids),
        space=space,
        heads=prediction.heads,
        subjects=part.subjects,
        groups=part.groups,
    )


def _answers(
    predict: JittedPredict[Weights],
    weights: Weights,
    feed: Feed,
    batch: int,
    progress: Progress,
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
    predict: JittedPredict[Weights],
    weights: Weights,
    feed: Feed,
    space: LabelSpace,
    batch: int,
    progress: Progress = lambda done, count: None,
) -> dict[str, float]:
    """Returns the `report.summary` of all pictures of a feed; arguments as of `evaluate`.

    Streamed pictures may be too many for their distributions to be kept: their metrics are added
    up batch by batch.
    """
    if feed.store:
        return report.summary(evaluate(predict, weights, feed, space, batch, progress))
    part, rows = feed.part, once_each(len(feed.part), batch)
    totals: table.Accumulators = {}
    names: tuple[str, ...] = ()
    for step, prediction in enumerate(_answers(predict, weights, feed, batch, progress)):
        if step == 0:
            offered = _offers(part, space, prediction.probs.shape[1] > 0)
            names = table.keys(offered, prediction.heads)
            totals = table.start(space, names)
        estimates = _estimates(prediction, part, rows[step], space)
        mask = step * batch + np.arange(batch) < len(part)
        totals = _add(totals, estimates, prediction.heads, space=space, mask=mask)
    return report.defined(table.results(totals, space), names)


def metrics_of(
    part: Part, method: Method, width: Width, *, distributions: bool = True
) -> tuple[str, ...]:
    """Returns the keys that `report.summary` will have for a part, where all are defined.

    `distributions` says whether the probs are kept. The pictures are not looked at.
    """

    def untrained() -> Prediction:
        params = method.head.init(jax.random.key(0), width)
        features = jax.tree.map(lambda size: jnp.zeros((1, size), jnp.float32), width)
        return method.predict(method.head.apply(params, features))

    heads = jax.eval_shape(untrained).heads
    return table.keys(_offers(part, method.space, distributions), heads)


def _offers(part: Part, space: LabelSpace, probs: bool) -> frozenset[str]:
    truth = probs and part.truth is not None
    return table.offers(space, part.labels, part.sigma, truth, probs, truth)


def _estimates(
    prediction: Prediction, part: Part, rows: np.ndarray | slice, space: LabelSpace
) -> table.Estimates:
    """Returns the estimates of some rows of a part, and what they are measured by."""
    probs, measures = np.asarray(prediction.probs), {}
    if part.truth is not None and probs.shape[1]:
        measures = jax.device_get(_measures(probs, part.truth[rows], space=space))
    return table.Estimates(
        values=np.asarray(prediction.value),
        labels=part.labels[rows],
        probs=probs,
        sigma=None if np.isnan(part.sigma).all() else part.sigma[rows],
        truth_kl=measures.pop("truth_kl", None),
        measures=measures,
    )
