"""SSR-Net's files: the authors' Keras weights (shamangary/SSR-Net), and those of the PyTorch port
(oukohou/SSR_Net_Pytorch).
"""

from __future__ import annotations

import re

from ldl_jax.models.layouts import (
    SAME,
    Inputs,
    Layout,
    Path,
    Shapes,
    Source,
    flattened,
    torch_source,
)

_KERAS_LEAVES = {
    "scale": "gamma",
    "bias": "beta",
    "mean": "moving_mean",
    "var": "moving_variance",
}
_REDUCED = 10  # channels of a stage's view of a stream


def _number(name: str) -> tuple[str, int]:
    """ "x_conv3" -> ("x_conv", 3)."""
    word, digits = re.fullmatch(r"(\D+)(\d+)", name).groups()  # type: ignore[union-attr]
    return word, int(digits)


def _stages(shapes: Shapes) -> int:
    return sum(path[0].startswith("mix") and path[-1] == "kernel" for path in shapes)


def _keras(layer: str, leaf: str) -> Source:
    return Source(f"{layer}/{layer}/{leaf}:0", SAME)


def keras_backbone(shapes: Shapes) -> dict[Path, Source]:
    """Keras numbers its layers by kind as they are made: all of X, all of S, then the stages."""
    count = _stages(shapes)
    blocks = count + 1
    sources: dict[Path, Source] = {}
    for path in shapes:
        word, number = _number(path[0])
        layer = {
            "x_conv": f"conv2d_{number}",
            "s_conv": f"conv2d_{blocks + number}",
            "x_norm": f"batch_normalization_{number}",
            "s_norm": f"batch_normalization_{blocks + number}",
            "s_reduce": f"conv2d_{2 * blocks + 2 * number - 1}",
            "x_reduce": f"conv2d_{2 * blocks + 2 * number}",
            "s_dense": f"dense_{3 * number - 2}",
            "x_dense": f"dense_{3 * number - 1}",
            "mix": f"dense_{3 * number}",
        }[word]
        leaf = _KERAS_LEAVES[path[-1]] if word.endswith("norm") else path[-1]
        sources[path] = _keras(layer, leaf)
    return sources


def keras_head(shapes: Shapes) -> dict[Path, Source]:
    """The head's layers, which have names of their own."""
    sources: dict[Path, Source] = {}
    for k in range(1, _stages(shapes) + 1):
        for layer, name in (
            (f"probs{k}", f"pred_age_stage{k}"),
            (f"offsets{k}", f"local_delta_stage{k}"),
            (f"range{k}", f"delta_s{k}"),
        ):
            for leaf in ("kernel", "bias"):
                sources[layer, leaf] = _keras(name, leaf)
    return sources


def port_backbone(shapes: Shapes) -> dict[Path, Source]:
    """The port's blocks are numbered by the stage that reads them; the first stage has two."""
    count = _stages(shapes)
    sources: dict[Path, Source] = {}
    for path, shape in shapes.items():
        word, number = _number(path[0])
        stream = 1 if word.startswith("x") else 2
        stage = max(count + 1 - number, 1)  # of a block
        place = 4 if number == count + 1 else 0  # the last block follows another and its pooling
        fusion = f"funsion_block_stream{stream}_stage_{number}"
        module = {
            "conv": f"stream{stream}_stage{stage}.{place}",
            "norm": f"stream{stream}_stage{stage}.{place + 1}",
            "reduce": f"{fusion}_before_PB.0",
            "dense": f"{fusion}_prediction_block.1",
            "mix": f"stage{number}_FC_after_PB.0",
        }[word.removeprefix("x_").removeprefix("s_")]
        source = torch_source(path, module, shape)
        if word.endswith("dense") and path[-1] == "kernel":
            source = source._replace(conversion=flattened(_REDUCED))
        sources[path] = source
    return sources


def port_head(shapes: Shapes) -> dict[Path, Source]:
    """The head's layers; the range's reads a flattened map."""
    sources: dict[Path, Source] = {}
    for k in range(1, _stages(shapes) + 1):
        for layer, module in (
            (f"probs{k}", f"stage{k}_prob.0"),
            (f"offsets{k}", f"stage{k}_index_offsets.0"),
            (f"range{k}", f"stage{k}_delta_k.0"),
        ):
            for leaf in ("kernel", "bias"):
                sources[layer, leaf] = torch_source((layer, leaf), module, (0, 0))
        kernel = sources[f"range{k}", "kernel"]
        sources[f"range{k}", "kernel"] = kernel._replace(conversion=flattened(_REDUCED))
    return sources


SSRNET = (
    Layout(
        "the authors' Keras SSR-Net",
        keras_backbone,
        keras_head,
        Inputs("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ),
    # It normalises BGR pictures by ImageNet's moments for RGB, in that order.
    Layout(
        "the PyTorch port's SSR-Net (built here with form='pytorch')",
        port_backbone,
        port_head,
        Inputs("BGR", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ),
)
