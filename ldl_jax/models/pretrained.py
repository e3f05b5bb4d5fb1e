"""Loads foreign weights: files of other projects become parameters of the networks here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ldl_jax.models import layouts, weight_files
from ldl_jax.models.functional import Model, ModelState, Params
from ldl_jax.models.layouts import ArraySource, TrainedInputs, WeightLayout
from ldl_jax.models.ssrnet_layouts import SSRNET

__all__ = ["LAYOUTS", "Pretrained", "TrainedInputs", "load"]

LAYOUTS: dict[str, Sequence[WeightLayout]] = {
    "ssrnet": SSRNET,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet18_adience"), layouts.RESNET),
    "vgg16": layouts.VGG16,
    "vit_b16": layouts.VIT,
}
_LEAVES = ("kernel", "bias")
_IGNORED = "num_batches_tracked"  # PyTorch's count of batches, which nothing here reads
HeadShapes = Mapping[str, Mapping[str, jax.Array | jax.ShapeDtypeStruct]]
HeadArrays = dict[str, dict[str, np.ndarray]]


class Pretrained(NamedTuple):
    """The weights that a file holds for a network.

    Attributes:
      params: the network's parameters, float32.
      model_state: its running statistics, float32.
      head: the layers of the head that the file has, by their names in the head's parameters. A
        head that lacks some starts those afresh: `{**fresh, **head}`.
      notices: a line on each layer of the head that the file does not have.
      inputs: the pictures that the weights expect; None where the file's layout does not tell.
    """

    params: Params
    model_state: ModelState
    head: HeadArrays
    notices: tuple[str, ...]
    inputs: TrainedInputs | None


def load(
    path: str | Path, model: Model, head: HeadShapes | None = None, *, strict: bool = False
) -> Pretrained:
    """Reads the weights in a foreign file for a network and, where they fit, for its head.

    It reads the authors' SSR-Net files (Keras's HDF5), those of SSR-Net's PyTorch port (for the
    network built with form="pytorch"), and torchvision's and timm's ResNets, VGG16 and ViT-B/16, as
    .safetensors or .pth. The names in a file tell its layout. No code in a file is run.

    Args:
      path: the file.
      model: the network.
      head: the parameters of the wanted head, or their shapes, as of `jax.eval_shape`. None takes
        the file's own head, of whatever size.
      strict: whether it is an error when the file lacks a layer of the head or has it in another
        size; otherwise that layer is left out with a notice.

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
    params, model_state = map(flatten_dict, jax.eval_shape(model.init, jax.random.key(0)))
    shapes = {route: leaf.shape for route, leaf in (params | model_state).items()}
    layout = max(LAYOUTS[model.name], key=lambda layout: _overlap(layout, shapes, arrays))
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

    def filled(routes: Iterable[layouts.Path]) -> Params:
        return unflatten_dict({route: _convert(backbone[route], arrays) for route in routes})

    return Pretrained(filled(params), filled(model_state), layers, tuple(notices), layout.inputs)


def _fault(
    source: ArraySource, arrays: Mapping[str, np.ndarray], shape: layouts.Shape
) -> list[str]:
    """Returns a line if the file's array is missing or does not fit this shape of ours."""
    if source.name not in arrays:
        return [f"missing {source.name}"]
    actual, expected = arrays[source.name].shape, source.conversion.shape(shape)
    if actual == expected:
        return []
    return [f"{source.name} is {list(actual)}, expected {list(expected)}"]


def _overlap(layout: WeightLayout, shapes: layouts.Shapes, arrays: Mapping[str, np.ndarray]) -> int:
    return sum(source.name in arrays for source in layout.backbone(shapes).values())


def _head(
    ends: layouts.Sources, arrays: Mapping[str, np.ndarray], head: HeadShapes | None
) -> tuple[HeadArrays, list[str]]:
    """Returns the layers that the file has for the head, and a line on each of the others."""
    theirs = {layer for layer, _ in ends}
    has = {layer for layer in theirs if all(ends[layer, leaf].name in arrays for leaf in _LEAVES)}
    if head is None:
        fit = sorted(layer for layer in has if _is_dense(layer, ends, arrays))
        notices = [f"head: the file has none for {name}" for name in sorted(theirs - set(fit))]
    else:
        fit, notices = [], []
        for layer, parameters in head.items():
            faults: list[str] = []
            for leaf in _LEAVES if layer in has else ():
                faults += _fault(ends[layer, leaf], arrays, parameters[leaf].shape)
            if layer not in has:
                notices.append(f"head: the file has none for {layer}, it starts anew")
            elif faults:
                notices.append(f"head: {layer} starts anew, since {' and '.join(faults)}")
            else:
                fit.append(layer)
    layers = {name: {leaf: _convert(ends[name, leaf], arrays) for leaf in _LEAVES} for name in fit}
    return layers, notices


def _is_dense(layer: str, ends: layouts.Sources, arrays: Mapping[str, np.ndarray]) -> bool:
    kernel, bias = (arrays[ends[layer, leaf].name] for leaf in _LEAVES)
    return kernel.ndim == 2 and bias.ndim == 1


def _convert(source: ArraySource, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    array = arrays[source.name]
    return np.ascontiguousarray(source.conversion.convert(array), dtype=np.float32)
