"""Folds batch normalisation into the layers before it, for inference.

With the running mean m and variance v, γ (W x + b - m) / (v + ε)^½ + β is a layer of its own, with
the kernel W s and the bias (b - m) s + β, where s = γ (v + ε)^-½. A normalisation that follows
something else than one layer (DenseNet's) becomes a multiply and an add.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, DepthwiseConv
from ldl_jax.models.layers import Norm
from ldl_jax.models.normalise import wide


class Folded(nnx.Module):
    """Stands where a normalisation was that the layer before it does now."""

    def __call__(self, x: jax.Array, *, train: bool, bias: jax.Array | None = None) -> jax.Array:
        """Returns x [..., C], plus the `bias` [C] that the layer before has left out.

        Raises:
          ValueError: it is called for training.
        """
        _check_inference(train)
        return x if bias is None else x + wide(bias.astype(x.dtype), x)


class Affine(nnx.Module):
    """Multiplies and adds channel by channel in float32, as the normalisation did that it was."""

    def __init__(self, scale: jax.Array, shift: jax.Array, dtype: jnp.dtype) -> None:
        self.scale, self.shift = nnx.Param(scale), nnx.Param(shift)
        self.dtype = dtype

    def __call__(self, x: jax.Array, *, train: bool, bias: jax.Array | None = None) -> jax.Array:
        """Maps x [..., C], plus the `bias` [C] that the layer before has left out.

        Raises:
          ValueError: it is called for training.
        """
        _check_inference(train)
        scale, shift = self.scale[...], self.shift[...]
        if bias is not None:
            shift = shift + bias * scale
        return (x.astype(jnp.float32) * wide(scale, x) + wide(shift, x)).astype(self.dtype)


def fold(module: nnx.Module) -> None:
    """Folds every `Norm` of a module, in place; batch statistics of other classes stay.

    Args:
      module: a network with its weights.
    """
    for _, parent in list(nnx.iter_modules(module)):
        for name, child in list(vars(parent).items()):
            if isinstance(child, Norm):
                setattr(parent, name, _folded(parent, child))


def _folded(parent: nnx.Module, norm: Norm) -> nnx.Module:
    """Folds a normalisation of `parent` and returns what stands in its place."""
    scale, shift = norm.line()
    if norm.of is None:
        return Affine(scale, shift, norm.dtype)
    layer = getattr(parent, norm.of)
    assert isinstance(layer, Conv | DepthwiseConv)
    kernel = layer.kernel[...]
    # A depthwise kernel [k, k, 1, C] has its channels last, too.
    layer.kernel = nnx.Param(kernel * wide(scale, kernel))
    layer.bias = nnx.Param(shift + layer.bias[...] * scale if layer.biased else shift)
    layer.biased = True
    return Folded()


def _check_inference(train: bool) -> None:
    if train:
        raise ValueError("train: the network's batch normalisation is folded, so it only infers")
