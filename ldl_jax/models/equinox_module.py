"""Makes a `Model` of a module of Equinox, which is imported only here and only when asked for."""

import dataclasses

import jax
import jax.numpy as jnp

from ldl_jax.models.functional import Features, Model, ModelState, Params
from ldl_jax.models.naming import Names, Tree, names_of
from ldl_jax.models.wrapped import Module, arguments_of, called, float32, model_of


def from_equinox(
    module: Module, *, size: int = 224, channels_first: bool = True, axis_name: str = "batch"
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

    ready = isinstance(module, eqx.Module | tuple)

    def make(key: jax.Array) -> tuple[Module, Tree]:
        new = module if ready else called(module, key=key)
        return new if isinstance(new, tuple) else (new, None)

    example, state_like = make(jax.random.key(0))
    params_like, still = eqx.partition(example, eqx.is_inexact_array)
    takes = arguments_of(example)
    if state_like is not None and "state" not in takes:
        raise ValueError(
            f"{type(example).__name__}: it has a state, which its __call__ does not take; expected "
            "__call__(self, picture, state, *, key=None) -> (features, state)"
        )
    pure = _PureEquinox(
        still,
        names_of(params_like),
        None if state_like is None else names_of(state_like),
        "key" in takes,
        channels_first,
        axis_name,
    )

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        new, state = make(key)
        params = pure.params.named(eqx.filter(new, eqx.is_inexact_array))
        return params, {} if pure.state is None else pure.state.named(state)

    return model_of(example, init if ready else jax.jit(init), pure.apply, size)


@dataclasses.dataclass(frozen=True)
class _PureEquinox:
    """A module without its parameters, the names of its arrays, and how it is called."""

    still: Module
    params: Names
    state: Names | None
    takes_key: bool
    channels_first: bool
    axis_name: str

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
        import equinox as eqx

        module = eqx.combine(self.params.tree(params), self.still)
        module = eqx.nn.inference_mode(module, value=not train)
        pictures = jnp.moveaxis(images, 3, 1) if self.channels_first else images
        keys = jax.random.split(key, len(images)) if train and key is not None else None
        state = None if self.state is None else self.state.tree(model_state)

        def one(picture: jax.Array, key: jax.Array | None) -> tuple[Features, Tree]:
            drawn = {"key": key} if self.takes_key else {}
            if state is None:
                return module(picture, **drawn), None
            features, new = module(picture, state, **drawn)
            return features, new

        over = (0, None if keys is None else 0)
        features, new = jax.vmap(one, over, (0, None), axis_name=self.axis_name)(pictures, keys)
        if not train or self.state is None:
            return float32(features), model_state
        return float32(features), self.state.named(new)
