"""Weights that lie split over devices, made whole where a network uses them."""

import dataclasses
from collections.abc import Callable

import jax

from ldl_jax.heads import Head
from ldl_jax.methods import Method
from ldl_jax.models import exchange
from ldl_jax.models.functional import Model
from ldl_jax.placement import Placement
from ldl_jax.train.state import PyTree


def gathered(model: Model, method: Method, placement: Placement) -> tuple[Model, Method]:
    """Returns network and method for parameters that lie as `placement.shardings` says.

    Each array is gathered whole before it is used, and its gradient is summed over the devices into
    the same parts. Left to itself, XLA may rather gather the activations of the whole batch, which
    are larger. Where the placement splits nothing, they are returned as they are.

    Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter
    Models", SC 2020, §5. Departure: what was gathered for the forward pass may be kept for the
    backward pass.
    """
    if not placement.splits:
        return model, method
    whole = _whole(placement)

    def apply(
        params: PyTree, model_state: PyTree, images: jax.Array, **options: bool | jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        return model.apply(whole(params), whole(model_state), images, **options)

    def outputs(params: PyTree, features: PyTree) -> PyTree:
        return method.head.apply(whole(params), features)

    def trained(params: PyTree, features: PyTree, key: jax.Array) -> PyTree:
        assert method.head.train is not None
        return method.head.train(whole(params), features, key)

    head = Head(method.head.init, outputs, None if method.head.train is None else trained)
    return dataclasses.replace(model, apply=apply), dataclasses.replace(method, head=head)


def exchanging(model: Model, placement: Placement) -> Model:
    """Returns a network whose gradients are added up over the devices in float32."""

    def apply(
        params: PyTree, model_state: PyTree, images: jax.Array, **options: bool | jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        with exchange.in_float32(placement.replicated.mesh):
            return model.apply(params, model_state, images, **options)

    return dataclasses.replace(model, apply=apply)


def _whole(placement: Placement) -> Callable[[PyTree], PyTree]:
    @jax.custom_vjp
    def gather(array: jax.Array) -> jax.Array:
        return jax.lax.with_sharding_constraint(array, placement.replicated)

    def forward(array: jax.Array) -> tuple[jax.Array, None]:
        return gather(array), None

    def backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
        return (jax.lax.with_sharding_constraint(gradient, placement.shardings(gradient)),)

    gather.defvjp(forward, backward)
    return lambda tree: jax.tree.map(gather, tree)
