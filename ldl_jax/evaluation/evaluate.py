"""A network's predictions for a part of a dataset: each picture exactly once."""

from __future__ import annotations

from collections.abc import Callable
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
from ldl_jax.placement import Placement

# `predict(weights, images) -> Prediction` of preprocessed images.
Predict = Callable[[Any, jax.Array], Prediction]
# `predict(weights, store, item) -> Prediction`
JittedPredict = Callable[[Any, Any, Any], Prediction]


def jit_predict(
    predict: Predict,
    fetch: Callable[[Any, Any], dict[str, Any]],
    preprocessing: Preprocessing,
    placement: Placement,
    like: Any = None,
    *,
    distributions: bool = True,
) -> JittedPredict:
    """The predict step on the devices, from an item of a feed.

    Every process gets all predictions. The weights live where the placement puts those like `like`,
    without it on every device. `distributions` keeps the probs.
    """

    def whole(weights: Any, store: Any, item: Any) -> Prediction:
        batch = jax.lax.with_sharding_constraint(fetch(store, item), placement.by_batch)
        prediction = predict(weights, prepare(batch["images"], preprocessing))
        if distributions:
            return prediction
        return prediction._replace(probs=prediction.probs[:, :0])

    same, split = placement.replicated, placement.by_batch
    places = same if like is None else placement.shardings(like)
    return jax.jit(whole, in_shardings=(places, None, split), out_shardings=same)


def evaluate(
    predict: JittedPredict,
    weights: Any,
    feed: Feed,
    space: LabelSpace,
    batch: int,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> Predictions:
    """The predictions for all pictures of a feed, in their order.

    Args:
      predict: of `jit_predict`, with this feed's `fetch`.
      weights: the network's.
      feed: the pictures.
      space: the label space of the probabilities.
      batch: pictures at a time; the last batch is padded, and the padding dropped.
      progress: called with how many pictures are done, and of how many.
    """
    rows = once_each(len(feed.part), batch)
    waiting, done = [], []
    for number, item in enumerate(feed.items(rows, 0)):
        waiting.append(predict(weights, feed.store, item))
        if len(waiting) > 2:  # results are fetched while the next batches are computed
            done.append(jax.device_get(waiting.pop(0)))
        progress(min((number + 1) * batch, len(feed.part)), len(feed.part))
    done += jax.device_get(waiting)
    whole = jax.tree.map(lambda *parts: np.concatenate(parts)[: len(feed.part)], *done)
    return _predictions(whole, feed.part, space)


def metrics_of(
    part: Part, method: Method, width: Width, *, distributions: bool = True
) -> tuple[str, ...]:
    """The keys that `report.summary` will have for a part, but for those that are not defined yet.

    `distributions` says whether the probs are kept. The pictures are not looked at.
    """
    heads = jax.eval_shape(lambda: _untrained(method, width)).heads
    labels, K = jnp.asarray(part.labels), method.space.size
    probs = jnp.full((len(part), K if distributions else 0), 1 / K, jnp.float32)
    perfect = Prediction(labels, probs, {name: labels for name in heads})
    return tuple(report.summary(_predictions(perfect, part, method.space)))


def _untrained(method: Method, width: Width) -> Prediction:
    params = method.head.init(jax.random.key(0), width)
    if isinstance(width, int):
        return method.predict(method.head.apply(params, jnp.zeros((1, width), jnp.float32)))
    features = {name: jnp.zeros((1, size), jnp.float32) for name, size in width.items()}
    return method.predict(method.head.apply(params, features))


def _predictions(prediction: Prediction, part: Part, space: LabelSpace) -> Predictions:
    probs = np.asarray(prediction.probs)
    kept = probs.shape[1] > 0
    return Predictions(
        ids=tuple(part.ids),
        labels=part.labels,
        values=np.asarray(prediction.value),
        probs=probs,
        space_values=np.asarray(space.values if kept else (), np.float32),
        heads={name: np.asarray(value) for name, value in prediction.heads.items()},
        sigma=None if np.isnan(part.sigma).all() else part.sigma,
        truth_kl=np.asarray(metrics.kl_to_truth(probs, part.truth))
        if kept and part.truth is not None
        else None,
        unit=space.unit,
    )
