"""Says which places of a picture raise a model's answer, and which lower it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.predict.batches import batched
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.weights import Weights

STEPS = 16  # of the integral
AT_ONCE = 4  # pictures, each of which is computed at every step
CELL = 8  # pixels of the network's input that a cell of a map is wide, at the least
MOST = 28  # cells along a side


def influence(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    """Computes score maps [B, n, n] of pictures: by how much each cell raises the answer.

    A score is in the label's unit: positive where the picture's part makes the answer higher than
    its mean colour there would, negative where it makes it lower, 0 where it makes no difference.
    Its pixels' attributions by integrated gradients are summed,

    a_i = (x_i - x'_i) ∫_0^1 ∂v(x' + t (x - x')) / ∂x_i dt,

    v = Σ_k p_k l_k the mean of the learned distribution, x' the picture's mean colour everywhere.
    All scores of a map sum to v(x) - v(x'), up to the error of the sum that the integral is. Any
    network and any method has such maps; where a decoder has no gradient they are 0.

    Args:
      predictor: the model.
      images: uint8 [B, S, S, 3] of `predictor.fitted`.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks" (ICML 2017).
    """
    compute = functools.partial(_jitted(predictor), predictor.pure[1])
    maps: np.ndarray = batched(compute, np.asarray(images), AT_ONCE)
    return maps


@functools.lru_cache(maxsize=4)
def _jitted(predictor: Predictor) -> "jax.stages.Wrapped":
    predict, _ = predictor.pure
    labels = jnp.asarray(predictor.space.values, jnp.float32)

    def total(weights: Weights, inputs: jax.Array) -> jax.Array:
        return jnp.sum(predict(weights, inputs).probs @ labels)

    def compute(weights: Weights, images: jax.Array) -> jax.Array:
        inputs = prepare(images, predictor.preprocessing)
        mean = inputs.mean(axis=(1, 2), keepdims=True)
        shares = (np.arange(STEPS, dtype=np.float32) + 0.5) / STEPS
        # All steps go as one batch: in a loop, XLA's convolutions on a CPU take many times as long.
        between = mean[None] + shares[:, None, None, None, None] * (inputs - mean)[None]
        gradients = jax.grad(total, 1)(weights, between.reshape(-1, *inputs.shape[1:]))
        gradients = gradients.reshape(between.shape).mean(axis=0)
        return _cells(((inputs - mean) * gradients).sum(axis=-1))

    return jax.jit(compute)


def _cells(scores: jax.Array) -> jax.Array:
    """Sums scores [B, H, W] over the cells of a grid, as even as the pixels allow: [B, n, n]."""
    height, width = scores.shape[1:]
    count = max(1, min(MOST, height // CELL, width // CELL))
    rows, columns = (
        jax.nn.one_hot(np.arange(side) * count // side, count, dtype=jnp.float32)
        for side in (height, width)
    )
    return jnp.einsum("bhw,hi,wj->bij", scores, rows, columns)
