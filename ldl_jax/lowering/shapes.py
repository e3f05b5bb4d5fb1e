"""The ONNX form of primitives that move elements, and compute nothing."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ldl_jax.lowering.builder import Builder
from ldl_jax.lowering.elementwise import Rule, held
from ldl_jax.lowering.steps import Dim, Shape, Step, is_symbolic
from ldl_jax.lowering.values import Value, constant_value, without

MIRROR = "mirror"  # how the name of a product begins that only moves elements
_MIRRORED = 512  # the longest rows that are mirrored by a product
_TO_THE_START = np.iinfo(np.int64).min  # where a slice that runs backwards ends


def _broadcast(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    shape, dtype = held(step)
    axes = step.params["broadcast_dimensions"]
    new = [axis for axis in range(len(shape)) if axis not in axes]
    thin = {axes[axis] for axis in x.thin} | {axis for axis in new if shape[axis] != 1}
    thin |= {axes[a] for a, d in enumerate(x.shape) if d == 1 and shape[axes[a]] != 1}
    # The new axes stand last in the tensor: so [B, C] to [B, 1, 1, C] is ONNX's own order of maps.
    order = (*(axes[axis] for axis in x.order), *new)
    if isinstance(x.source, np.ndarray):
        wide = x.source.reshape(*x.source.shape, *[1] * len(new))
        array = wide.transpose([order.index(axis) for axis in range(len(shape))])
        return constant_value(array, shape)
    name = x.source
    if new:
        last = [len(x.shape) + index for index in range(len(new))]
        name = builder.node("Unsqueeze", [name, builder.numbers(last)])
    return builder.made(name, (shape, dtype), order, frozenset(thin))


def _squeeze(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    rank = len(x.shape)
    gone = [axis % rank for axis in step.params["dimensions"]]
    left = [axis for axis in range(rank) if axis not in gone]
    places = sorted(x.position(axis) for axis in gone)
    name = builder.node("Squeeze", [builder.tensor(x, x.order), builder.numbers(places)])
    thin = frozenset(left.index(axis) for axis in x.thin if axis in left)
    return builder.made(name, held(step), without(x.order, gone), thin)


def _transpose(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    perm = list(step.params["permutation"])
    order = tuple(perm.index(axis) for axis in x.order)
    thin = frozenset(perm.index(axis) for axis in x.thin)
    return dataclasses.replace(x, shape=held(step)[0], order=order, thin=thin)


def _reshape(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    shape, dtype = held(step)
    if tuple(shape) == tuple(x.shape):
        return x
    old = [axis for axis, dim in enumerate(x.shape) if dim != 1]
    new = [axis for axis, dim in enumerate(shape) if dim != 1]
    if [x.shape[a] for a in old] == [shape[a] for a in new]:  # only axes of 1 come or go
        thin = frozenset(new[old.index(axis)] for axis in x.thin)
        lengths = [1 if axis in thin else dim for axis, dim in enumerate(shape)]
        return builder.made(builder.reshaped(builder.tensor(x), lengths), (shape, dtype), thin=thin)
    count = _alike(x.shape, shape)
    thin = frozenset(axis for axis in x.thin if axis < count)
    lengths = [1 if axis in thin else dim for axis, dim in enumerate(shape)]
    name = builder.reshaped(builder.tensor(builder.dense(x, thin)), lengths)
    return builder.made(name, (shape, dtype), thin=thin)


def _alike(one: Shape, other: Shape) -> int:
    """Returns how many of the first axes of two shapes are the same."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _slice(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    starts, limits = step.params["start_indices"], step.params["limit_indices"]
    strides = step.params["strides"] or (1,) * len(starts)
    cut = [
        axis
        for axis, length in enumerate(x.shape)
        if axis not in x.thin and not (starts[axis] == 0 and limits[axis] == length)
    ]
    cut += [a for a, s in enumerate(strides) if s != 1 and a not in x.thin and a not in cut]
    name = builder.tensor(x, x.order)
    if cut:
        name = sliced(
            builder,
            name,
            [x.position(axis) for axis in cut],
            [starts[axis] for axis in cut],
            [limits[axis] for axis in cut],
            [strides[axis] for axis in cut],
        )
    shape, dtype = held(step)
    thin = frozenset(axis for axis in x.thin if shape[axis] != 1)
    return builder.made(name, (shape, dtype), x.order, thin)


def sliced(
    builder: Builder,
    name: str,
    axes: Sequence[int],
    starts: Sequence[Dim],
    ends: Sequence[Dim],
    steps: Sequence[int],
) -> str:
    """Cuts a tensor along its axes."""
    parts = [builder.dims(starts), builder.dims(ends), builder.numbers(axes)]
    return builder.node("Slice", [name, *parts, builder.numbers(steps)])


def _rev(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    (x,) = values
    axes = [x.position(axis) for axis in step.params["dimensions"] if axis not in x.thin]
    if not axes:
        return x
    length = x.shape[x.order[-1]] if x.order else 0
    last = axes == [len(x.order) - 1] and not is_symbolic(length)
    if last and x.dtype == np.float32 and length <= _MIRRORED:
        # ONNX Runtime copies such rows a number at a time; this product is exact and 20 times as
        # fast, since each sum has one term that is not 0.
        mirror = builder.constant(np.eye(length, dtype=np.float32)[::-1])
        factors, name = [builder.tensor(x, x.order), mirror], f"{MIRROR}_{len(builder.nodes)}"
        return dataclasses.replace(x, source=builder.node("MatMul", factors, name=name))
    count = len(axes)
    ends, steps = [_TO_THE_START] * count, [-1] * count
    name = sliced(builder, builder.tensor(x, x.order), axes, [-1] * count, ends, steps)
    return dataclasses.replace(x, source=name)


def _pad(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x, fill = values
    edges = step.params["padding_config"]
    if any(inner for _, _, inner in edges):
        raise ValueError(f"function: {step} pads between the elements, which ONNX cannot")
    x = builder.dense(x, frozenset(a for a in x.thin if not any(edges[a])))
    name = builder.tensor(x, x.order)
    cut = [axis for axis, (low, high, _) in enumerate(edges) if low < 0 or high < 0]
    if cut:
        starts = [max(0, -edges[axis][0]) for axis in cut]
        ends = [x.shape[axis] + min(0, edges[axis][1]) for axis in cut]
        places = [x.position(axis) for axis in cut]
        name = sliced(builder, name, places, starts, ends, [1] * len(cut))
    before = [max(0, edges[axis][0]) for axis in x.order]
    after = [max(0, edges[axis][1]) for axis in x.order]
    if any(before) or any(after):
        pads = builder.numbers([*before, *after])
        name = builder.node("Pad", [name, pads, builder.tensor(fill)])
    return builder.made(name, held(step), x.order, x.thin)


def _concatenate(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    axis = step.params["dimension"]
    order = max(values, key=lambda v: v.constant is None).order
    thin = frozenset.intersection(*(v.thin for v in values)) - {axis}
    names = [builder.tensor(builder.dense(v, thin), order) for v in values]
    name = builder.node("Concat", names, axis=order.index(axis)) if len(names) > 1 else names[0]
    return builder.made(name, held(step), order, thin)


def _split(builder: Builder, step: Step, values: Sequence[Value]) -> list[Value]:
    (x,) = values
    axis, sizes = step.params["axis"], step.params["sizes"]
    x = builder.dense(x, x.thin - {axis})
    inputs = [builder.tensor(x, x.order), builder.numbers(sizes)]
    names = builder.nodes_of("Split", inputs, len(sizes), axis=x.position(axis))
    return [
        builder.made(name, held(step, index), x.order, x.thin) for index, name in enumerate(names)
    ]


def _iota(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    shape, dtype = held(step)
    axis = step.params["dimension"]
    lengths = [-1 if a == axis else 1 for a in range(len(shape))]
    if not is_symbolic(shape[axis]):
        return constant_value(np.arange(shape[axis], dtype=dtype).reshape(lengths), shape)
    zero, unit = (builder.constant(np.asarray(x, np.int64)) for x in (0, 1))
    length = builder.node("Squeeze", [builder.dims([shape[axis]])])
    line = builder.node("Range", [zero, length, unit])
    name = builder.node("Reshape", [line, builder.numbers(lengths)])
    thin = frozenset(a for a, dim in enumerate(shape) if a != axis and dim != 1)
    return builder.made(builder.cast(name, dtype), (shape, dtype), thin=thin)


def cut_out(
    builder: Builder, x: Value, axis: int, start: np.ndarray | str, size: Dim, name: str
) -> str:
    """Cuts `size` elements out of the tensor `name` of x, along an axis of x.

    As JAX does, a start that is too large or below 0 is moved into the array.

    Args:
      builder: the graph.
      x: the array.
      axis: that of the array.
      start: the first element, a number that is known, or the name of a tensor of one number.
      size: how many.
      name: the tensor, with its axes in the order of x.
    """
    length = x.shape[axis]
    if size == length:
        return name
    places, room = [x.position(axis)], length - size
    if not isinstance(start, str) and not is_symbolic(room):
        first = min(max(int(start), 0), int(room))
        return sliced(builder, name, places, [first], [first + size], [1])
    start = start if isinstance(start, str) else builder.constant(start)
    one = builder.node("Reshape", [start, builder.numbers([1])])
    first_name = builder.cast(one, np.dtype(np.int64))
    first_name = builder.node("Max", [first_name, builder.numbers([0])])
    first_name = builder.node("Min", [first_name, builder.dims([room])])
    end = builder.node("Add", [first_name, builder.dims([size])])
    return builder.node("Slice", [name, first_name, end, builder.numbers(places)])


def _dim_as_value(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    number = builder.node("Squeeze", [builder.dims([step.params["dim"]])])
    like = held(step)
    return builder.made(builder.cast(number, like[1]), like)


def _dynamic_slice(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    x, *starts = values
    x = builder.dense(x)
    name = builder.tensor(x, x.order)
    sizes = step.params["slice_sizes"]
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        name = cut_out(builder, x, axis, start.source, size, name)
    return builder.made(name, held(step), x.order)


def _stack(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    axis = step.params["axis"]
    order = max(values, key=lambda v: v.constant is None).order
    thin = frozenset.intersection(*(v.thin for v in values))
    last = builder.numbers([len(order)])
    names = [
        builder.node("Unsqueeze", [builder.tensor(builder.dense(v, thin), order), last])
        for v in values
    ]
    # The new axis is the tensor's last, wherever it is in the array.
    moved = (*(a + (a >= axis) for a in order), axis)
    name = builder.node("Concat", names, axis=len(order)) if len(names) > 1 else names[0]
    return builder.made(name, held(step), moved, frozenset(a + (a >= axis) for a in thin))


def _unstack(builder: Builder, step: Step, values: Sequence[Value]) -> list[Value]:
    (x,) = values
    axis = step.params["axis"]
    x = builder.dense(x, x.thin - {axis})
    name, order = builder.tensor(x, x.order), without(x.order, [axis])
    thin = frozenset(a - (a > axis) for a in x.thin)
    results = []
    for index in range(len(step.outputs)):
        place = builder.constant(np.asarray(index, np.int64))
        taken = builder.node("Gather", [name, place], axis=x.position(axis))
        results.append(builder.made(taken, held(step, index), order, thin))
    return results


def _tile(builder: Builder, step: Step, values: Sequence[Value]) -> Value:
    reps = step.params["reps"]
    x = builder.dense(values[0])
    times = builder.dims([reps[axis] for axis in x.order])
    return builder.made(
        builder.node("Tile", [builder.tensor(x, x.order), times]), held(step), x.order
    )


RULES: dict[str, Rule] = {
    **{"broadcast_in_dim": _broadcast, "squeeze": _squeeze, "transpose": _transpose},
    **{"reshape": _reshape, "slice": _slice, "rev": _rev, "pad": _pad, "iota": _iota},
    **{"concatenate": _concatenate, "dynamic_slice": _dynamic_slice, "stack": _stack},
    **{"tile": _tile, "dim_as_value": _dim_as_value},
}
SPLITS = {"split": _split, "unstack": _unstack}
