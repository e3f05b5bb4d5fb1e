"""Layouts of SSR-Net's files: the authors' Keras weights (shamangary/SSR-Net), with those of the
two networks that they compare it with, and those of the PyTorch port (oukohou/SSR_Net_Pytorch).
"""

import math
import re
from collections.abc import Callable, Mapping

from ldl_jax.models import layouts
from ldl_jax.models.layouts import ArraySource, Shapes, Sources, TrainedInputs, WeightLayout

_KERAS_LEAVES = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
_REDUCED = 10  # channels that each stage reduces a stream to
_MOBILE_REDUCED = 20  # channels that MobileNet's maps are reduced to
_RAW = TrainedInputs("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def _parsed(name: str) -> tuple[str, int]:
    """Splits a layer's name into its kind and its index: "x_conv3" into ("x_conv", 3)."""
    word, digits = re.fullmatch(r"(\D+)(\d+)", name).groups()  # type: ignore[union-attr]
    return word, int(digits)


def _stages(shapes: Shapes) -> int:
    return sum(path[0].startswith("mix") and path[-1] == "kernel" for path in shapes)


def _keras(layer: str, leaf: str) -> ArraySource:
    return ArraySource(f"{layer}/{layer}/{leaf}:0", layouts.SAME)


def keras_backbone(shapes: Shapes) -> Sources:
    """Gives the sources of the backbone's layers.

    Keras numbers the layers of a kind in the order in which they are made: all of stream X, all of
    stream S, then the stages.
    """
    count = _stages(shapes)
    blocks = count + 1
    sources: Sources = {}
    for path in shapes:
        word, index = _parsed(path[0])
        layer = {
            "x_conv": f"conv2d_{index}",
            "s_conv": f"conv2d_{blocks + index}",
            "x_norm": f"batch_normalization_{index}",
            "s_norm": f"batch_normalization_{blocks + index}",
            "s_reduce": f"conv2d_{2 * blocks + 2 * index - 1}",
            "x_reduce": f"conv2d_{2 * blocks + 2 * index}",
            "s_dense": f"dense_{3 * index - 2}",
            "x_dense": f"dense_{3 * index - 1}",
            "mix": f"dense_{3 * index}",
        }[word]
        leaf = _KERAS_LEAVES[path[-1]] if word.endswith("norm") else path[-1]
        sources[path] = _keras(layer, leaf)
    return sources


def keras_head(shapes: Shapes) -> Sources:
    """Gives the sources of the head's layers, which have names of their own in Keras."""
    names = {"probs": "pred_age_stage{k}", "offsets": "local_delta_stage{k}", "range": "delta_s{k}"}
    return _head(shapes, names, _keras)


def port_backbone(shapes: Shapes) -> Sources:
    """Gives the sources of the backbone's layers.

    The port numbers blocks by the stage that reads them; the first stage has two blocks.
    """
    count = _stages(shapes)
    sources: Sources = {}
    for path, shape in shapes.items():
        word, index = _parsed(path[0])
        stream = 1 if word.startswith("x") else 2
        stage = max(count + 1 - index, 1)  # the stage that reads a block
        start = 4 if index == count + 1 else 0  # the last block follows another and its pooling
        fusion = f"funsion_block_stream{stream}_stage_{index}"
        module = {
            "conv": f"stream{stream}_stage{stage}.{start}",
            "norm": f"stream{stream}_stage{stage}.{start + 1}",
            "reduce": f"{fusion}_before_PB.0",
            "dense": f"{fusion}_prediction_block.1",
            "mix": f"stage{index}_FC_after_PB.0",
        }[word.removeprefix("x_").removeprefix("s_")]
        source = layouts.torch_source(path, module, shape)
        if word.endswith("dense") and path[-1] == "kernel":
            source = source._replace(conversion=layouts.flattened(_REDUCED))
        sources[path] = source
    return sources


def port_head(shapes: Shapes) -> Sources:
    """Gives the sources of the head's layers; the range's layer reads a flattened map."""
    kinds = {"probs": "prob", "offsets": "index_offsets", "range": "delta_k"}
    names = {layer: f"stage{{k}}_{kind}.0" for layer, kind in kinds.items()}
    sources = _head(
        shapes, names, lambda module, leaf: layouts.torch_source((leaf,), module, (0, 0))
    )
    for k in range(1, _stages(shapes) + 1):
        kernel = sources[f"range{k}", "kernel"]
        sources[f"range{k}", "kernel"] = kernel._replace(conversion=layouts.flattened(_REDUCED))
    return sources


def _head(
    shapes: Shapes, names: Mapping[str, str], source: Callable[[str, str], ArraySource]
) -> Sources:
    """Gives `source(name, leaf)` of every stage's layers; a name has the stage's number at {k}."""
    return {
        (f"{layer}{k}", leaf): source(name.format(k=k), leaf)
        for k in range(1, _stages(shapes) + 1)
        for layer, name in names.items()
        for leaf in ("kernel", "bias")
    }


def mobilenet_backbone(shapes: Shapes) -> Sources:
    """Gives the sources of MobileNet's layers, which Keras names by its width and size.

    A network of another form has none: with its padding the weights answer wrongly.
    """
    if ("conv1", "kernel") not in shapes:
        return {}
    alpha = shapes["conv1", "kernel"][-1] / 32
    size = 32 * math.isqrt(shapes["dense", "kernel"][0] // _MOBILE_REDUCED)
    start = f"mobilenet_{alpha:.2f}_{size}"
    words = {"conv": "conv", "stem": "conv1", "depthwise": "conv_dw_", "point": "conv_pw_"}
    sources: Sources = {}
    for path in shapes:
        kind, norm, digits = re.fullmatch(r"([a-z]+)(_norm)?(\d*)", path[0]).groups()  # type: ignore[union-attr]
        if kind in ("reduce", "dense"):
            sources[path] = _keras({"reduce": "conv2d_1", "dense": "feat_a"}[kind], path[-1])
        elif norm:
            layer = f"{start}/{words[kind]}{digits}_bn"
            sources[path] = ArraySource(f"{layer}/{_KERAS_LEAVES[path[-1]]}:0", layouts.SAME)
        else:
            depthwise = kind == "depthwise"
            leaf, change = (
                ("depthwise_kernel", layouts.DEPTHWISE) if depthwise else ("kernel", layouts.SAME)
            )
            sources[path] = ArraySource(f"{start}/{words[kind]}{digits}/{leaf}:0", change)
    return sources


def densenet_backbone(shapes: Shapes) -> Sources:
    """Gives the sources of DenseNet's layers, which Keras numbers by kind, block after block."""
    layers = sum(path[0].startswith("conv1_") for path in shapes)
    sources: Sources = {}
    for path in shapes:
        if path[0] in ("dense1", "dense2"):
            sources[path] = _keras({"dense1": "dense_1", "dense2": "feat_a"}[path[0]], path[-1])
            continue
        kind, block, layer = re.fullmatch(r"([a-z]+)(\d?)_?(\d*)", path[0]).groups()  # type: ignore[union-attr]
        # A block's last layer, without a number of its own, leads to the next block.
        index = 0 if kind == "stem" else (int(block) - 1) * (layers + 1) + int(layer or layers + 1)
        if kind == "norm":
            name = f"densenet/batch_normalization_{index}/{_KERAS_LEAVES[path[-1]]}:0"
        else:
            name = f"densenet/conv2d_{index + 1}/{path[-1]}:0"
        sources[path] = ArraySource(name, layouts.SAME)
    return sources


def age_head(shapes: Shapes) -> Sources:
    """Gives the sources of the last layer of both networks: an age in years, not a score."""
    del shapes
    return {("age", leaf): _keras("pred_a", leaf) for leaf in ("kernel", "bias")}


MOBILENET = (
    WeightLayout(
        "the authors' Keras MobileNet (built here with form='keras')",
        mobilenet_backbone,
        age_head,
        _RAW,
        sign="mobilenet_",
    ),
)
DENSENET = (
    WeightLayout(
        "the authors' Keras DenseNet", densenet_backbone, age_head, _RAW, sign="densenet/"
    ),
)
SSRNET = (
    WeightLayout("the authors' Keras SSR-Net", keras_backbone, keras_head, _RAW, sign="conv2d_"),
    # The port feeds BGR pictures, but normalises them by ImageNet's moments in the order RGB.
    WeightLayout(
        "the PyTorch port's SSR-Net (built here with form='pytorch')",
        port_backbone,
        port_head,
        layouts.IMAGENET._replace(colours="BGR"),
        sign="stream1_",
    ),
)
