"""MobileNetV3 and EfficientNet-B0, as torchvision has them.

Howard et al., "Searching for MobileNetV3" (ICCV 2019), Tables 1 and 2; Tan and Le, "EfficientNet"
(ICML 2019), Table 1. Both stack inverted residual blocks with squeeze and excitation.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, DepthwiseConv
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, Norm, drop_path, dropout

Activation = Callable[[jax.Array], jax.Array]


class BlockPlan(NamedTuple):
    """An inverted residual block."""

    name: str
    inputs: int
    size: int  # of its depthwise kernel
    expanded: int
    outputs: int
    squeezed: int  # the channels of the squeeze and excitation, 0 for none
    activation: Activation
    stride: int


class MobilePlan(NamedTuple):
    """The choices in which the networks differ."""

    blocks: Sequence[BlockPlan]
    stem: int  # its channels
    last: int  # the channels of the last convolution
    hidden: int  # the units of the dense layer after the mean, 0 for none
    activation: Activation  # of the first and the last convolution and the dense layer
    squeeze: tuple[Activation, Activation]  # of its two layers
    epsilon: float  # that of the normalisations
    momentum: float  # the share of the running statistics that a step keeps
    dropout: float
    drop_path: float  # the rate of the last block; it grows linearly from 0
    dtype: jnp.dtype


class Squeeze(nnx.Module):
    """Scales each channel by a function of all channels' means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int, plan: MobilePlan, rngs: nnx.Rngs) -> None:
        self.activations = plan.squeeze
        self.down = Dense(channels, squeezed, plan.dtype, rngs)
        self.up = Dense(squeezed, channels, plan.dtype, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [B, H, W, C] to the same shape."""
        inner, outer = self.activations
        scale = outer(self.up(inner(self.down(x.mean(axis=(1, 2))))))
        return x * scale[:, None, None, :]


class InvertedResidual(nnx.Module):
    """Expands by 1x1, convolves each channel, squeezes, and projects by 1x1."""

    def __init__(self, block: BlockPlan, plan: MobilePlan, rngs: nnx.Rngs) -> None:
        self.block = block
        conv = functools.partial(Conv, size=1, dtype=plan.dtype, rngs=rngs)
        norm = functools.partial(
            Norm, dtype=plan.dtype, rngs=rngs, epsilon=plan.epsilon, momentum=plan.momentum
        )
        self.expands = block.expanded != block.inputs
        if self.expands:
            self.expand = conv(block.inputs, block.expanded)
            self.expand_norm = norm(block.expanded, of="expand")
        self.depthwise = DepthwiseConv(
            block.expanded, block.size, stride=block.stride, dtype=plan.dtype, rngs=rngs
        )
        self.depthwise_norm = norm(block.expanded, of="depthwise")
        if block.squeezed:
            self.squeeze = Squeeze(block.expanded, block.squeezed, plan, rngs)
        self.project = conv(block.expanded, block.outputs)
        self.project_norm = norm(block.outputs, of="project")

    def __call__(
        self, x: jax.Array, *, train: bool, rate: float, key: jax.Array | None
    ) -> jax.Array:
        """Maps x [B, H, W, in] to [B, H / stride, W / stride, out]; a key drops whole branches."""
        act, y = self.block.activation, x
        if self.expands:
            y = act(self.expand_norm(self.expand(y), train=train))
        y = act(self.depthwise_norm(self.depthwise(y), train=train))
        if self.block.squeezed:
            y = self.squeeze(y)
        y = self.project_norm(self.project(y), train=train)
        if self.block.stride != 1 or self.block.inputs != self.block.outputs:
            return y
        return x + drop_path(y, rate, key)


class MobileBlocks(nnx.Module):
    """Stacks a convolution of stride 2, the blocks, a convolution of 1x1, and the mean."""

    def __init__(self, plan: MobilePlan, rngs: nnx.Rngs) -> None:
        self.plan = plan
        norm = functools.partial(
            Norm, dtype=plan.dtype, rngs=rngs, epsilon=plan.epsilon, momentum=plan.momentum
        )
        self.stem = Conv(3, plan.stem, 3, stride=2, dtype=plan.dtype, rngs=rngs)
        self.stem_norm = norm(plan.stem, of="stem")
        for block in plan.blocks:
            setattr(self, block.name, InvertedResidual(block, plan, rngs))
        self.last = Conv(plan.blocks[-1].outputs, plan.last, 1, dtype=plan.dtype, rngs=rngs)
        self.last_norm = norm(plan.last, of="last")
        if plan.hidden:
            self.hidden = Dense(plan.last, plan.hidden, plan.dtype, rngs)

    def __call__(self, images: jax.Array, *, train: bool, key: jax.Array | None) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, D]."""
        plan = self.plan
        count = len(plan.blocks)
        keys = (
            jax.random.split(key, count + 1) if train and key is not None else [None] * (count + 1)
        )
        x = plan.activation(self.stem_norm(self.stem(images), train=train))
        for index, block in enumerate(plan.blocks):
            rate = plan.drop_path * index / count
            x = getattr(self, block.name)(x, train=train, rate=rate, key=keys[index])
        x = plan.activation(self.last_norm(self.last(x), train=train))
        x = x.astype(jnp.float32).mean(axis=(1, 2))
        if plan.hidden:
            x = plan.activation(self.hidden(x).astype(jnp.float32))
        return dropout(x, plan.dropout, keys[-1])


def _even(channels: float) -> int:
    """Returns the multiple of 8 next to a number of channels, at least nine tenths of it."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


# The size of the kernel, the expanded channels and those at the end, whether it squeezes, whether
# it has h-swish instead of ReLU, and the stride.
_Row = tuple[int, int, int, bool, bool, int]
_SMALL: Sequence[_Row] = (
    *((3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1)),
    *((5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1)),
    *((5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2)),
    *((5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1)),
)
_LARGE: Sequence[_Row] = (
    *((3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1)),
    *((5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1)),
    *((3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1)),
    *((3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1)),
    *((5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1)),
)
# The expansion, the size of the kernel, the stride of the first block, the channels, the blocks.
_B0 = (
    *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
    *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
)


def mobilenet_v3_small(width: float = 1.0, dropout: float = 0.2, dtype: str = "float32") -> Model:
    """MobileNetV3-Small (Howard et al. 2019, Table 2): 1.6M parameters, 1024 features.

    It maps images [B, H, W, 3] of any size to features [B, 1024], those of the dense layer before
    the logits. With a head for ImageNet's 1,000 classes it has 2,542,856 parameters.

    Args:
      width: the multiplier of all channels.
      dropout: the rate after the dense layer.
      dtype: the type that it computes in.

    Raises:
      ValueError: the multiplier is not above 0, or the rate is outside [0, 1).
    """
    return _v3("mobilenet_v3_small", _SMALL, 1024, width, dropout, dtype)


def mobilenet_v3_large(width: float = 1.0, dropout: float = 0.2, dtype: str = "float32") -> Model:
    """MobileNetV3-Large (Howard et al. 2019, Table 1): 4.3M parameters, 1280 features.

    It maps images [B, H, W, 3] to features [B, 1280] and takes the arguments of
    `mobilenet_v3_small`. With a head for ImageNet it has 5,483,032 parameters.
    """
    return _v3("mobilenet_v3_large", _LARGE, 1280, width, dropout, dtype)


def efficientnet_b0(
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    drop_path: float = 0.2,
    dtype: str = "float32",
) -> Model:
    """EfficientNet-B0 (Tan and Le 2019, Table 1): 4.1M parameters, 1280 features.

    It maps images [B, H, W, 3] of any size to features [B, 1280]. With a head for ImageNet's 1,000
    classes it has 5,288,548 parameters.

    Args:
      width: the multiplier of all channels; 1.0 for B0 and B1, 1.1 for B2, 1.2 for B3, 1.4 for B4.
      depth: the multiplier of the blocks; 1.1 for B1, 1.2 for B2, 1.4 for B3, 1.8 for B4.
      dropout: the rate on the features.
      drop_path: the rate at which the last block is left out; it grows linearly from 0.
      dtype: the type that it computes in.

    Raises:
      ValueError: a multiplier is not above 0, or a rate is outside [0, 1).
    """
    _check(width=width, depth=depth)
    _check_rates(dropout=dropout, drop_path=drop_path)
    inputs = stem = _even(32 * width)
    blocks = []
    for stage, (ratio, size, stride, channels, count) in enumerate(_B0, start=1):
        outputs = _even(channels * width)
        for index in range(math.ceil(count * depth)):
            squeezed, expanded = max(1, inputs // 4), _even(inputs * ratio)
            step = stride if index == 0 else 1
            name = f"block{stage}_{index + 1}"
            sizes = (inputs, size, expanded, outputs, squeezed)
            blocks.append(BlockPlan(name, *sizes, jax.nn.silu, step))
            inputs = outputs
    gates = (jax.nn.silu, jax.nn.sigmoid)
    moments, rates = (1e-5, 0.9), (dropout, drop_path)
    last = 4 * inputs
    plan = MobilePlan(blocks, stem, last, 0, jax.nn.silu, gates, *moments, *rates, jnp.dtype(dtype))
    make = functools.partial(MobileBlocks, plan)
    return functional("efficientnet_b0", make, last, draws=True)


def _v3(
    name: str, rows: Sequence[_Row], hidden: int, width: float, rate: float, dtype: str
) -> Model:
    _check(width=width)
    _check_rates(dropout=rate)
    inputs = stem = _even(16 * width)
    blocks = []
    for index, (size, wide, end, squeezes, swish, stride) in enumerate(rows, start=1):
        expanded, outputs = _even(wide * width), _even(end * width)
        squeezed = _even(expanded // 4) if squeezes else 0
        act = jax.nn.hard_swish if swish else jax.nn.relu
        sizes = (inputs, size, expanded, outputs, squeezed)
        blocks.append(BlockPlan(f"block{index}", *sizes, act, stride))
        inputs = outputs
    hidden = _even(hidden * width)
    gates = (jax.nn.relu, jax.nn.hard_sigmoid)
    moments = (1e-3, 0.99)
    plan = MobilePlan(
        *(blocks, stem, 6 * inputs, hidden, jax.nn.hard_swish, gates, *moments),
        *(rate, 0.0, jnp.dtype(dtype)),
    )
    return functional(name, functools.partial(MobileBlocks, plan), hidden, draws=True)


def _check(**multipliers: float) -> None:
    for name, value in multipliers.items():
        if not 0 < value <= 8:
            raise ValueError(f"model.{name}: expected a multiplier above 0, at most 8, got {value}")


def _check_rates(**rates: float) -> None:
    for name, value in rates.items():
        if not 0 <= value < 1:
            raise ValueError(f"model.{name}: expected a rate in [0, 1), got {value!r}")
