"""The ONNX form of primitives that work element by element."""

from collections.abc import Callable, Sequence

import numpy as np

from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.steps import Step
from ldl_jax.lowering.values import Value, straight

Rule = Callable[[Builder, Step, Sequence[Value]], Value]


def aligned(
    builder: Builder, values: Sequence[Value], rank: int
) -> tuple[list[str], tuple[int, ...], frozenset[int]]:
    """Returns tensors that broadcast, the order of their axes, and the axes that stay thin.

    The order is that of the tensor that is thin along the fewest axes. A value of no axes stays as
    it is.
    """
    wide = [v for v in values if v.shape and v.constant is None]
    largest = min(wide, key=lambda v: len(v.thin), default=None)
    order = straight(rank) if largest is None else largest.order
    thin = frozenset(range(rank))
    for value in values:
        thin = thin & value.thin if value.shape else thin
    return [builder.tensor(v, order if v.shape else ()) for v in values], order, thin


def _put(
    builder: Builder, step: Step, values: Sequence[Value], write: Callable[[list[str]], str]
) -> Value:
    shape, dtype = held(step)
    names, order, thin = aligned(builder, values, len(shape))
    return builder.made(write(names), (shape, dtype), order, thin)


def held(step: Step, index: int = 0) -> tuple[tuple, np.dtype]:
    """Returns the shape and type of a step's result in the graph; bfloat16 is float32 there."""
    variable = step.outputs[index]
    return variable.shape, graph_dtype(variable.dtype)


def graph_dtype(dtype: np.dtype) -> np.dtype:
    """Returns the type that elements have in the graph."""
    return np.dtype(np.float32) if dtype.name == "bfloat16" else np.dtype(dtype)


def _node(op: str, **attributes: object) -> Rule:
    """Returns the rule of a primitive that is one operation of ONNX."""

    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        return _put(builder, step, values, lambda names: builder.node(op, names, **attributes))

    return rule


def _chain(*ops: str) -> Rule:
    """Returns the rule of a primitive that is several operations, one after the other."""

    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        def write(names: list[str]) -> str:
            for op in ops:
                names = [builder.node(op, names)]
            return names[0]

        return _put(builder, step, values, write)

    return rule


def _with_one(op: str, before: str = "", after: str = "") -> Rule:
    """Returns the rule of an operation with a 1: log(1 + x), exp(x) - 1, or 1 - erf(x)."""

    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        unit = builder.constant(np.ones((), held(step)[1]))

        def write(names: list[str]) -> str:
            (name,) = names
            if before:
                return builder.node(op, [builder.node(before, [name, unit])])
            name = builder.node(op, [name])
            return builder.node("Sub", [unit, name] if after == "from" else [name, unit])

        return _put(builder, step, values, write)

    return rule


def _scaled(op: str) -> Rule:
    """Returns the rule of a product or a quotient; factors that are numbers become one."""

    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        a, b = values
        if op == "Mul" and a.scalar() is not None:
            a, b = b, a
        factor, source = b.scalar(), a.source
        known = factor is not None and factor != 0 and a.dtype.kind == "f"
        if not known or not isinstance(source, str) or len(a.shape) != len(step.outputs[0].shape):
            return _node(op)(builder, step, values)
        assert factor is not None
        factor = factor if op == "Mul" else 1 / factor
        first, before = builder.scales.get(source, (source, 1.0))
        name, total = first, before * factor
        if abs(total - 1) > 1e-7:
            name = builder.node("Mul", [first, builder.constant(np.asarray(total, a.dtype))])
            builder.scales[name] = first, total
        return builder.made(name, held(step), a.order, a.thin)

    return rule


def _max(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    a, b = values
    if a.scalar() == 0:
        a, b = b, a
    if b.scalar() == 0 and a.dtype.kind == "f" and len(a.shape) == len(step.outputs[0].shape):
        result = _node("Relu")(builder, step, [a])
        builder.rectified[str(result.source)] = str(a.source)
        return result
    return _node("Max")(builder, step, values)


def _min(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    a, b = values
    if a.scalar() is not None:
        a, b = b, a
    first = builder.rectified.get(str(a.source)) if isinstance(a.source, str) else None
    if first is None or b.scalar() is None or len(a.shape) != len(step.outputs[0].shape):
        return _node("Min")(builder, step, values)
    # ONNX Runtime makes a Clip one operation with the convolution before it.
    ends = [builder.constant(np.asarray(x, a.dtype)) for x in (0, b.scalar())]
    return builder.made(builder.node("Clip", [first, *ends]), held(step), a.order, a.thin)


def _cast(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    _, dtype = held(step)
    if dtype == x.dtype:
        return x
    return _put(builder, step, values, lambda names: builder.cast(names[0], dtype))


def _same(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    return values[0]


def _select(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    which, *cases = values

    def write(names: list[str]) -> str:
        index, result, *rest = names
        if which.dtype == bool:
            return builder.node("Where", [index, rest[0], result])
        for case, name in enumerate(rest, start=1):
            which_one = builder.constant(np.asarray(case, which.dtype))
            here = builder.node("Equal", [index, which_one])
            result = builder.node("Where", [here, name, result])
        return result

    return cases[0] if len(cases) == 1 else _put(builder, step, values, write)


def _clamp(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    def write(names: list[str]) -> str:
        low, x, high = names
        return builder.node("Min", [builder.node("Max", [x, low]), high])

    return _put(builder, step, values, write)


def _integer_pow(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    power = step.params["y"]

    def write(names: list[str]) -> str:
        if power == 2:
            return builder.node("Mul", [names[0], names[0]])
        return builder.node("Pow", [*names, builder.constant(np.asarray(power, np.float32))])

    return _put(builder, step, values, write)


def _is_finite(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    def write(names: list[str]) -> str:
        either = builder.node("Or", [builder.node("IsNaN", names), builder.node("IsInf", names)])
        return builder.node("Not", [either])

    return _put(builder, step, values, write)


def _logical(op: str, of_bits: str) -> Rule:
    def rule(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
        return _node(op if values[0].dtype == bool else of_bits)(builder, step, values)

    return rule


def _round(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    if int(step.params["rounding_method"]) != 1:  # to the nearest even number, as ONNX does it
        raise ValueError(f"function: {step} rounds halves away from zero, which ONNX does not")
    return _node("Round")(builder, step, values)


def _square(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    return _node("Mul")(builder, step, [values[0], values[0]])


_ONE_TO_ONE = {
    **{"abs": "Abs", "ceil": "Ceil", "cos": "Cos", "erf": "Erf", "exp": "Exp", "floor": "Floor"},
    **{"log": "Log", "logistic": "Sigmoid", "neg": "Neg", "sign": "Sign", "sin": "Sin"},
    **{"sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh", "add": "Add", "add_any": "Add"},
    **{"sub": "Sub", "pow": "Pow", "eq": "Equal", "lt": "Less", "gt": "Greater"},
    **{"le": "LessOrEqual", "ge": "GreaterOrEqual", "sinh": "Sinh", "cosh": "Cosh"},
    **{"asin": "Asin", "acos": "Acos", "atan": "Atan"},
}
_UNCHANGED = ("copy", "copy_p", "mesh_cast", "pvary", "sharding_constraint", "stop_gradient")
ELEMENTWISE: dict[str, Rule] = {
    **{name: _node(op) for name, op in _ONE_TO_ONE.items()},
    **dict.fromkeys(_UNCHANGED, _same),
    **{
        "mul": _scaled("Mul"),
        "div": _scaled("Div"),
        "max": _max,
        "min": _min,
        "rem": _node("Mod", fmod=1),
    },
    **{"rsqrt": _chain("Sqrt", "Reciprocal"), "ne": _chain("Equal", "Not"), "round": _round},
    **{"log1p": _with_one("Log", before="Add"), "expm1": _with_one("Exp")},
    **{"erfc": _with_one("Erf", after="from"), "square": _square, "integer_pow": _integer_pow},
    **{"convert_element_type": _cast, "select_n": _select, "clamp": _clamp},
    **{"is_finite": _is_finite, "not": _logical("Not", "BitwiseNot")},
    **{"and": _logical("And", "BitwiseAnd"), "or": _logical("Or", "BitwiseOr")},
    "xor": _logical("Xor", "BitwiseXor"),
}
