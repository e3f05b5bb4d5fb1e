"""MobileNet-1.0 with its batch normalisation folded, as HSE-FaceRes has it.

Howard et al., "MobileNets" (2017), Table 1; Savchenko, "Efficient facial representations for age,
gender and identity recognition" (PeerJ Computer Science 2019), which trains it on VGGFace2's
identities and gives it one dense layer and heads for age and gender. Nothing normalises by batch:
what the normalisations had learnt is in the kernels, scales and biases.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.compact import MOBILE_PLAN
from ldl_jax.models.convolution import Conv, depthwise, keras_padded
from ldl_jax.models.exchange import shifted, weighted
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense

_HIDDEN = 256
_HE_FAN_IN = nnx.initializers.he_normal()
PARTS = ("both", "pooled", "hidden", "layers")
_SEVERAL = (9, 11, 12)  # the layers whose means "layers" adds


class ScaledDepthwise(nnx.Module):
    """Convolves each channel by itself with a 3x3 kernel, and then scales and shifts it."""

    def __init__(self, channels: int, stride: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        initial = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
        self.kernel = nnx.Param(initial(rngs.params(), (3, 3, 1, channels), jnp.float32))
        self.scale = nnx.Param(jnp.ones(channels, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.stride, self.dtype = stride, dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), C]."""
        # The scale goes into the kernel, which is far smaller than the map.
        kernel = self.kernel[...] * self.scale[...][None, None, None]
        x = x.astype(self.dtype)
        x, padding = (keras_padded(x), 0) if self.stride == 2 else (x, 1)
        convolved = functools.partial(depthwise, stride=self.stride, padding=padding)
        y = weighted(convolved, x, kernel, self.dtype)
        return shifted(y, self.bias[...], self.dtype)


class FaceRes(nnx.Module):
    """Stacks separable convolutions, a mean over the map, and a dense layer."""

    def __init__(self, parts: str, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        conv = functools.partial(Conv, bias=True, initial=_HE_FAN_IN, dtype=dtype, rngs=rngs)
        self.parts = parts
        width = 32
        self.stem = conv(3, width, 3, stride=2, padding=0)
        for layer, (channels, stride) in enumerate(MOBILE_PLAN, start=1):
            setattr(self, f"depthwise{layer}", ScaledDepthwise(width, stride, dtype, rngs))
            setattr(self, f"point{layer}", conv(width, channels, 1))
            width = channels
        if parts != "pooled":
            self.hidden = Dense(width, _HIDDEN, dtype, rngs, initial=_HE_FAN_IN)

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, D]."""
        del train  # it has neither dropout nor batch statistics
        layers = self._layers(images)
        pooled = _mean(layers[-1])
        if self.parts == "pooled":
            return pooled
        hidden = jax.nn.relu(self.hidden(pooled)).astype(jnp.float32)
        if self.parts == "hidden":
            return hidden
        several = _SEVERAL if self.parts == "layers" else ()
        means = [_mean(layers[layer - 1]) for layer in several]
        return jnp.concatenate([pooled, hidden, *means], axis=-1)

    def _maps(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to the last maps, float32 [B, h, w, 1024]."""
        del train
        return self._layers(images)[-1].astype(jnp.float32)

    def _layers(self, images: jax.Array) -> list[jax.Array]:
        """Maps images [B, H, W, 3] to the maps [B, h, w, C] of the 13 separable convolutions."""
        x = jax.nn.relu6(self.stem(keras_padded(images)))
        maps = []
        for layer in range(1, len(MOBILE_PLAN) + 1):
            x = jax.nn.relu6(getattr(self, f"depthwise{layer}")(x))
            x = jax.nn.relu6(getattr(self, f"point{layer}")(x))
            maps.append(x)
        return maps


def _mean(maps: jax.Array) -> jax.Array:
    return maps.astype(jnp.float32).mean(axis=(1, 2))


class PooledFaceRes(FaceRes):
    """Gives features that are the mean of the last maps."""

    maps = FaceRes._maps


def faceres(features: str = "both", dtype: str = "float32") -> Model:
    """HSE-FaceRes' MobileNet-1.0 (Howard et al. 2017, folded batch norm): 3.6M parameters.

    It maps images [B, H, W, 3] of any size to features [B, D]. The file's weights are of pictures
    of 224x224. There is no batch normalisation to be fine-tuned: its scales and biases are
    parameters, and no statistics of small batches disturb them.

    Args:
      features: "both" gives the pooled map's 1,024 features followed by the 256 of the dense layer,
        "pooled" and "hidden" one of these. "layers" gives 3,328: those of "both", and the means of
        the maps of the separable convolutions 9, 11 and 12, which are less bent towards telling
        persons apart. The file's own head for ages reads "hidden".
      dtype: the type that it computes in.

    Raises:
      ValueError: the features are none of these.
    """
    if features not in PARTS:
        raise ValueError(f"model.features: expected {', '.join(PARTS)}, got {features!r}")
    pooled = MOBILE_PLAN[-1][0]
    both = pooled + _HIDDEN
    several = both + sum(MOBILE_PLAN[layer - 1][0] for layer in _SEVERAL)
    width = {"both": both, "pooled": pooled, "hidden": _HIDDEN, "layers": several}[features]
    module = PooledFaceRes if features == "pooled" else FaceRes
    return functional("faceres", functools.partial(module, features, jnp.dtype(dtype)), width)
