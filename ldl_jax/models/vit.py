"""Vision transformers: ViT-B/16, FaRL's (CLIP's visual tower), DINOv2's and DINOv3's.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021); Zheng et al., "General Facial
Representation Learning in a Visual-Linguistic Manner" (CVPR 2022, FaRL) with Radford et al.,
"Learning Transferable Visual Models" (ICML 2021, CLIP); Oquab et al., "DINOv2" (2023); Siméoni et
al., "DINOv3" (2025).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ldl_jax.models.convolution import Conv
from ldl_jax.models.exchange import scaled, weighted
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, LayerNorm

_INITIAL = nnx.initializers.truncated_normal(0.02)
_PERIOD = 100.0  # the base of DINOv3's rotary periods


class ViTPlan(NamedTuple):
    """The choices in which the vision transformers differ."""

    patch: int  # the side of a patch in pixels
    depth: int
    width: int
    heads: int
    dtype: jnp.dtype
    epsilon: float = 1e-6  # that of the normalisations
    quick: bool = False  # GELU as x σ(1.702 x), as in CLIP, instead of the exact one
    first_norm: bool = False  # a normalisation before the blocks; the patches then have no bias
    registers: int = 0  # tokens beside the class token that no position is added to
    gamma: float = 0.0  # what the scale of each branch starts from; 0 for no such scales
    rotary: bool = False  # positions as rotations of queries and keys, instead of learnt ones


class ViTBlock(nnx.Module):
    """Adds attention and then a two-layer perceptron to the tokens, normalising before each."""

    def __init__(self, plan: ViTPlan, rngs: nnx.Rngs) -> None:
        self.plan = plan
        width, dtype = plan.width, plan.dtype
        dense = functools.partial(Dense, dtype=dtype, rngs=rngs, initial=_INITIAL)
        norm = functools.partial(LayerNorm, width, dtype, rngs, epsilon=plan.epsilon)
        self.norm1 = norm()
        self.qkv = dense(width, 3 * width)
        self.project = dense(width, width)
        self.norm2 = norm()
        self.mlp1 = dense(width, 4 * width)
        self.mlp2 = dense(4 * width, width)
        if plan.gamma:
            self.gamma1 = nnx.Param(jnp.full(width, plan.gamma, jnp.float32))
            self.gamma2 = nnx.Param(jnp.full(width, plan.gamma, jnp.float32))

    def __call__(self, x: jax.Array, angles: np.ndarray | None) -> jax.Array:
        """Maps tokens x [B, N, D] to [B, N, D]; `angles` turn the patches' queries and keys."""
        plan = self.plan
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, plan.heads, width // plan.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        if angles is not None:
            q, k = rotated(q, angles), rotated(k, angles)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * (width // plan.heads) ** -0.5).astype(x.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, tokens, width)
        y = self.project(mixed)
        x = x + (scaled(y, self.gamma1[...], plan.dtype) if plan.gamma else y)
        y = self.mlp2(self._activation(self.mlp1(self.norm2(x))))
        return x + (scaled(y, self.gamma2[...], plan.dtype) if plan.gamma else y)

    def _activation(self, x: jax.Array) -> jax.Array:
        return x * jax.nn.sigmoid(1.702 * x) if self.plan.quick else jax.nn.gelu(x, False)


class ViT(nnx.Module):
    """Runs patches of pixels and a class token, with their positions, through blocks."""

    def __init__(self, plan: ViTPlan, cells: int, rngs: nnx.Rngs) -> None:
        self.plan = plan
        width, dtype = plan.width, plan.dtype
        conv = functools.partial(Conv, padding=0, bias=not plan.first_norm, dtype=dtype, rngs=rngs)
        initial = nnx.initializers.lecun_normal()
        self.patches = conv(3, width, plan.patch, stride=plan.patch, initial=initial)
        self.cls_token = nnx.Param(_INITIAL(rngs.params(), (1, 1, width), jnp.float32))
        if not plan.rotary:
            self.positions = nnx.Param(_INITIAL(rngs.params(), (1, cells + 1, width), jnp.float32))
        if plan.registers:
            shape = (1, plan.registers, width)
            self.registers = nnx.Param(_INITIAL(rngs.params(), shape, jnp.float32))
        norm = functools.partial(LayerNorm, width, dtype, rngs, epsilon=plan.epsilon)
        if plan.first_norm:
            self.first_norm = norm()
        for index in range(1, plan.depth + 1):
            setattr(self, f"block{index}", ViTBlock(plan, rngs))
        self.last_norm = norm()

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, size, size, 3] to the class token's float32 features [B, D]."""
        del train  # it has neither dropout nor batch statistics
        plan = self.plan
        x = self.patches(images)
        batch, rows, columns, width = x.shape
        x = jnp.concatenate([self._wide(self.cls_token, x), x.reshape(batch, -1, width)], 1)
        angles = None
        if plan.rotary:
            angles = rotary_angles(rows, columns, width // plan.heads)
        else:
            x = weighted(jnp.add, x, self.positions[...], plan.dtype)
        if plan.registers:
            x = jnp.concatenate([x[:, :1], self._wide(self.registers, x), x[:, 1:]], axis=1)
        if plan.first_norm:
            x = self.first_norm(x)
        for index in range(1, plan.depth + 1):
            x = getattr(self, f"block{index}")(x, angles)
        return self.last_norm(x[:, 0]).astype(jnp.float32)

    def _wide(self, token: nnx.Param, x: jax.Array) -> jax.Array:
        """Repeats tokens [1, N, D] for each picture of x [B, ...]."""

        def repeated(x: jax.Array, value: jax.Array) -> jax.Array:
            return jnp.broadcast_to(value, (x.shape[0], *value.shape[1:]))

        return weighted(repeated, x, token[...], self.plan.dtype)


def rotary_angles(rows: int, columns: int, size: int) -> np.ndarray:
    """Returns DINOv3's angles of the patches of a map, float32 [rows * columns, size / 2].

    A patch's centre (y, x), on the scale -1 to 1, gives 2π y / p_j and then 2π x / p_j for the
    periods p_j = 100^(4 j / size), j = 0, ..., size / 4 - 1.

    Args:
      rows: the patches one above the other.
      columns: the patches side by side.
      size: the width of an attention head, a multiple of 4.
    """
    centres = [2 * (np.arange(count) + 0.5) / count - 1 for count in (rows, columns)]
    grid = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    periods = _PERIOD ** (4 * np.arange(size // 4) / size)
    return (2 * np.pi * grid / periods).reshape(len(grid), -1).astype(np.float32)


def rotated(x: jax.Array, angles: np.ndarray) -> jax.Array:
    """Turns pairs (x_i, x_{i + d/2}) of the last tokens of x [B, N, heads, d] by their angles.

    The tokens before them, class and registers, stay as they are. It computes in float32.
    """
    patches = len(angles)
    half = x.shape[-1] // 2
    wide = x[:, -patches:].astype(jnp.float32)
    cos, sin = (f(angles)[None, :, None, :] for f in (np.cos, np.sin))
    first, second = wide[..., :half], wide[..., half:]
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return jnp.concatenate([x[:, :-patches], turned.astype(x.dtype)], axis=1)


def vit_b16(
    size: int = 224, depth: int = 12, width: int = 768, heads: int = 12, dtype: str = "float32"
) -> Model:
    """ViT-B/16 (Dosovitskiy et al., Table 1): 86M parameters, the class token's 768 features.

    It maps images [B, size, size, 3] to features [B, width] and has 85,798,656 parameters without
    a head. It follows timm and torchvision: normalisation before each layer, ε = 1e-6, and the
    exact GELU.

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
    return _vit("vit_b16", size, ViTPlan(16, depth, width, heads, jnp.dtype(dtype)))


def farl_b16(
    size: int = 224, depth: int = 12, width: int = 768, heads: int = 12, dtype: str = "float32"
) -> Model:
    """FaRL's ViT-B/16 (Zheng et al., CVPR 2022), CLIP's visual tower: 86M parameters.

    It maps images [B, size, size, 3] to features [B, width], the class token's before CLIP's
    projection, and takes the arguments of `vit_b16`. CLIP's variant has one more normalisation,
    ε = 1e-5, no bias in its patches, and x σ(1.702 x) for the GELU.
    """
    plan = ViTPlan(16, depth, width, heads, jnp.dtype(dtype), 1e-5, quick=True, first_norm=True)
    return _vit("farl_b16", size, plan)


def dinov2_s14(
    size: int = 224,
    depth: int = 12,
    width: int = 384,
    heads: int = 6,
    gamma: float = 1e-5,
    dtype: str = "float32",
) -> Model:
    """DINOv2's ViT-S/14 (Oquab et al. 2023): 22M parameters, the class token's 384 features.

    It takes the arguments of `vit_b16`, with a multiple of 14 as size, and `gamma`, above 0, which
    the scales of the branches start from. Its files are of 518x518; their positions are
    interpolated for another size.
    """
    plan = ViTPlan(14, depth, width, heads, jnp.dtype(dtype), gamma=gamma)
    return _vit("dinov2_s14", size, plan)


def dinov2_b14(
    size: int = 224,
    depth: int = 12,
    width: int = 768,
    heads: int = 12,
    gamma: float = 1e-5,
    dtype: str = "float32",
) -> Model:
    """DINOv2's ViT-B/14 (Oquab et al. 2023): 86M parameters, the class token's 768 features.

    All else is as in `dinov2_s14`.
    """
    plan = ViTPlan(14, depth, width, heads, jnp.dtype(dtype), gamma=gamma)
    return _vit("dinov2_b14", size, plan)


def dinov3_s16(
    size: int = 224,
    depth: int = 12,
    width: int = 384,
    heads: int = 6,
    gamma: float = 1e-5,
    dtype: str = "float32",
) -> Model:
    """DINOv3's ViT-S/16 (Siméoni et al. 2025): 22M parameters, the class token's 384 features.

    It takes the arguments of `dinov2_s14`, with a multiple of 16 as size; the width of an attention
    head must be a multiple of 4. Four registers stand beside the class token, and the patches'
    positions are rotations, so its files fit every size.
    """
    return _dinov3(
        "dinov3_s16", size, ViTPlan(16, depth, width, heads, jnp.dtype(dtype), gamma=gamma)
    )


def dinov3_b16(
    size: int = 224,
    depth: int = 12,
    width: int = 768,
    heads: int = 12,
    gamma: float = 1e-5,
    dtype: str = "float32",
) -> Model:
    """DINOv3's ViT-B/16 (Siméoni et al. 2025): 86M parameters, the class token's 768 features.

    All else is as in `dinov3_s16`.
    """
    return _dinov3(
        "dinov3_b16", size, ViTPlan(16, depth, width, heads, jnp.dtype(dtype), gamma=gamma)
    )


def _dinov3(name: str, size: int, plan: ViTPlan) -> Model:
    if plan.heads > 0 and plan.width // plan.heads % 4:
        raise ValueError(
            f"model.heads: {name} takes heads of a multiple of 4, got {plan.width} / {plan.heads}"
        )
    plan = plan._replace(epsilon=1e-5, registers=4, rotary=True)
    return _vit(name, size, plan)


def _vit(name: str, size: int, plan: ViTPlan) -> Model:
    patch, depth, width, heads = plan[:4]
    if size < patch or size % patch:
        raise ValueError(f"model.size: {name} takes a multiple of {patch} pixels, got {size!r}")
    if depth < 1:
        raise ValueError(f"model.depth: expected at least 1 block, got {depth!r}")
    if heads < 1 or width < heads or width % heads:
        raise ValueError(f"model.heads: {heads!r} heads cannot share a width of {width!r}")
    if name.startswith("dino") and not plan.gamma > 0:
        raise ValueError(f"model.gamma: expected more than 0, got {plan.gamma!r}")
    make = functools.partial(ViT, plan, (size // patch) ** 2)
    return functional(name, make, width, size=size, fixed=True)
