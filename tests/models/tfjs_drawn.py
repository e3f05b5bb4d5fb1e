"""Writes TensorFlow.js models: of any arrays, and HSE-FaceRes' with drawn numbers and its graph."""

import base64
import json

import numpy as np

_PLAN = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
_PLAN += [(1024, 2), (1024, 1)]


def write(path, arrays, shards=("x.bin",), nodes=(), quantised=None):
    """Writes arrays by name; `quantised` gives (stored array, the manifest's entry) for some."""
    weights, content = [], b""
    for name, array in arrays.items():
        stored, how = (quantised or {}).get(name, (array, None))
        entry = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        weights.append(entry | ({"quantization": how} if how else {}))
        content += stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    step = -(-len(content) // len(shards))
    for index, shard in enumerate(shards):
        (path.parent / shard).write_bytes(content[index * step : (index + 1) * step])
    model = {"format": "graph-model", "modelTopology": {"node": list(nodes)}}
    model["weightsManifest"] = [{"paths": list(shards), "weights": weights}]
    path.write_text(json.dumps(model))
    return path


def faceres_arrays(seed=0):
    """The arrays of a FaceRes file, in no order of its own."""
    rng = np.random.default_rng(seed)

    def kernel(*shape):
        return rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32)

    def vector(count, middle):
        return (middle + 0.1 * rng.normal(size=count)).astype(np.float32)

    arrays = {"feats/kernel": kernel(1024, 256), "feats/bias": vector(256, 0)}
    arrays |= {"age_pred/kernel": kernel(256, 100), "age_pred/bias": vector(100, 0)}
    arrays |= {"gender_pred/kernel": kernel(256, 1), "gender_pred/bias": vector(1, 0)}
    arrays["global_pooling/Mean/reduction_indices"] = np.array([1, 2], np.int32)

    def layer(name, leaf, drawn, channels):
        arrays[f"{name}/{leaf}"] = drawn
        arrays[f"{name}_bn/batchnorm_1/sub"] = vector(channels, 0)
        arrays[f"{name}_relu/Cast"] = np.array(6, np.float32)
        arrays[f"{name}_relu/Const_1"] = np.array(0, np.float32)

    layer("conv1", "convolution/merged_input", kernel(3, 3, 3, 32), 32)
    width = 32
    for index, (channels, _) in enumerate(_PLAN, start=1):
        drawn = np.moveaxis(kernel(3, 3, 1, width), 2, 3)
        layer(f"conv_dw_{index}", "depthwise_kernel", drawn, width)
        arrays[f"conv_dw_{index}_bn/batchnorm_1/mul"] = vector(width, 1)
        drawn = kernel(1, 1, width, channels)
        layer(f"conv_pw_{index}", "convolution/merged_input", drawn, channels)
        width = channels
    return arrays


def _text(value):
    return base64.b64encode(value.encode()).decode()


def faceres_nodes():
    """The operations of FaceRes' graph, from the picture to the ages."""
    nodes = [{"op": "Placeholder", "name": "input_1"}]

    def add(op, name, *reads, **attributes):
        nodes.append(
            {"op": op, "name": name, "input": [nodes[-1]["name"], *reads], "attr": attributes}
        )

    def layer(name, op, leaf, stride):
        add(
            op,
            f"{name}/out",
            f"{name}/{leaf}",
            strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
            padding={"s": _text("SAME")},
            data_format={"s": _text("NHWC")},
        )
        if op != "Conv2D":
            add("Mul", f"{name}/scaled", f"{name}_bn/batchnorm_1/mul")
        add("Add", f"{name}/added", f"{name}_bn/batchnorm_1/sub")
        add("Relu", f"{name}/relu")
        add("Minimum", f"{name}/least", f"{name}_relu/Cast")
        add("Maximum", f"{name}/most", f"{name}_relu/Const_1")

    layer("conv1", "Conv2D", "convolution/merged_input", 2)
    for index, (_, stride) in enumerate(_PLAN, start=1):
        layer(f"conv_dw_{index}", "DepthwiseConv2dNative", "depthwise_kernel", stride)
        layer(f"conv_pw_{index}", "Conv2D", "convolution/merged_input", 1)
    add("Mean", "global_pooling/Mean", "global_pooling/Mean/reduction_indices")
    fused = {"list": {"s": [_text("BiasAdd"), _text("Relu")]}}
    add("_FusedMatMul", "feats/Relu", "feats/kernel", "feats/bias", fused_ops=fused)
    fused = {"list": {"s": [_text("BiasAdd")]}}
    add("_FusedMatMul", "age_pred/BiasAdd", "age_pred/kernel", "age_pred/bias", fused_ops=fused)
    add("Softmax", "age_pred/Softmax")
    return nodes
