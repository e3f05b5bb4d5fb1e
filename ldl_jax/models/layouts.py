"""Layouts of foreign weight files: the names and axes that they give to our networks' arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]
Shape = tuple[int, ...]
Shapes = Mapping[Path, Shape]


class Conversion(NamedTuple):
    """A pair of functions that turn an array of a file into ours.

    Attributes:
      shape: gives the file's shape from ours.
      convert: gives our array from the file's.
    """

    shape: Callable[[Shape], Shape]
    convert: Callable[[np.ndarray], np.ndarray]


class ArraySource(NamedTuple):
    """The place of one of our arrays in a file: its name there, and its conversion."""

    name: str
    conversion: Conversion


class TrainedInputs(NamedTuple):
    """The normalisation of the pictures that the weights of a layout were trained on.

    Attributes:
      colours: the order of the channels, "RGB" or "BGR".
      mean: the value subtracted from each channel, in that order, on the scale 0 to 255.
      std: the value that each channel is then divided by.
    """

    colours: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


Sources = dict[Path, ArraySource]
SourcesOf = Callable[[Shapes], Sources]


class WeightLayout(NamedTuple):
    """A kind of file that a network's weights come in.

    Attributes:
      title: the layout's name in messages.
      backbone: gives the sources of the network's parameters and statistics from their shapes.
      head: gives the sources of a head's layers, by (layer, "kernel") and (layer, "bias"), from the
        same shapes.
      inputs: the pictures that such weights expect; None where they differ from file to file.
    """

    title: str
    backbone: SourcesOf
    head: SourcesOf
    inputs: TrainedInputs | None


SAME = Conversion(lambda shape: shape, lambda x: x)
LINEAR = Conversion(lambda s: (s[1], s[0]), lambda x: x.T)
CONV = Conversion(lambda s: (s[3], s[2], s[0], s[1]), lambda x: x.transpose(2, 3, 1, 0))
# Some files have a dense layer as a convolution of 1x1.
POINT = Conversion(lambda s: (s[1], s[0], 1, 1), lambda x: x[:, :, 0, 0].T)
IMAGENET = TrainedInputs("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def flattened(channels: int, *, convolved: bool = False) -> Conversion:
    """Returns the conversion of a dense layer on a flattened map.

    Our layer reads the map in the order H, W, C, PyTorch's in C, H, W. With `convolved` the file's
    kernel is a convolution over the whole map.
    """

    def side(inputs: int) -> int:
        return math.isqrt(inputs // channels)

    def shape(s: Shape) -> Shape:
        square = (s[1], channels, side(s[0]), side(s[0]))
        return square if convolved else (s[1], s[0])

    def convert(x: np.ndarray) -> np.ndarray:
        edge = x.shape[-1] if convolved else side(x.shape[1])
        square = x.reshape(x.shape[0], channels, edge, edge)
        return square.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])

    return Conversion(shape, convert)


def torch_source(path: Path, module: str, shape: Shape) -> ArraySource:
    """Returns the source in a PyTorch module of the parameter that our path ends in.

    A `module` that ends in "_" is the beginning of its parameters' names.
    """
    leaf = path[-1]
    conversion = {"kernel": CONV if len(shape) == 4 else LINEAR}.get(leaf, SAME)
    joint = "" if module.endswith("_") else "."
    return ArraySource(f"{module}{joint}{_LEAVES.get(leaf, leaf)}", conversion)


def torch_head(**modules: str) -> SourcesOf:
    """Describes a head of linear layers: `layer=module` for each, the module's name in PyTorch."""
    sources: Sources = {}
    for layer, module in modules.items():
        sources[layer, "kernel"] = ArraySource(f"{module}.weight", LINEAR)
        sources[layer, "bias"] = ArraySource(f"{module}.bias", SAME)
    return lambda shapes: sources


def by_module(names: Callable[[Path], str]) -> SourcesOf:
    """Describes a backbone; `names` gives a module's name in PyTorch from its path here."""

    def backbone(shapes: Shapes) -> Sources:
        # Our normalisation layers wrap a layer named "norm", which PyTorch does not have.
        return {
            path: torch_source(path, names(tuple(p for p in path[:-1] if p != "norm")), shape)
            for path, shape in shapes.items()
        }

    return backbone


def resnet_module(path: Path) -> str:
    """Returns torchvision's and timm's name of a module of our ResNets."""
    if len(path) == 1:
        return {"stem": "conv1", "stem_norm": "bn1"}[path[0]]
    stage, _, block = path[0].removeprefix("conv").partition("_")
    inner = {"shortcut": "downsample.0", "shortcut_norm": "downsample.1"}
    name = inner.get(path[1], path[1].replace("norm", "bn"))
    return f"layer{int(stage) - 1}.{int(block) - 1}.{name}"


_VGG16 = {
    name: index
    for name, index in zip(
        [
            f"conv{block}_{layer}"
            for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            for layer in range(1, count + 1)
        ],
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        strict=True,
    )
}


def vgg_backbone(fc6: str, fc7: str, *, convolved: bool) -> SourcesOf:
    """Describes VGG16's backbone; torchvision and timm differ in its two dense layers."""

    def names(path: Path) -> str:
        dense = {"fc6": fc6, "fc7": fc7}
        return dense.get(path[0]) or f"features.{_VGG16[path[0]]}"

    def backbone(shapes: Shapes) -> Sources:
        sources = by_module(names)(shapes)
        sources["fc6", "kernel"] = ArraySource(f"{fc6}.weight", flattened(512, convolved=convolved))
        if convolved:
            sources["fc7", "kernel"] = ArraySource(f"{fc7}.weight", POINT)
        return sources

    return backbone


def vit_backbone(names: Mapping[str, str], block: str) -> SourcesOf:
    """Describes a vision transformer's backbone.

    Args:
      names: PyTorch's names of our modules, both those in a block and those outside.
      block: the beginning of a block's name, before its index.
    """

    def backbone(shapes: Shapes) -> Sources:
        sources: Sources = {}
        for path, shape in shapes.items():
            *modules, leaf = (part for part in path if part != "norm")
            if not modules:  # the class token and the positions are parameters without a module
                sources[path] = ArraySource(names[leaf], SAME)
            elif modules[0].startswith("block"):
                index = int(modules[0].removeprefix("block")) - 1
                sources[path] = torch_source(path, f"{block}{index}.{names[modules[1]]}", shape)
            else:
                sources[path] = torch_source(path, names[modules[0]], shape)
        return sources

    return backbone


_TIMM_VIT = {
    "cls_token": "cls_token",
    "positions": "pos_embed",
    "patches": "patch_embed.proj",
    "last_norm": "norm",
    "norm1": "norm1",
    "qkv": "attn.qkv",
    "project": "attn.proj",
    "norm2": "norm2",
    "mlp1": "mlp.fc1",
    "mlp2": "mlp.fc2",
}
_TORCHVISION_VIT = {
    "cls_token": "class_token",
    "positions": "encoder.pos_embedding",
    "patches": "conv_proj",
    "last_norm": "encoder.ln",
    "norm1": "ln_1",
    "qkv": "self_attention.in_proj_",
    "project": "self_attention.out_proj",
    "norm2": "ln_2",
    "mlp1": "mlp.0",
    "mlp2": "mlp.3",
}
# torchvision's published files are older than its code, which renames these layers as it reads.
_PUBLISHED_VIT = _TORCHVISION_VIT | {"mlp1": "mlp.linear_1", "mlp2": "mlp.linear_2"}
RESNET = (
    WeightLayout(
        "torchvision's ResNet", by_module(resnet_module), torch_head(logits="fc"), IMAGENET
    ),
)
VGG16 = (
    WeightLayout(
        "torchvision's VGG16",
        vgg_backbone("classifier.0", "classifier.3", convolved=False),
        torch_head(logits="classifier.6"),
        IMAGENET,
    ),
    WeightLayout(
        "timm's VGG16",
        vgg_backbone("pre_logits.fc1", "pre_logits.fc2", convolved=True),
        torch_head(logits="head.fc"),
        IMAGENET,
    ),
)
VIT = (
    WeightLayout("timm's ViT", vit_backbone(_TIMM_VIT, "blocks."), torch_head(logits="head"), None),
    *(
        WeightLayout(
            "torchvision's ViT",
            vit_backbone(names, "encoder.layers.encoder_layer_"),
            torch_head(logits="heads.head"),
            IMAGENET,
        )
        for names in (_TORCHVISION_VIT, _PUBLISHED_VIT)
    ),
)
