"""Layouts of SSR-Net's files: the authors' Keras weights (shamangary/SSR-Net), and those of the
PyTorch port (oukohou/SSR_Net_Pytorch).
"""

import re
from collections.abc import Callable, Mapping

from ldl_jax.models import layouts
from ldl_jax.models.layouts import ArraySource, Shapes, Sources, TrainedInputs, WeightLayout

_KERAS_LEAVES = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
_REDUCED = 10  # channels that each stage reduces a stream to


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


SSRNET = (
    WeightLayout(
        "the authors' Keras SSR-Net",
        keras_backbone,
        keras_head,
        TrainedInputs("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ),
    # The port feeds BGR pictures, but normalises them by ImageNet's moments in the order RGB.
    WeightLayout(
        "the PyTorch port's SSR-Net (built here with form='pytorch')",
        port_backbone,
        port_head,
        layouts.IMAGENET._replace(colours="BGR"),
    ),
)
