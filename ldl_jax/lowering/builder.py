"""The ONNX graph while it grows: its nodes, its constants, and the sizes known at run time."""

import ast
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ldl_jax.lowering.steps import Dim, Shape, is_symbolic
from ldl_jax.lowering.values import Value, straight

# The newest that ONNX Runtime reads since release 1.15, in browsers too.
OPSET, IR_VERSION = 18, 8
_DIVISIONS = {"floordiv": "Div", "mod": "Mod", "max": "Max", "min": "Min"}
_SUMS: dict[type[ast.operator], str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}


class Builder:
    """Collects nodes; an operation returns the name of its result.

    Attributes:
      nodes: in an order in which they can run.
      symbols: for each symbolic dimension the input and its axis that has it.
      rectified: for the result of a ReLU what it was of.
      scales: for the result of a multiplication by one number what was multiplied, and by what.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.symbols: dict[str, tuple[str, int]] = {}
        self.rectified: dict[str, str] = {}
        self.scales: dict[str, tuple[str, float]] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._dims: dict[str, str] = {}
        self._moved: dict[tuple[str, tuple[int, ...]], str] = {}

    def nodes_of(self, op: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Adds a node with several results and returns their names."""
        name = f"{op.lower()}_{len(self.nodes)}"
        outputs = [f"{name}_{index}" for index in range(count)]
        attributes.setdefault("name", name)
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node and returns the name of its result."""
        return self.nodes_of(op, inputs, 1, **attributes)[0]

    def constant(self, array: np.ndarray) -> str:
        """Returns the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = str(array.dtype), array.shape, array.tobytes()
        if key not in self._names:
            self._names[key] = f"constant_{len(self._names)}"
            self._arrays[self._names[key]] = array
        return self._names[key]

    def numbers(self, values: Sequence[int]) -> str:
        """Returns the name of a constant of whole numbers, as axes and sizes are."""
        return self.constant(np.asarray(values, np.int64))

    def tensor(self, value: Value, order: Sequence[int] | None = None) -> str:
        """Returns the tensor of a value with its axes in an order, by default the array's."""
        order = straight(len(value.shape)) if order is None else tuple(order)
        if isinstance(value.source, np.ndarray):
            at_once = [value.position(axis) for axis in order]
            return self.constant(value.source.transpose(at_once))
        if order == value.order:
            return value.source
        perm = tuple(value.position(axis) for axis in order)
        if (value.source, perm) not in self._moved:
            moved = self.node("Transpose", [value.source], perm=perm)
            self._moved[value.source, perm] = moved
        return self._moved[value.source, perm]

    def dense(self, value: Value, keep: frozenset[int] = frozenset()) -> Value:
        """Returns a value with all of its elements stored, but for the axes `keep`."""
        spread = value.thin - keep
        if not spread:
            return value
        if isinstance(value.source, np.ndarray):
            lengths = [value.shape[a] if a in spread else 1 for a in value.order]
            if not any(is_symbolic(length) for length in lengths):
                whole = np.broadcast_to(
                    value.source, np.broadcast_shapes(value.source.shape, lengths)
                )
                return dataclasses.replace(value, source=whole, thin=value.thin & keep)
        wide = [value.shape[axis] if axis in spread else 1 for axis in value.order]
        name = self.node("Expand", [self.tensor(value, value.order), self.dims(wide)])
        return dataclasses.replace(value, source=name, thin=value.thin & keep)

    def whole(self, value: Value) -> str:
        """Returns the tensor of a value as the array is: each element, the axes in order."""
        return self.tensor(self.dense(value))

    def made(
        self,
        name: str,
        like: tuple[Shape, np.dtype],
        order: Sequence[int] | None = None,
        thin: frozenset[int] = frozenset(),
    ) -> Value:
        """Returns the value of a new tensor for an array of that shape and type."""
        shape, dtype = like
        return Value(name, shape, dtype, straight(len(shape)) if order is None else (*order,), thin)

    def dims(self, shape: Sequence[Dim]) -> str:
        """Returns the name of a vector of sizes, as they are when the model runs."""
        if not any(is_symbolic(dim) for dim in shape):
            return self.numbers([int(dim) for dim in shape])
        return self.node("Concat", [self._dim(dim) for dim in shape], axis=0)

    def target(self, shape: Sequence[Dim]) -> str:
        """Returns the name of the sizes that a reshaping asks for."""
        symbolic = [is_symbolic(dim) for dim in shape]
        if sum(symbolic) == 1 and 0 not in shape:
            return self.numbers([-1 if s else int(d) for s, d in zip(symbolic, shape, strict=True)])
        return self.dims(shape)

    def reshaped(self, name: str, shape: Sequence[Dim]) -> str:
        """Reshapes a tensor."""
        return self.node("Reshape", [name, self.target(shape)])

    def cast(self, name: str, dtype: np.dtype) -> str:
        """Converts a tensor to another type."""
        return self.node("Cast", [name], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _dim(self, dim: Dim) -> str:
        text = str(dim)
        if text not in self._dims:
            self._dims[text] = self._evaluated(ast.parse(text.replace("^", "**"), mode="eval").body)
        return self._dims[text]

    def _evaluated(self, expression: ast.expr) -> str:
        """Adds the nodes that compute a symbolic dimension, as JAX writes it: 2*B + floordiv(H, 2).

        Raises:
          ValueError: it holds something else.
        """
        match expression:
            case ast.Constant(value=int(number)):
                return self.numbers([number])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", [self._evaluated(operand)])
            case ast.Name(id=symbol) if symbol in self.symbols:
                name, axis = self.symbols[symbol]
                return self.node("Shape", [name], start=axis, end=axis + 1)
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))):
                factors = [self._evaluated(left)] * power
                return functools.reduce(lambda a, b: self.node("Mul", [a, b]), factors)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                return self.node(_SUMS[type(op)], [self._evaluated(left), self._evaluated(right)])
            case ast.Call(func=ast.Name(id=word), args=arguments) if word in _DIVISIONS:
                return self.node(_DIVISIONS[word], [self._evaluated(x) for x in arguments])
        raise ValueError(f"inputs: the size {ast.unparse(expression)} has no form in ONNX")

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        name: str,
    ) -> onnx.ModelProto:
        """Returns the model of the nodes that the outputs need."""
        needed = {output.name for output in outputs}
        nodes = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(node.input)
        arrays = [
            numpy_helper.from_array(array, key)
            for key, array in self._arrays.items()
            if key in needed
        ]
        graph = helper.make_graph(nodes[::-1], name, inputs, outputs, initializer=arrays)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="ldl_jax")
        model.ir_version = IR_VERSION
        return model
