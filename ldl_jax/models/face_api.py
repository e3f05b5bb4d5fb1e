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

SIZE = 112  # pixels
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0  # of RGB pictures, 0-255
_MAIN = 2  # blocks in the middle
_LAYOUT = ("NHWC", "HWIO", "NHWC")
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
    x = (images.astype(jnp.float32) - jnp.asarray(MEAN)) / SCALE
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
    return (pooled @ weights["fc/age/weights"] + weights["fc/age/bias"])[:, 0]


def _names() -> list[str]:
    """Returns the names of all arrays that the ages need."""
    reductions = ("entry_flow/reduction_block_0", "entry_flow/reduction_block_1")
    blocks = [(name, 2) for name in (*reductions, "exit_flow/reduction_block")]
    blocks += [(f"middle_flow/main_block_{block}", 3) for block in range(_MAIN)]
    layers = [f"{name}/separable_conv{layer}" for name, count in blocks for layer in range(count)]
    layers.append("exit_flow/separable_conv")
    full = ["entry_flow/conv_in", *(f"{name}/expansion_conv" for name, count in blocks if count == 2)]
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
    depthwise = weights[f"{name}/depthwise_filter"].transpose(0, 1, 3, 2)
    x = _convolved(x, depthwise, 1, groups=x.shape[-1])
    return _convolved(x, weights[f"{name}/pointwise_filter"], 1) + weights[f"{name}/bias"]


def _conv(weights: Weights, name: str, x: jax.Array, stride: int) -> jax.Array:
    return _convolved(x, weights[f"{name}/filters"], stride) + weights[f"{name}/bias"]


def _convolved(x: jax.Array, kernel: np.ndarray, stride: int, groups: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        jnp.asarray(kernel),
        (stride, stride),
        "SAME",
        dimension_numbers=_LAYOUT,
        feature_group_count=groups,
    )
