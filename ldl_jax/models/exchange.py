"""Adds up the gradients of weights over devices in float32, where a network computes in bfloat16.

XLA adds the devices' shares right behind the operation that gives them, in the type it computes in.
So where float32 is asked for, each layer takes the gradient of its weights from every device's own
examples, widens it, and only then adds it up.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from ldl_jax.models.normalise import wide

# `layer(x, weights) -> y`, of examples along the leading axis of x and y.
Layer = Callable[[jax.Array, jax.Array], jax.Array]
Devices = Mesh | AbstractMesh
_MESH: contextvars.ContextVar[Devices | None] = contextvars.ContextVar("mesh", default=None)


@contextlib.contextmanager
def in_float32(mesh: Devices) -> Iterator[None]:
    """Makes networks that are traced inside add up their gradients in float32.

    Args:
      mesh: the devices, over all of whose axes the examples are split.
    """
    token = _MESH.set(mesh)
    try:
        yield
    finally:
        _MESH.reset(token)


def weighted(layer: Layer, x: jax.Array, weights: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns layer(x, weights) with the weights in the type that it computes in.

    Args:
      layer: linear in the weights but for a constant.
      x: [B, ...].
      weights: as they are kept, float32.
      dtype: the type.
    """
    mesh = _MESH.get()
    if mesh is None or mesh.size == 1 or dtype == jnp.float32:
        return layer(x, weights.astype(dtype))
    return _weighted(layer, mesh, jnp.dtype(dtype), x, weights)


def shifted(y: jax.Array, bias: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns y [..., C] + bias [C], as `weighted` does."""
    return weighted(_add, y, bias, dtype)


def scaled(y: jax.Array, factors: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns y [..., C] times factors [C], as `weighted` does."""
    return weighted(_multiply, y, factors, dtype)


def _add(y: jax.Array, bias: jax.Array) -> jax.Array:
    return y + wide(bias, y)


def _multiply(y: jax.Array, factors: jax.Array) -> jax.Array:
    return y * wide(factors, y)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _weighted(
    layer: Layer, mesh: Devices, dtype: jnp.dtype, x: jax.Array, weights: jax.Array
) -> jax.Array:
    return layer(x, weights.astype(dtype))


def _forward(
    layer: Layer, mesh: Devices, dtype: jnp.dtype, x: jax.Array, weights: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _weighted(layer, mesh, dtype, x, weights), (x, weights)


def _backward(
    layer: Layer,
    mesh: Devices,
    dtype: jnp.dtype,
    saved: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, weights = saved
    (of_x,) = jax.vjp(lambda x: layer(x, weights.astype(dtype)), x)[1](gradient)

    def of_examples(x: jax.Array, gradient: jax.Array, weights: jax.Array) -> jax.Array:
        (gradients,) = jax.vjp(lambda w: layer(x, w), weights.astype(dtype))[1](gradient)
        return jax.lax.psum(gradients.astype(jnp.float32), mesh.axis_names)

    rows = PartitionSpec(mesh.axis_names)
    shares = jax.shard_map(
        of_examples,
        mesh=mesh,
        in_specs=(rows, rows, PartitionSpec()),
        out_specs=PartitionSpec(),
        check_vma=False,  # else the weights' gradient is added up before it is widened
    )
    return of_x, shares(x, gradient, weights)


_weighted.defvjp(_forward, _backward)
