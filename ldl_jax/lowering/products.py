"""The ONNX form of matrix products, convolutions and windows."""

import math
import string
from collections.abc import Sequence

import numpy as np

from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.elementwise import Rule, held
from ldl_jax.lowering.steps import Step, is_symbolic
from ldl_jax.lowering.values import Value, without

_WINDOWS = {"reduce_window_max": "max", "reduce_window_sum": "add"}
_REDUCERS = {"max": "max", "or": "max", "add": "add"}


def _dot_general(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x, y = (builder.dense(value) for value in values)
    (of_x, of_y), (batch_x, batch_y) = step.params["dimension_numbers"]
    free_x = [axis for axis in range(len(x.shape)) if axis not in (*of_x, *batch_x)]
    free_y = [axis for axis in range(len(y.shape)) if axis not in (*of_y, *batch_y)]
    result_type = held(step)
    if len(of_x) == 1 and not batch_x and len(free_y) == 1 and free_x:
        # The first one may keep its order, but for the axis that is summed over.
        first = [axis for axis in x.order if axis not in of_x]
        names = [builder.tensor(x, [*first, *of_x]), builder.tensor(y, [*of_y, *free_y])]
        order = [*without(x.order, of_x), len(free_x)]
        return builder.made(builder.node("MatMul", names), result_type, order)
    if len(of_x) == len(free_x) == len(free_y) == 1:
        names = [
            builder.tensor(x, [*batch_x, *free_x, *of_x]),
            builder.tensor(y, [*batch_y, *of_y, *free_y]),
        ]
        return builder.made(builder.node("MatMul", names), result_type)
    letters = iter(string.ascii_lowercase)
    in_x = {axis: next(letters) for axis in range(len(x.shape))}
    in_y = {b: in_x[a] for a, b in zip((*of_x, *batch_x), (*of_y, *batch_y), strict=True)}
    in_y |= {axis: next(letters) for axis in free_y}
    result = [in_x[axis] for axis in (*batch_x, *free_x)] + [in_y[axis] for axis in free_y]
    terms = ["".join(in_x.values()), "".join(in_y[axis] for axis in range(len(y.shape)))]
    equation = f"{','.join(terms)}->{''.join(result)}"
    names = [builder.tensor(x), builder.tensor(y)]
    return builder.made(builder.node("Einsum", names, equation=equation), result_type)


def _convolution(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x, kernel = (builder.dense(value) for value in values)
    params = step.params
    dims = params["dimension_numbers"]
    edges = params["padding"]
    plain = all(d == 1 for d in params["lhs_dilation"]) and params["batch_group_count"] == 1
    if not plain or any(is_symbolic(e) or e < 0 for pair in edges for e in pair):
        raise ValueError(
            f"function: {step} is transposed, or has a negative padding or one that depends on a "
            "symbolic size: it has no form in ONNX"
        )
    name = builder.node(
        "Conv",
        [builder.tensor(x, dims.lhs_spec), builder.tensor(kernel, dims.rhs_spec)],
        strides=list(params["window_strides"]),
        pads=[low for low, _ in edges] + [high for _, high in edges],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        kernel_shape=[kernel.shape[axis] for axis in dims.rhs_spec[2:]],
    )
    return builder.made(name, held(step), dims.out_spec)


def _window(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x = builder.dense(values[0])
    params = step.params
    sizes, strides = params["window_dimensions"], params["window_strides"]
    edges, dilations = params["padding"], params["window_dilation"]
    reducer = _reducer(step)
    rank = len(x.shape)
    busy = [
        axis
        for axis in x.order
        if not (sizes[axis] == strides[axis] == 1 and edges[axis] == (0, 0))
    ]
    odd = any(d != 1 for d in params["base_dilation"]) or reducer is None or rank < 3
    odd = odd or len(busy) > rank - 2 or any(is_symbolic(e) for pair in edges for e in pair)
    if odd or (reducer == "add" and any(d != 1 for d in dilations)):
        raise ValueError(f"function: {step} is a window that has no form in ONNX")
    # ONNX slides windows over all axes but the first two.
    rest = [axis for axis in x.order if axis not in busy]
    order = (*rest[:2], *sorted([*rest[2:], *busy]))
    spatial = order[2:]
    name = builder.tensor(x, order)
    floats = x.dtype.kind == "f"
    name = name if floats else builder.cast(name, np.dtype(np.float32))
    common = {
        "kernel_shape": [sizes[axis] for axis in spatial],
        "strides": [strides[axis] for axis in spatial],
        "pads": [edges[axis][side] for side in (0, 1) for axis in spatial],
    }
    if reducer == "max":
        along = [dilations[axis] for axis in spatial]
        name = builder.node("MaxPool", [name], dilations=along, **common)
        name = name if floats else builder.cast(name, x.dtype)
        return builder.made(name, held(step), order)
    mean = builder.node("AveragePool", [name], count_include_pad=1, **common)
    count = math.prod(common["kernel_shape"])
    name = builder.node("Mul", [mean, builder.constant(np.asarray(count, np.float32))])
    builder.scales[name] = mean, float(count)
    name = name if floats else builder.cast(name, x.dtype)
    return builder.made(name, held(step), order)


def _reducer(step: Step) -> str | None:
    """Returns what a window does with its elements, "max" or "add", or None for anything else."""
    if step.name in _WINDOWS:
        return _WINDOWS[step.name]
    inner = step.params["jaxpr"]
    equations = getattr(inner, "jaxpr", inner).eqns
    return _REDUCERS.get(equations[0].primitive.name) if len(equations) == 1 else None


def _generic_window(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    """Lowers a window with a function of its own, where it starts from what changes nothing."""
    x, start = values
    least = {"b": 0, "f": -math.inf}.get(x.dtype.kind)
    nothing = least if _reducer(step) == "max" else 0
    if len(values) != 2 or start.scalar() != nothing:
        raise ValueError(f"function: {step} is a window that has no form in ONNX")
    return _window(builder, step, [x])


RULES: dict[str, Rule] = {
    **{"dot_general": _dot_general, "conv_general_dilated": _convolution},
    **{"reduce_window": _generic_window, **dict.fromkeys(_WINDOWS, _window)},
}
