"""face-api's network for ages (0.4 MB, quantised), from its TensorFlow.js files; it is not trained.

A small Xception on 112 x 112 pictures whose last dense layer gives the age in years.
Source: `TinyXception` and `AgeGenderNet` of justadudewhohacks/face-api.js.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.models import tfjs_files
from ldl_jax.models.convolution import convolve, depthwise, keras_padded

SIZE = 112  # pixels
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0  # of RGB pictures, 0-255
_MAIN = 2  # blocks in the middle
Weights = Mapping[str, np.ndarray]  # by their names in the file


def read(path: Path) -> dict[str, np.ndarray]:
    """Returns the weights of a file, by name.

    Raises:
      ValueError: it is no TensorFlow.js model, or lacks an array of this network.
    """
    arrays, reader, _ = tfjs_files.opened(path)
    missing = [name for name in _names() if name not in arrays]
    if missing:
        raise ValueError(
            f"path: {path} is not face-api's network for ages: it lacks {', '.join(missing[:3])}"
        )
    return {name: np.asarray(reader(name), np.float32) for name in _names()}


def ages(weights: Weights, images: jax.Array) -> jax.Array:
    """Returns the ages [B] in years of RGB pictures [B, 112, 112, 3] of 0 to 255."""
    x = (images.astype(jnp.float32) - jnp.asarray(MEAN)[None, None, None, :]) / SCALE
    x = jax.nn.relu(_conv(weights, "entry_flow/conv_in", x, 2))
    x = _reduced(weights, "entry_flow/reduction_block_0", x, x)
    x = _reduced(weights, "entry_flow/reduction_block_1", x, jax.nn.relu(x))
    for block in range(_MAIN):
        y = x
        for layer in range(3):
            name = f"middle_flow/main_block_{block}/separable_conv{layer}"
            y = _separable(weights, name, jax.nn.relu(y))
        x = x + y
    x = _reduced(weights, "exit_flow/reduction_block", x, jax.nn.relu(x))
    x = jax.nn.relu(_separable(weights, "exit_flow/separable_conv", x))
    pooled = x.mean(axis=(1, 2))  # all of the 7 x 7 map
    return pooled @ jnp.asarray(weights["fc/age/weights"])[:, 0] + weights["fc/age/bias"][0]


def _names() -> list[str]:
    """Returns the names of all arrays that the ages need."""
    reductions = ("entry_flow/reduction_block_0", "entry_flow/reduction_block_1")
    blocks = [(name, 2) for name in (*reductions, "exit_flow/reduction_block")]
    blocks += [(f"middle_flow/main_block_{block}", 3) for block in range(_MAIN)]
    layers = [f"{name}/separable_conv{layer}" for name, count in blocks for layer in range(count)]
    layers.append("exit_flow/separable_conv")
    full = [
        "entry_flow/conv_in",
        *(f"{name}/expansion_conv" for name, count in blocks if count == 2),
    ]
    names = [f"{layer}/{kind}_filter" for layer in layers for kind in ("depthwise", "pointwise")]
    names += [f"{layer}/filters" for layer in full]
    names += [f"{layer}/bias" for layer in (*layers, *full)]
    return [*names, "fc/age/weights", "fc/age/bias"]


def _reduced(weights: Weights, name: str, x: jax.Array, activated: jax.Array) -> jax.Array:
    """Halves a map's sides, with a shortcut from `x` before it was activated."""
    y = _separable(weights, f"{name}/separable_conv0", activated)
    y = _separable(weights, f"{name}/separable_conv1", jax.nn.relu(y))
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, window, strides, "SAME")
    return y + _conv(weights, f"{name}/expansion_conv", x, 2)


def _separable(weights: Weights, name: str, x: jax.Array) -> jax.Array:
    kernel = jnp.asarray(weights[f"{name}/depthwise_filter"]).transpose(0, 1, 3, 2)
    x = depthwise(x, kernel, stride=1, padding=1)
    pointwise = jnp.asarray(weights[f"{name}/pointwise_filter"])
    return convolve(x, pointwise, stride=1, padding=0) + _bias(weights, name)


def _conv(weights: Weights, name: str, x: jax.Array, stride: int) -> jax.Array:
    kernel = jnp.asarray(weights[f"{name}/filters"])
    padded = keras_padded(x) if kernel.shape[0] == 3 else x
    return convolve(padded, kernel, stride, padding=0) + _bias(weights, name)


def _bias(weights: Weights, name: str) -> jax.Array:
    return jnp.asarray(weights[f"{name}/bias"])[None, None, None, :]
