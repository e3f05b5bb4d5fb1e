"""A traced function as one list of primitives, with every call inside it written out."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive

Dim = Any  # an int, or JAX's symbolic dimension, whose class has no public name
Shape = tuple[Dim, ...]
# Primitives that call a function and are nothing else when nobody differentiates, with the
# parameter that holds it.
_CALLS = {
    **dict.fromkeys(("jit", "pjit", "checkpoint", "remat", "remat2"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "custom_jvp_call"), "call_jaxpr"),
    **dict.fromkeys(("custom_vjp_call", "custom_vjp_call_jaxpr"), "call_jaxpr"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Variable:
    """An array of the traced function; two are the same only if they are one object."""

    shape: Shape
    dtype: np.dtype


class Step(NamedTuple):
    """A primitive with the variables that it reads and makes."""

    primitive: Primitive
    params: Mapping[str, Any]
    inputs: Sequence[Variable]
    outputs: Sequence[Variable]

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.primitive.name

    def __str__(self) -> str:
        shapes = ", ".join(f"{v.dtype}{list(v.shape)}" for v in self.inputs)
        return f"{self.name}({shapes})"


class FlatProgram(NamedTuple):
    """A function without calls.

    Attributes:
      inputs: what it is called with.
      constants: the arrays that it holds.
      steps: its primitives, in an order in which they can run.
      outputs: what it returns.
    """

    inputs: Sequence[Variable]
    constants: Mapping[Variable, np.ndarray]
    steps: Sequence[Step]
    outputs: Sequence[Variable]


def flattened(traced: ClosedJaxpr) -> FlatProgram:
    """Writes out every call inside a traced function."""
    constants: dict[Variable, np.ndarray] = {}
    steps: list[Step] = []

    def walk(jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Variable]) -> list[Variable]:
        names = dict(zip(jaxpr.invars, inputs, strict=True))
        for name, value in zip(jaxpr.constvars, consts, strict=True):
            names[name] = constant(value, name.aval)

        def read(atom: Any) -> Variable:
            return constant(atom.val, atom.aval) if isinstance(atom, Literal) else names[atom]

        for equation in jaxpr.eqns:
            arguments = [read(atom) for atom in equation.invars]
            inner = _called(equation)
            if inner is None:
                results = [_variable(out.aval) for out in equation.outvars]
                steps.append(Step(equation.primitive, equation.params, arguments, results))
            else:
                results = walk(*inner, arguments)
            names |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def constant(value: Any, aval: Any) -> Variable:
        variable = _variable(aval)
        constants[variable] = np.asarray(value, variable.dtype)
        return variable

    inputs = [_variable(name.aval) for name in traced.jaxpr.invars]
    outputs = walk(traced.jaxpr, traced.consts, inputs)
    return FlatProgram(inputs, constants, _read(steps, outputs), outputs)


def _read(steps: Sequence[Step], outputs: Sequence[Variable]) -> list[Step]:
    """Returns the steps whose results are read."""
    needed, left = set(outputs), []
    for step in reversed(steps):
        if needed.intersection(step.outputs):
            left.append(step)
            needed.update(step.inputs)
    return left[::-1]


def _called(equation: JaxprEqn) -> tuple[Jaxpr, Sequence[Any]] | None:
    """Returns the function that an equation calls and the arrays that it holds, if it calls one."""
    key = _CALLS.get(equation.primitive.name)
    if key is None:
        return None
    inner: Any = equation.params.get(key, equation.params.get("fun_jaxpr"))
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


def _variable(aval: Any) -> Variable:
    try:
        dtype = np.dtype(aval.dtype)
    except (AttributeError, TypeError):
        raise ValueError(f"function: {aval} has no form in ONNX") from None
    return Variable(tuple(aval.shape), dtype)


def is_symbolic(dim: Dim) -> bool:
    """Returns whether a dimension is known only when the model runs."""
    return jax.export.is_symbolic_dim(dim)


def symbolic_dims(shape: Shape) -> list[str]:
    """Returns a shape's symbolic dimensions as text, sorted."""
    return sorted(str(dim) for dim in shape if is_symbolic(dim))


def readers(program: FlatProgram) -> Iterator[Variable]:
    """Gives every variable that is read, by a step or as a result."""
    for step in program.steps:
        yield from step.inputs
    yield from program.outputs
