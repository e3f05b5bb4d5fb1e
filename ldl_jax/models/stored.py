"""A network whose features were computed before: what takes its place in training."""

import jax
import jax.numpy as jnp

from ldl_jax.heads import Features, parts_of, standardise, total
from ldl_jax.models.functional import Model, ModelState, Params


def stored(network: Model, *, standardised: bool = False) -> Model:
    """Returns the network of a head that learns from features which are stored.

    It has no parameters. In the place of images it takes [B, W, D], of each picture the features of
    its looks, each crop followed by its mirror image, and gives the first ones.

    Args:
      network: computed the features.
      standardised: whether the features are standardised, by the "mean" and the "deviation" [D] in
        its `model_state`; 0 and 1 at first.
    """

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        del key
        D = total(network.width)
        return {}, {"mean": jnp.zeros(D), "deviation": jnp.ones(D)} if standardised else {}

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        del params, train, key
        features = parts_of(images[:, 0], network.width)
        return standardise(features, **model_state) if standardised else features, model_state

    def looks(images: jax.Array, flip: bool, crops: tuple[float, ...]) -> list[jax.Array]:
        count = max(len(crops), 1) * (2 if flip else 1)
        return [images[:, index : index + 1] for index in range(count)]

    return Model(network.name, jax.jit(init), apply, network.width, network.size, looks=looks)
