"""The one seam to Flax: an NNX module becomes a pair of pure functions over plain dicts."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

# Nested dicts of arrays, or of their shapes; which names they have, each network says itself.
Params = Any
ModelState = Any
Features = jax.Array | Mapping[str, jax.Array]
Width = int | Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Model:
    """A network without its head, as pure functions.

    Attributes:
      name: the network's name.
      init: `init(key) -> (params, model_state)`, nested dicts of arrays.
      apply: `apply(params, model_state, images, *, train, key=None) -> (features, model_state)`;
        images are preprocessed float [B, H, W, 3], features float [B, width]. With `train`,
        batch normalisation uses the batch's statistics, and the returned state holds their running
        means; `key` drives dropout where a network has it. It raises ValueError where the network
        does not take images of that shape, or dropout lacks its key.
      width: D, the number of features. A network that gives features in parts has a dict of
        widths, and its features are a dict of arrays of the same keys.
      size: the side in pixels of the pictures that the network's paper feeds.
      maps: `maps(params, model_state, images) -> [B, h, w, D]`, in inference, for networks whose
        features are the mean of such maps over h and w; None for the others.
      mirror: returns the mirror images of a batch.
    """

    name: str
    init: Callable[[jax.Array], tuple[Params, ModelState]]
    apply: Callable[..., tuple[Any, ModelState]]
    width: Width
    size: int = 224
    maps: Callable[[Params, ModelState, jax.Array], jax.Array] | None = None
    mirror: Callable[[jax.Array], jax.Array] = lambda images: images[:, :, ::-1]


def functional(
    name: str,
    make: Callable[[nnx.Rngs], nnx.Module],
    width: Width,
    *,
    size: int = 224,
    smallest: int = 1,
    fixed: bool = False,
    draws: bool = False,
) -> Model:
    """Turns `make(rngs) -> module`, called as `module(images, train=...)`, into a `Model`.

    The module is traced once for its graph; its parameters and batch statistics live outside it.
    A module whose features are the mean of maps also has the method
    `module.maps(images, train=...)`.

    Args:
      name: the network's name.
      make: makes the module.
      width: the number of features, or of each of their parts.
      size: the side in pixels of the pictures that the paper feeds.
      smallest: the least side that the network takes.
      fixed: whether the network takes pictures of `size` only.
      draws: whether the network draws random numbers in training; it is then called as
        `module(images, train=..., key=...)`.
    """
    traced = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graph = nnx.graphdef(traced)

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        params, rest = nnx.state(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)

    def merged(params: Params, model_state: ModelState, images: jax.Array) -> Any:
        _check_images(name, images.shape, size if fixed else smallest, fixed)
        return nnx.merge(graph, nnx.State(params), nnx.State(model_state))

    def apply(
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        module = merged(params, model_state, images)
        if draws and train and key is None:
            raise ValueError(
                f"key: {name} has dropout, expected a random key in training, got None"
            )
        drawn = {"key": key} if draws else {}
        features = module(images, train=train, **drawn)
        _, rest = nnx.state(module, nnx.Param, ...)
        return features, nnx.to_pure_dict(rest)

    def maps(params: Params, model_state: ModelState, images: jax.Array) -> jax.Array:
        return merged(params, model_state, images).maps(images, train=False)

    return Model(name, jax.jit(init), apply, width, size, maps if hasattr(traced, "maps") else None)


def _check_images(name: str, shape: tuple[int, ...], side: int, fixed: bool) -> None:
    if len(shape) != 4 or shape[3] != 3:
        raise ValueError(f"images: {name} takes [B, H, W, 3], got {list(shape)}")
    if fixed and shape[1:3] != (side, side):
        raise ValueError(
            f"images: this {name} takes [B, {side}, {side}, 3], got {list(shape)}; "
            "build it with another size"
        )
    if min(shape[1:3]) < side:
        raise ValueError(
            f"images: {name} takes {side}x{side} pixels and more, got {shape[1]}x{shape[2]}"
        )
