"""Computes once, while a model is written, what does not depend on its inputs.

A symbolic dimension stands for one element here: a result that is the same along it is computed
for that element alone, and counts for all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ldl_jax.lowering.elementwise import ELEMENTWISE
from ldl_jax.lowering.steps import FlatProgram, Step, Variable, is_symbolic, readers

_ALONG = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")


def known(program: FlatProgram) -> tuple[dict[Variable, np.ndarray], list[Step]]:
    """Returns the constants that a program reads at last, and the steps that are left.

    An axis of a constant may have one element where its variable has more: it counts for all.
    """
    knowable = set(program.constants)
    early: list[Step] = []
    left: list[Step] = []
    for step in program.steps:
        if _can_be_known(step, knowable):
            early.append(step)
            knowable.update(step.outputs)
        else:
            left.append(step)
    needed = {v for v in readers(program._replace(steps=left)) if v in knowable}
    constants = {v: program.constants[v] for v in needed if v in program.constants}
    wanted = [v for v in needed if v not in program.constants]
    if wanted:
        arrays = _computed(early, program.constants, wanted)
        constants |= {v: np.asarray(x) for v, x in zip(wanted, arrays, strict=True)}
    return constants, left


def _can_be_known(step: Step, knowable: set[Variable]) -> bool:
    if step.name == "dim_as_value" or len(step.outputs) != 1:
        return False
    if not all(v in knowable for v in step.inputs):
        return False
    shape = step.outputs[0].shape
    if not all(str(dim).isidentifier() for dim in shape if is_symbolic(dim)):
        return False
    if step.name == "iota":
        return not is_symbolic(shape[step.params["dimension"]])
    if step.name in _ALONG and is_symbolic(shape[step.params["axis"]]):
        return False
    sizes = [str(dim) for dim in shape]
    # A sum over a symbolic dimension is not what one element of it gives.
    return all(str(d) in sizes for v in step.inputs for d in v.shape if is_symbolic(d))


def _computed(
    steps: Sequence[Step], constants: Mapping[Variable, np.ndarray], wanted: Sequence[Variable]
) -> list[jax.Array]:
    makers = {v: step for step in steps for v in step.outputs}
    needed, stack = set(), list(wanted)
    while stack:
        variable = stack.pop()
        if variable in needed:
            continue
        needed.add(variable)
        if variable in makers:
            stack += makers[variable].inputs
    read = {v: constants[v] for v in needed if v in constants}
    steps = [step for step in steps if step.outputs[0] in needed]

    def compute(arrays: Sequence[jax.Array]) -> list[jax.Array]:
        known = dict(zip(read, arrays, strict=True))
        for step in steps:
            known[step.outputs[0]] = _once(step, [known[v] for v in step.inputs])
        return [known[v] for v in wanted]

    return jax.jit(compute)([*read.values()])


def _once(step: Step, arrays: Sequence[jax.Array]) -> jax.Array:
    """Returns a step's result for one element of each symbolic dimension."""
    params = {key: _single(value) for key, value in step.params.items()}
    shape = step.outputs[0].shape
    if step.name == "iota":
        axis = params["dimension"]
        line = lax.iota(params["dtype"], shape[axis])
        return line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    if step.name == "broadcast_in_dim":
        wide = [1] * len(shape)
        for axis, length in zip(params["broadcast_dimensions"], arrays[0].shape, strict=True):
            wide[axis] = length
        return arrays[0].reshape(wide)
    if step.name in ELEMENTWISE:
        common = jnp.broadcast_shapes(*(x.shape for x in arrays))
        arrays = [jnp.broadcast_to(x, common) if x.ndim else x for x in arrays]
    else:
        shapes = (_single(v.shape) for v in step.inputs)
        arrays = [jnp.broadcast_to(x, s) for x, s in zip(arrays, shapes, strict=True)]
    result = step.primitive.bind(*arrays, **params)
    return result[0] if step.primitive.multiple_results else result


def _single(value: Any) -> Any:
    """Returns a parameter with one element for each symbolic dimension in it."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_single(x) for x in value)
    return 1 if is_symbolic(value) else value
