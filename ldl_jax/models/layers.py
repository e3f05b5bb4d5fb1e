"""The layers that networks share: normalisation, dense layers and dropout."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.exchange import shifted, weighted
from ldl_jax.models.normalise import Normed, batch_norm, line, wide


class Norm(nnx.Module):
    """Normalises by batch in float32, whatever the network computes in, and casts back at the end.

    `momentum` is the share of the running statistics that a step keeps. The defaults of `epsilon`
    and `momentum` are PyTorch's, whose own "momentum" 0.1 is the share that a step replaces. The
    running variance averages the biased variances Σ (x - m)² / N of the batches, as Flax's and
    Keras' do; PyTorch's averages the unbiased ones, N / (N - 1) times as large.

    `of` names the layer beside this one, in the same module, whose result it alone reads; inference
    folds it into that layer (`ldl_jax.models.folding`).
    """

    def __init__(
        self,
        features: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        *,
        of: str | None = None,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
    ) -> None:
        self.of = of
        self.norm = nnx.BatchNorm(
            features, momentum=momentum, epsilon=epsilon, dtype=jnp.float32, rngs=rngs
        )
        self.dtype = dtype

    def __call__(self, x: jax.Array, *, train: bool, bias: jax.Array | None = None) -> jax.Array:
        """Normalises x [..., C] by the batch's statistics in training, else by the running ones.

        A `bias` [C] of the layer before makes it normalise x + bias. In training the batch's mean
        would subtract the bias again, so only the running mean takes it up. That saves a pass over
        x, and the bias has a gradient of exactly 0.
        """
        if train:
            return self.by_batch(batch_norm, x, bias)
        x = x.astype(jnp.float32)
        if bias is not None:
            x = x + wide(bias, x)
        return self.norm(x, use_running_average=True).astype(self.dtype)

    def line(self) -> tuple[jax.Array, jax.Array]:
        """Returns a and b [C] of what it does in inference, a x + b."""
        norm = self.norm
        return line((norm.mean[...], norm.var[...]), *self.affine(), norm.epsilon)

    def affine(self) -> tuple[jax.Array, jax.Array]:
        """Returns γ and β, [C] each."""
        norm = self.norm
        assert norm.scale is not None
        assert norm.bias is not None
        return norm.scale[...], norm.bias[...]

    def by_batch(
        self, form: Callable[..., Normed], x: jax.Array, bias: jax.Array | None = None
    ) -> jax.Array:
        """Normalises x by a form of `ldl_jax.models.normalise` and moves the running statistics.

        A `bias` belongs to the layer before, as in a call.
        """
        y, mean, variance = form(x, *self.affine(), self.norm.epsilon)
        self.move(mean if bias is None else mean + bias, variance)
        return y.astype(self.dtype)

    def move(self, mean: jax.Array, variance: jax.Array) -> None:
        """Moves the running statistics towards those of a batch, [C] each."""
        norm = self.norm
        for running, of_batch in ((norm.mean, mean), (norm.var, variance)):
            moved = norm.momentum * running[...] + (1 - norm.momentum) * of_batch
            running[...] = jax.lax.stop_gradient(moved)


class LayerNorm(nnx.Module):
    """Normalises over the last axis in float32 and casts back at the end."""

    def __init__(
        self, features: int, dtype: jnp.dtype, rngs: nnx.Rngs, *, epsilon: float = 1e-6
    ) -> None:
        # The "fast" variance E[x²] - E[x]² loses its digits where a mean is large.
        self.norm = nnx.LayerNorm(
            features, epsilon=epsilon, dtype=jnp.float32, use_fast_variance=False, rngs=rngs
        )
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises x [..., features]."""
        return self.norm(x.astype(jnp.float32)).astype(self.dtype)


class Dense(nnx.Module):
    """Maps x to x W + b in the compute dtype.

    W [in, out] starts from `initial`, Glorot-uniform by default, and b from 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        *,
        initial: nnx.Initializer | None = None,
    ) -> None:
        initial = initial or nnx.initializers.glorot_uniform()
        self.kernel = nnx.Param(initial(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [..., in] to [..., out]."""
        y = weighted(jnp.matmul, x.astype(self.dtype), self.kernel[...], self.dtype)
        return shifted(y, self.bias[...], self.dtype)


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Sets a share `rate` of x to 0 and scales up the rest; returns x itself without a key."""
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))


def drop_path(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Sets a share `rate` of the pictures of x [B, ...] to 0 and scales up the rest.

    x is a residual branch, which is left out for those pictures. Without a key it is returned.

    Source: Huang et al., "Deep Networks with Stochastic Depth" (ECCV 2016).
    """
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))
