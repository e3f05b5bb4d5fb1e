"""VGG16, which DEX uses, and its thin variants, DLDL-v2's ThinAgeNet and TinyAgeNet."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import Conv, max_pool
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, Norm, dropout

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
_NAMES = tuple(
    tuple(f"{block}_{layer}" for layer in range(1, count + 1))
    for block, (_, count) in enumerate(_BLOCKS, start=1)
)


class ThinAgeNet(nnx.Module):
    """Stacks VGG16's convolutions with fewer channels, each normalised, and averages their maps."""

    def __init__(self, rate: float, hybrid: bool, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.hybrid = hybrid
        width = 3
        for names, channels in zip(_NAMES, _thinned(rate), strict=True):
            for name in names:
                setattr(self, f"conv{name}", Conv(width, channels, 3, dtype=dtype, rngs=rngs))
                setattr(self, f"norm{name}", Norm(channels, dtype, rngs, of=f"conv{name}"))
                width = channels

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, 512 rate]."""
        return self.maps(images, train=train).mean(axis=(1, 2))

    def maps(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 maps [B, h, w, 512 rate], after any max pooling.

        The features are their mean.
        """
        x = images
        for block, names in enumerate(_NAMES, start=1):
            for name in names:
                x = getattr(self, f"conv{name}")(x)
                x = jax.nn.relu(getattr(self, f"norm{name}")(x, train=train))
            if block < len(_NAMES) or self.hybrid:
                x = max_pool(x, 2, 2, 0)
        return x.astype(jnp.float32)


class VGG16(nnx.Module):
    """Stacks VGG16's layers to the last hidden one (Simonyan and Zisserman, configuration D)."""

    def __init__(
        self, cells: int, hidden: int, rate: float, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.rate = rate
        width = 3
        for names, (channels, _) in zip(_NAMES, _BLOCKS, strict=True):
            for name in names:
                conv = Conv(width, channels, 3, bias=True, dtype=dtype, rngs=rngs)
                setattr(self, f"conv{name}", conv)
                width = channels
        initial = nnx.initializers.normal(0.01)
        self.fc6 = Dense(cells * width, hidden, dtype, rngs, initial=initial)
        self.fc7 = Dense(hidden, hidden, dtype, rngs, initial=initial)

    def __call__(self, images: jax.Array, *, train: bool, key: jax.Array | None) -> jax.Array:
        """Maps images [B, size, size, 3] to float32 features [B, hidden]."""
        x = images
        for names in _NAMES:
            for name in names:
                x = jax.nn.relu(getattr(self, f"conv{name}")(x))
            x = max_pool(x, 2, 2, 0)
        x = x.reshape(x.shape[0], -1)
        keys = iter(jax.random.split(key) if train and key is not None else ())
        for layer in (self.fc6, self.fc7):
            x = dropout(jax.nn.relu(layer(x)), self.rate, next(keys, None))
        return x.astype(jnp.float32)


def _thinned(rate: float) -> list[int]:
    return [round(rate * channels) for channels, _ in _BLOCKS]


def thinagenet(
    rate: float = 0.5, pooling: Literal["hybrid", "average"] = "hybrid", dtype: str = "float32"
) -> Model:
    """ThinAgeNet of DLDL-v2 (Gao et al., IJCAI 2018, Sec. 3.4, Table 2): 3.7M parameters.

    It maps images [B, H, W, 3] of 32x32 or more (16x16 with pooling="average") to features
    [B, 512 rate]. With its head for the ages 0 to 100 it has 3,708,229 parameters. With
    attractiveness as its labels it is the journal version's ThinAttNet. Details that the paper
    leaves open follow its Torch code: convolutions have no bias and start from N(0, 2 / (9 out)).

    Args:
      rate: the compression rate, a share of VGG16's channels.
      pooling: "hybrid", max pooling followed by the mean, or "average", the mean only (the
        ablation of Table 3).
      dtype: the type that it computes in.

    Raises:
      ValueError: the rate leaves no channels or is above 1, or the pooling is unknown.
    """
    return _thin("thinagenet", rate, pooling, dtype)


def tinyagenet(
    rate: float = 0.25, pooling: Literal["hybrid", "average"] = "hybrid", dtype: str = "float32"
) -> Model:
    """TinyAgeNet of DLDL-v2 (Gao et al., IJCAI 2018, Sec. 3.4, Table 2): 0.9M parameters, 3.8 MB.

    It is ThinAgeNet with half the channels, and takes the same arguments: images [B, H, W, 3] give
    features [B, 512 rate]. With its head for the ages 0 to 100 it has 934,869 parameters. With
    attractiveness as its labels it is the journal version's TinyAttNet.
    """
    return _thin("tinyagenet", rate, pooling, dtype)


def vgg16(
    size: int = 224, hidden: int = 4096, dropout: float = 0.5, dtype: str = "float32"
) -> Model:
    """VGG16 as DEX and DLDL use it (DLDL-v2, Table 2): 134.6M parameters.

    It maps images [B, size, size, 3] to features [B, hidden], those of the last hidden layer. With
    a head for the ages 0 to 100 it has 134,674,341 parameters.

    Args:
      size: the side of the pictures in pixels, a multiple of 32; the first dense layer depends on
        it.
      hidden: the units of each of the two dense layers.
      dropout: the rate after each dense layer.
      dtype: the type that it computes in.

    Raises:
      ValueError: the size is no multiple of 32, there are no units, or the rate is outside [0, 1).
    """
    if size < 32 or size % 32:
        raise ValueError(f"model.size: vgg16 takes a multiple of 32 pixels, got {size!r}")
    if hidden < 1:
        raise ValueError(f"model.hidden: expected at least 1 unit, got {hidden!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"model.dropout: expected a rate in [0, 1), got {dropout!r}")
    make = functools.partial(VGG16, (size // 32) ** 2, hidden, dropout, jnp.dtype(dtype))
    return functional("vgg16", make, hidden, size=size, fixed=True, draws=True)


def _thin(name: str, rate: float, pooling: str, dtype: str) -> Model:
    if not 1 / 64 <= rate <= 1:
        raise ValueError(f"model.rate: expected a share of channels from 1/64 to 1, got {rate!r}")
    if pooling not in ("hybrid", "average"):
        raise ValueError(f"model.pooling: expected 'hybrid' or 'average', got {pooling!r}")
    hybrid = pooling == "hybrid"
    make = functools.partial(ThinAgeNet, rate, hybrid, jnp.dtype(dtype))
    return functional(name, make, _thinned(rate)[-1], smallest=32 if hybrid else 16)
