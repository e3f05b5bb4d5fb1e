"""Calls a module of any framework, and returns the `Model` of what was made of it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ldl_jax.models.functional import Features, Model, ModelState, Params, Width

Module = Any  # of Flax or of Equinox
NO_KEY = "key: the network draws random numbers in training, got None"
# The arguments by which a module's call is told that it trains, or that it doesn't.
_TRAINS = ("train", "training", "is_training")
_DOES_NOT = ("deterministic", "use_running_average", "inference")


def called(make: Callable[..., Module], **argument: jax.Array | object) -> Module:
    """Calls a function with its one argument by name where it has that name, and else by place."""
    ((name, value),) = argument.items()
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return make(value)
    by_name = name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return make(**argument) if by_name else make(value)


def arguments_of(module: Module) -> set[str]:
    """Returns the names of the arguments of a module's call."""
    return set(inspect.signature(type(module).__call__).parameters)


def told(module: Module) -> set[str]:
    """Returns the arguments of a module's call that say whether it trains."""
    return arguments_of(module) & {*_TRAINS, *_DOES_NOT}


def mode(told_by: set[str], train: bool) -> dict[str, bool]:
    """Returns the arguments that say whether a module trains."""
    return {name: train if name in _TRAINS else not train for name in told_by}


def float32(features: Features) -> Features:
    """Returns features in float32, where they are arrays of floating point numbers."""

    def cast(x: jax.Array) -> jax.Array:
        inexact = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(jnp.float32) if inexact else x

    return jax.tree.map(cast, features)


def model_of(
    module: Module,
    init: Callable[[jax.Array], tuple[Params, ModelState]],
    apply: Callable[..., tuple[Features, ModelState]],
    size: int,
) -> Model:
    """Returns the `Model`, with the number of features that a trace of it gives."""
    name = type(module).__name__
    params, model_state = jax.eval_shape(init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)

    def features(params: Params, model_state: ModelState, images: jax.Array) -> Features:
        return apply(params, model_state, images, train=False)[0]

    shapes = jax.eval_shape(features, params, model_state, images)
    return Model(name, init, apply, width_of(name, shapes), size)


def width_of(name: str, features: object) -> Width:
    """Returns the number of features, or of each of their parts, from their shapes [2, D].

    Raises:
      ValueError: they have other shapes; a map is to be pooled.
    """
    if isinstance(features, Mapping):
        widths = {key: width_of(f"{name}[{key!r}]", part) for key, part in features.items()}
        return {key: width for key, width in widths.items() if isinstance(width, int)}
    shape = getattr(features, "shape", None)
    if shape is None:
        raise ValueError(f"{name} returned a {type(features).__name__}, expected features [B, D]")
    if len(shape) == 2 and shape[0] == 2:
        return int(shape[1])
    shown = f"[B, {', '.join(map(str, shape[1:]))}]"
    pooled = "; pool it over height and width, as by x.mean(axis=(1, 2))" if len(shape) == 4 else ""
    kind = "a map" if len(shape) == 4 else "an array"
    raise ValueError(f"{name} returned {kind} {shown}, expected features [B, D]{pooled}")
