"""The state of a training run: arrays only, so that a checkpoint of it is the whole of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ldl_jax.methods import Method
from ldl_jax.models.functional import Model


class Weights(NamedTuple):
    """All that a network needs to answer: what a teacher is, and what a checkpoint is read for.

    Attributes:
      params: {"trunk": the network's, "head": the method's head's}, float32.
      model_state: the network's running statistics, float32.
    """

    params: dict[str, Any]
    model_state: Any


class TrainState(NamedTuple):
    """One generation in training.

    Attributes:
      weights: parameters and running statistics.
      opt_state: the optimizer's.
      step: int32 [], steps taken in this generation; with the batch size it is the input position.
      generation: int32 [], from 1.
      key: uint32 [2], the generation's random key; a step's key is folded from it and `step`.
    """

    weights: Weights
    opt_state: optax.OptState
    step: jax.Array
    generation: jax.Array
    key: jax.Array


def init_weights(model: Model, method: Method, key: jax.Array) -> Weights:
    """Fresh weights of a network and its head."""
    trunk_key, head_key = jax.random.split(key)
    trunk, model_state = model.init(trunk_key)
    head = method.head.init(head_key, model.width)
    return Weights({"trunk": trunk, "head": head}, model_state)


def init_state(
    weights: Weights, optimizer: optax.GradientTransformation, generation: int, key: jax.Array
) -> TrainState:
    """The state at step 0 of a generation that starts from these weights."""
    return TrainState(
        weights,
        optimizer.init(weights.params),
        jnp.zeros((), jnp.int32),
        jnp.asarray(generation, jnp.int32),
        jax.random.key_data(key),
    )
