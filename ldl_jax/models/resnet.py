"""The residual networks of CEN (Li et al., A Coupled Evolutionary Network, Table 7)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, max_pool
from ldl_jax.models.functional import Model, functional


class Norm(nnx.Module):
    """Batch normalisation in float32 whatever the network computes in, cast back at the end."""

    def __init__(self, features: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(
            features, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, rngs=rngs
        )
        self.dtype = dtype

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalises by the batch's statistics in training, else by the running ones."""
        x = x.astype(jnp.float32)
        return self.norm(x, use_running_average=not train).astype(self.dtype)


class Block(nnx.Module):
    """Two 3x3 convolutions around a shortcut (He et al., Deep Residual Learning, Fig. 2)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.conv1 = Conv(inputs, outputs, 3, stride=stride, dtype=dtype, rngs=rngs)
        self.norm1 = Norm(outputs, dtype, rngs)
        self.conv2 = Conv(outputs, outputs, 3, dtype=dtype, rngs=rngs)
        self.norm2 = Norm(outputs, dtype, rngs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut = Conv(inputs, outputs, 1, stride=stride, dtype=dtype, rngs=rngs)
            self.shortcut_norm = Norm(outputs, dtype, rngs)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [B, H, W, in] to [B, H / stride, W / stride, out]."""
        y = jax.nn.relu(self.norm1(self.conv1(x), train=train))
        y = self.norm2(self.conv2(y), train=train)
        if self.projects:
            x = self.shortcut_norm(self.shortcut(x), train=train)
        return jax.nn.relu(x + y)


class ResNet(nnx.Module):
    """Conv1 to Conv5_x of Table 7 and the average pool; images of 32x32 and more."""

    def __init__(
        self, blocks: Sequence[int], channels: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.stem = Conv(3, channels, 7, stride=2, dtype=dtype, rngs=rngs)
        self.stem_norm = Norm(channels, dtype, rngs)
        self.names: tuple[str, ...] = ()
        width = channels
        for stage, count in enumerate(blocks):
            for place in range(count):
                outputs = channels * 2**stage
                stride = 2 if stage > 0 and place == 0 else 1
                # Named, since Orbax restores a list's integer keys as strings.
                name = f"conv{stage + 2}_{place + 1}"
                setattr(self, name, Block(width, outputs, stride, dtype, rngs))
                self.names += (name,)
                width = outputs

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, 8 * channels]."""
        x = jax.nn.relu(self.stem_norm(self.stem(images), train=train))
        x = max_pool(x, 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x, train=train)
        return x.astype(jnp.float32).mean(axis=(1, 2))


def _build(name: str, blocks: Sequence[int], channels: int, dtype: str) -> Model:
    compute = jnp.dtype(dtype)
    return functional(name, lambda rngs: ResNet(blocks, channels, compute, rngs), channels * 8)


def resnet10(dtype: str = "float32") -> Model:
    """ResNet10 of CEN's Table 7: 4.9M parameters, 512 features."""
    return _build("resnet10", (1, 1, 1, 1), 64, dtype)


def resnet18(dtype: str = "float32") -> Model:
    """ResNet18 of CEN's Table 7: 11.2M parameters, 512 features."""
    return _build("resnet18", (2, 2, 2, 2), 64, dtype)


def resnet10_tiny(dtype: str = "float32") -> Model:
    """ResNet10-Tiny of CEN's Table 7: half the channels, 1.2M parameters, 256 features."""
    return _build("resnet10_tiny", (1, 1, 1, 1), 32, dtype)


def resnet18_tiny(dtype: str = "float32") -> Model:
    """ResNet18-Tiny of CEN's Table 7: half the channels, 2.8M parameters, 256 features."""
    return _build("resnet18_tiny", (2, 2, 2, 2), 32, dtype)
