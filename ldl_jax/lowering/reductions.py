"""The ONNX form of sums and the like, cumulative ones, greatest elements and sorting."""

from collections.abc import Sequence

import numpy as np

from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.elementwise import Rule, graph_dtype, held
from ldl_jax.lowering.steps import Step, is_symbolic
from ldl_jax.lowering.values import Value, without

_INT32 = np.dtype(np.int32)  # which ONNX reduces booleans as


def _reduce(op: str) -> Rule:
    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        axes = step.params["axes"]
        x = builder.dense(values[0], values[0].thin - frozenset(axes))
        name = builder.tensor(x, x.order)
        shape, dtype = held(step)
        boolean = x.dtype == bool
        name = builder.cast(name, _INT32) if boolean else name
        places = builder.numbers(sorted(x.position(axis) for axis in axes))
        name = builder.node(op, [name, places], keepdims=0) if axes else name
        name = builder.cast(name, dtype) if boolean else name
        left = [axis for axis in range(len(x.shape)) if axis not in axes]
        thin = frozenset(left.index(axis) for axis in x.thin)
        return builder.made(name, (shape, dtype), without(x.order, axes), thin)

    return rule


def _arg(op: str) -> Rule:
    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        (axis,) = step.params["axes"]
        x = builder.dense(values[0])
        name = builder.tensor(x, x.order)
        name = builder.cast(name, _INT32) if x.dtype == bool else name
        name = builder.node(op, [name], axis=x.position(axis), keepdims=0)
        like = held(step)
        return builder.made(builder.cast(name, like[1]), like, without(x.order, [axis]))

    return rule


def _cumsum(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    axis = step.params["axis"]
    x = builder.dense(values[0], values[0].thin - {axis})
    along = builder.constant(np.asarray(x.position(axis), np.int64))
    inputs = [builder.tensor(x, x.order), along]
    name = builder.node("CumSum", inputs, reverse=int(step.params["reverse"]))
    return builder.made(name, held(step), x.order, x.thin)


def _cumulative(op: str, nothing: float) -> Rule:
    """Returns the rule of a cumulative product or maximum: that of each first part by itself."""

    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        axis, shape = step.params["axis"], step.outputs[0].shape
        rank, length = len(shape), shape[axis]
        if is_symbolic(length) or values[0].dtype.kind != "f":
            raise ValueError(f"function: {step} has no form in ONNX")
        # [..., 1, n] is compared with a triangle [n, n], and reduced along its last axis.
        last = [*(a for a in range(rank) if a != axis), axis]
        x = builder.tensor(builder.dense(values[0]), last)
        row = builder.node("Unsqueeze", [x, builder.numbers([rank - 1])])
        triangle = np.tril(np.ones((length, length), bool))
        mask = builder.constant(triangle.T if step.params["reverse"] else triangle)
        rest = builder.constant(np.asarray(nothing, values[0].dtype))
        masked = builder.node("Where", [mask, row, rest])
        name = builder.node(op, [masked, builder.numbers([rank])], keepdims=0)
        return builder.made(name, held(step), last)

    return rule


def _sort(builder: Builder, step: Step, values: Sequence[Value]) -> list[Value]:
    axis, shape = step.params["dimension"], step.outputs[0].shape
    if step.params["num_keys"] != 1 or is_symbolic(shape[axis]):
        raise ValueError(f"function: {step} sorts by several keys, which has no form in ONNX")
    # The smallest come first, and equal ones stay in their order.
    length = builder.numbers([shape[axis]])
    inputs = [builder.whole(values[0]), length]
    first, index = builder.nodes_of("TopK", inputs, 2, axis=axis, largest=0)
    results = [builder.made(first, held(step))]
    for position, value in enumerate(values[1:], start=1):
        name = builder.node("GatherElements", [builder.whole(value), index], axis=axis)
        results.append(builder.made(name, held(step, position)))
    return results


def _top_k(builder: Builder, step: Step, values: Sequence[Value]) -> list[Value]:
    axis = step.params.get("axis", len(values[0].shape) - 1)
    inputs = [builder.whole(values[0]), builder.numbers([step.params["k"]])]
    first, index = builder.nodes_of("TopK", inputs, 2, axis=axis)
    index = builder.cast(index, graph_dtype(step.outputs[1].dtype))
    return [builder.made(first, held(step)), builder.made(index, held(step, 1))]


RULES: dict[str, Rule] = {
    **{"reduce_sum": _reduce("ReduceSum"), "reduce_max": _reduce("ReduceMax")},
    **{"reduce_min": _reduce("ReduceMin"), "reduce_prod": _reduce("ReduceProd")},
    **{"reduce_and": _reduce("ReduceMin"), "reduce_or": _reduce("ReduceMax")},
    **{"argmax": _arg("ArgMax"), "argmin": _arg("ArgMin"), "cumsum": _cumsum},
    **{"cumprod": _cumulative("ReduceProd", 1.0), "cummax": _cumulative("ReduceMax", -np.inf)},
    "cummin": _cumulative("ReduceMin", np.inf),
}
SPLITS = {"sort": _sort, "top_k": _top_k}
