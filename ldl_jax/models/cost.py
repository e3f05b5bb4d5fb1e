"""The cost of a network: its parameters, its multiply-adds, and the memory of a forward pass."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from ldl_jax.models import convolution
from ldl_jax.models.functional import ModelState, Params


class Cost(NamedTuple):
    """The cost of a network for one picture."""

    parameters: int  # how many numbers training changes
    statistics: int  # how many numbers the running statistics have
    multiply_adds: int  # those of inference, see the function `multiply_adds`
    # The bytes that XLA sets aside in inference, beside the arguments and the result; None where
    # they were not asked for or XLA does not tell.
    activations: int | None

    @property
    def size(self) -> int:
        """The bytes of the parameters and statistics in float32."""
        return 4 * (self.parameters + self.statistics)


def measure(
    function: Callable[[Params, ModelState, jax.Array], object],
    params: Params,
    model_state: ModelState,
    size: int,
    *,
    activations: bool = True,
) -> Cost:
    """Returns the cost of `function(params, model_state, images)` for one picture.

    Only shapes are used; nothing is computed.

    Args:
      function: the network in inference, with its head.
      params: its parameters, or their shapes as of `jax.eval_shape`.
      model_state: its running statistics, or their shapes.
      size: the side of the picture in pixels.
      activations: whether to compile the function, which tells its memory.
    """
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    arguments = (params, model_state, images)
    memory = None
    if activations:
        analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
        memory = getattr(analysis, "temp_size_in_bytes", None)
    return Cost(_count(params), _count(model_state), multiply_adds(function, *arguments), memory)


def multiply_adds(function: Callable[..., object], *arguments: object) -> int:
    """Returns the multiply-adds (MACs) of a function's matrix products and convolutions.

    They are counted in its jaxpr, with every convolution in XLA's own form, and include the zeros
    of a padding. Normalisation, activation and pooling are left out, as is customary.
    """
    with convolution.plain():
        # JAX caches the trace of a function, so a new function object is traced anew in this form.
        traced = jax.make_jaxpr(functools.partial(function))(*arguments)
    return _in_jaxpr(traced.jaxpr)


def _in_jaxpr(jaxpr: Jaxpr) -> int:
    return sum(_in_equation(equation) for equation in jaxpr.eqns)


def _in_equation(equation: JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = _shape(equation.invars[0])
        terms = math.prod(shape[axis] for axis in contracted)
        return math.prod(_shape(equation.outvars[0])) * terms
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return math.prod(_shape(equation.outvars[0])) * math.prod(kernel) // outputs
    times = params["length"] if name == "scan" else 1
    return times * sum(_in_jaxpr(inner) for inner in _inner(params.values()))


def _inner(values: Iterable[object]) -> Iterator[Jaxpr]:
    """Gives the jaxprs among an equation's parameters."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _inner(value)
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, ClosedJaxpr):  # the same class as Jaxpr from jax 0.12 on
            yield value.jaxpr


def _shape(variable: Var | Literal) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())


def _count(tree: Params | ModelState) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
