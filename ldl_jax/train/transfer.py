"""Transfer: a backbone from another run or a foreign file, and the limits of training it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax.files import from_home
from ldl_jax.heads import Head
from ldl_jax.methods.deep import without_input
from ldl_jax.models import pretrained
from ldl_jax.models.functional import Model
from ldl_jax.train import checkpoint, model_file
from ldl_jax.train.weights import PyTree, by_route, check_finite, differences


class Backbone(NamedTuple):
    """A network's weights without a head.

    Attributes:
      params: the network's parameters.
      model_state: its running statistics.
      inputs: the pictures that it was trained on, as fields of `Preprocessing`: "mean", "std" and
        "channels"; empty where they are not known.
      notes: a line on each array that starts anew, or that was left.
      head: the parameters of its head, where they were asked for; with "input" where it
        standardises features (`methods.deep`).
    """

    params: PyTree
    model_state: PyTree
    inputs: dict[str, Any]
    notes: tuple[str, ...] = ()
    head: PyTree | None = None


def read_backbone(
    path: str | Path,
    model: Model,
    key: jax.Array,
    *,
    strict: bool = True,
    head: Head | None = None,
) -> Backbone:
    """Returns the backbone in a run's workdir, a checkpoint or a model file of any method, or a
    foreign file.

    Args:
      path: one of those.
      model: the network that is wanted.
      key: of arrays that start anew.
      strict: whether a checkpoint or a model file must have every array of the network, of its
        shape, and no other. Foreign files always must.
      head: the head that is wanted with it; None leaves the head.

    Raises:
      ValueError: there is nothing that can be read, it holds another network, or does not fit.
    """
    path = Path(from_home(path))
    wanted = None
    if head is not None:
        wanted = jax.eval_shape(lambda key: head.init(key, model.width), key)
    one_file = path.is_file() and model_file.knows(path)
    if path.is_file() and not one_file:
        return _of_foreign(path, model, wanted)
    lines: list[str] = []
    if one_file:
        about, weights, _ = model_file.read(path)
    else:
        about, weights = checkpoint.read(path, lines.append, lines.append)
    if about.model["name"] != model.name:
        raise ValueError(f"{path} holds {about.model['name']}, model.name is {model.name}")
    check_finite(weights, path)
    stored = about.preprocessing
    inputs = {"mean": stored.mean, "std": stored.std, "channels": stored.channels}
    trees, notes = _fitted(
        (weights["params"]["backbone"], weights["model_state"]), model, key, path, strict
    )
    notes = (*lines, *notes)
    if wanted is None:
        return Backbone(*trees, inputs, notes)
    stored_head = weights["params"]["head"]
    faults = differences(without_input(stored_head), wanted)
    if faults:
        raise ValueError(
            f"{path} holds another head than method {about.method['name']!r} has over these "
            f"labels: {'; '.join(faults)}; leave init.head off"
            + (f", or give model.hidden={about.hidden}" if about.hidden else "")
        )
    return Backbone(*trees, inputs, notes, stored_head)


def _of_foreign(path: Path, model: Model, wanted: PyTree | None) -> Backbone:
    """Returns the backbone in a foreign file, with its head where one of these shapes is wanted."""
    foreign = pretrained.load(path, model, wanted, strict=wanted is not None)
    inputs: dict[str, Any] = {}
    if foreign.inputs is not None:
        inputs = {"mean": foreign.inputs.mean, "std": foreign.inputs.std}
        inputs["channels"] = foreign.inputs.colours.lower()
    head = None if wanted is None else foreign.head
    return Backbone(foreign.params, foreign.model_state, inputs, head=head)


def _fitted(
    trees: PyTree, model: Model, key: jax.Array, path: Path, strict: bool
) -> tuple[tuple[PyTree, PyTree], tuple[str, ...]]:
    """Returns the arrays that the network has, and fresh ones where they do not fit."""
    faults = differences(trees, jax.eval_shape(model.init, key))
    if not faults:
        return trees, ()
    if strict:
        raise ValueError(f"{path} does not fit {model.name}: {'; '.join(faults)}")
    fresh = model.init(key)
    stored = by_route(trees)

    def choose(route: jax.tree_util.KeyPath, new: jax.Array) -> jax.Array | np.ndarray:
        old = stored.get(jax.tree_util.keystr(route))
        return new if old is None or old.shape != new.shape else old

    return jax.tree.map_with_path(choose, fresh), faults


def blocks(model: Model) -> list[list[str]]:
    """Returns the top-level names of a network's parameters, from pictures to head, by block.

    They are in the order in which the network first uses them. A name without a kernel (a
    normalisation, a token, positions) belongs to the block before it.
    """
    key = jax.random.key(0)
    params, model_state = jax.eval_shape(model.init, key)
    images = jax.ShapeDtypeStruct((1, model.size, model.size, 3), jnp.float32)

    def features(params: PyTree, model_state: PyTree, images: jax.Array) -> PyTree:
        return model.apply(params, model_state, images, train=False)[0]

    traced = jax.make_jaxpr(features)(params, model_state, images).jaxpr
    routes = [path for path, _ in jax.tree.leaves_with_path(params)]
    top = {id(var): path[0].key for var, path in zip(traced.invars, routes, strict=False)}
    used = [top[id(var)] for step in traced.eqns for var in step.invars if id(var) in top]
    order = list(dict.fromkeys([*used, *params]))
    kernels = {
        path[0].key
        for path, leaf in jax.tree.leaves_with_path(params)
        if path[-1].key == "kernel" or (path[-1].key == "weight" and leaf.ndim > 1)  # Equinox's
    }
    result: list[list[str]] = []
    for name in order:
        if name in kernels or not result:
            result.append([name])
        else:
            result[-1].append(name)
    return result


def first_names(model: Model, count: int) -> tuple[str, ...]:
    """Returns the top-level names of the parameters of a network's first so many blocks."""
    return tuple(name for names in blocks(model)[:count] for name in names) if count else ()


def learning_rate_factors(
    model: Model, backbone_rate: float, layer_decay: float, frozen_blocks: int = 0
) -> dict[str, float]:
    """Returns the factor of the learning rate of each top-level name of the backbone.

    It is r d^(n + 1 - i) for block i = 1, ..., n of `blocks`, so that the last block has r d, and 0
    for the first f. The head's is 1.

    Args:
      model: the network.
      backbone_rate: r.
      layer_decay: d.
      frozen_blocks: f.

    Source: Clark et al., "ELECTRA" (ICLR 2020), App. A; Bao et al., "BEiT" (ICLR 2022).
    """
    groups = blocks(model)
    return {
        name: backbone_rate * layer_decay ** (len(groups) - index) * (index >= frozen_blocks)
        for index, names in enumerate(groups)
        for name in names
    }


def scaled(
    optimizer: optax.GradientTransformation, factors: Mapping[str, float]
) -> optax.GradientTransformation:
    """Returns the optimizer with the backbone's learning rates times these factors.

    Its updates are proportional to the rate (a decoupled decay's too), so they are what is
    multiplied; its state is the optimizer's own.
    """

    def update(
        gradient: PyTree, state: optax.OptState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.OptState]:
        updates, state = optimizer.update(gradient, state, params)
        backbone = {
            name: jax.tree.map(lambda u, f=factors[name]: u * jnp.asarray(f, u.dtype), tree)
            for name, tree in updates["backbone"].items()
        }
        return {**updates, "backbone": backbone}, state

    return optax.GradientTransformation(optimizer.init, update)


def head_only(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimizer for the head alone; the backbone stays, and is not in its state."""

    def init(params: PyTree) -> optax.OptState:
        return optimizer.init(_head(params))

    def update(
        gradient: PyTree, state: optax.OptState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.OptState]:
        updates, state = optimizer.update(_head(gradient), state, _head(params))
        still = jax.tree.map(jnp.zeros_like, gradient["backbone"])
        return {**updates, "backbone": still}, state

    return optax.GradientTransformation(init, update)


def _head(params: PyTree) -> dict[str, PyTree]:
    return {"head": params["head"]}
