"""Converts a function of JAX to an ONNX model."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, InconclusiveDimensionOperation
from jax.typing import DTypeLike
from onnx import helper

from ldl_jax.lowering import elementwise, gathers, products, reductions, shapes
from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.elementwise import graph_dtype
from ldl_jax.lowering.known import known
from ldl_jax.lowering.steps import FlatProgram, Shape, Step, Variable, flattened
from ldl_jax.lowering.values import Value, constant_value, spread, straight

Size = int | str | None
Input = tuple[Sequence[Size], DTypeLike]
RULES = {
    **elementwise.ELEMENTWISE,
    **shapes.RULES,
    **products.RULES,
    **reductions.RULES,
    **gathers.RULES,
}
SPLITS = {**shapes.SPLITS, **reductions.SPLITS}
BARRIER = "optimization_barrier"  # which gives each of its arguments back


def to_onnx(
    function: Callable[..., object],
    inputs: Mapping[str, Input],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    *,
    name: str = "ldl_jax",
) -> onnx.ModelProto:
    """Converts a function of JAX to an ONNX model, with the arrays that it holds as constants.

    Convolutions become ONNX's own only where XLA's are traced: networks of this package are called
    inside `ldl_jax.models.convolution.plain(pooling=True)`. What the function computes in bfloat16
    is computed in float32.

    Args:
      function: a pure function of arrays; it is called with one for each input, in their order,
        and returns an array, or a tuple, list or dict of arrays.
      inputs: for each input its shape and type. A size that is known only when the model runs is
        None, or "B", which all are; other names stand for other such sizes ("H", "W").
      outputs: the names of the arrays that the function returns, in the order of
        `jax.tree.leaves`.
      metadata: texts that the model carries.
      name: that of the graph.

    Returns: A model of opset 18, which ONNX Runtime reads from 1.15 on, and its form for browsers.
    Raises: ValueError if the function uses a primitive that has no form in ONNX here, returns
      another number of arrays than there are names, or an input's shape or type is none.

    Examples:
      >>> import jax.numpy as jnp
      >>> from ldl_jax import lowering
      >>> model = lowering.to_onnx(
      ...     lambda x: jnp.tanh(x).sum(axis=1), {"x": ((None, 3), "float32")}, ["y"]
      ... )
      >>> [node.op_type for node in model.graph.node]
      ['Tanh', 'ReduceSum', 'Identity']
    """
    program = flattened(_traced(function, inputs))
    if len(program.outputs) != len(outputs):
        raise ValueError(
            f"outputs: the function returns {len(program.outputs)} arrays, got names for "
            f"{len(outputs)}: {', '.join(outputs)}"
        )
    model = _lowered(program, [*inputs], outputs, name)
    for key, text in (metadata or {}).items():
        model.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(model)
    return model


def _traced(function: Callable[..., object], inputs: Mapping[str, Input]) -> ClosedJaxpr:
    """Traces a function for arrays of the inputs' shapes."""
    scope = jax.export.SymbolicScope()
    arguments = []
    for key, (sizes, dtype) in inputs.items():
        words = ["B" if size is None else str(size) for size in sizes]
        if faults := [word for word in words if not (word.isidentifier() or word.isdecimal())]:
            raise ValueError(
                f"inputs: {key}: expected sizes as 3, None or a name, got {', '.join(faults)}"
            )
        shape = jax.export.symbolic_shape(f"({', '.join([*words, ''])})", scope=scope)
        arguments.append(jax.ShapeDtypeStruct(shape, np.dtype(dtype)))

    # JAX keeps what it has traced of a function, and this one must be traced in the forms at hand.
    def fresh(*arrays: jax.Array) -> object:
        return function(*arrays)

    try:
        return jax.make_jaxpr(fresh)(*arguments)
    except InconclusiveDimensionOperation as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"function: it depends on a size that is known only when the model runs: {reason}"
        ) from None


def _lowered(
    program: FlatProgram, inputs: Sequence[str], outputs: Sequence[str], name: str
) -> onnx.ModelProto:
    constants, steps = known(program)
    strange = sorted({s.name for s in steps} - RULES.keys() - SPLITS.keys() - {BARRIER})
    if strange:
        raise ValueError(f"function: no form in ONNX is known for {', '.join(strange)}")
    builder = Builder()
    values = {v: _constant(x, v) for v, x in constants.items()}
    for key, variable in zip(inputs, program.inputs, strict=True):
        values[variable] = _input(builder, key, variable, _maps_order(steps))
    for step in steps:
        results = _apply(builder, step, [values[v] for v in step.inputs])
        values |= dict(zip(step.outputs, results, strict=True))
    names = set(inputs)
    for key, variable in zip(outputs, program.outputs, strict=True):
        if key in names:
            raise ValueError(f"outputs: {key} is the name of another input or output")
        names.add(key)
        source = builder.whole(values[variable])
        builder.nodes.append(helper.make_node("Identity", [source], [key]))
    return builder.model(
        [_described(*pair) for pair in zip(inputs, program.inputs, strict=True)],
        [_described(*pair) for pair in zip(outputs, program.outputs, strict=True)],
        name,
    )


def _maps_order(steps: Sequence[Step]) -> tuple[int, ...]:
    """Returns the order of axes that the first convolution wants, or that of no array."""
    names = (s for s in steps if s.name == "conv_general_dilated")
    first = next(names, None)
    return () if first is None else tuple(first.params["dimension_numbers"].lhs_spec)


def _input(builder: Builder, key: str, variable: Variable, order: tuple[int, ...]) -> Value:
    """Returns an input's value; maps are put into the convolutions' order at once, as bytes."""
    shape, dtype = variable.shape, graph_dtype(variable.dtype)
    for axis, dim in enumerate(shape):
        builder.symbols.setdefault(str(dim), (key, axis))
    value = Value(key, shape, dtype, straight(len(shape)))
    if len(order) != len(shape):
        return value
    return Value(builder.tensor(value, order), shape, dtype, order)


def _apply(builder: Builder, step: Step, values: Sequence[Value]) -> Sequence[Value]:
    if step.name == BARRIER:
        return values
    if step.name in SPLITS:
        return SPLITS[step.name](builder, step, values)
    if step.name in elementwise.ELEMENTWISE:
        values = [spread(value, step.outputs[0].shape) for value in values]
    return [RULES[step.name](builder, step, values)]


def _constant(array: np.ndarray, variable: Variable) -> Value:
    return constant_value(array.astype(graph_dtype(variable.dtype), copy=False), variable.shape)


def _described(key: str, variable: Variable) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(graph_dtype(variable.dtype))
    return helper.make_tensor_value_info(key, kind, _sizes(variable.shape))


def _sizes(shape: Shape) -> list[int | str]:
    return [int(dim) if isinstance(dim, int) else str(dim) for dim in shape]
