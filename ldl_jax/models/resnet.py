"""Residual networks: CEN's (Li et al., A Coupled Evolutionary Network, Table 7), those of He et
al. that other comparisons use, and the Adience report's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, max_pool
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Norm

Activation = Callable[[jax.Array], jax.Array]


class Plan(NamedTuple):
    """What makes a residual network the one that it is.

    Attributes:
      blocks: how many blocks each of the four stages has.
      channels: of the stem.
      bottleneck: whether a block is 1x1, 3x3, 1x1 and four times as wide, in place of two 3x3.
      activation: after each normalisation and each sum.
      shortcut: the size of the convolution in a projecting shortcut.
      normed: whether that convolution is normalised.
    """

    blocks: Sequence[int]
    channels: int
    bottleneck: bool = False
    activation: Activation = jax.nn.relu
    shortcut: int = 1
    normed: bool = True


class Block(nnx.Module):
    """Convolutions around a shortcut (He et al., Deep Residual Learning, Figs. 2 and 5).

    A bottleneck's stride is that of its 3x3 convolution, as in torchvision.
    """

    def __init__(
        self, plan: Plan, inputs: int, width: int, stride: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.activation = plan.activation
        outputs = 4 * width if plan.bottleneck else width
        if plan.bottleneck:
            layers = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        else:
            layers = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        self.count = len(layers)
        for place, (before, after, size, step) in enumerate(layers, start=1):
            conv = Conv(before, after, size, stride=step, dtype=dtype, rngs=rngs)
            setattr(self, f"conv{place}", conv)
            setattr(self, f"norm{place}", Norm(after, dtype, rngs))
        self.projects = stride != 1 or inputs != outputs
        self.normed = plan.normed
        if self.projects:
            self.shortcut = Conv(
                inputs, outputs, plan.shortcut, stride=stride, dtype=dtype, rngs=rngs
            )
            if plan.normed:
                self.shortcut_norm = Norm(outputs, dtype, rngs)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, in] to [B, H / stride, W / stride, out]."""
        y = x
        for place in range(1, self.count + 1):
            y = getattr(self, f"conv{place}")(y)
            y = getattr(self, f"norm{place}")(y, train=train)
            y = self.activation(y) if place < self.count else y
        if self.projects:
            x = self.shortcut(x)
            x = self.shortcut_norm(x, train=train) if self.normed else x
        return self.activation(x + y)


class ResNet(nnx.Module):
    """Conv1 to Conv5_x of CEN's Table 7 and the average pool; images of 32x32 and more."""

    def __init__(self, plan: Plan, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.activation = plan.activation
        self.stem = Conv(3, plan.channels, 7, stride=2, dtype=dtype, rngs=rngs)
        self.stem_norm = Norm(plan.channels, dtype, rngs)
        self.names: tuple[str, ...] = ()
        inputs = plan.channels
        for stage, count in enumerate(plan.blocks):
            for place in range(count):
                width = plan.channels * 2**stage
                stride = 2 if stage > 0 and place == 0 else 1
                # Named, since Orbax restores a list's integer keys as strings.
                name = f"conv{stage + 2}_{place + 1}"
                setattr(self, name, Block(plan, inputs, width, stride, dtype, rngs))
                self.names += (name,)
                inputs = 4 * width if plan.bottleneck else width

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, D]."""
        return self.maps(images, train=train).mean(axis=(1, 2))

    def maps(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 [B, h, w, D], whose mean the features are."""
        x = self.activation(self.stem_norm(self.stem(images), train=train))
        x = max_pool(x, 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x, train=train)
        return x.astype(jnp.float32)


def _build(name: str, dtype: str, blocks: Sequence[int], channels: int, **changes: Any) -> Model:
    plan, compute = Plan(blocks, channels, **changes), jnp.dtype(dtype)
    width = 8 * channels * (4 if plan.bottleneck else 1)
    return functional(name, lambda rngs: ResNet(plan, compute, rngs), width)


def resnet10(dtype: str = "float32") -> Model:
    """ResNet10 of CEN's Table 7: 4.9M parameters, 512 features."""
    return _build("resnet10", dtype, (1, 1, 1, 1), 64)


def resnet18(dtype: str = "float32") -> Model:
    """ResNet18 of CEN's Table 7: 11.2M parameters, 512 features."""
    return _build("resnet18", dtype, (2, 2, 2, 2), 64)


def resnet10_tiny(dtype: str = "float32") -> Model:
    """ResNet10-Tiny of CEN's Table 7: half the channels, 1.2M parameters, 256 features."""
    return _build("resnet10_tiny", dtype, (1, 1, 1, 1), 32)


def resnet18_tiny(dtype: str = "float32") -> Model:
    """ResNet18-Tiny of CEN's Table 7: half the channels, 2.8M parameters, 256 features."""
    return _build("resnet18_tiny", dtype, (2, 2, 2, 2), 32)


def resnet34(dtype: str = "float32") -> Model:
    """ResNet-34 of He et al. (Table 1), CORAL's: 21.3M parameters, 512 features."""
    return _build("resnet34", dtype, (3, 4, 6, 3), 64)


def resnet50(dtype: str = "float32") -> Model:
    """ResNet-50 of He et al. (Table 1), the unified benchmark's: 23.5M parameters, 2048 features.

    With torchvision's place of the stride, in a bottleneck's 3x3 convolution.
    """
    return _build("resnet50", dtype, (3, 4, 6, 3), 64, bottleneck=True)


def resnet18_adience(shortcut: Literal["3x3", "1x1"] = "3x3", dtype: str = "float32") -> Model:
    """ResNet-18 of the Adience report, with LeakyReLU(0.2): 12.6M parameters, 47.92 MiB.

    12,555,080 with its head for Adience's 8 groups. The report gives the size alone; it is met, to
    its last digit and with the running statistics, by shortcuts of a 3x3 convolution without
    normalisation, which are the default here. Its softmax before the cross-entropy, a second one,
    is left out: the losses have it.

    Args:
      shortcut: "3x3", the report's as inferred, or "1x1", He et al.'s, normalised; that takes
        torchvision's weights.
      dtype: what it computes in.

    Raises:
      ValueError: an unknown shortcut.
    """
    if shortcut not in ("3x3", "1x1"):
        raise ValueError(f"model.shortcut: expected '3x3' or '1x1', got {shortcut!r}")
    inferred = shortcut == "3x3"
    return _build(
        "resnet18_adience",
        dtype,
        (2, 2, 2, 2),
        64,
        activation=_leaky_relu,
        shortcut=3 if inferred else 1,
        normed=not inferred,
    )


def _leaky_relu(x: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x, 0.2)
