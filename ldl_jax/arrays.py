"""Converts the pure functions' arguments to float32 arrays, and checks that their shapes agree.

Only shapes and Python numbers are checked, so a check costs nothing once a function is traced.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from ldl_jax.labels import LabelSpace

Scalar = float | jax.Array  # a number, known or traced


def float32(x: ArrayLike) -> jax.Array:
    """Returns `x` of any dtype as a float32 array (integer labels, bfloat16 logits, NumPy)."""
    return jnp.asarray(x, jnp.float32)


def with_last_axis(name: str, x: ArrayLike, size: int) -> jax.Array:
    """Returns `x` [..., size] as float32; raises ValueError where the last axis is another."""
    array = float32(x)
    if array.ndim < 1 or array.shape[-1] != size:
        raise ValueError(f"{name}: expected shape [..., {size}], got {list(array.shape)}")
    return array


def with_shape(name: str, x: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """Returns `x` as float32; raises ValueError for another shape, also one that broadcasts."""
    array = float32(x)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {list(shape)}, got {list(array.shape)}")
    return array


def with_labels(
    logits: ArrayLike, labels: ArrayLike, space: LabelSpace
) -> tuple[jax.Array, jax.Array]:
    """Returns logits [..., K] and labels [...] as float32; raises ValueError for other shapes."""
    x = with_last_axis("logits", logits, space.size)
    return x, with_shape("labels", labels, x.shape[:-1])


def absolute(x: jax.Array) -> jax.Array:
    """Returns |x| with gradient 0 at 0, as the papers' sign has it; that of `jnp.abs` is 1."""
    return x * jnp.sign(x)


def nan_where(unknown: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x [..., *] with NaN where `unknown` [...] is true: a comparison would hide a NaN."""
    wide = unknown.reshape(unknown.shape + (1,) * (x.ndim - unknown.ndim))
    return jnp.where(wide, jnp.nan, x)


def nan_of(given: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x [...] with NaN where one of `given` [..., n] is NaN."""
    return nan_where(jnp.any(jnp.isnan(given), axis=-1), x)


def finite_cost(weight: jax.Array, cost: jax.Array) -> jax.Array:
    """Returns the cost with 0 for an infinity that has weight 0: 0 times infinity is 0 here."""
    return jnp.where((weight == 0) & jnp.isinf(cost), 0.0, cost)


def is_known(x: Scalar) -> bool:
    """Returns whether a number can be checked; the value of a traced one is not known."""
    return not isinstance(x, jax.core.Tracer)


def whole(x: jax.Array) -> jax.Array:
    """Returns x, gathered to each device where an axis of an explicit mesh splits it."""
    sharding = jax.typeof(x).sharding
    if all(axis is None for axis in sharding.spec):
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec(*[None] * x.ndim)))


def positive(name: str, x: ArrayLike) -> jax.Array:
    """Returns a scalar as float32; raises ValueError for a Python number that is not positive."""
    if isinstance(x, int | float) and not x > 0:
        raise ValueError(f"{name}: must be positive, got {x}")
    return with_shape(name, x, ())


def deviation(name: str, x: ArrayLike, shape: tuple[int, ...], space: LabelSpace) -> jax.Array:
    """Returns a width, scalar or one a label, as float32 that broadcasts against [..., K].

    It is kept above a millionth of the finest step, where every density is one-hot in float32
    already: a division by it is finite, and its own gradient is zero. Another shape than the
    labels' and a negative number raise ValueError.
    """
    if isinstance(x, int | float) and not x >= 0:
        raise ValueError(f"{name}: must not be negative, got {x}")
    array = float32(x)
    if array.ndim and array.shape != shape:
        raise ValueError(
            f"{name}: expected a scalar or the labels' shape {list(shape)}, got {list(array.shape)}"
        )
    finest = float(np.diff(space.values).min())
    return jnp.broadcast_to(jnp.maximum(array, 1e-6 * finest), shape)[..., None]


def row(values: ArrayLike, ndim: int) -> jax.Array:
    """Returns `values` [n] as float32 [1, ..., 1, n] with `ndim` axes (ranks are not promoted)."""
    array = float32(values)
    return array.reshape((1,) * (ndim - 1) + array.shape)


def grid(space: LabelSpace, ndim: int) -> jax.Array:
    """Returns the label values as [1, ..., 1, K] with `ndim` axes."""
    return row(np.asarray(space.values, np.float32), ndim)


def block_diagonal(kernels: list[jax.Array]) -> jax.Array:
    """Returns the kernel [..., Σ in, Σ out] of layers side by side, from theirs [..., in, out].

    Layers that read different inputs become one layer of all of them, with theirs on its diagonal
    and zeros elsewhere: more products in fewer kernels, by whose number a small network's step on
    a GPU is bound.

    >>> print(arrays.block_diagonal([jnp.ones((1, 2)), jnp.full((2, 1), 3.0)]))
    [[1. 1. 0.]
     [0. 0. 3.]
     [0. 0. 3.]]
    """
    width = sum(kernel.shape[-1] for kernel in kernels)
    rows, left = [], 0
    for kernel in kernels:
        right = width - left - kernel.shape[-1]
        edges = [(0, 0)] * (kernel.ndim - 1) + [(left, right)]
        rows.append(jnp.pad(kernel, edges))
        left += kernel.shape[-1]
    return jnp.concatenate(rows, axis=-2)


def thresholds(space: LabelSpace) -> np.ndarray:
    """Returns the K-1 labels above which the next value is nearest, within the gaps of groups."""
    values = np.asarray(space.values, np.float64)
    between = (values[:-1] + values[1:]) / 2
    if space.bounds:
        low, high = np.asarray(space.bounds, np.float64).T
        # A group holds its own bounds, so its least label must lie above the threshold.
        below = np.nextafter(low[1:].astype(np.float32), np.float32(-np.inf))
        between = np.clip(between, high[:-1], below)
    return between.astype(np.float32)


def index(labels: jax.Array, space: LabelSpace) -> jax.Array:
    """Returns the index [...] int32 of each label's own value: the nearest one, or its group's."""
    above = labels[..., None] > row(thresholds(space), labels.ndim + 1)
    return jnp.sum(above, axis=-1, dtype=jnp.int32)


def own(labels: jax.Array, space: LabelSpace) -> jax.Array:
    """Returns whether each value is the label's own, [..., K] bool; a NaN has none."""
    between = thresholds(space)
    y = jnp.maximum(labels, space.values[0])[..., None]
    lower = row(np.concatenate([[-np.inf], between]), y.ndim)
    return (y > lower) & (y <= row(np.concatenate([between, [np.inf]]), y.ndim))


def of_own(labels: jax.Array, x: jax.Array, space: LabelSpace) -> jax.Array:
    """Returns x [..., K] at each label's own value, [...]; NaN where the label is.

    The sum has one term. Unlike a gather it fuses with what comes before it, and shards as x does.
    """
    chosen = jnp.sum(jnp.where(own(labels, space), x, 0.0), axis=-1)
    return nan_where(jnp.isnan(labels), chosen)


def at(x: jax.Array, position: jax.Array) -> jax.Array:
    """Returns x [..., K] at each position [...] along the last axis, at the last one beyond it."""
    K = x.shape[-1]
    last = jnp.minimum(position, K - 1)[..., None]
    chosen = last == jnp.arange(K, dtype=last.dtype).reshape((1,) * (last.ndim - 1) + (K,))
    return jnp.sum(jnp.where(chosen, x, jnp.zeros_like(x)), axis=-1)
