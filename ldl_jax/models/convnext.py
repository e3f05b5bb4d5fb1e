"""ConvNeXt-Tiny (Liu et al., "A ConvNet for the 2020s", CVPR 2022), as torchvision has it."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, DepthwiseConv
from ldl_jax.models.exchange import scaled, shifted
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, LayerNorm, drop_path

_INITIAL = nnx.initializers.truncated_normal(0.02)


class ConvNeXtBlock(nnx.Module):
    """Adds a depthwise 7x7, a normalisation and a two-layer perceptron (Fig. 4)."""

    def __init__(self, channels: int, gamma: float, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        dense = functools.partial(Dense, dtype=dtype, rngs=rngs, initial=_INITIAL)
        self.depthwise = DepthwiseConv(channels, 7, dtype=dtype, rngs=rngs)
        self.shift = nnx.Param(jnp.zeros(channels, jnp.float32))  # the depthwise convolution's bias
        self.norm = LayerNorm(channels, dtype, rngs)
        self.mlp1 = dense(channels, 4 * channels)
        self.mlp2 = dense(4 * channels, channels)
        self.gamma = nnx.Param(jnp.full(channels, gamma, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
        """Maps x [B, H, W, C] to the same shape; a key leaves the branch out for some pictures."""
        y = shifted(self.depthwise(x), self.shift[...], self.dtype)
        y = self.mlp2(jax.nn.gelu(self.mlp1(self.norm(y)), approximate=False))
        y = scaled(y, self.gamma[...], self.dtype)
        return x + drop_path(y, rate, key)


class ConvNeXt(nnx.Module):
    """Stacks a stem of 4x4 patches and four stages, with 2x2 patches between them."""

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        rate: float,
        gamma: float,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        conv = functools.partial(Conv, padding=0, bias=True, initial=_INITIAL, dtype=dtype)
        self.blocks, self.rate = tuple(blocks), rate
        self.stem = conv(3, width, 4, stride=4, rngs=rngs)
        self.stem_norm = LayerNorm(width, dtype, rngs)
        for stage, count in enumerate(self.blocks, start=1):
            if stage > 1:
                setattr(self, f"down{stage}_norm", LayerNorm(width, dtype, rngs))
                setattr(self, f"down{stage}", conv(width, 2 * width, 2, stride=2, rngs=rngs))
                width *= 2
            for index in range(1, count + 1):
                setattr(self, f"block{stage}_{index}", ConvNeXtBlock(width, gamma, dtype, rngs))
        self.last_norm = LayerNorm(width, jnp.dtype("float32"), rngs)

    def __call__(self, images: jax.Array, *, train: bool, key: jax.Array | None) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, D]."""
        total = sum(self.blocks)
        keys = jax.random.split(key, total) if train and key is not None else [None] * total
        x = self.stem_norm(self.stem(images))
        done = 0
        for stage, count in enumerate(self.blocks, start=1):
            if stage > 1:
                x = getattr(self, f"down{stage}")(getattr(self, f"down{stage}_norm")(x))
            for index in range(1, count + 1):
                rate = self.rate * done / max(total - 1, 1)
                block = getattr(self, f"block{stage}_{index}")
                x = block(x, rate, keys[done])
                done += 1
        return self.last_norm(x.astype(jnp.float32).mean(axis=(1, 2)))


def convnext_tiny(
    blocks: tuple[int, ...] = (3, 3, 9, 3),
    width: int = 96,
    drop_path: float = 0.1,
    gamma: float = 1e-6,
    dtype: str = "float32",
) -> Model:
    """ConvNeXt-Tiny (Liu et al. 2022, Sec. 3): 27.8M parameters, 768 features.

    It maps images [B, H, W, 3] of 32x32 and more to features [B, 8 width], normalised after the
    mean. With a head for ImageNet's 1,000 classes it has 28,589,128 parameters.

    Args:
      blocks: the blocks of each of the four stages.
      width: the channels of the first stage; each stage has twice those of the one before.
      drop_path: the rate at which the last block is left out; it grows linearly from 0.
      gamma: what the scales of the branches start from.
      dtype: the type that it computes in.

    Raises:
      ValueError: there are not four stages of a block or more, no channels, or the rate is outside
        [0, 1).
    """
    if len(blocks) != 4 or any(type(n) is not int or n < 1 for n in blocks):
        raise ValueError(
            f"model.blocks: expected the blocks of 4 stages, 1 or more, got {tuple(blocks)}"
        )
    if width < 1:
        raise ValueError(f"model.width: expected at least 1 channel, got {width!r}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"model.drop_path: expected a rate in [0, 1), got {drop_path!r}")
    make = functools.partial(ConvNeXt, blocks, width, drop_path, gamma, jnp.dtype(dtype))
    return functional("convnext_tiny", make, 8 * width, smallest=32, draws=True)
