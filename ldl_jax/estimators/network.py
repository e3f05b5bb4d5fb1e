"""Jitted programs of a method on features: an epoch of training, a loss, and predictions.

The programs of a `NetworkSpec` are kept, and see rows in whole batches. So fits of about as many
rows, as those of a grid search, compile once.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax import factories, methods
from ldl_jax.heads import Params
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Batch, Method, Prediction

CHUNK = 512  # the rows of one call that predicts; fewer are filled up


class NetworkSpec(NamedTuple):
    """Names all that the programs depend on, in hashable values."""

    method: str
    settings: tuple[tuple[str, object], ...]
    space: LabelSpace
    counts: tuple[int, ...]
    hidden: tuple[int, ...]
    dropout: float
    width: int

    def made(self) -> Method:
        """Returns the method with its hidden layers.

        Raises: ValueError as `methods.get` does.
        """
        method = methods.get(
            self.method,
            space=self.space,
            counts=np.asarray(self.counts, np.float32) if self.counts else None,
            **dict(self.settings),
        )
        if method.needs:
            raise ValueError(
                f"method: {self.method!r} needs {', '.join(method.needs)} of each row, which fit "
                "does not take"
            )
        method = method.deepened(self.hidden, self.dropout)
        if factories.is_own(self.method):
            methods.check(method, self.width)
        return method


class Rows(NamedTuple):
    """Rows to learn from, filled up to whole batches.

    Attributes:
      features: [M, D] float32.
      labels: [M] float32, in the unit of the spec's space.
      weights: [M] float32, 0 of the rows that fill up.
    """

    features: jax.Array
    labels: jax.Array
    weights: jax.Array


class RowAnswers(NamedTuple):
    """The values [N] in the learnt unit, and the probabilities [N, K], of rows."""

    value: np.ndarray
    probs: np.ndarray


class FitState(NamedTuple):
    """The parameters, and the optimizer's state."""

    params: Params
    optimizer: Any


class Programs(NamedTuple):
    """The jitted functions of a spec.

    Attributes:
      start: `start(key) -> FitState`.
      epoch: `epoch(state, rows, order [S, B], rates [S], weight_decay, key) -> (state, loss)`.
      loss: `loss(params, rows) -> []`, the weighted mean over rows.
      predict: `predict(params, features [CHUNK, D]) -> Prediction`.
    """

    start: Callable[[jax.Array], FitState]
    epoch: Callable[..., tuple[FitState, jax.Array]]
    loss: Callable[[Params, Rows], jax.Array]
    predict: Callable[[Params, jax.Array], Prediction]


@functools.lru_cache(maxsize=64)
def programs(spec: NetworkSpec) -> Programs:
    """Returns the jitted functions of a spec; the same ones of the same spec."""
    method = spec.made()
    head, adam = method.head, optax.scale_by_adam()

    @jax.jit
    def start(key: jax.Array) -> FitState:
        params = head.init(key, spec.width)
        return FitState(params, adam.init(params))

    @jax.jit
    def loss(params: Params, rows: Rows) -> jax.Array:
        return _summed_loss(method, params, rows, None) / jnp.sum(rows.weights)

    @jax.jit
    def predict(params: Params, features: jax.Array) -> Prediction:
        return method.predict(head.apply(params, features))

    return Programs(start, jax.jit(functools.partial(_epoch, method, adam)), loss, predict)


def _epoch(
    method: Method,
    adam: optax.GradientTransformation,
    state: FitState,
    rows: Rows,
    order: jax.Array,
    rates: jax.Array,
    weight_decay: jax.Array,
    key: jax.Array,
) -> tuple[FitState, jax.Array]:
    """Takes a step for each batch of rows, and returns the weighted mean of their losses.

    Adam's steps are followed by a decay of the weights that is decoupled from the gradient.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019).
    """

    def step(
        state: FitState, item: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[FitState, jax.Array]:
        indices, rate, index = item
        batch = jax.tree.map(lambda x: x[indices], rows)
        count = jnp.maximum(jnp.sum(batch.weights > 0, dtype=jnp.float32), 1.0)

        def mean(params: Params) -> jax.Array:
            return _summed_loss(method, params, batch, jax.random.fold_in(key, index)) / count

        loss, gradient = jax.value_and_grad(mean)(state.params)
        updates, optimizer = adam.update(gradient, state.optimizer)
        params = jax.tree.map(
            lambda w, change: w - rate * (change + weight_decay * w), state.params, updates
        )
        return FitState(params, optimizer), loss * count

    steps = jnp.arange(len(order), dtype=jnp.int32)
    state, losses = jax.lax.scan(step, state, (order, rates, steps))
    return state, jnp.sum(losses) / jnp.sum(rows.weights)


def _summed_loss(method: Method, params: Params, rows: Rows, key: jax.Array | None) -> jax.Array:
    """Returns the weighted sum of the rows' losses; with a key as in training."""
    if key is None or method.head.train is None:
        outputs = method.head.apply(params, rows.features)
    else:
        outputs = method.head.train(params, rows.features, key)
    batch: Batch = {"labels": rows.labels, "sigma": jnp.full_like(rows.labels, jnp.nan)}
    losses = method.loss(outputs, batch)
    return jnp.sum(jnp.where(rows.weights > 0, rows.weights * losses, 0.0))


def filled(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, size: int, space: LabelSpace
) -> Rows:
    """Returns rows on the device, filled up to a multiple of `size` with rows of weight 0."""
    missing = -len(labels) % size
    return Rows(
        jnp.asarray(np.pad(features, ((0, missing), (0, 0))), jnp.float32),
        jnp.asarray(np.pad(labels, (0, missing), constant_values=space.low), jnp.float32),
        jnp.asarray(np.pad(weights, (0, missing)), jnp.float32),
    )


def predicted(spec: NetworkSpec, params: Params, features: np.ndarray) -> RowAnswers:
    """Returns the answers to features [N, D]."""
    predict = programs(spec).predict

    def answers(chunk: np.ndarray) -> tuple[jax.Array, jax.Array]:
        prediction = predict(params, jnp.asarray(chunk, jnp.float32))
        return prediction.value, prediction.probs

    return RowAnswers(*by_chunk(answers, features))


def by_chunk(
    function: Callable[[np.ndarray], tuple[jax.Array, ...]], rows: np.ndarray
) -> list[np.ndarray]:
    """Returns the arrays [N, ...] that a function gives of rows [N, ...].

    Every call has as many rows. So what it compiles serves any N, and a row's answer is the same
    among any others.
    """
    parts = []
    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK]
        missing = [(0, CHUNK - len(chunk))] + [(0, 0)] * (rows.ndim - 1)
        parts.append(tuple(map(np.asarray, function(np.pad(chunk, missing, mode="edge")))))
    return [np.concatenate(part)[: len(rows)] for part in zip(*parts, strict=True)]
