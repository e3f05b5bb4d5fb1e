"""The state of a training run: arrays only, so that a checkpoint of it is the whole of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.train.faults import Watch, first_watch
from ldl_jax.train.weights import PyTree, Weights

__all__ = ["PyTree", "TrainState", "Weights", "init_state", "init_weights"]


class TrainState(NamedTuple):
    """The state of one generation in training.

    Attributes:
      weights: parameters and running statistics, as the last step left them.
      opt_state: the optimizer's.
      step: int32 [], steps taken in this generation; with the batch size it is the input position.
      generation: int32 [], from 1.
      key: uint32 [2], the generation's random key; a step's key is folded from it and `step`.
      watch: the memory that faults are told by; None in checkpoints of before it was there.
      ema: the moving average of `weights`, where one is kept.
    """

    weights: Weights
    opt_state: optax.OptState
    step: jax.Array
    generation: jax.Array
    key: jax.Array
    watch: Watch | None = None
    ema: Weights | None = None

    @property
    def answers(self) -> Weights:
        """The weights that are evaluated, that teach and that predict: the average, if any."""
        return self.weights if self.ema is None else self.ema


def init_weights(model: Model, method: Method, key: jax.Array) -> Weights:
    """Fresh weights of a network and its head."""
    backbone_key, head_key = jax.random.split(key)
    backbone, model_state = model.init(backbone_key)
    head = method.head.init(head_key, model.width)
    return Weights({"backbone": backbone, "head": head}, model_state)


def init_state(
    weights: Weights,
    optimizer: optax.GradientTransformation,
    generation: int,
    key: jax.Array,
    *,
    average: bool = False,
) -> TrainState:
    """The state at step 0 of a generation that starts from these weights.

    With `average` it keeps their moving average.
    """
    return TrainState(
        weights,
        optimizer.init(weights.params),
        jnp.zeros((), jnp.int32),
        jnp.asarray(generation, jnp.int32),
        jax.random.key_data(key),
        first_watch(weights.params),
        # Copies, since a step gives all arrays of its state up.
        jax.tree.map(jnp.copy, weights) if average else None,
    )
