"""Batch normalisation in training with its gradient written out.

Automatic differentiation goes back through mean and variance one by one: it would read x once more,
and XLA for CPUs keeps arrays of a map's size between them. The gradient in closed form (Ioffe and
Szegedy, "Batch Normalization", ICML 2015, Sec. 3), with x̂ = (x - m) r, r = (v + ε)^-½ and N
elements a channel, is

    dx = γ r (dy - Σ dy / N - x̂ Σ(dy x̂) / N)

It takes two passes over x, and so do the mean and the variance before it. Two forms include the
activation and pooling that follow, so that nothing of a map's size is kept for the gradient but x.
All functions take x [..., C] in any dtype and compute in float32. Beside their result they return
the batch's mean and biased variance, through which no gradient passes.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Normed = tuple[jax.Array, jax.Array, jax.Array]  # the result, the batch's mean and variance
Pair = tuple[jax.Array, jax.Array]
Residuals = tuple[jax.Array, ...]  # what the gradient needs of the forward pass
Forward = tuple[Normed, Residuals]
Gradients = tuple[jax.Array, jax.Array, jax.Array]  # of x, γ and β


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Normed:
    """Returns (γ x̂ + β [..., C], mean [C], variance [C]), all float32.

    Args:
      x: [..., C].
      scale: γ, [C].
      bias: β, [C].
      epsilon: ε.
    """
    return _batch_norm(x, scale, bias, epsilon)[0]


def _batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Forward:
    y, mean, variance = _normed(x, scale, bias, epsilon)
    return (y, mean, variance), (x, scale, mean, variance)


def _batch_norm_back(epsilon: float, saved: Residuals, cotangents: Normed) -> Gradients:
    x, scale, mean, variance = saved
    return gradients(x, cotangents[0], scale, (mean, variance), epsilon)


batch_norm.defvjp(_batch_norm, _batch_norm_back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm_relu_mean(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Normed:
    """Returns (means of ReLU(γ x̂ + β) over windows [B, h, w, C], mean, variance), all float32.

    Args:
      x: maps [B, H, W, C], pooled in windows of 2x2 without the incomplete ones at the ends; or
        [B, h, w, 4, C], the four elements of each window side by side. Mean and variance are those
        of all of x.
      scale: γ, [C].
      bias: β, [C].
      epsilon: ε.
    """
    return _norm_relu_mean(x, scale, bias, epsilon)[0]


def _norm_relu_mean(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Forward:
    mean, variance = moments_of(x)
    slope, shift = line((mean, variance), scale, bias, epsilon)
    # Without the barrier XLA would compute the means anew for each of their readers.
    pooled = lax.optimization_barrier(
        mean_of_relu([along(v, slope, shift) for v in elements_of(x)])
    )
    return (pooled, mean, variance), (x, scale, bias, mean, variance)


def _norm_relu_mean_back(epsilon: float, saved: Residuals, cotangents: Normed) -> Gradients:
    x, scale, bias, mean, variance = saved
    slope, shift = line((mean, variance), scale, bias, epsilon)
    positive = along(x, slope, shift) > 0
    dy = jnp.where(positive, spread(cotangents[0] / 4, x), 0.0)
    return gradients(x, dy, scale, (mean, variance), epsilon)


norm_relu_mean.defvjp(_norm_relu_mean, _norm_relu_mean_back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm_tanh_max(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Normed:
    """Returns (maxima of tanh(γ x̂ + β) over windows [B, h, w, C], mean, variance), all float32.

    The arguments are those of `norm_relu_mean`. Equal maxima of a window share its gradient
    equally.
    """
    return _norm_tanh_max(x, scale, bias, epsilon)[0]


def _norm_tanh_max(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Forward:
    mean, variance = moments_of(x)
    slope, shift = line((mean, variance), scale, bias, epsilon)
    # The greatest y has the greatest x, or the least where γ < 0. The gradient finds the maximum in
    # x, which is the same array then, while y could be rounded differently when recomputed.
    sign = sign_of(slope)
    top = highest_of(elements_of(x), sign)
    pooled = jnp.tanh(along(top, jnp.abs(slope), shift))
    return (pooled, mean, variance), (x, scale, mean, variance, sign, top, pooled)


def _norm_tanh_max_back(epsilon: float, saved: Residuals, cotangents: Normed) -> Gradients:
    x, scale, mean, variance, sign, top, pooled = saved
    ties = functools.reduce(
        jnp.add, [(v * wide(sign, v) == top).astype(jnp.float32) for v in elements_of(x)]
    )
    each = cotangents[0] * (1 - jnp.square(pooled)) / ties
    highest = x.astype(jnp.float32) * wide(sign, x) == spread(top, x)
    dy = jnp.where(highest, spread(each, x), 0.0)
    return gradients(x, dy, scale, (mean, variance), epsilon)


norm_tanh_max.defvjp(_norm_tanh_max, _norm_tanh_max_back)


def relu_mean(y: jax.Array) -> jax.Array:
    """Returns the means of ReLU(y) over windows, for y as the x of `norm_relu_mean`."""
    return mean_of_relu(elements_of(y)).astype(y.dtype)


def tanh_max(y: jax.Array) -> jax.Array:
    """Returns the maxima of tanh(y) over windows, for y as the x of `norm_tanh_max`."""
    return jnp.tanh(functools.reduce(jnp.maximum, elements_of(y))).astype(y.dtype)


def sign_of(slope: jax.Array) -> jax.Array:
    """Returns 1, or -1 where a slope falls."""
    return jnp.where(slope < 0, -1.0, 1.0)


def highest_of(elements: list[jax.Array], sign: jax.Array) -> jax.Array:
    """Returns the greatest of a window's elements, each times its channel's sign."""
    return functools.reduce(jnp.maximum, [v * wide(sign, v) for v in elements])


def mean_of_relu(elements: list[jax.Array]) -> jax.Array:
    """Returns the mean of the ReLU of a window's elements."""
    # XLA would first write out an array of zeros for a maximum with 0.
    return functools.reduce(jnp.add, [jnp.where(y > 0, y, 0.0) for y in elements]) / 4


def _normed(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Normed:
    mean, variance = moments_of(x)
    return along(x, *line((mean, variance), scale, bias, epsilon)), mean, variance


def moments_of(x: jax.Array) -> Pair:
    """Returns the mean and the biased variance, [C] each, of x.

    On CPUs it takes two passes. E[x²] - E[x]² would take one, but in float32 it has no right digit
    left once a channel's mean is 1,000 times its deviation. Accelerators, whose steps wait for
    memory, take one pass over d = x - c, with c an element of each channel: it is a few deviations
    from the mean, and so E[d²] - E[d]² keeps its digits (Chan, Golub and LeVeque, "Algorithms for
    Computing the Sample Variance", The American Statistician 1983, Sec. 1).
    """
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    if jax.default_backend() != "cpu":
        shift = x[(0,) * len(axes)]
        d = x - wide(shift, x)
        count = math.prod(x.shape[:-1])
        offset, square = (total / count for total in _sums(d, jnp.square(d)))
        return shift + offset, jnp.maximum(square - jnp.square(offset), 0.0)
    mean = x.mean(axes)
    return mean, jnp.square(x - wide(mean, x)).mean(axes)


def line(moments: Pair, scale: jax.Array, bias: jax.Array, epsilon: float) -> Pair:
    """Returns a and b [C] of γ x̂ + β = a x + b, from (mean, variance), γ, β and ε."""
    mean, variance = moments
    slope = scale * lax.rsqrt(variance + epsilon)
    return slope, bias - mean * slope


def along(x: jax.Array, slope: jax.Array, shift: jax.Array) -> jax.Array:
    """Returns slope x + shift of x [..., C], slope and shift [C], in float32."""
    return x.astype(jnp.float32) * wide(slope, x) + wide(shift, x)


def gradients(
    x: jax.Array,
    dy: jax.Array,
    scale: jax.Array,
    moments: Pair,
    epsilon: float,
    again: jax.Array | None = None,
) -> Gradients:
    """Returns the gradients of x, γ and β; `again` is dy where it is computed anew for x's."""
    mean, variance = moments
    count = math.prod(x.shape[:-1])
    r = lax.rsqrt(variance + epsilon)
    x32 = x.astype(jnp.float32)
    # The mean stands outside the sum, since XLA would keep an array x - m for it.
    dbias, products = _sums(dy, dy * x32)
    dscale = (products - mean * dbias) * r
    slope = scale * r
    of_x = -slope * r * dscale / count
    constant = -slope * dbias / count - mean * of_x
    again = dy if again is None else again
    dx = wide(slope, x) * again + wide(of_x, x) * x32 + wide(constant, x)
    # In the shape of the product that reads it, XLA would compute it element by element.
    dx = lax.optimization_barrier(dx.astype(x.dtype))
    return dx, dscale, dbias


def _sums(a: jax.Array, b: jax.Array) -> Pair:
    """Returns the sums [C] of two arrays [..., C] of float32."""
    axes = tuple(range(a.ndim - 1))
    if jax.default_backend() == "cpu":
        return a.sum(axes), b.sum(axes)

    def add(totals: Pair, terms: Pair) -> Pair:
        return totals[0] + terms[0], totals[1] + terms[1]

    # One reduction of both; two of them would end in a kernel each.
    zero = np.float32(0)
    first, second = lax.reduce((a, b), (zero, zero), add, axes)
    return first, second


def wide(channels: jax.Array, x: jax.Array) -> jax.Array:
    """Returns [C] as an array of as many axes as x [..., C] has."""
    return channels.reshape((1,) * (x.ndim - 1) + channels.shape)


def elements_of(x: jax.Array) -> list[jax.Array]:
    """Returns the first, second, third and fourth elements of all windows, float32 [B, h, w, C]."""
    x = x.astype(jnp.float32)
    if x.ndim == 5:
        return [x[:, :, :, index] for index in range(4)]
    rows, columns = (n // 2 * 2 for n in x.shape[1:3])
    return [x[:, i:rows:2, j:columns:2] for i in range(2) for j in range(2)]


def spread(pooled: jax.Array, x: jax.Array) -> jax.Array:
    """Repeats a window's value [B, h, w, C] at its elements in x; incomplete windows have 0."""
    if x.ndim == 5:
        return jnp.broadcast_to(pooled[:, :, :, None], x.shape)
    batch, height, width, channels = pooled.shape
    cells = (batch, height, 2, width, 2, channels)
    spread = jnp.broadcast_to(pooled[:, :, None, :, None], cells)
    spread = spread.reshape(batch, 2 * height, 2 * width, channels)
    left = (x.shape[1] - 2 * height, x.shape[2] - 2 * width)
    return jnp.pad(spread, ((0, 0), (0, left[0]), (0, left[1]), (0, 0)))
