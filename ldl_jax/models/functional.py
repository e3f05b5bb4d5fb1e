"""The one seam to Flax: an NNX module becomes a pair of pure functions over plain dicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

Params = Any
ModelState = Any


@dataclasses.dataclass(frozen=True)
class Model:
    """A network without its head, as pure functions.

    Attributes:
      name: the network's name.
      init: `init(key) -> (params, model_state)`, nested dicts of arrays.
      apply: `apply(params, model_state, images, *, train, key=None) -> (features, model_state)`;
        images are preprocessed float [B, H, W, 3], features float [B, width]. With `train`,
        batch statistics are taken from the batch, and the returned state holds their running
        means; `key` drives dropout where a network has it.
      width: D, the number of features.
    """

    name: str
    init: Callable[[jax.Array], tuple[Params, ModelState]]
    apply: Callable[..., tuple[jax.Array, ModelState]]
    width: int


def functional(name: str, make: Callable[[nnx.Rngs], nnx.Module], width: int) -> Model:
    """Turns `make(rngs) -> module`, called as `module(images, train=...)`, into a `Model`.

    The module is traced once for its graph; its parameters and batch statistics live outside it.
    """
    graph = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        params, rest = nnx.state(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, ModelState]:
        del key  # no network here draws random numbers yet
        module = nnx.merge(graph, nnx.State(params), nnx.State(model_state))
        features = module(images, train=train)
        _, rest = nnx.state(module, nnx.Param, ...)
        return features, nnx.to_pure_dict(rest)

    return Model(name, jax.jit(init), apply, width)
