"""Counts what a program does, in the text of its HLO: kernels, FLOPs and bytes.

XLA's own cost analysis knows nothing of the calls of cuDNN that convolutions become on GPUs. Here
an operation that is left in the compiled program is a kernel, which reads its operands and writes
its result. Of an array that it takes a slice of, or gathers rows of, it reads those alone, and one
that it updates in place it writes as far as it changes.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.hlo_text import Computation, Operation, Shape, read

# Operations that move nothing.
_FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all"),
    *("opt-barrier", "while", "partition-id", "replica-id"),
}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_HOST = ("infeed", "outfeed", "send", "recv", "callback", "xla_python", "xla_ffi_python")


class Kernel(NamedTuple):
    """An operation that is left when a program is compiled."""

    name: str
    flops: int  # of convolutions and products
    nbytes: int  # read and written


class Module:
    """A program in HLO."""

    def __init__(self, text: str) -> None:
        """Reads what `jax.stages.Compiled.as_text` gives, or `Lowered.as_text("hlo")`."""
        self.text = text
        self.computations, self.entry = read(text)

    def loop(self) -> Operation | None:
        """Returns the outermost loop that does most of the work: that of the steps.

        Random numbers are drawn in loops too, which have neither convolutions nor products.
        """
        loops = [x for x in self.computations[self.entry].values() if x.opcode == "while"]
        bodies = [x.attribute("body").lstrip("%") for x in loops]
        working = [
            (len(self.computations[body]), loop)
            for loop, body in zip(loops, bodies, strict=True)
            if self._flops(body)
        ]
        return max(working, key=lambda pair: pair[0])[1] if working else None

    def known_trip_count(self) -> int | None:
        """Returns how many steps the compiler knows that the loop takes; None where it doesn't."""
        loop = self.loop()
        match = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.rest) if loop else None
        return int(match[1]) if match else None

    def step(self) -> list[Kernel]:
        """Returns the kernels of a step: of the loop's body, or of a program without a loop."""
        return list(self._kernels(self._step()))

    def around(self) -> list[Kernel]:
        """Returns the kernels of a call that are outside of its loop of steps."""
        return list(self._kernels(self.entry)) if self.loop() else []

    def _step(self) -> str:
        loop = self.loop()
        return loop.attribute("body").lstrip("%") if loop else self.entry

    def flops(self) -> int:
        """Returns the FLOPs of convolutions and products; of a loop, those of one step."""
        return self._flops(self.entry)

    def operations(self) -> Iterator[Operation]:
        """Yields the operations of all computations."""
        for computation in self.computations.values():
            yield from computation.values()

    def collectives(self) -> list[Operation]:
        """Returns the operations of a step that devices take together."""
        kinds = {*_COLLECTIVES, *(f"{kind}-start" for kind in _COLLECTIVES)}
        return [x for x in self.computations[self._step()].values() if x.opcode in kinds]

    def host_calls(self) -> list[str]:
        """Returns the names of operations that call the host or wait for it."""
        return [
            x.name
            for x in self.operations()
            if x.opcode in _HOST or any(word in x.attribute("custom_call_target") for word in _HOST)
        ]

    def donated(self) -> int:
        """Returns how many arguments are given up to results."""
        return len(re.findall(r"(?:may|must)-alias", self.text.split("\n", 1)[0]))

    def may_use_tf32(self) -> list[str]:
        """Returns the convolutions and products of float32 that may round to TF32 first."""
        products = [x for x in self.operations() if x.opcode == "dot"]
        names = []
        for operation in [*products, *self.convolutions()]:
            exact = "highest" in operation.attribute("operand_precision")
            if operation.shapes[0].dtype == "f32" and not exact:
                names.append(operation.name)
        return names

    def convolutions(self) -> list[Operation]:
        """Returns the convolutions, as such or as calls of a library."""
        return [
            x
            for x in self.operations()
            if x.opcode == "convolution" or "conv" in x.attribute("custom_call_target").lower()
        ]

    def _kernels(self, name: str) -> Iterator[Kernel]:
        computation = self.computations[name]
        for operation in computation.values():
            if operation.opcode in ("call", "conditional"):
                for inner in self._called(operation):
                    yield from self._kernels(inner)
            elif operation.opcode not in _FREE and not operation.opcode.endswith("-done"):
                flops = self._flops_of(computation, operation)
                yield Kernel(operation.name, flops, self._bytes_of(operation, computation))

    def _bytes_of(self, operation: Operation, computation: Computation) -> int:
        """Returns the bytes that a kernel reads and writes."""
        sizes = [_size(computation, operand) for operand in operation.operands]
        if operation.opcode in ("slice", "dynamic-slice", "gather"):
            return 2 * operation.nbytes + sum(sizes[1:])
        if operation.opcode == "dynamic-update-slice":
            return 2 * sizes[1]
        if operation.opcode != "fusion":
            return operation.nbytes + sum(sizes)
        inner = self.computations[operation.attribute("calls").lstrip("%")]
        root = next(x for x in inner.values() if x.root)
        parts = [inner[name] for name, _ in root.operands] if root.opcode == "tuple" else [root]
        written = sum(_written(inner, part) for part in parts)
        parameters = [x for x in inner.values() if x.opcode == "parameter"]
        read = sum(_read(inner, parameter) for parameter in parameters)
        return written + read

    def _flops(self, name: str) -> int:
        computation = self.computations[name]
        return sum(self._flops_of(computation, operation) for operation in computation.values())

    def _flops_of(self, computation: Computation, operation: Operation) -> int:
        if operation.opcode == "dot":
            axes = operation.attribute("lhs_contracting_dims")
            left = _shape_of(computation, operation.operands[0])
            terms = math.prod(left.sizes[int(axis)] for axis in axes.split(",") if axis)
            return 2 * operation.shapes[0].elements * terms
        if operation.opcode == "convolution":
            return _convolution_flops(computation, operation)
        if "$conv" in operation.attribute("custom_call_target"):
            return _call_flops(computation, operation)
        return sum(map(self._flops, self._called(operation)))

    def _called(self, operation: Operation) -> list[str]:
        if operation.opcode not in ("call", "fusion", "while", "conditional"):
            return []
        names = []
        for key in ("to_apply", "calls", "body", "true_computation", "false_computation"):
            names += [operation.attribute(key).lstrip("%")]
        names += re.findall(r"%?([\w.\-]+)", operation.attribute("branch_computations"))
        return [name for name in names if name in self.computations]


def _convolution_flops(computation: Computation, operation: Operation) -> int:
    """Returns 2 x results x products of each, without those with zeros between strided ones."""
    window, labels = operation.attribute("window"), operation.attribute("dim_labels")
    kernel = _shape_of(computation, operation.operands[1])
    inputs = kernel.sizes[labels.split("_")[1].split("-")[0].index("i")]
    terms = math.prod(_numbers(window, "size")) * inputs
    return 2 * operation.shapes[0].elements * terms // math.prod(_numbers(window, "lhs_dilate"))


def _call_flops(computation: Computation, operation: Operation) -> int:
    """Returns the FLOPs of a call of cuDNN: 2 x maps x kernel, by its outputs' number."""
    target = operation.attribute("custom_call_target")
    first, second = (_shape_of(computation, operand) for operand in operation.operands[:2])
    result = operation.shapes[0]
    if "BackwardFilter" in target:
        maps, kernel = second, result
    else:
        maps, kernel = (first if "BackwardInput" in target else result), second
    outputs = kernel.sizes[operation.attribute("dim_labels").split("_")[1].split("-")[0].index("o")]
    return 2 * maps.elements * kernel.elements // outputs


def _numbers(window: str, key: str) -> list[int]:
    match = re.search(rf"\b{key}=([\dx]+)", window)
    return [int(n) for n in match[1].split("x")] if match else []


def _written(inner: Computation, part: Operation) -> int:
    while part.opcode == "bitcast":
        part = inner[part.operands[0][0]]
    return _size(inner, part.operands[1]) if part.opcode == "dynamic-update-slice" else part.nbytes


def _read(inner: Computation, parameter: Operation) -> int:
    """Returns the bytes of a parameter that a fusion reads."""
    (shape, *others) = parameter.shapes
    if others:
        return parameter.nbytes
    return shape.nbytes * _elements_read(inner, parameter) // max(1, shape.elements)


def _elements_read(inner: Computation, operation: Operation) -> int:
    """Returns the elements that the others in a fusion take of what an operation gives."""
    total, whole = 0, operation.shapes[0].elements
    for user in inner.values():
        at = [index for index, (name, _) in enumerate(user.operands) if name == operation.name]
        if not at:
            continue
        if user.opcode in ("bitcast", "convert"):
            total += whole if user.root else _elements_read(inner, user)
        elif at == [0] and user.opcode in ("slice", "dynamic-slice", "gather"):
            total += user.shapes[0].elements
        elif at != [0] or user.opcode != "dynamic-update-slice":
            return whole
    return min(whole, total)


def _shape_of(computation: Computation, operand: tuple[str, int | None]) -> Shape:
    name, part = operand
    return computation[name].shapes[part or 0]


def _size(computation: Computation, operand: tuple[str, int | None]) -> int:
    name, part = operand
    operation = computation.get(name)
    if operation is None:
        return 0
    return operation.nbytes if part is None else operation.shapes[part].nbytes
