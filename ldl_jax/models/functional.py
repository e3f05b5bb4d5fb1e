"""The one seam to Flax: an NNX module becomes a pair of pure functions over plain dicts."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from ldl_jax.models import folding

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
      fold: `fold(params, model_state) -> (model, params, model_state)`, the same network for
        inference alone, with its batch normalisation folded into the layers before it (see
        `ldl_jax.models.folding`). None where it is folded.
      looks: `looks(images, flip, crops)`, the inputs that an answer is the mean over, where these
        are no pictures; None for those of `ldl_jax.data.augment.looks`.
    """

    name: str
    init: Callable[[jax.Array], tuple[Params, ModelState]]
    apply: Callable[..., tuple[Any, ModelState]]
    width: Width
    size: int = 224
    maps: Callable[[Params, ModelState, jax.Array], jax.Array] | None = None
    fold: Callable[[Params, ModelState], "tuple[Model, Params, ModelState]"] | None = None
    looks: Callable[[jax.Array, bool, tuple[float, ...]], list[jax.Array]] | None = None


def folded(
    model: Model, params: Params, model_state: ModelState
) -> tuple[Model, Params, ModelState]:
    """Returns a network for inference alone, with its batch normalisation folded, and its weights.

    It gives the same features but for rounding, in fewer passes over the maps. What is folded, or
    has no batch normalisation, is returned as it is.

    Args:
      model: the network.
      params: its parameters.
      model_state: its running statistics; nothing is left of them.

    >>> import jax
    >>> from ldl_jax import models
    >>> network = models.build("ssrnet")
    >>> weights = network.init(jax.random.key(0))
    >>> network, params, model_state = models.folded(network, *weights)
    >>> model_state
    {}
    >>> "x_norm1" in params
    False
    """
    return (model, params, model_state) if model.fold is None else model.fold(params, model_state)


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

    def init(key: jax.Array) -> tuple[Params, ModelState]:
        return _split(make(nnx.Rngs(key)))

    def check(images: jax.Array) -> None:
        _check_images(name, images.shape, size if fixed else smallest, fixed)

    pure = _Pure(name, nnx.graphdef(traced), check, draws)
    maps = pure.maps if hasattr(traced, "maps") else None

    def fold(params: Params, model_state: ModelState) -> tuple[Model, Params, ModelState]:
        graphs: list[nnx.GraphDef] = []

        def arrays(params: Params, model_state: ModelState) -> tuple[Params, ModelState]:
            module = pure.module(params, model_state)
            folding.fold(module)
            graphs.append(nnx.graphdef(module))
            return _split(module)

        # One program: by themselves the layers would be compiled one after the other.
        weights = jax.jit(arrays)(params, model_state)
        after = dataclasses.replace(pure, graph=graphs[0])
        inference = dataclasses.replace(
            model,
            init=lambda key: fold(*init(key))[1:],
            apply=after.apply,
            maps=maps and after.maps,
            fold=None,
        )
        return inference, *weights

    model = Model(name, jax.jit(init), pure.apply, width, size, maps, fold)
    return model


@dataclasses.dataclass(frozen=True)
class _Pure:
    """The functions of a module's graph, as `Model` has them."""

    name: str
    graph: nnx.GraphDef
    check: Callable[[jax.Array], None]  # raises ValueError for images that it does not take
    draws: bool

    def module(self, params: Params, model_state: ModelState) -> Any:
        return nnx.merge(self.graph, nnx.State(params), nnx.State(model_state))

    def apply(
        self,
        params: Params,
        model_state: ModelState,
        images: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Features, ModelState]:
        self.check(images)
        if self.draws and train and key is None:
            raise ValueError(
                f"key: {self.name} has dropout, expected a random key in training, got None"
            )
        module = self.module(params, model_state)
        drawn = {"key": key} if self.draws else {}
        features = module(images, train=train, **drawn)
        return features, _split(module)[1]

    def maps(self, params: Params, model_state: ModelState, images: jax.Array) -> jax.Array:
        self.check(images)
        return self.module(params, model_state).maps(images, train=False)


def _split(module: nnx.Module) -> tuple[Params, ModelState]:
    """Returns a module's parameters and all its other arrays as nested dicts."""
    params, rest = nnx.state(module, nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)


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
