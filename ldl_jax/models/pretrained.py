"""Loads foreign weights: files of other projects become parameters of the networks here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ldl_jax.models import backbone_layouts, layouts, weight_files
from ldl_jax.models.faceres_layout import FACERES
from ldl_jax.models.functional import Model, ModelState, Params
from ldl_jax.models.layouts import ArraySource, TrainedInputs, WeightLayout
from ldl_jax.models.ssrnet_layouts import DENSENET, MOBILENET, SSRNET
from ldl_jax.models.weight_files import WeightFile

__all__ = ["LAYOUTS", "Pretrained", "TrainedInputs", "load"]

LAYOUTS: dict[str, Sequence[WeightLayout]] = {
    "ssrnet": SSRNET,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet18_adience"), layouts.RESNET),
    "vgg16": layouts.VGG16,
    "mobilenet": MOBILENET,
    "densenet": DENSENET,
    "vit_b16": layouts.VIT,
    "faceres": FACERES,
    "farl_b16": backbone_layouts.FARL,
    **dict.fromkeys(("dinov2_s14", "dinov2_b14"), backbone_layouts.DINOV2),
    **dict.fromkeys(("dinov3_s16", "dinov3_b16"), backbone_layouts.DINOV3),
    **dict.fromkeys(("mobilenet_v3_small", "mobilenet_v3_large"), backbone_layouts.MOBILENET_V3),
    "efficientnet_b0": backbone_layouts.EFFICIENTNET,
    "convnext_tiny": backbone_layouts.CONVNEXT,
}
_LEAVES = ("kernel", "bias")
_IGNORED = "num_batches_tracked"  # PyTorch's count of batches, which nothing here reads
HeadShapes = Mapping[str, Mapping[str, jax.Array | jax.ShapeDtypeStruct]]
Shapes = Mapping[str, jax.ShapeDtypeStruct]
HeadArrays = dict[str, dict[str, np.ndarray]]


class NonFiniteWeightsError(ValueError):
    """Weights that fit the network are NaN or infinite."""


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
    path: str | Path,
    model: Model,
    head: HeadShapes | None = None,
    *,
    strict: bool = False,
    allow_nonfinite: bool = False,
) -> Pretrained:
    """Reads the weights in a foreign file for a network and, where they fit, for its head.

    It reads the authors' files of SSR-Net and of the MobileNets and DenseNets that they compare it
    with (Keras's HDF5), those of SSR-Net's PyTorch port (for the network built with
    form="pytorch"), torchvision's and timm's ResNets, VGG16 and ViT-B/16, as .safetensors or .pth,
    and HSE-FaceRes' TensorFlow.js model. The names in a file tell its layout, without the prefixes
    of wrappers. No code in a file is run, and no array is read before its shape is known to be the
    network's.

    Args:
      path: the file.
      model: the network.
      head: the parameters of the wanted head, or their shapes, as of `jax.eval_shape`. None takes
        the file's own head, of whatever size.
      strict: whether it is an error when the file lacks a layer of the head or has it in another
        size; otherwise that layer is left out with a notice.
      allow_nonfinite: whether numbers may be NaN or infinite.

    Raises:
      ValueError: the file cannot be read, no layout is known for the network, or arrays are
        missing, left over, of another shape or not finite; the message lists all of them.
    """
    if model.name not in LAYOUTS:
        raise ValueError(
            f"model.name: no layout of foreign weights is known for {model.name!r}; "
            f"known: {', '.join(LAYOUTS)}"
        )
    with weight_files.opened(path) as file:
        return _load(file, path, model, head, strict, allow_nonfinite)


def _load(
    file: WeightFile,
    path: str | Path,
    model: Model,
    head: HeadShapes | None,
    strict: bool,
    allow_nonfinite: bool,
) -> Pretrained:
    arrays = {name: array for name, array in file.arrays.items() if not name.endswith(_IGNORED)}
    params, model_state = map(flatten_dict, jax.eval_shape(model.init, jax.random.key(0)))
    shapes = {route: leaf.shape for route, leaf in (params | model_state).items()}
    layout = max(LAYOUTS[model.name], key=lambda layout: _overlap(layout, shapes, arrays))
    backbone, ends = layout.backbone(shapes), layout.head(shapes)
    fit, notices = _head(ends, arrays, head)
    known = {source.name for source in (*backbone.values(), *ends.values())}
    left = [name for name in arrays.keys() - known if not layout.unread(name)]
    faults = [f"left over {name} {list(arrays[name].shape)}" for name in left]
    for route, source in backbone.items():
        faults += _fault(source, arrays, shapes[route])
    if strict:
        faults += notices
    faults = sorted(faults) or layout.check(file)
    if faults:
        raise ValueError(
            f"path: {path} is not a {model.name} as in {layout.title}: {'; '.join(faults)}"
        )

    broken: list[str] = []

    def convert(source: ArraySource, shape: layouts.Shape = ()) -> np.ndarray:
        if source.default is not None and source.name not in arrays:
            return np.full(shape, source.default, np.float32)
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite
            array = source.conversion.convert(file.read(source.name)).astype(np.float32)
        if not (allow_nonfinite or np.isfinite(array).all()):
            broken.append(source.name)
        return np.ascontiguousarray(array)

    def filled(routes: Iterable[layouts.Path]) -> Params:
        return unflatten_dict({route: convert(backbone[route], shapes[route]) for route in routes})

    layers = {name: {leaf: convert(ends[name, leaf]) for leaf in _LEAVES} for name in fit}
    trees = filled(params), filled(model_state)
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise NonFiniteWeightsError(
            f"path: {path}: weights are NaN or infinite in {', '.join(broken[:3])}{more}; such a "
            "network gives no answers (--allow-nonfinite, or allow_nonfinite=True, takes them)"
        )
    return Pretrained(*trees, layers, tuple(notices), layout.inputs)


def _fault(source: ArraySource, arrays: Shapes, shape: layouts.Shape) -> list[str]:
    """Returns a line if the file's array is missing or does not fit this shape of ours."""
    if source.name not in arrays:
        return [f"missing {source.name}"] if source.default is None else []
    actual, expected = tuple(arrays[source.name].shape), source.conversion.shape(shape)
    if source.conversion.accepts(actual, expected):
        return []
    return [f"{source.name} is {list(actual)}, expected {list(expected)}"]


def _overlap(layout: WeightLayout, shapes: layouts.Shapes, arrays: Shapes) -> int:
    return sum(source.name in arrays for source in layout.backbone(shapes).values())


def _head(
    ends: layouts.Sources, arrays: Shapes, head: HeadShapes | None
) -> tuple[list[str], list[str]]:
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
    return fit, notices


def _is_dense(layer: str, ends: layouts.Sources, arrays: Shapes) -> bool:
    kernel, bias = (arrays[ends[layer, leaf].name] for leaf in _LEAVES)
    return kernel.ndim == 2 and bias.ndim == 1
