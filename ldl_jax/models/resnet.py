"""Residual networks: those of CEN (Li et al., A Coupled Evolutionary Network, Table 7), those of
He et al. (Deep Residual Learning, CVPR 2016) in other comparisons, and that of the Adience report.

Each maps images [B, H, W, 3] of any size to features [B, D], the mean of its last maps.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, max_pool
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Norm

Activation = Callable[[jax.Array], jax.Array]
_LEAKY_RELU = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)


class ResNetPlan(NamedTuple):
    """The choices in which the residual networks differ."""

    dtype: jnp.dtype
    blocks: Sequence[int]  # the number of blocks of each of the four stages
    channels: int  # those of the stem
    # A bottleneck has convolutions of 1x1, 3x3 and 1x1 with four times the channels at its end, in
    # place of two of 3x3.
    bottleneck: bool = False
    activation: Activation = jax.nn.relu  # follows each normalisation and each sum
    shortcut: int = 1  # the size of the convolution in a projecting shortcut
    normed: bool = True  # whether a normalisation follows that convolution


class ResNetBlock(nnx.Module):
    """Adds convolutions to a shortcut (He et al., Deep Residual Learning, Figs. 2 and 5)."""

    def __init__(
        self, plan: ResNetPlan, inputs: int, width: int, stride: int, rngs: nnx.Rngs
    ) -> None:
        self.activation, dtype = plan.activation, plan.dtype
        outputs = 4 * width if plan.bottleneck else width
        if plan.bottleneck:
            layers = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        else:
            layers = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        self.count = len(layers)
        for layer, (before, after, size, step) in enumerate(layers, start=1):
            conv = Conv(before, after, size, stride=step, dtype=dtype, rngs=rngs)
            setattr(self, f"conv{layer}", conv)
            setattr(self, f"norm{layer}", Norm(after, dtype, rngs, of=f"conv{layer}"))
        self.projects = stride != 1 or inputs != outputs
        self.normed = plan.normed
        if self.projects:
            size = plan.shortcut
            self.shortcut = Conv(inputs, outputs, size, stride=stride, dtype=dtype, rngs=rngs)
            if plan.normed:
                self.shortcut_norm = Norm(outputs, dtype, rngs, of="shortcut")

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, in] to [B, H / stride, W / stride, out]."""
        y = x
        for layer in range(1, self.count + 1):
            y = getattr(self, f"conv{layer}")(y)
            y = getattr(self, f"norm{layer}")(y, train=train)
            y = self.activation(y) if layer < self.count else y
        if self.projects:
            x = self.shortcut(x)
            x = self.shortcut_norm(x, train=train) if self.normed else x
        return self.activation(x + y)


class ResNet(nnx.Module):
    """Stacks Conv1 to Conv5_x of CEN's Table 7 and the average pool."""

    def __init__(self, plan: ResNetPlan, rngs: nnx.Rngs) -> None:
        self.activation = plan.activation
        self.stem = Conv(3, plan.channels, 7, stride=2, dtype=plan.dtype, rngs=rngs)
        self.stem_norm = Norm(plan.channels, plan.dtype, rngs, of="stem")
        self.names: tuple[str, ...] = ()
        inputs = plan.channels
        for stage, count in enumerate(plan.blocks):
            for index in range(count):
                width = plan.channels * 2**stage
                stride = 2 if stage > 0 and index == 0 else 1
                # Each block has a name, since Orbax restores a list's integer keys as strings.
                name = f"conv{stage + 2}_{index + 1}"
                setattr(self, name, ResNetBlock(plan, inputs, width, stride, rngs))
                self.names += (name,)
                inputs = 4 * width if plan.bottleneck else width

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, D]."""
        return self.maps(images, train=train).mean(axis=(1, 2))

    def maps(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 maps [B, h, w, D]; the features are their mean."""
        x = self.activation(self.stem_norm(self.stem(images), train=train))
        x = max_pool(x, 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x, train=train)
        return x.astype(jnp.float32)


def _build(name: str, dtype: str, blocks: Sequence[int], channels: int, **changes: Any) -> Model:
    plan = ResNetPlan(jnp.dtype(dtype), blocks, channels, **changes)
    width = 8 * channels * (4 if plan.bottleneck else 1)
    return functional(name, functools.partial(ResNet, plan), width)


def resnet10(dtype: str = "float32") -> Model:
    """ResNet10 (CEN, Table 7), images [B, H, W, 3] to features [B, 512]: 4.9M parameters."""
    return _build("resnet10", dtype, (1, 1, 1, 1), 64)


def resnet18(dtype: str = "float32") -> Model:
    """ResNet18 (CEN, Table 7), images [B, H, W, 3] to features [B, 512]: 11.2M parameters."""
    return _build("resnet18", dtype, (2, 2, 2, 2), 64)


def resnet10_tiny(dtype: str = "float32") -> Model:
    """ResNet10-Tiny (CEN, Table 7), images [B, H, W, 3] to features [B, 256]: 1.2M parameters."""
    return _build("resnet10_tiny", dtype, (1, 1, 1, 1), 32)


def resnet18_tiny(dtype: str = "float32") -> Model:
    """ResNet18-Tiny (CEN, Table 7), images [B, H, W, 3] to features [B, 256]: 2.8M parameters."""
    return _build("resnet18_tiny", dtype, (2, 2, 2, 2), 32)


def resnet34(dtype: str = "float32") -> Model:
    """ResNet-34 (He et al.), images [B, H, W, 3] to features [B, 512]: 21.3M parameters."""
    return _build("resnet34", dtype, (3, 4, 6, 3), 64)


def resnet50(dtype: str = "float32") -> Model:
    """ResNet-50 of He et al. (Table 1), the unified benchmark's: 23.5M parameters, 2048 features.

    It maps images [B, H, W, 3] to features [B, 2048]. A bottleneck's 3x3 convolution has the
    stride, as in torchvision.
    """
    return _build("resnet50", dtype, (3, 4, 6, 3), 64, bottleneck=True)


def resnet18_adience(shortcut: Literal["3x3", "1x1"] = "3x3", dtype: str = "float32") -> Model:
    """ResNet-18 of the Adience report, with LeakyReLU(0.2): 12.6M parameters, 47.92 MiB.

    It maps images [B, H, W, 3] to features [B, 512]. With its head for Adience's 8 groups it has
    12,555,080 parameters. The report gives only the size in MiB. Shortcuts of a 3x3 convolution
    without normalisation meet it to the last digit, counting the running statistics, so they are
    the default. The report applies a softmax before a cross-entropy that has its own; here only
    the loss applies one.

    Args:
      shortcut: "3x3", the report's shortcut as inferred, or "1x1", that of He et al. with a
        normalisation, which torchvision's weights fit.
      dtype: the type that it computes in.

    Raises:
      ValueError: the shortcut is unknown.
    """
    if shortcut not in ("3x3", "1x1"):
        raise ValueError(f"model.shortcut: expected '3x3' or '1x1', got {shortcut!r}")
    inferred = {"shortcut": 3, "normed": False} if shortcut == "3x3" else {}
    return _build("resnet18_adience", dtype, (2, 2, 2, 2), 64, activation=_LEAKY_RELU, **inferred)
