"""Reads the text of a program in HLO: its computations, and their operations."""

import functools
import math
import re
from typing import NamedTuple

_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "c64": 8, "c128": 16}
_SHAPE = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_NAME = re.compile(r"%([\w.\-]+)(?:#(\d+))?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_COMMENT = re.compile(r"/\*.*?\*/")


class Shape(NamedTuple):
    """The type and the sizes of an array."""

    dtype: str
    sizes: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(self.sizes)

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        digits = re.search(r"\d+", self.dtype)
        width = _BYTES.get(self.dtype) or (int(digits[0]) // 8 if digits else 0)
        return self.elements * width


class Operation(NamedTuple):
    """Holds one line of a computation."""

    name: str
    opcode: str
    shapes: tuple[Shape, ...]  # of its result, or of the parts of it
    operands: tuple[tuple[str, int | None], ...]  # names, each with the part that is taken of it
    rest: str  # what follows the operands
    root: bool

    @property
    def nbytes(self) -> int:
        """The bytes of its result."""
        return sum(shape.nbytes for shape in self.shapes)

    def attribute(self, key: str) -> str:
        """Returns an attribute's text, "" where there is none."""
        match = re.search(rf"\b{key}=(\{{[^}}]*\}}|[^,\s]+)", self.rest)
        return match[1].strip("{}") if match else ""


Computation = dict[str, Operation]  # by their names, in order


def read(text: str) -> tuple[dict[str, Computation], str]:
    """Returns the computations of a program by name, and the name of the one that is entered."""
    computations: dict[str, Computation] = {}
    entry = ""
    current: Computation | None = None
    for line in text.splitlines():
        if line.startswith("}"):
            current = None
        elif current is None and (head := _HEAD.match(line)):
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif current is not None and (operation := _operation(line)):
            current[operation.name] = operation
    return computations, entry


def _operation(line: str) -> Operation | None:
    head = _LINE.match(line)
    if head is None:
        return None
    text = _COMMENT.sub("", line[head.end() :])
    kind, text = _balanced(text) if text.startswith("(") else text.split(" ", 1)
    opcode, _, text = text.strip().partition("(")
    inside, rest = _balanced("(" + text)
    names = [(name, int(part) if part else None) for name, part in _NAME.findall(inside)]
    if not names and opcode not in ("constant", "parameter", "iota"):  # without "%"
        words = [word.split()[-1] for word in inside.strip("()").split(", ") if word.strip()]
        names = [(word, None) for word in words]
    return Operation(head[2], opcode, _shapes(kind), tuple(names), rest, bool(head[1]))


@functools.cache
def _shapes(text: str) -> tuple[Shape, ...]:
    return tuple(
        Shape(dtype, tuple(int(n) for n in sizes.split(",") if n))
        for dtype, sizes in _SHAPE.findall(text)
    )


def _balanced(text: str) -> tuple[str, str]:
    """Returns the text up to the bracket that closes its first one, and what follows."""
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[: index + 1], text[index + 1 :].lstrip()
    return text, ""
