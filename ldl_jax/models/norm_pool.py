"""Batch normalisation with two activations and poolings side by side, for SSR-Net on accelerators.

It keeps nothing of a map's size for the gradient but x, and goes over x three times there: once for
what each window shares, once for the sums, and once for the gradient itself.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from ldl_jax.models.normalise import (
    Forward,
    Gradients,
    Normed,
    Residuals,
    along,
    elements_of,
    gradients,
    highest_of,
    line,
    mean_of_relu,
    moments_of,
    sign_of,
    spread,
    wide,
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def norm_pool(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, relus: int
) -> Normed:
    """Returns `norm_relu_mean` of the first channels and `norm_tanh_max` of the others, as one.

    Args:
      x: [B, H, W, C].
      scale: γ, [C].
      bias: β, [C].
      epsilon: ε.
      relus: the number of channels of the former.
    """
    return _norm_pool(x, scale, bias, epsilon, relus)[0]


def _norm_pool(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, relus: int
) -> Forward:
    moments = moments_of(x)
    slope, shift = line(moments, scale, bias, epsilon)
    elements = elements_of(x)
    means = mean_of_relu([along(v, slope, shift) for v in elements])
    maxima = jnp.tanh(along(highest_of(elements, sign_of(slope)), jnp.abs(slope), shift))
    pooled = jnp.where(wide(jnp.arange(x.shape[-1]) < relus, x), means, maxima)
    return (pooled, *moments), (x, scale, bias, *moments)


def _norm_pool_back(epsilon: float, relus: int, saved: Residuals, cotangents: Normed) -> Gradients:
    x, scale, bias, mean, variance = saved
    slope, shift = line((mean, variance), scale, bias, epsilon)
    of_mean, sign = wide(jnp.arange(x.shape[-1]) < relus, x), sign_of(slope)
    # Behind a barrier XLA computes anew what it would else keep from the forward pass, and then
    # the gradient of y anew for each of its readers, of what is written out once for each window.
    elements = elements_of(lax.optimization_barrier(x))
    top = highest_of(elements, sign)
    ties = functools.reduce(
        jnp.add, [(v * wide(sign, v) == top).astype(jnp.float32) for v in elements]
    )
    slopes = 1 - jnp.square(jnp.tanh(along(top, jnp.abs(slope), shift)))
    each = cotangents[0] * jnp.where(of_mean, 0.25, slopes / ties)
    windows = lax.optimization_barrier((each.astype(x.dtype), top.astype(x.dtype)))

    def of_y(x: jax.Array, each: jax.Array, top: jax.Array) -> jax.Array:
        highest = x.astype(jnp.float32) * wide(sign, x) == spread(top, x)
        chosen = jnp.where(of_mean, along(x, slope, shift) > 0, highest)
        return jnp.where(chosen, spread(each, x), 0.0).astype(jnp.float32)

    again = of_y(*lax.optimization_barrier((x, *windows)))
    return gradients(x, of_y(x, *windows), scale, (mean, variance), epsilon, again)


norm_pool.defvjp(_norm_pool, _norm_pool_back)
