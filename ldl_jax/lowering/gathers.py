"""The ONNX form of gathering by an index along one axis, as `jnp.take_along_axis` does it."""

from collections.abc import Sequence

import numpy as np

from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.elementwise import Rule, held
from ldl_jax.lowering.shapes import cut_out
from ldl_jax.lowering.steps import Dim, Step
from ldl_jax.lowering.values import Value, without


def _gather(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x, index = values
    if len(index.shape) == 1:
        return _cut(builder, step, x, index)
    numbers, sizes = step.params["dimension_numbers"], step.params["slice_sizes"]
    batching = numbers.operand_batching_dims
    along = numbers.start_index_map
    others = [axis for axis in range(len(x.shape)) if axis not in (*along, *batching)]
    whole = all(sizes[axis] == x.shape[axis] for axis in others)
    if len(along) != 1 or sizes[along[0]] != 1 or not whole or index.shape[-1] != 1:
        raise ValueError(f"function: {step} gathers along several axes, which has no form in ONNX")
    (axis,) = along
    of_batch = numbers.start_indices_batching_dims
    if not set(of_batch) <= index.thin:
        raise ValueError(
            f"function: {step} gathers by an index that each row of a batch has for itself, which "
            "has no form in ONNX; a comparison with the positions and a sum has one"
        )
    return _along(builder, step, x, index, axis)


def _cut(builder: Builder, step: Step, x: Value, index: Value) -> Value:
    """Cuts one slice out, as JAX writes x[:, 1:3] where a size is symbolic."""
    numbers, sizes = step.params["dimension_numbers"], step.params["slice_sizes"]
    x = builder.dense(x)
    name = builder.tensor(x, x.order)
    for position, axis in enumerate(numbers.start_index_map):
        start: np.ndarray | str
        if index.constant is not None:
            start = index.constant[position]
        else:
            entry = builder.constant(np.asarray(position, np.int64))
            start = builder.node("Gather", [builder.tensor(index), entry])
        name = cut_out(builder, x, axis, start, sizes[axis], name)
    gone = numbers.collapsed_slice_dims
    if gone:
        places = builder.numbers(sorted(x.position(axis) for axis in gone))
        name = builder.node("Squeeze", [name, places])
    return builder.made(name, held(step), without(x.order, gone))


def _along(builder: Builder, step: Step, x: Value, index: Value, axis: int) -> Value:
    """Gathers with one index for all rows of a batch."""
    numbers = step.params["dimension_numbers"]
    free = [a for a in range(len(index.shape) - 1) if a not in numbers.start_indices_batching_dims]
    x = builder.dense(x, x.thin - {axis})
    index = builder.dense(index, index.thin - frozenset(free))
    # Only the free axes of the index are left: the others have one element.
    name = builder.tensor(x, x.order)
    if len(free) != 1 or not _is_all(index, x.shape[axis]):
        places = _within(builder, step, index, x.shape[axis])
        places = builder.node("Reshape", [places, builder.target([index.shape[a] for a in free])])
        name = builder.node("Gather", [name, places], axis=x.position(axis))
    # The slices' axes have positions of their own in the result, those of the index the rest.
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    slices = [a for a in range(len(x.shape)) if a not in gone]
    shape, dtype = held(step)
    of_index = [a for a in range(len(shape)) if a not in numbers.offset_dims]
    batches = dict(
        zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True)
    )
    ends: dict[int, int] = dict(zip(slices, numbers.offset_dims, strict=True))
    ends |= {a: of_index[position] for a, position in batches.items()}
    order: list[int] = []
    for a in x.order:
        order += [of_index[position] for position in free] if a == axis else [ends[a]]
    if axis in ends:  # the slice of one element has an axis of its own, which comes last
        name = builder.node("Unsqueeze", [name, builder.numbers([len(order)])])
        order.append(ends[axis])
    thin = frozenset(ends[a] for a in x.thin if a != axis)
    return builder.made(name, (shape, dtype), order, thin)


def _is_all(index: Value, length: Dim) -> bool:
    """Returns whether an index is that of every element in turn, as JAX writes x[:, ::-1]."""
    known = index.constant
    return (
        known is not None
        and np.array_equal(known.reshape(-1), np.arange(known.size))
        and (known.size == length)
    )


def _within(builder: Builder, step: Step, index: Value, length: int) -> str:
    """Returns an index without positions beyond the end.

    Raises:
      ValueError: JAX would fill what such a position gives, and it is not known that none comes.
    """
    fills = "FILL" in str(step.params["mode"])
    known = index.constant
    if known is not None:
        if fills and (known.min(initial=0) < 0 or known.max(initial=0) >= length):
            raise ValueError(f"function: {step} reads beyond the end, which has no form in ONNX")
        return builder.constant(np.clip(known, 0, length - 1).astype(np.int64))
    if fills:
        raise ValueError(
            f'function: {step} fills what lies beyond the end; give mode="clip", or another form'
        )
    name = builder.cast(builder.tensor(index), np.dtype(np.int64))
    low, high = (builder.constant(np.asarray(x, np.int64)) for x in (0, length - 1))
    return builder.node("Min", [builder.node("Max", [name, low]), high])


RULES: dict[str, Rule] = {"gather": _gather}
