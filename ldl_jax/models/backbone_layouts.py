"""Layouts of the backbones that are pre-trained on faces or on many pictures.

FaRL's and CLIP's visual tower, DINOv2's and DINOv3's own files and timm's, and torchvision's
MobileNetV3, EfficientNet and ConvNeXt.
"""

import re
from collections.abc import Callable

import numpy as np

from ldl_jax.models import layouts
from ldl_jax.models.layouts import ArraySource, Conversion, Path, Shapes, Sources, SourcesOf

# CLIP's, on the scale 0 to 255.
CLIP_INPUTS = layouts.TrainedInputs(
    "RGB", (122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305)
)
# PyTorch has a scale of channels as [C, 1, 1] where its maps have the channels first.
_CHANNELS = Conversion(lambda s: (*s, 1, 1), lambda x: x.reshape(-1))
_HEADLESS: SourcesOf = lambda shapes: {}  # noqa: E731


def _without_key_bias(bias: np.ndarray) -> np.ndarray:
    """Returns the joint bias of queries, keys and values; DINOv3 masks that of the keys."""
    q, k, v = np.split(bias, 3)
    return np.concatenate([q, np.zeros_like(k), v])


_QV_BIAS = Conversion(lambda s: s, _without_key_bias)
_FARL = {
    "cls_token": "class_embedding",
    "positions": "positional_embedding",
    "patches": "conv1",
    "first_norm": "ln_pre",
    "last_norm": "ln_post",
    "norm1": "ln_1",
    "qkv": "attn.in_proj_",
    "project": "attn.out_proj",
    "norm2": "ln_2",
    "mlp1": "mlp.c_fc",
    "mlp2": "mlp.c_proj",
}
_DINO = layouts.TIMM_VIT | {"gamma1": "ls1.gamma", "gamma2": "ls2.gamma"}
_DINO_V3 = {
    "timm's DINOv3": _DINO | {"registers": "reg_token", "gamma1": "gamma_1", "gamma2": "gamma_2"},
    "the authors' DINOv3": _DINO | {"registers": "storage_tokens"},
}
_UNREAD_DINO = re.compile(r"mask_token|rope_embed\.periods|.*\.bias_mask|local_cls_norm\..*")


def _farl(prefix: str) -> SourcesOf:
    names = {ours: name if ours in _IN_BLOCK else f"{prefix}{name}" for ours, name in _FARL.items()}
    return layouts.vit_backbone(names, f"{prefix}transformer.resblocks.", flat=True)


_IN_BLOCK = ("norm1", "qkv", "project", "norm2", "mlp1", "mlp2")


def _dinov3(names: dict[str, str]) -> SourcesOf:
    """Describes DINOv3; timm leaves out the biases of queries, keys and values, which are 0."""
    inner = layouts.vit_backbone(names, "blocks.")

    def backbone(shapes: Shapes) -> Sources:
        return {
            path: source._replace(conversion=_QV_BIAS, default=0.0)
            if path[-2:] == ("qkv", "bias")
            else source
            for path, source in inner(shapes).items()
        }

    return backbone


def _mobile(path: Path, shapes: Shapes) -> str:
    """Returns torchvision's name of a module of MobileNetV3 and EfficientNet."""
    last = 1 + max(int(p[0][5:].partition("_")[0]) for p in shapes if p[0].startswith("block"))
    name, _, norm = path[0].partition("_")
    if path[0] in ("stem", "stem_norm", "last", "last_norm"):
        return f"features.{0 if name == 'stem' else last}.{int(norm == 'norm')}"
    if path[0] == "hidden":
        return "classifier.0"
    stage, _, index = path[0].removeprefix("block").partition("_")
    start = f"features.{stage}.{int(index) - 1}" if index else f"features.{stage}"
    parts = [
        part
        for part in ("expand", "depthwise", "squeeze", "project")
        if any(p[0] == path[0] and p[1] == part for p in shapes)
    ]
    part, _, norm = path[1].partition("_")
    inner = {"down": "fc1", "up": "fc2"}[path[2]] if part == "squeeze" else int(norm == "norm")
    return f"{start}.block.{parts.index(part)}.{inner}"


def mobile_backbone(shapes: Shapes) -> Sources:
    """Gives the sources of torchvision's MobileNetV3 and EfficientNet."""
    sources = layouts.by_module(lambda path: _mobile(path, shapes))(shapes)
    return {
        path: source._replace(conversion=layouts.POINT)
        if path[1] == "squeeze" and path[-1] == "kernel"
        else source
        for path, source in sources.items()
    }


# The names of the parts of a block, of a stage's patches and of the rest, in two libraries.
_CONVNEXT: dict[str, dict[str, str]] = {
    "torchvision's ConvNeXt": {
        **{"stem": "features.0.0", "stem_norm": "features.0.1", "last_norm": "classifier.0"},
        **{"down": "features.{even}.1", "down_norm": "features.{even}.0"},
        **{"block": "features.{odd}.{index}.", "gamma": "layer_scale", "depthwise": "block.0"},
        **{"norm": "block.2", "mlp1": "block.3", "mlp2": "block.5", "head": "classifier.2"},
    },
    "timm's ConvNeXt": {
        **{"stem": "stem.0", "stem_norm": "stem.1", "last_norm": "head.norm"},
        **{"down": "stages.{stage}.downsample.1", "down_norm": "stages.{stage}.downsample.0"},
        **{"block": "stages.{stage}.blocks.{index}.", "gamma": "gamma", "depthwise": "conv_dw"},
        **{"norm": "norm", "mlp1": "mlp.fc1", "mlp2": "mlp.fc2", "head": "head.fc"},
    },
}


def _convnext(names: dict[str, str]) -> SourcesOf:
    """Describes ConvNeXt by one library's names of its parts."""

    def source(path: Path, shape: layouts.Shape) -> ArraySource:
        kind, stage, _, index, norm = re.fullmatch(
            r"([a-z]+)(\d?)(_(\d+))?(_norm)?", path[0]
        ).groups(default="")  # type: ignore[union-attr]
        number = int(stage or 1)
        places = {"stage": number - 1, "even": 2 * number - 2, "odd": 2 * number - 1}
        start = names[f"{kind}{norm}"].format(**places, index=int(index or 1) - 1)
        if kind != "block":
            return layouts.torch_source(path, start, shape)
        if path[1] == "gamma":
            channels = names["gamma"] == "layer_scale"
            return ArraySource(f"{start}{names['gamma']}", _CHANNELS if channels else layouts.SAME)
        if path[1] == "shift":
            return ArraySource(f"{start}{names['depthwise']}.bias", layouts.SAME)
        return layouts.torch_source(path, f"{start}{names[path[1]]}", shape)

    return lambda shapes: {path: source(path, shape) for path, shape in shapes.items()}


def _layout(title: str, backbone: SourcesOf, head: str, sign: str) -> layouts.WeightLayout:
    return layouts.WeightLayout(title, backbone, layouts.torch_head(head), sign=sign)


def _unread_dino(name: str) -> bool:
    return bool(_UNREAD_DINO.fullmatch(name))


def _text(prefix: str) -> Callable[[str], bool]:
    """Returns whether an array of a CLIP file is not of the visual tower, or projects it."""
    return lambda name: not name.startswith(prefix) or name == f"{prefix}proj"


FARL = tuple(
    layouts.WeightLayout(
        title,
        _farl(prefix),
        _HEADLESS,
        CLIP_INPUTS,
        unread=_text(prefix),
        sign=f"{prefix}class_embedding",
    )
    for title, prefix in (("FaRL's visual tower", "visual."), ("CLIP's visual tower alone", ""))
)
DINOV2 = (
    layouts.WeightLayout(
        "DINOv2 (the authors' and timm's)",
        layouts.vit_backbone(_DINO, "blocks."),
        layouts.torch_head("head"),
        unread=_unread_dino,
        sign="blocks.0.ls1.gamma",
    ),
)
DINOV3 = tuple(
    layouts.WeightLayout(
        title,
        _dinov3(names),
        layouts.torch_head("head"),
        unread=_unread_dino,
        sign=names["registers"],
    )
    for title, names in _DINO_V3.items()
)
MOBILENET_V3 = (
    _layout("torchvision's MobileNetV3", mobile_backbone, "classifier.3", "features.1.block.0."),
)
EFFICIENTNET = (
    _layout("torchvision's EfficientNet", mobile_backbone, "classifier.1", "features.1.0.block.0."),
)
CONVNEXT = tuple(
    _layout(title, _convnext(names), names["head"], sign)
    for (title, names), sign in zip(
        _CONVNEXT.items(), ("features.1.0.layer_scale", "stages.0.blocks.0."), strict=True
    )
)
