"""SSR-Net (Yang et al., "SSR-Net: A Compact Soft Stagewise Regression Network for Age
Estimation", IJCAI 2018, Fig. 1): its two streams, up to the dense layers of its head.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ldl_jax import arrays
from ldl_jax.models.convolution import Conv, average_pool, direct, in_cells, max_pool
from ldl_jax.models.exchange import Layer, shifted, weighted
from ldl_jax.models.forms import joins, rewrites
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, Norm, dropout
from ldl_jax.models.norm_pool import norm_pool
from ldl_jax.models.normalise import (
    batch_norm,
    norm_relu_mean,
    norm_tanh_max,
    relu_mean,
    tanh_max,
    wide,
)

_X, _S, _REDUCED = 32, 16, 10  # channels of streams X and S, and those a stage reduces each to
_GLOROT = nnx.initializers.glorot_uniform()


class SSRForm(NamedTuple):
    """The choices in which the implementations of SSR-Net differ."""

    padding: int  # that of each 3x3 convolution
    epsilon: float  # the ε of the batch normalisations
    momentum: float  # the share of the running statistics that a step keeps


FORMS = {"keras": SSRForm(0, 1e-3, 0.99), "pytorch": SSRForm(1, 1e-5, 0.9)}


class SSRNet(nnx.Module):
    """Runs two streams of K + 1 blocks, and the K stages that read them.

    A block of stream X is [conv 3x3, BN, ReLU], one of stream S [conv 3x3, BN, tanh]. After each
    block but the last, average pooling halves X and max pooling halves S. Stage 1 reads the last
    block; stage k = 2, ..., K reads block K + 1 - k after its pooling, and pools it again by 2^k.
    """

    def __init__(
        self,
        stages: Sequence[int],
        size: int,
        form: SSRForm,
        rate: float,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"bias": True, "initial": _GLOROT, "dtype": dtype, "rngs": rngs}
        moments = {"epsilon": form.epsilon, "momentum": form.momentum}
        self.count, self.rate, self.dtype = len(stages), rate, dtype
        for stream, channels in (("x", _X), ("s", _S)):
            for block in range(1, len(stages) + 2):
                inputs = 3 if block == 1 else channels
                conv = Conv(inputs, channels, 3, padding=form.padding, **common)
                setattr(self, f"{stream}_conv{block}", conv)
                norm = Norm(channels, dtype, rngs, of=f"{stream}_conv{block}", **moments)
                setattr(self, f"{stream}_norm{block}", norm)
        cells = _cells(len(stages), size, form.padding)
        for k, bins in enumerate(stages, start=1):
            for stream, channels in (("x", _X), ("s", _S)):
                reduce = Conv(channels, _REDUCED, 1, **common)
                setattr(self, f"{stream}_reduce{k}", reduce)
                setattr(self, f"{stream}_dense{k}", Dense(cells[k - 1], bins, dtype, rngs))
            setattr(self, f"mix{k}", Dense(bins, 2 * bins, dtype, rngs))

    def __call__(
        self, images: jax.Array, *, train: bool, key: jax.Array | None
    ) -> dict[str, jax.Array]:
        """Maps images [B, size, size, 3] to "stage{k}" [B, 2 s_k] and "range{k}" [B, cells]."""
        keys = iter(jax.random.split(key, 2 * self.count) if train and key is not None else ())
        if train and joins():
            return self._joined(images, keys)
        x_blocks, s_blocks = self._stream("x", images, train), self._stream("s", images, train)
        features = {}
        for k in range(1, self.count + 1):
            # Stage 1 reads the last block as it is, the others an earlier one, pooled.
            block, pool = (self.count, 1) if k == 1 else (self.count - k, 2**k)
            x = jax.nn.relu(getattr(self, f"x_reduce{k}")(x_blocks[block]))
            s = jax.nn.relu(getattr(self, f"s_reduce{k}")(s_blocks[block]))
            if pool > 1:
                x, s = average_pool(x, pool), max_pool(s, pool, pool, 0)
            x, s = x.reshape(x.shape[0], -1), s.reshape(s.shape[0], -1)
            of_s = self._bins(f"s_dense{k}", s, next(keys, None))
            mixed = of_s * self._bins(f"x_dense{k}", x, next(keys, None))
            features[f"stage{k}"] = jax.nn.relu(getattr(self, f"mix{k}")(mixed)).astype(jnp.float32)
            features[f"range{k}"] = (s * x).astype(jnp.float32)
        return features

    def _joined(self, images: jax.Array, keys: Iterator[jax.Array]) -> dict[str, jax.Array]:
        """Trains as a call does, with the layers of both streams and of all stages side by side."""
        blocks = self._streams(images)
        of_streams: dict[str, list[jax.Array]] = {"x": [], "s": []}
        features = {}
        for k in range(1, self.count + 1):
            block, pool = (self.count, 1) if k == 1 else (self.count - k, 2**k)
            reduces = [getattr(self, f"{stream}_reduce{k}") for stream in "xs"]
            kernel = arrays.block_diagonal([conv.kernel[...] for conv in reduces])
            bias = jnp.concatenate([conv.bias[...] for conv in reduces])
            y = weighted(_direct(0), blocks[block], kernel, reduces[0].dtype)
            y = jax.nn.relu(shifted(y, bias, reduces[0].dtype))
            x, s = y[..., :_REDUCED], y[..., _REDUCED:]
            if pool > 1:
                x, s = average_pool(x, pool), max_pool(s, pool, pool, 0)
            x, s = x.reshape(x.shape[0], -1), s.reshape(s.shape[0], -1)
            features[f"range{k}"] = (s * x).astype(jnp.float32)
            for stream, cells in (("s", s), ("x", x)):
                of_streams[stream].append(dropout(cells, self.rate, next(keys, None)))
        numbers = range(1, self.count + 1)
        denses = [getattr(self, f"{stream}_dense{k}") for stream in "xs" for k in numbers]
        cells = jnp.concatenate([*of_streams["x"], *of_streams["s"]], axis=-1)
        of_x, of_s = jnp.split(_dense(denses, cells), 2, axis=-1)
        mixes = [getattr(self, f"mix{k}") for k in numbers]
        mixed = _dense(mixes, of_s * of_x).astype(jnp.float32)
        ends = np.cumsum([mix.bias.shape[0] for mix in mixes])[:-1].tolist()
        parts = jnp.split(mixed, ends, axis=-1)
        return features | {f"stage{k}": part for k, part in zip(numbers, parts, strict=True)}

    def _streams(self, images: jax.Array) -> list[jax.Array]:
        """Returns the blocks' outputs as `_stream` does, of X and S in one array each."""
        blocks, y = [], images.astype(self.dtype)
        for block in range(1, self.count + 2):
            convs, norms = (
                [getattr(self, f"{stream}_{kind}{block}") for stream in "xs"]
                for kind in ("conv", "norm")
            )
            kernels = [conv.kernel[...] for conv in convs]
            kernel = jnp.concatenate(kernels, -1) if block == 1 else arrays.block_diagonal(kernels)
            y = weighted(_direct(convs[0].padding), y, kernel, convs[0].dtype)
            y = _normed(norms, y, [conv.bias[...] for conv in convs], block <= self.count)
            blocks.append(y)
        return blocks

    def _stream(self, stream: str, images: jax.Array, train: bool) -> list[jax.Array]:
        """Returns the blocks' outputs, all but the last after their pooling."""
        blocks, x = [], images
        for block in range(1, self.count + 2):
            pools = block <= self.count
            conv, norm = (getattr(self, f"{stream}_{kind}{block}") for kind in ("conv", "norm"))
            if train and pools and rewrites():
                form = norm_relu_mean if stream == "x" else norm_tanh_max
                x = norm.by_batch(form, _convolved(conv, x, block), conv.bias[...])
            elif pools and rewrites():
                y = norm(_convolved(conv, x, block), train=False, bias=conv.bias[...])
                x = relu_mean(y) if stream == "x" else tanh_max(y)
            else:
                x = norm(conv.unbiased(x), train=train, bias=conv.bias[...])
                x = jax.nn.relu(x) if stream == "x" else jnp.tanh(x)
                if pools:
                    x = average_pool(x, 2) if stream == "x" else max_pool(x, 2, 2, 0)
            blocks.append(x)
        return blocks

    def _bins(self, name: str, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return jax.nn.relu(getattr(self, name)(dropout(x, self.rate, key)))


def _normed(
    norms: Sequence[Norm], x: jax.Array, biases: Sequence[jax.Array], pools: bool
) -> jax.Array:
    """Normalises both streams side by side by the batch, with their activations and pooling."""
    affine = [norm.affine() for norm in norms]
    scale, shift = (jnp.concatenate(parts) for parts in zip(*affine, strict=True))
    epsilon, dtype = norms[0].norm.epsilon, norms[0].dtype
    if pools:
        y, mean, variance = norm_pool(x, scale, shift, epsilon, _X)
        y = y.astype(dtype)
    else:
        y, mean, variance = batch_norm(x, scale, shift, epsilon)
        y = y.astype(dtype)
        y = jnp.where(wide(jnp.arange(_X + _S) < _X, y), jax.nn.relu(y), jnp.tanh(y))
    start = 0
    for norm, bias in zip(norms, biases, strict=True):
        own = slice(start, start + len(bias))
        norm.move(mean[own] + bias, variance[own])
        start += len(bias)
    return y


def _dense(layers: Sequence[Dense], x: jax.Array) -> jax.Array:
    """Returns the ReLU of dense layers side by side."""
    dtype = layers[0].dtype
    kernel = arrays.block_diagonal([layer.kernel[...] for layer in layers])
    bias = jnp.concatenate([layer.bias[...] for layer in layers])
    return jax.nn.relu(shifted(weighted(jnp.matmul, x, kernel, dtype), bias, dtype))


def _direct(padding: int) -> Layer:
    return functools.partial(direct, stride=1, padding=padding)


def _convolved(conv: Conv, x: jax.Array, block: int) -> jax.Array:
    """Convolves without the bias, the pictures into cells [B, h, w, 4, C] where they are even."""
    if block > 1 or x.shape[1] % 2 or x.shape[2] % 2:
        return conv.unbiased(x)
    cells = functools.partial(in_cells, padding=conv.padding)
    return weighted(cells, x.astype(conv.dtype), conv.kernel[...], conv.dtype)


def _cells(count: int, size: int, padding: int) -> list[int]:
    """Returns how many inputs each stage has from a stream; 0 where the pictures are too small."""
    sides = [size]
    for block in range(1, count + 2):
        side = sides[-1] + 2 * padding - 2
        sides.append(side // 2 if block <= count else side)
    last = [max(0, sides[count + 1])]
    last += [max(0, sides[count + 1 - k]) // 2**k for k in range(2, count + 1)]
    return [_REDUCED * side**2 for side in last]


def ssrnet(
    stages: Sequence[int] = (3, 3, 3),
    size: int = 64,
    form: Literal["keras", "pytorch"] = "keras",
    dropout: float = 0.2,
    dtype: str = "float32",
) -> Model:
    """SSR-Net (Yang et al. 2018): 40,915 parameters with its head, 40,531 of them trained.

    It maps images [B, size, size, 3] to features in parts, "stage{k}" [B, 2 s_k] and "range{k}"
    [B, cells]. The head `heads.stagewise` reads the parts, the other heads read them side by side.
    The authors' weights expect raw pictures, 0 to 255, in the order **BGR**. The paper's 0.32 MB
    is the size of the Keras file.

    Args:
      stages: s_k, the bins of each of K stages. The paper has three stages; K + 1 blocks for
        another K are this library's choice.
      size: the side of the pictures in pixels; the dense layers depend on it.
      form: "keras", the authors' code (convolutions without padding, ε = 1e-3, momentum 0.99), or
        "pytorch", the port by oukohou (padding 1, ε = 1e-5, momentum 0.1 as PyTorch counts it).
      dropout: the rate before a stage's dense layers, 0.2 in the authors' code.
      dtype: the type that it computes in.

    Raises:
      ValueError: there are no stages or bins, the form is unknown, the rate is outside [0, 1), or
        the pictures are too small.
    """
    stages = tuple(stages)
    if not stages or not all(isinstance(s, int) and s > 0 for s in stages):
        raise ValueError(f"model.stages: expected numbers of bins, each at least 1, got {stages}")
    if form not in FORMS:
        raise ValueError(f"model.form: expected one of {', '.join(FORMS)}, got {form!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"model.dropout: expected a rate in [0, 1), got {dropout!r}")
    cells = _cells(len(stages), size, FORMS[form].padding)
    if not all(cells):
        raise ValueError(
            f"model.size: {size}x{size} pixels leave nothing for one of {len(stages)} stages, "
            "give larger pictures or fewer stages"
        )
    width = {f"stage{k}": 2 * bins for k, bins in enumerate(stages, start=1)}
    width |= {f"range{k}": count for k, count in enumerate(cells, start=1)}
    make = functools.partial(SSRNet, stages, size, FORMS[form], dropout, jnp.dtype(dtype))
    return functional("ssrnet", make, width, size=size, fixed=True, draws=True)
