"""What a network costs: its arrays, its multiply-adds, and the memory of a forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from ldl_jax.models import convolution


class Cost(NamedTuple):
    """Of one picture.

    Attributes:
      parameters: how many numbers training changes.
      statistics: how many more the network keeps, the running statistics.
      multiply_adds: those of its matrix products and convolutions, see `multiply_adds`.
      activations: bytes that XLA sets aside in inference beside the arguments and the result; None
        where it was not asked for or XLA does not tell.
    """

    parameters: int
    statistics: int
    multiply_adds: int
    activations: int | None

    @property
    def size(self) -> int:
        """Bytes of the parameters and statistics in float32, as a file without its headers."""
        return 4 * (self.parameters + self.statistics)


def measure(
    function: Callable[[Any, Any, jax.Array], Any],
    params: Any,
    model_state: Any,
    size: int,
    *,
    activations: bool = True,
) -> Cost:
    """The cost of `function(params, model_state, images)` for one picture, of shapes alone.

    Args:
      function: the network in inference, with its head.
      params: its parameters, or their shapes as of `jax.eval_shape`.
      model_state: its running statistics, or their shapes.
      size: the side of the picture.
      activations: whether to compile, for the memory.
    """
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    arguments = (params, model_state, images)
    memory = None
    if activations:
        analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
        memory = getattr(analysis, "temp_size_in_bytes", None)
    return Cost(_count(params), _count(model_state), multiply_adds(function, *arguments), memory)


def multiply_adds(function: Callable[..., Any], *arguments: Any) -> int:
    """The multiply-adds (MACs) of a function's matrix products and convolutions.

    Counted in its jaxpr, with every convolution in XLA's own form; what surrounds them, such as
    normalisation, activation and pooling, is left out, as is customary. Zeros of a padding count.
    """

    # A new function each time: JAX keeps what it traced, and would keep the forms with it.
    def plainly(*arrays: Any) -> Any:
        return function(*arrays)

    with convolution.plain():
        return _in_jaxpr(jax.make_jaxpr(plainly)(*arguments).jaxpr)


def _in_jaxpr(jaxpr: Any) -> int:
    return sum(_in_equation(equation) for equation in jaxpr.eqns)


def _in_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        outputs = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        return equation.outvars[0].aval.size * kernel.size // outputs
    times = params["length"] if name == "scan" else 1
    return times * sum(_in_jaxpr(inner) for inner in _inner(params.values()))


def _inner(values: Any) -> Iterator[Any]:
    """The jaxprs among an equation's parameters."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _inner(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def _count(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
