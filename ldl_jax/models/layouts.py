"""Layouts of foreign weight files: the names and axes that they give to our networks' arrays."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from ldl_jax.models.weight_files import WeightFile

Path = tuple[str, ...]
Shape = tuple[int, ...]
Shapes = Mapping[Path, Shape]


class Conversion(NamedTuple):
    """A pair of functions that turn an array of a file into ours."""

    shape: Callable[[Shape], Shape]  # gives the file's shape from ours
    convert: Callable[[np.ndarray], np.ndarray]  # gives our array from the file's
    # Whether an array of the first shape can be converted where the second is expected.
    accepts: Callable[[Shape, Shape], bool] = operator.eq


class ArraySource(NamedTuple):
    """The place of one of our arrays in a file: its name there, and its conversion."""

    name: str
    conversion: Conversion
    default: float | None = None  # what the array is filled with where the file has none


class TrainedInputs(NamedTuple):
    """The normalisation of the pictures that the weights of a layout were trained on."""

    colours: str  # the order of the channels, "RGB" or "BGR"
    mean: tuple[float, float, float]  # subtracted from them, in that order, on the scale 0 to 255
    std: tuple[float, float, float]  # they are then divided by it


IMAGENET = TrainedInputs("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
Sources = dict[Path, ArraySource]
SourcesOf = Callable[[Shapes], Sources]


class WeightLayout(NamedTuple):
    """A kind of file that a network's weights come in."""

    title: str  # its name in messages
    # Gives the sources of the network's parameters and statistics from their shapes.
    backbone: SourcesOf
    # Gives those of a head, by (layer, "kernel") and (layer, "bias"), from the same shapes.
    head: SourcesOf
    inputs: TrainedInputs | None = IMAGENET  # the expected pictures; None where files differ
    # The beginning of a name that every such file has; "" where there is none.
    sign: str = ""
    # Whether an array of the file has no place here, by its name.
    unread: Callable[[str], bool] = lambda name: False
    # Gives a line on each thing that a file computes otherwise than the network here.
    check: Callable[[WeightFile], list[str]] = lambda file: []


SAME = Conversion(lambda shape: shape, lambda x: x)
LINEAR = Conversion(lambda s: (s[1], s[0]), lambda x: x.T)
CONV = Conversion(lambda s: (s[3], s[2], s[0], s[1]), lambda x: x.transpose(2, 3, 1, 0))
# Some files have a dense layer as a convolution of 1x1.
POINT = Conversion(lambda s: (s[1], s[0], 1, 1), lambda x: x[:, :, 0, 0].T)
_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


# Keras has the channels of a depthwise kernel before its multiplier.
DEPTHWISE = Conversion(lambda s: (s[0], s[1], s[3], s[2]), lambda x: x.transpose(0, 1, 3, 2))


def flattened(channels: int, *, convolved: bool = False) -> Conversion:
    """Returns the conversion of a dense layer on a flattened map.

    Our layer reads the map in the order H, W, C, PyTorch's in C, H, W. With `convolved` the file's
    kernel is a convolution over the whole map.
    """

    def square(outputs: int, inputs: int) -> Shape:
        side = math.isqrt(inputs // channels)
        return outputs, channels, side, side

    def convert(x: np.ndarray) -> np.ndarray:
        maps = x.reshape(square(x.shape[0], x[0].size))
        return maps.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])

    return Conversion(lambda s: square(s[1], s[0]) if convolved else (s[1], s[0]), convert)


def interpolated(tokens: int, *, flat: bool = False) -> Conversion:
    """Returns the conversion of a class token's and a square of patches' learnt positions.

    A file's square of another side is resized to ours, bicubic and antialiased, as timm does it.

    Args:
      tokens: the number of our positions.
      flat: whether the file has them as [N, D] instead of [1, N, D].
    """

    def accepts(actual: Shape, expected: Shape) -> bool:
        alike = len(actual) == len(expected) and actual[-1] == expected[-1]
        cells = actual[-2] - 1 if alike else 0
        return alike and cells > 0 and math.isqrt(cells) ** 2 == cells and actual[:-2] in ((), (1,))

    def convert(x: np.ndarray) -> np.ndarray:
        x = x.reshape(1, *x.shape[-2:]).astype(np.float32)
        if x.shape[1] == tokens:
            return x
        side, wanted = (math.isqrt(count - 1) for count in (x.shape[1], tokens))
        square = x[:, 1:].reshape(1, side, side, -1)
        resized = jax.image.resize(square, (1, wanted, wanted, x.shape[-1]), "cubic")
        return np.concatenate([x[:, :1], np.asarray(resized).reshape(1, tokens - 1, -1)], axis=1)

    return Conversion(lambda s: s[1:] if flat else s, convert, accepts)


def torch_source(path: Path, module: str, shape: Shape) -> ArraySource:
    """Returns the source in a PyTorch module of the parameter that our path ends in.

    A `module` that ends in "_" is the beginning of its parameters' names.
    """
    leaf = path[-1]
    conversion = {"kernel": CONV if len(shape) == 4 else LINEAR}.get(leaf, SAME)
    joint = "" if module.endswith("_") else "."
    return ArraySource(f"{module}{joint}{_LEAVES.get(leaf, leaf)}", conversion)


def torch_head(module: str) -> SourcesOf:
    """Describes a head of a linear layer for the logits, from its name in PyTorch."""
    kernel, bias = ArraySource(f"{module}.weight", LINEAR), ArraySource(f"{module}.bias", SAME)
    return lambda shapes: {("logits", "kernel"): kernel, ("logits", "bias"): bias}


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


# The index of each of VGG16's convolutions among PyTorch's layers, by block.
_VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def vgg_backbone(fc6: str, fc7: str, *, convolved: bool) -> SourcesOf:
    """Describes VGG16's backbone; torchvision and timm differ in its two dense layers."""

    modules = {"fc6": fc6, "fc7": fc7}
    for block, indices in enumerate(_VGG16, start=1):
        for layer, index in enumerate(indices, start=1):
            modules[f"conv{block}_{layer}"] = f"features.{index}"

    def backbone(shapes: Shapes) -> Sources:
        sources = by_module(lambda path: modules[path[0]])(shapes)
        sources["fc6", "kernel"] = ArraySource(f"{fc6}.weight", flattened(512, convolved=convolved))
        if convolved:
            sources["fc7", "kernel"] = ArraySource(f"{fc7}.weight", POINT)
        return sources

    return backbone


def vit_backbone(names: Mapping[str, str], block: str, *, flat: bool = False) -> SourcesOf:
    """Describes a vision transformer's backbone.

    Args:
      names: PyTorch's names of our modules, both those in a block and those outside.
      block: the beginning of a block's name, before its index.
      flat: whether the class token is [D] and the positions [N, D] in the file.
    """

    def name(path: Path) -> str:
        if path[0].startswith("block"):
            return f"{block}{int(path[0].removeprefix('block')) - 1}.{names[path[1]]}"
        return names[path[0]]

    def token(path: Path, shape: Shape) -> ArraySource:
        conversion = SAME
        if path[0] == "positions":
            conversion = interpolated(shape[1], flat=flat)
        elif flat:
            conversion = Conversion(lambda s: s[2:], lambda x: x.reshape(1, 1, -1))
        return ArraySource(name(path), conversion)

    def backbone(shapes: Shapes) -> Sources:
        # Tokens, positions and the scales of branches are parameters without a module.
        alone = {
            path: token(path, shape)
            for path, shape in shapes.items()
            if len(path) == 1 or path[-1] in ("gamma1", "gamma2")
        }
        return by_module(name)({p: s for p, s in shapes.items() if p not in alone}) | alone

    return backbone


# timm's and torchvision's names of the modules of our vision transformer.
_VIT = {
    "cls_token": ("cls_token", "class_token"),
    "positions": ("pos_embed", "encoder.pos_embedding"),
    "patches": ("patch_embed.proj", "conv_proj"),
    "last_norm": ("norm", "encoder.ln"),
    "norm1": ("norm1", "ln_1"),
    "qkv": ("attn.qkv", "self_attention.in_proj_"),
    "project": ("attn.proj", "self_attention.out_proj"),
    "norm2": ("norm2", "ln_2"),
    "mlp1": ("mlp.fc1", "mlp.0"),
    "mlp2": ("mlp.fc2", "mlp.3"),
}
TIMM_VIT = {ours: timm for ours, (timm, _) in _VIT.items()}
_TORCHVISION_VIT = {ours: torchvision for ours, (_, torchvision) in _VIT.items()}
# torchvision's published files are older than its code, which renames these layers as it reads.
_PUBLISHED_VIT = _TORCHVISION_VIT | {"mlp1": "mlp.linear_1", "mlp2": "mlp.linear_2"}
_LAYER = "encoder.layers.encoder_layer_"
RESNET = (
    WeightLayout(
        "torchvision's ResNet", by_module(resnet_module), torch_head("fc"), sign="layer1."
    ),
)
VGG16 = (
    WeightLayout(
        "torchvision's VGG16",
        vgg_backbone("classifier.0", "classifier.3", convolved=False),
        torch_head("classifier.6"),
        sign="features.28.",
    ),
    WeightLayout(
        "timm's VGG16",
        vgg_backbone("pre_logits.fc1", "pre_logits.fc2", convolved=True),
        torch_head("head.fc"),
        sign="pre_logits.",
    ),
)
VIT = (
    WeightLayout(
        "timm's ViT", vit_backbone(TIMM_VIT, "blocks."), torch_head("head"), None, sign="blocks.0."
    ),
    *(
        WeightLayout(
            "torchvision's ViT",
            vit_backbone(names, _LAYER),
            torch_head("heads.head"),
            sign="conv_proj.",
        )
        for names in (_TORCHVISION_VIT, _PUBLISHED_VIT)
    ),
)
