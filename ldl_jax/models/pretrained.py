"""Foreign weights: others' files become the parameters of the networks here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ldl_jax.models import layouts, weight_files
from ldl_jax.models.functional import Model
from ldl_jax.models.layouts import Inputs, Layout, Source
from ldl_jax.models.ssrnet_layouts import SSRNET

__all__ = ["LAYOUTS", "Inputs", "Pretrained", "load"]

LAYOUTS: dict[str, Sequence[Layout]] = {
    "ssrnet": SSRNET,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet18_adience"), layouts.RESNET),
    "vgg16": layouts.VGG16,
    "vit_b16": layouts.VIT,
}
_BOTH = ("kernel", "bias")
_IGNORED = "num_batches_tracked"  # PyTorch counts its batches; nothing here reads it


class Pretrained(NamedTuple):
    """What a file gives to a network.

    Attributes:
      params: the network's parameters, float32.
      model_state: its running statistics, float32.
      head: the head's layers that the file has for it, by their names in the head's parameters; a
        head without some of them starts with fresh ones: `{**fresh, **head}`.
      notices: a line on each layer of the head that the file has not.
      inputs: the pictures that the weights expect; None where the file's kind does not tell.
    """

    params: Any
    model_state: Any
    head: dict[str, dict[str, np.ndarray]]
    notices: tuple[str, ...]
    inputs: Inputs | None


def load(
    path: str | Path, model: Model, head: Mapping[str, Any] | None = None, *, strict: bool = False
) -> Pretrained:
    """The weights in a foreign file, for a network and, where they fit, for its head.

    Read are the authors' SSR-Net files (Keras's HDF5), those of its PyTorch port (for the network
    built with form="pytorch"), and torchvision's and timm's ResNets, VGG16 and ViT-B/16, as
    .safetensors or .pth. Which kind of file it is, the names in it tell. No code in a file is run.

    Args:
      path: the file.
      model: the network.
      head: the parameters of the head that is wanted, or their shapes, as of `jax.eval_shape`.
        None takes the file's own head, of whatever size.
      strict: whether a head that the file has not, or has of another size, is an error; otherwise
        it is left out with a notice.

    Raises:
      ValueError: the file cannot be read, no layout is known for the network, or arrays are
        missing, left over or of another shape; the message lists all of them.
    """
    if model.name not in LAYOUTS:
        raise ValueError(
            f"model.name: no layout of foreign weights is known for {model.name!r}; "
            f"known: {', '.join(LAYOUTS)}"
        )
    arrays = {
        name: array
        for name, array in weight_files.read(path).items()
        if not name.endswith(_IGNORED)
    }
    wanted = jax.eval_shape(model.init, jax.random.key(0))
    shapes = {route: leaf.shape for tree in wanted for route, leaf in _leaves(tree)}
    layout = max(LAYOUTS[model.name], key=lambda one: _overlap(one, shapes, arrays))
    backbone, ends = layout.backbone(shapes), layout.head(shapes)
    layers, notices = _head(ends, arrays, head)
    known = {source.name for source in (*backbone.values(), *ends.values())}
    faults = [f"left over {name} {list(arrays[name].shape)}" for name in arrays.keys() - known]
    for route, source in backbone.items():
        faults += _fault(source, arrays, shapes[route])
    if strict:
        faults += notices
    if faults:
        raise ValueError(
            f"path: {path} is not a {model.name} as in {layout.title}: {'; '.join(sorted(faults))}"
        )

    def fill(tree: Any) -> Any:
        return _nested({route: _convert(backbone[route], arrays) for route, _ in _leaves(tree)})

    return Pretrained(fill(wanted[0]), fill(wanted[1]), layers, tuple(notices), layout.inputs)


def _fault(source: Source, arrays: Mapping[str, np.ndarray], shape: layouts.Shape) -> list[str]:
    """What is wrong with the array of the file that is to have this shape here, if anything."""
    if source.name not in arrays:
        return [f"missing {source.name}"]
    found, expected = arrays[source.name].shape, source.conversion.shape(shape)
    same = found == expected
    return [] if same else [f"{source.name} is {list(found)}, expected {list(expected)}"]


def _overlap(layout: Layout, shapes: layouts.Shapes, arrays: Mapping[str, np.ndarray]) -> int:
    return sum(source.name in arrays for source in layout.backbone(shapes).values())


def _head(
    ends: Mapping[layouts.Path, Source],
    arrays: Mapping[str, np.ndarray],
    head: Mapping[str, Any] | None,
) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """The layers that the file has for the head, and a line on each of the others."""
    theirs = {layer for layer, _ in ends}
    has = {layer for layer in theirs if all(ends[layer, leaf].name in arrays for leaf in _BOTH)}
    if head is None:
        fit = sorted(layer for layer in has if _is_dense(layer, ends, arrays))
        notices = [f"head: the file has none for {name}" for name in sorted(theirs - set(fit))]
    else:
        fit, notices = [], []
        for layer, parameters in head.items():
            if layer not in has:
                notices.append(f"head: the file has none for {layer}, it starts anew")
                continue
            other = [
                fault
                for leaf in _BOTH
                for fault in _fault(ends[layer, leaf], arrays, parameters[leaf].shape)
            ]
            if other:
                notices.append(f"head: {layer} starts anew, since {' and '.join(other)}")
            else:
                fit.append(layer)
    return {
        layer: {leaf: _convert(ends[layer, leaf], arrays) for leaf in _BOTH} for layer in fit
    }, notices


def _is_dense(
    layer: str, ends: Mapping[layouts.Path, Source], arrays: Mapping[str, np.ndarray]
) -> bool:
    kernel, bias = (arrays[ends[layer, leaf].name] for leaf in _BOTH)
    return kernel.ndim == 2 and bias.ndim == 1


def _convert(source: Source, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    array = arrays[source.name]
    return np.ascontiguousarray(source.conversion.convert(array), dtype=np.float32)


def _leaves(tree: Any, route: layouts.Path = ()) -> list[tuple[layouts.Path, Any]]:
    if not isinstance(tree, Mapping):
        return [(route, tree)]
    return [leaf for name, branch in tree.items() for leaf in _leaves(branch, (*route, name))]


def _nested(flat: Mapping[layouts.Path, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for route, array in flat.items():
        branch = tree
        for name in route[:-1]:
            branch = branch.setdefault(name, {})
        branch[route[-1]] = array
    return tree
