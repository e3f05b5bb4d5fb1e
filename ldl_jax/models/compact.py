"""The compact networks that SSR-Net is compared with (Yang et al., IJCAI 2018, Table 1).

MobileNet and DenseNet follow SSR-Net's code. They end in the hidden dense layers that it adds to
them; its last layer, of one unit, is left to the method's head.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.convolution import (
    Conv,
    DepthwiseConv,
    average_pool,
    keras_padded,
    max_pool,
)
from ldl_jax.models.functional import Model, functional
from ldl_jax.models.layers import Dense, Norm, dropout

_ORCNN = ((20, 5), (40, 7), (80, 11))  # channels and size of each convolution
_ORCNN_HIDDEN = 80
# Channels and stride of MobileNet's separable convolutions (Howard et al., Table 1).
MOBILE_PLAN = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
_KERAS = {"epsilon": 1e-3, "momentum": 0.99}
_HE_FAN_IN = nnx.initializers.he_normal()
_DROPOUT = 0.2  # before the last hidden layer, in SSR-Net's code


class ORCNN(nnx.Module):
    """Stacks three convolutions, each normalised over neighbouring channels, and a dense layer."""

    def __init__(self, cells: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        width = 3
        for layer, (channels, size) in enumerate(_ORCNN, start=1):
            conv = Conv(width, channels, size, padding=0, bias=True, dtype=dtype, rngs=rngs)
            setattr(self, f"conv{layer}", conv)
            width = channels
        self.dense = Dense(cells * width, _ORCNN_HIDDEN, dtype, rngs)

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Maps images [B, size, size, 3] to float32 features [B, 80]."""
        del train  # it has neither dropout nor batch statistics
        x = images
        for layer in range(1, len(_ORCNN) + 1):
            x = local_response(jax.nn.relu(getattr(self, f"conv{layer}")(x)))
            x = max_pool(x, 2, 2, 0) if layer < len(_ORCNN) else x
        return jax.nn.relu(self.dense(x.reshape(x.shape[0], -1))).astype(jnp.float32)


def local_response(x: jax.Array) -> jax.Array:
    """Normalises each channel by its neighbours (Krizhevsky et al. 2012, Sec. 3.3).

    y_c = x_c / (2 + 1e-4 Σ_j x_j²)^0.75, where j runs over the 5 channels around c. It maps
    x [..., C] to the same shape and dtype and computes in float32.
    """
    wide = x.astype(jnp.float32)
    padded = jnp.pad(jnp.square(wide), [(0, 0)] * (x.ndim - 1) + [(2, 2)])
    squares = sum(padded[..., i : i + x.shape[-1]] for i in range(5))
    return (wide * (2.0 + 1e-4 * squares) ** -0.75).astype(x.dtype)


class MobileNet(nnx.Module):
    """Stacks separable convolutions (Howard et al. 2017), 20 channels and 32 hidden units."""

    def __init__(
        self, alpha: float, cells: int, keras: bool, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        width = int(32 * alpha)
        self.keras = keras
        padding = 0 if keras else None  # of layers of stride 2
        # The first layer has another name, so that weights of one form do not fit the other.
        self.stem_name = "conv1" if keras else "stem"
        stem = Conv(3, width, 3, stride=2, padding=padding, dtype=dtype, rngs=rngs)
        setattr(self, self.stem_name, stem)
        self.stem_norm = Norm(width, dtype, rngs, **_KERAS)
        for layer, (channels, stride) in enumerate(MOBILE_PLAN, start=1):
            outputs = int(channels * alpha)
            sides = padding if stride == 2 else None
            depthwise = DepthwiseConv(
                width, 3, stride=stride, padding=sides, dtype=dtype, rngs=rngs
            )
            setattr(self, f"depthwise{layer}", depthwise)
            setattr(self, f"depthwise_norm{layer}", Norm(width, dtype, rngs, **_KERAS))
            setattr(self, f"point{layer}", Conv(width, outputs, 1, dtype=dtype, rngs=rngs))
            setattr(self, f"point_norm{layer}", Norm(outputs, dtype, rngs, **_KERAS))
            width = outputs
        self.reduce = Conv(width, 20, 1, bias=True, dtype=dtype, rngs=rngs)
        self.dense = Dense(20 * cells, 32, dtype, rngs)

    def __call__(self, images: jax.Array, *, train: bool, key: jax.Array | None) -> jax.Array:
        """Maps images [B, size, size, 3] to float32 features [B, 32]."""
        x = getattr(self, self.stem_name)(self._padded(images))
        x = jax.nn.relu6(self.stem_norm(x, train=train))
        for layer, (_, stride) in enumerate(MOBILE_PLAN, start=1):
            x = self._padded(x) if stride == 2 else x
            for kind in ("depthwise", "point"):
                x = getattr(self, f"{kind}{layer}")(x)
                x = jax.nn.relu6(getattr(self, f"{kind}_norm{layer}")(x, train=train))
        x = jax.nn.relu(self.reduce(x)).reshape(x.shape[0], -1)
        x = dropout(x, _DROPOUT, key if train else None)
        return jax.nn.relu(self.dense(x)).astype(jnp.float32)

    def _padded(self, x: jax.Array) -> jax.Array:
        """Pads before a layer of stride 2 as Keras does, where the layer itself does not."""
        return keras_padded(x) if self.keras else x


class DenseNet(nnx.Module):
    """Stacks three blocks of growing width (Huang et al. 2017), then 128 and 32 hidden units."""

    def __init__(self, layers: int, growth: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.layers = layers
        conv = functools.partial(Conv, initial=_HE_FAN_IN, dtype=dtype, rngs=rngs)
        norm = functools.partial(Norm, dtype=dtype, rngs=rngs, epsilon=1.1e-5, momentum=0.99)
        width = 2 * growth
        self.stem = conv(3, width, 3)
        for block in (1, 2, 3):
            for layer in range(1, layers + 1):
                setattr(self, f"norm{block}_{layer}", norm(width))
                setattr(self, f"conv{block}_{layer}", conv(width, growth, 3))
                width += growth
            setattr(self, f"norm{block}", norm(width))
            if block < 3:
                setattr(self, f"conv{block}", conv(width, width, 1))
        self.dense1 = Dense(width, 128, dtype, rngs)
        self.dense2 = Dense(128, 32, dtype, rngs)

    def __call__(self, images: jax.Array, *, train: bool, key: jax.Array | None) -> jax.Array:
        """Maps images [B, H, W, 3] to float32 features [B, 32]."""
        x = self.stem(images)
        for block in (1, 2, 3):
            for layer in range(1, self.layers + 1):
                y = jax.nn.relu(getattr(self, f"norm{block}_{layer}")(x, train=train))
                x = jnp.concatenate([x, getattr(self, f"conv{block}_{layer}")(y)], axis=-1)
            x = jax.nn.relu(getattr(self, f"norm{block}")(x, train=train))
            if block < 3:
                x = average_pool(getattr(self, f"conv{block}")(x), 2)
        x = jax.nn.relu(self.dense1(x.astype(jnp.float32).mean(axis=(1, 2))))
        x = dropout(x, _DROPOUT, key if train else None)
        return jax.nn.relu(self.dense2(x)).astype(jnp.float32)


def orcnn(size: int = 60, dtype: str = "float32") -> Model:
    """OR-CNN's network (Niu et al., CVPR 2016, Fig. 2): 0.4M parameters, 1.7 MB, 80 features.

    It maps images [B, size, size, 3] to features [B, 80]. With K - 1 = 100 sigmoids for the ages 0
    to 100 it has 442,620 parameters; SSR-Net's Table 1 gives 1.7 MB. The paper names neither the
    normalisation's constants nor an activation after the dense layer: both are taken from
    Krizhevsky et al. 2012.

    Args:
      size: the side of the pictures in pixels, 60 or more; the dense layer depends on it.
      dtype: the type that it computes in.

    Raises:
      ValueError: the pictures are too small.
    """
    side = size
    for layer, (_, window) in enumerate(_ORCNN, start=1):
        side = side - window + 1
        side = side // 2 if layer < len(_ORCNN) else side
    if side < 1:
        raise ValueError(f"model.size: orcnn takes 60 pixels and more, got {size!r}")
    make = functools.partial(ORCNN, side**2, jnp.dtype(dtype))
    return functional("orcnn", make, _ORCNN_HIDDEN, size=size, fixed=True)


def mobilenet(
    alpha: float = 0.25, size: int = 64, form: str = "symmetric", dtype: str = "float32"
) -> Model:
    """MobileNet-0.25 of SSR-Net's Table 1 (Howard et al. 2017): 0.2M parameters, about 1 MB.

    It maps images [B, size, size, 3] to features [B, 32]. The convolutions have 218,544 numbers
    with their running statistics, as Keras counts them.

    Args:
      alpha: the share of MobileNet's channels.
      size: the side of the pictures in pixels; the dense layer depends on it.
      form: "symmetric" pads both sides of a map before a layer of stride 2, and "keras" the end
        alone where the map is even, as SSR-Net's authors' files need it.
      dtype: the type that it computes in.

    Raises:
      ValueError: the share leaves no channels or is above 1, or the size is below 1.
    """
    if not 1 / 32 <= alpha <= 1:
        raise ValueError(f"model.alpha: expected a share of channels from 1/32 to 1, got {alpha!r}")
    if size < 1:
        raise ValueError(f"model.size: expected at least 1 pixel, got {size!r}")
    if form not in ("symmetric", "keras"):
        raise ValueError(f"model.form: expected symmetric or keras, got {form!r}")
    cells = (-(-size // 32)) ** 2
    make = functools.partial(MobileNet, alpha, cells, form == "keras", jnp.dtype(dtype))
    return functional("mobilenet", make, 32, size=size, fixed=True, draws=True)


def densenet(depth: int = 19, growth: int = 12, dtype: str = "float32") -> Model:
    """The small DenseNet of SSR-Net's Table 1 (Huang et al. 2017): 0.2M parameters, about 1 MB.

    It maps images [B, H, W, 3] of any size from 4x4 to features [B, 32]. It has neither
    bottlenecks nor compression, as in SSR-Net's code.

    Args:
      depth: 3 n + 4 for blocks of n layers; 19 in SSR-Net's code.
      growth: the channels that each layer adds.
      dtype: the type that it computes in.

    Raises:
      ValueError: the depth is not 3 n + 4, or the growth is below 1.
    """
    if depth < 7 or depth % 3 != 1:
        raise ValueError(f"model.depth: expected 3 n + 4 with n at least 1, got {depth!r}")
    if growth < 1:
        raise ValueError(f"model.growth: expected at least 1 channel, got {growth!r}")
    make = functools.partial(DenseNet, (depth - 4) // 3, growth, jnp.dtype(dtype))
    return functional("densenet", make, 32, size=64, smallest=4, draws=True)
