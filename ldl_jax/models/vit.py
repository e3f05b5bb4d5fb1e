"""The vision transformer ViT-B/16 (Dosovitskiy et al., "An Image is Worth 16x16 Words")."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, LayerNorm

_PATCH = 16
_INITIAL = nnx.initializers.truncated_normal(0.02)


class ViTBlock(nnx.Module):
    """Adds attention and then a two-layer perceptron to the tokens, normalising before each."""

    def __init__(self, width: int, heads: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.norm1 = LayerNorm(width, dtype, rngs)
        self.qkv = Dense(width, 3 * width, dtype, rngs, initial=_INITIAL)
        self.project = Dense(width, width, dtype, rngs, initial=_INITIAL)
        self.norm2 = LayerNorm(width, dtype, rngs)
        self.mlp1 = Dense(width, 4 * width, dtype, rngs, initial=_INITIAL)
        self.mlp2 = Dense(4 * width, width, dtype, rngs, initial=_INITIAL)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x [B, N, D] to [B, N, D]."""
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * (width // self.heads) ** -0.5).astype(x.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, tokens, width)
        x = x + self.project(mixed)
        return x + self.mlp2(jax.nn.gelu(self.mlp1(self.norm2(x)), approximate=False))


class ViT(nnx.Module):
    """Runs patches of 16x16 pixels and a class token, with learnt positions, through blocks."""

    def __init__(
        self, cells: int, depth: int, width: int, heads: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.dtype = dtype
        self.depth = depth
        conv = functools.partial(Conv, dtype=dtype, rngs=rngs)
        initial = nnx.initializers.lecun_normal()
        self.patches = conv(3, width, _PATCH, stride=_PATCH, padding=0, bias=True, initial=initial)
        self.cls_token = nnx.Param(_INITIAL(rngs.params(), (1, 1, width), jnp.float32))
        self.positions = nnx.Param(_INITIAL(rngs.params(), (1, cells + 1, width), jnp.float32))
        for index in range(1, depth + 1):
            setattr(self, f"block{index}", ViTBlock(width, heads, dtype, rngs))
        self.last_norm = LayerNorm(width, dtype, rngs)

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, size, size, 3] to the class token's float32 features [B, D]."""
        del train  # it has neither dropout nor batch statistics
        x = self.patches(images)
        batch, width = x.shape[0], x.shape[-1]
        token = jnp.broadcast_to(self.cls_token[...].astype(self.dtype), (batch, 1, width))
        x = jnp.concatenate([token, x.reshape(batch, -1, width)], axis=1)
        x = x + self.positions[...].astype(self.dtype)
        for index in range(1, self.depth + 1):
            x = getattr(self, f"block{index}")(x)
        return self.last_norm(x[:, 0]).astype(jnp.float32)


def vit_b16(
    size: int = 224, depth: int = 12, width: int = 768, heads: int = 12, dtype: str = "float32"
) -> Model:
    """ViT-B/16 (Dosovitskiy et al., Table 1): 86M parameters, the class token's 768 features.

    It maps images [B, size, size, 3] to features [B, width] and has 85,798,656 parameters without
    a head. It follows timm and torchvision: normalisation before each layer, ε = 1e-6, and the
    exact GELU. The unified benchmark's FaRL has this backbone, but its files are not read: they are
    CLIP's variant, with another GELU and one more normalisation.

    Args:
      size: the side of the pictures in pixels, a multiple of 16; the positions depend on it.
      depth: the number of blocks.
      width: D, the width of each token.
      heads: the number of attention heads.
      dtype: the type that it computes in.

    Raises:
      ValueError: the size is no multiple of 16, there are no blocks, or the heads cannot share the
        width.
    """
    if size < _PATCH or size % _PATCH:
        raise ValueError(f"model.size: vit_b16 takes a multiple of 16 pixels, got {size!r}")
    if depth < 1:
        raise ValueError(f"model.depth: expected at least 1 block, got {depth!r}")
    if heads < 1 or width < heads or width % heads:
        raise ValueError(f"model.heads: {heads!r} heads cannot share a width of {width!r}")
    cells = (size // _PATCH) ** 2
    make = functools.partial(ViT, cells, depth, width, heads, jnp.dtype(dtype))
    return functional("vit_b16", make, width, size=size, fixed=True)
