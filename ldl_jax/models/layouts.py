"""The names and axes that foreign weight files give to the arrays of the networks here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Path = tuple[str, ...]
Shape = tuple[int, ...]
Shapes = Mapping[Path, Shape]


class Conversion(NamedTuple):
    """How an array of a file becomes one of ours.

    Attributes:
      shape: the file's shape, from ours.
      convert: our array, from the file's of that shape.
    """

    shape: Callable[[Shape], Shape]
    convert: Callable[[np.ndarray], np.ndarray]


class Source(NamedTuple):
    """Where one of our arrays is in a file."""

    name: str
    conversion: Conversion


class Inputs(NamedTuple):
    """What the weights of a layout were trained on.

    Attributes:
      colours: the order of the channels, "RGB" or "BGR".
      mean: subtracted from each channel, in that order, on the scale 0 to 255.
      std: divided by.
    """

    colours: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Layout(NamedTuple):
    """A kind of file that a network's weights come in.

    Attributes:
      title: for messages.
      backbone: the sources of the network's parameters and statistics, from their shapes.
      head: the sources of a head's layers "kernel" and "bias", by (layer, "kernel"), from the
        same shapes.
      inputs: the pictures that such weights expect; None where it differs from file to file.
    """

    title: str
    backbone: Callable[[Shapes], dict[Path, Source]]
    head: Callable[[Shapes], dict[Path, Source]]
    inputs: Inputs | None


SAME = Conversion(lambda shape: shape, lambda x: x)
LINEAR = Conversion(lambda s: (s[1], s[0]), lambda x: x.T)
CONV = Conversion(lambda s: (s[3], s[2], s[0], s[1]), lambda x: x.transpose(2, 3, 1, 0))
# A dense layer of one cell, written as a convolution.
POINT = Conversion(lambda s: (s[1], s[0], 1, 1), lambda x: x[:, :, 0, 0].T)
IMAGENET = Inputs("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def flattened(channels: int, *, convolved: bool = False) -> Conversion:
    """A dense layer on a flattened map: ours in the order H, W, C; Torch's in C, H, W.

    With `convolved` the file's kernel is a convolution over the whole map.
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


def torch_source(path: Path, module: str, shape: Shape) -> Source:
    """The source in a PyTorch module of the parameter that our path ends in.

    A module that ends in "_" is the start of its parameters' names.
    """
    leaf = path[-1]
    conversion = {"kernel": CONV if len(shape) == 4 else LINEAR}.get(leaf, SAME)
    joint = "" if module.endswith("_") else "."
    return Source(f"{module}{joint}{_LEAVES.get(leaf, leaf)}", conversion)


def torch_head(**modules: str) -> Callable[[Shapes], dict[Path, Source]]:
    """The sources of a head of linear layers: their names here, and the PyTorch modules'."""
    sources: dict[Path, Source] = {}
    for layer, module in modules.items():
        sources[layer, "kernel"] = Source(f"{module}.weight", LINEAR)
        sources[layer, "bias"] = Source(f"{module}.bias", SAME)
    return lambda shapes: sources


def by_module(names: Callable[[Path], str]) -> Callable[[Shapes], dict[Path, Source]]:
    """A backbone whose modules, our path without its leaf, have these names in PyTorch."""

    def backbone(shapes: Shapes) -> dict[Path, Source]:
        # Each of our normalisations wraps one named "norm".
        return {
            path: torch_source(path, names(tuple(p for p in path[:-1] if p != "norm")), shape)
            for path, shape in shapes.items()
        }

    return backbone


def resnet_module(path: Path) -> str:
    """torchvision's and timm's name of a module of our ResNets."""
    if len(path) == 1:
        return {"stem": "conv1", "stem_norm": "bn1"}[path[0]]
    stage, _, place = path[0].removeprefix("conv").partition("_")
    inner = {"shortcut": "downsample.0", "shortcut_norm": "downsample.1"}
    name = inner.get(path[1], path[1].replace("norm", "bn"))
    return f"layer{int(stage) - 1}.{int(place) - 1}.{name}"


_VGG16 = {
    name: index
    for name, index in zip(
        [
            f"conv{block}_{place}"
            for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            for place in range(1, count + 1)
        ],
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        strict=True,
    )
}


def vgg_backbone(fc6: str, fc7: str, *, convolved: bool) -> Callable[[Shapes], dict[Path, Source]]:
    """VGG16's backbone, of which the first dense layers differ between torchvision and timm."""

    def names(path: Path) -> str:
        dense = {"fc6": fc6, "fc7": fc7}
        return dense.get(path[0]) or f"features.{_VGG16[path[0]]}"

    def backbone(shapes: Shapes) -> dict[Path, Source]:
        sources = by_module(names)(shapes)
        sources["fc6", "kernel"] = Source(f"{fc6}.weight", flattened(512, convolved=convolved))
        if convolved:
            sources["fc7", "kernel"] = Source(f"{fc7}.weight", POINT)
        return sources

    return backbone


def vit_backbone(names: Mapping[str, str], block: str) -> Callable[[Shapes], dict[Path, Source]]:
    """A vision transformer's backbone: its names outside the blocks, in them, and the blocks'."""

    def backbone(shapes: Shapes) -> dict[Path, Source]:
        sources: dict[Path, Source] = {}
        for path, shape in shapes.items():
            *modules, leaf = (part for part in path if part != "norm")
            if not modules:  # a token or the positions: parameters without a module
                sources[path] = Source(names[leaf], SAME)
            elif modules[0].startswith("block"):
                place = int(modules[0].removeprefix("block")) - 1
                sources[path] = torch_source(path, f"{block}{place}.{names[modules[1]]}", shape)
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
# Its published files are older than its code, which renames these as it reads them.
_PUBLISHED_VIT = _TORCHVISION_VIT | {"mlp1": "mlp.linear_1", "mlp2": "mlp.linear_2"}
RESNET = (
    Layout("torchvision's ResNet", by_module(resnet_module), torch_head(logits="fc"), IMAGENET),
)
VGG16 = (
    Layout(
        "torchvision's VGG16",
        vgg_backbone("classifier.0", "classifier.3", convolved=False),
        torch_head(logits="classifier.6"),
        IMAGENET,
    ),
    Layout(
        "timm's VGG16",
        vgg_backbone("pre_logits.fc1", "pre_logits.fc2", convolved=True),
        torch_head(logits="head.fc"),
        IMAGENET,
    ),
)
VIT = (
    Layout("timm's ViT", vit_backbone(_TIMM_VIT, "blocks."), torch_head(logits="head"), None),
    *(
        Layout(
            "torchvision's ViT",
            vit_backbone(names, "encoder.layers.encoder_layer_"),
            torch_head(logits="heads.head"),
            IMAGENET,
        )
        for names in (_TORCHVISION_VIT, _PUBLISHED_VIT)
    ),
)
