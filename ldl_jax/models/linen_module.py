"""Makes a `Model` of a module of Flax Linen."""

import dataclasses

import jax
import jax.numpy as jnp

from ldl_jax.models.functional import Features, Model, ModelState, Params
from ldl_jax.models.naming import Names, names_of
from ldl_jax.models.wrapped import NO_KEY, Module, float32, mode, model_of, told


def from_linen(module: Module, *, size: int = 224) -> Model:
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

    told_by = told(module)

    def made(key: jax.Array) -> tuple[Params, ModelState]:
        first, second = jax.random.split(key)
        images = jnp.zeros((1, size, size, 3), jnp.float32)
        streams = {"params": first, "dropout": second}
        variables = unfreeze(linen.unbox(module.init(streams, images, **mode(told_by, False))))
        return variables.pop("params", {}), variables

    params_like, state_like = jax.eval_shape(made, jax.random.key(0))
    pure = _PureLinen(module, names_of(params_like), names_of(state_like), told_by)

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        params, state = made(key)
        return pure.params.named(params), pure.state.named(state)

    return model_of(module, jax.jit(init), pure.apply, size)


@dataclasses.dataclass(frozen=True)
class _PureLinen:
    """A module, the names of its arrays, and the arguments that say whether it trains."""

    module: Module
    params: Names
    state: Names
    told: set[str]

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
        from flax.core import unfreeze
        from flax.errors import InvalidRngError

        state = self.state.tree(model_state)
        variables = {"params": self.params.tree(params), **state}
        told_by = mode(self.told, train)
        if not train:
            return float32(self.module.apply(variables, images, **told_by)), model_state
        # A stream without a key of its own draws from that of "params".
        streams = {} if key is None else dict.fromkeys(("params", "dropout"), key)
        try:
            features, changed = self.module.apply(
                variables, images, **told_by, rngs=streams, mutable=list(state)
            )
        except InvalidRngError:
            if key is not None:
                raise
            raise ValueError(NO_KEY) from None
        return float32(features), self.state.named(unfreeze({**state, **changed}))
