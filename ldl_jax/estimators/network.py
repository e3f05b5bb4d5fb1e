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

from ldl_jax import methods
from ldl_jax.heads import Params
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Batch, Method, Prediction

CHUNK = 512  # the rows of one call that predicts; fewer are filled up


class NetworkSpec(NamedTuple):
    """What the programs depend on, of hashable values."""

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
        if ":" in self.method:
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


class Answers(NamedTuple):
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
    """Returns the jitted functions of a spec; the same ones of the same spec.

    Adam's steps are followed by a decay of the weights that is decoupled from the gradient.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019).
    """
    method = spec.made()
    head, adam = method.head, optax.scale_by_adam()

    @jax.jit
    def start(key: jax.Array) -> FitState:
        params = head.init(key, spec.width)
        return FitState(params, adam.init(params))

    def summed(params: Params, rows: Rows, key: jax.Array | None) -> jax.Array:
        if key is None or head.train is None:
            outputs = head.apply(params, rows.features)
        else:
            outputs = head.train(params, rows.features, key)
        batch: Batch = {"labels": rows.labels, "sigma": jnp.full_like(rows.labels, jnp.nan)}
        of_rows = method.loss(outputs, batch)
        return jnp.sum(jnp.where(rows.weights > 0, rows.weights * of_rows, 0.0))

    @jax.jit
    def epoch(
        state: FitState,
        rows: Rows,
        order: jax.Array,
        rates: jax.Array,
        weight_decay: jax.Array,
        key: jax.Array,
    ) -> tuple[FitState, jax.Array]:
        def step(state: FitState, item: Any) -> tuple[FitState, jax.Array]:
            indices, rate, number = item
            batch = jax.tree.map(lambda x: x[indices], rows)
            count = jnp.maximum(jnp.sum(batch.weights > 0, dtype=jnp.float32), 1.0)

            def mean(params: Params) -> jax.Array:
                return summed(params, batch, jax.random.fold_in(key, number)) / count

            value, gradient = jax.value_and_grad(mean)(state.params)
            updates, optimizer = adam.update(gradient, state.optimizer)
            params = jax.tree.map(
                lambda w, change: w - rate * (change + weight_decay * w), state.params, updates
            )
            return FitState(params, optimizer), value * count

        steps = jnp.arange(len(order), dtype=jnp.int32)
        state, totals = jax.lax.scan(step, state, (order, rates, steps))
        return state, jnp.sum(totals) / jnp.sum(rows.weights)

    @jax.jit
    def loss(params: Params, rows: Rows) -> jax.Array:
        return summed(params, rows, None) / jnp.sum(rows.weights)

    @jax.jit
    def predict(params: Params, features: jax.Array) -> Prediction:
        return method.predict(head.apply(params, features))

    return Programs(start, epoch, loss, predict)


def filled(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, size: int, space: LabelSpace
) -> Rows:
    """Returns rows on the device, filled up to a multiple of `size` with rows of weight 0."""
    more = -len(labels) % size
    return Rows(
        jnp.asarray(np.pad(features, ((0, more), (0, 0))), jnp.float32),
        jnp.asarray(np.pad(labels, (0, more), constant_values=space.low), jnp.float32),
        jnp.asarray(np.pad(weights, (0, more)), jnp.float32),
    )


def predicted(spec: NetworkSpec, params: Params, features: np.ndarray) -> Answers:
    """Returns the answers to features [N, D].

    Every call of the program has as many rows, so that a row's answer is the same among any others.
    """
    predict, parts = programs(spec).predict, []
    for first in range(0, len(features), CHUNK):
        chunk = features[first : first + CHUNK]
        full = np.pad(chunk, ((0, CHUNK - len(chunk)), (0, 0)))
        answer = predict(params, jnp.asarray(full, jnp.float32))
        parts.append((np.asarray(answer.value), np.asarray(answer.probs)))
    values, probs = (np.concatenate(part)[: len(features)] for part in zip(*parts, strict=True))
    return Answers(values, probs)
