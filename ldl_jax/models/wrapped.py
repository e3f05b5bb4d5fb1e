"""Makes a `Model` of a module of Flax NNX, of Flax Linen, or of Equinox, in one line."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ldl_jax.models.functional import Features, Model, ModelState, Params, Width
from ldl_jax.models.naming import names_of

# The arguments by which a module's call is told that it trains, or that it doesn't.
_TRAINS = ("train", "training", "is_training")
_DOES_NOT = ("deterministic", "use_running_average", "inference")


def from_nnx(module: Any, *, size: int = 224) -> Model:
    """Returns the `Model` of a Flax NNX module, called on images [B, H, W, 3].

    The module gives features [B, D], or a dict of such parts. Whether it trains is told by the
    argument `train` (or `training`, `is_training`, `deterministic`, `use_running_average`) of its
    `__call__` where it takes one, and else by its `.train()` and `.eval()`. Its `nnx.Param` are the
    parameters, its batch statistics and other variables the state; its random streams start anew
    from each step's key, also as an argument `rngs` or `key`.

    Args:
      module: a function of `rngs` that makes the module, as the class itself, so that each seed
        and generation has its own first weights; or a module, whose weights all of them start with.
      size: the side of the pictures that tell the number of features.

    Raises:
      ValueError: it gives no features [B, D].

    >>> import jax
    >>> from flax import nnx
    >>> from ldl_jax import models
    >>> class Small(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
    ...
    ...     def __call__(self, images):
    ...         return nnx.relu(self.conv(images)).mean(axis=(1, 2))
    >>> models.from_nnx(Small).width
    8
    """
    made = isinstance(module, nnx.Module)
    like = module if made else nnx.eval_shape(lambda: _called(module, rngs=nnx.Rngs(0)))
    graph, params_like, streams_like, state_like = nnx.split(like, nnx.Param, nnx.RngState, ...)
    params_like, state_like = nnx.to_pure_dict(params_like), nnx.to_pure_dict(state_like)
    params_names, state_names = names_of(params_like), names_of(state_like)
    told, takes = _told(like), _arguments(like)
    draws = bool(jax.tree.leaves(streams_like)) or bool(takes & {"rngs", "key"})

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        new = module if made else _called(module, rngs=nnx.Rngs(key))
        params, _, state = nnx.state(new, nnx.Param, nnx.RngState, ...)
        return (
            params_names.named(nnx.to_pure_dict(params)),
            state_names.named(nnx.to_pure_dict(state)),
        )

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        if draws and train and key is None:
            raise ValueError("key: the network draws random numbers in training, got None")
        key = jax.random.key(0) if key is None else key
        copy = nnx.merge(
            graph,
            nnx.State(params_names.tree(params)),
            _fresh(streams_like, key),
            nnx.State(state_names.tree(model_state)),
        )
        if not told:
            copy.train() if train else copy.eval()
        given: dict[str, Any] = {}
        if "rngs" in takes:
            given["rngs"] = nnx.Rngs(jax.random.fold_in(key, 2**31))
        if "key" in takes:
            given["key"] = key
        features = _float32(copy(images, **_mode(told, train), **given))
        if not train:
            return features, model_state
        _, _, state = nnx.state(copy, nnx.Param, nnx.RngState, ...)
        return features, state_names.named(nnx.to_pure_dict(state))

    return _model(like, module, init if made else jax.jit(init), apply, size)


def from_linen(module: Any, *, size: int = 224) -> Model:
    """Returns the `Model` of a Flax Linen module, called on images [B, H, W, 3].

    The module gives features [B, D], or a dict of such parts. Whether it trains is told by the
    argument `train` (or `training`, `is_training`, `deterministic`, `use_running_average`) of its
    `__call__`, where it takes one. The collection "params" has the parameters, all others are the
    state, and can be changed in training alone. Dropout, and any other stream of random numbers,
    draws from each step's key.

    Args:
      module: the module.
      size: the side of the pictures that it is initialised with.

    Raises:
      ValueError: it gives no features [B, D].

    >>> from flax import linen
    >>> from ldl_jax import models
    >>> class Small(linen.Module):
    ...     @linen.compact
    ...     def __call__(self, images):
    ...         return linen.relu(linen.Conv(8, (3, 3))(images)).mean(axis=(1, 2))
    >>> models.from_linen(Small()).width
    8
    """
    from flax import linen  # late: it takes a second that no other network needs
    from flax.core import unfreeze
    from flax.errors import InvalidRngError

    told = _told(module)

    def made(key: jax.Array) -> tuple[Params, ModelState]:
        first, second = jax.random.split(key)
        images = jnp.zeros((1, size, size, 3), jnp.float32)
        streams = {"params": first, "dropout": second}
        variables = unfreeze(linen.unbox(module.init(streams, images, **_mode(told, False))))
        return variables.pop("params", {}), variables

    params_names, state_names = map(names_of, jax.eval_shape(made, jax.random.key(0)))

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        params, state = made(key)
        return params_names.named(params), state_names.named(state)

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        state = state_names.tree(model_state)
        variables = {"params": params_names.tree(params), **state}
        mode = _mode(told, train)
        if not train:
            return _float32(module.apply(variables, images, **mode)), model_state
        # A stream without a key of its own draws from that of "params".
        streams = {} if key is None else dict.fromkeys(("params", "dropout"), key)
        try:
            features, changed = module.apply(
                variables, images, **mode, rngs=streams, mutable=list(state)
            )
        except InvalidRngError:
            if key is not None:
                raise
            raise ValueError(
                "key: the network draws random numbers in training, got None"
            ) from None
        return _float32(features), state_names.named(unfreeze({**state, **changed}))

    return _model(module, module, jax.jit(init), apply, size)


def from_equinox(
    module: Any, *, size: int = 224, channels_first: bool = True, axis_name: str = "batch"
) -> Model:
    """Returns the `Model` of an Equinox module, called on one picture at a time.

    The module gives features [D], or a dict of such parts. It is told by `inference_mode` whether
    it trains. Its arrays of floating point numbers are the parameters; where it has an
    `eqx.nn.State`, its `__call__` takes and returns it; an argument `key` gets a random key for
    each picture in training, and None else.

    Args:
      module: a function of `key` that makes the module, or, as `eqx.nn.make_with_state(Net)` does,
        the module and its state, so that each seed and generation has its own first weights; or
        what such a function has returned, whose weights all of them start with.
      size: the side of the pictures that tell the number of features.
      channels_first: whether the module takes [3, H, W], as Equinox's convolutions do, or
        [H, W, 3].
      axis_name: the name of the batch's axis, as its batch normalisation was given.

    Raises:
      ImportError: Equinox is not installed.
      ValueError: it gives no features [D].
    """
    import equinox as eqx

    made = isinstance(module, eqx.Module | tuple)

    def make(key: jax.Array) -> tuple[Any, Any]:
        new = module if made else _called(module, key=key)
        return new if isinstance(new, tuple) else (new, None)

    like, state_like = make(jax.random.key(0))
    params_like, still = eqx.partition(like, eqx.is_inexact_array)
    params_names, state_names = names_of(params_like), names_of(state_like)
    takes = _arguments(like)
    if state_like is not None and "state" not in takes:
        raise ValueError(
            f"{type(like).__name__}: it has a state, which its __call__ does not take; expected "
            "__call__(self, picture, state, *, key=None) -> (features, state)"
        )

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        new, state = make(key)
        params = eqx.filter(new, eqx.is_inexact_array)
        return params_names.named(params), state_names.named(state)

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        network = eqx.combine(params_names.tree(params), still)
        network = eqx.nn.inference_mode(network, value=not train)
        pictures = jnp.moveaxis(images, 3, 1) if channels_first else images
        keys = jax.random.split(key, len(images)) if train and key is not None else None
        state = state_names.tree(model_state)

        def one(picture: jax.Array, key: jax.Array | None) -> tuple[Features, Any]:
            drawn = {"key": key} if "key" in takes else {}
            if state_like is None:
                return network(picture, **drawn), None
            features, new = network(picture, state, **drawn)
            return features, new

        over = (0, None if keys is None else 0)
        features, new = jax.vmap(one, over, (0, None), axis_name=axis_name)(pictures, keys)
        return _float32(features), state_names.named(new) if train else model_state

    return _model(like, module, init if made else jax.jit(init), apply, size)


def _called(make: Callable[..., Any], **argument: Any) -> Any:
    """Calls a function with its one argument by name where it has that name, and else by place."""
    ((name, value),) = argument.items()
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return make(value)
    by_name = name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return make(**argument) if by_name else make(value)


def _arguments(module: Any) -> set[str]:
    """Returns the names of the arguments of a module's call."""
    return set(inspect.signature(type(module).__call__).parameters)


def _told(module: Any) -> set[str]:
    """Returns the arguments of a module's call that say whether it trains."""
    return _arguments(module) & {*_TRAINS, *_DOES_NOT}


def _mode(told: set[str], train: bool) -> dict[str, bool]:
    return {name: train if name in _TRAINS else not train for name in told}


def _fresh(streams: Any, key: jax.Array) -> Any:
    """Returns random streams of NNX that start anew from a key."""
    leaves, structure = jax.tree.flatten(streams)
    fresh: list[jax.Array] = []
    for index, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            own = jax.random.fold_in(key, index)
            shaped = leaf.shape and jax.random.split(own, leaf.shape)
            fresh.append(shaped if leaf.shape else own)
        else:
            fresh.append(jnp.zeros(leaf.shape, leaf.dtype))  # how often it was drawn from
    return jax.tree.unflatten(structure, fresh)


def _float32(features: Any) -> Any:
    """Returns features in float32, where they are arrays of floating point numbers."""

    def cast(x: Any) -> Any:
        inexact = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(jnp.float32) if inexact else x

    return jax.tree.map(cast, features)


def _model(
    module: Any, given: Any, init: Callable[..., Any], apply: Callable[..., Any], size: int
) -> Model:
    """Returns the `Model`, with the number of features that a trace of it gives."""
    name = type(module).__name__
    params, model_state = jax.eval_shape(init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)

    def features(params: Params, model_state: ModelState, images: jax.Array) -> Any:
        return apply(params, model_state, images, train=False)[0]

    shapes = jax.eval_shape(features, params, model_state, images)
    return Model(name, init, apply, width_of(name, shapes), size)


def width_of(name: str, features: Any) -> Width:
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
