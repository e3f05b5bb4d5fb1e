"""Makes a `Model` of a module of Flax NNX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ldl_jax.models.functional import Features, Model, ModelState, Params
from ldl_jax.models.naming import Names, Tree, names_of
from ldl_jax.models.wrapped import (
    NO_KEY,
    Module,
    arguments_of,
    called,
    float32,
    mode,
    model_of,
    told,
)


def from_nnx(module: Module, *, size: int = 224) -> Model:
    """Returns the `Model` of a Flax NNX module, called on images [B, H, W, 3].

    The module gives features [B, D], or a dict of such parts. Whether it trains is told by the
    argument `train` (or `training`, `is_training`, `deterministic`, `use_running_average`) of its
    `__call__` where it takes one, and else by its `.train()` and `.eval()`. Its `nnx.Param` are the
    parameters, its batch statistics and other variables the state. Its random streams start anew
    from each step's key; an argument `rngs` or `key` is given it, and None where it doesn't train.

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
    ready = isinstance(module, nnx.Module)
    example = module if ready else nnx.eval_shape(lambda: called(module, rngs=nnx.Rngs(0)))
    params, streams, state = nnx.state(example, nnx.Param, nnx.RngState, ...)
    names = (names_of(nnx.to_pure_dict(params)), names_of(nnx.to_pure_dict(state)))
    pure = _PureNnx(nnx.graphdef(example), *names, streams, told(example), arguments_of(example))

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        return pure.split(module if ready else called(module, rngs=nnx.Rngs(key)))

    return model_of(example, init if ready else jax.jit(init), pure.apply, size)


@dataclasses.dataclass(frozen=True)
class _PureNnx:
    """A module's graph, the names of its arrays, its random streams and its call's arguments."""

    graph: nnx.GraphDef
    params: Names
    state: Names
    streams: Tree
    told: set[str]
    takes: set[str]

    def split(self, module: Module) -> tuple[Params, ModelState]:
        """Returns the arrays of a module by name."""
        params, _, state = nnx.state(module, nnx.Param, nnx.RngState, ...)
        return (
            self.params.named(nnx.to_pure_dict(params)),
            self.state.named(nnx.to_pure_dict(state)),
        )

    def apply(
        self,
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        """Returns the features and the state, as `Model.apply` says."""
        draws = bool(jax.tree.leaves(self.streams)) or bool(self.takes & {"rngs", "key"})
        if draws and train and key is None:
            raise ValueError(NO_KEY)
        module = nnx.merge(
            self.graph,
            nnx.State(self.params.tree(params)),
            _fresh(self.streams, key if train else None),
            nnx.State(self.state.tree(model_state)),
        )
        if not self.told:
            module.train() if train else module.eval()
        drawn = dict.fromkeys(self.takes & {"rngs", "key"})
        if train and "rngs" in drawn:
            drawn["rngs"] = nnx.Rngs(key)
        if train and "key" in drawn:
            drawn["key"] = key
        features = float32(module(images, **mode(self.told, train), **drawn))
        return features, self.split(module)[1] if train else model_state


def _fresh(streams: Tree, key: jax.Array | None) -> Tree:
    """Returns random streams of NNX that start anew from a key; without one, from constants.

    A network that answers draws nothing, and operations on keys have no form in ONNX.
    """
    leaves, structure = jax.tree.flatten(streams)
    fresh: list[jax.Array | np.ndarray] = []
    for index, leaf in enumerate(leaves):
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            fresh.append(np.zeros(leaf.shape, leaf.dtype))  # how often it was drawn from
        elif key is None:
            data = jax.eval_shape(jax.random.key_data, leaf)
            fresh.append(np.zeros(data.shape, data.dtype))
        else:
            stream = jax.random.fold_in(key, index)
            fresh.append(jax.random.split(stream, leaf.shape) if leaf.shape else stream)
    return jax.tree.unflatten(structure, fresh)
