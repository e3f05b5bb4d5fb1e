"""Reads the weights of TensorFlow.js models.

Such a model is a JSON file and, beside it, the binary files that it names. The JSON's manifest has
groups; each lists its arrays in the order in which their numbers follow one another in its binary
files, little-endian and without gaps. Graph models, layers models and a manifest alone are read.

Numbers may be quantised: uint8 and uint16 stand for q scale + min, float16 for themselves.
Source: `decodeWeights` of tensorflow/tfjs (tfjs-core/src/io/io_utils.ts).
"""

import base64
import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

import jax
import numpy as np

Arrays = dict[str, jax.ShapeDtypeStruct]
Reader = Callable[[str], np.ndarray]


_LONGEST = 16 * 2**20  # bytes of the JSON file
_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "bool": "?"}
_QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}
_SHOWN = 5  # faults of a manifest


class Node(NamedTuple):
    """An operation of a graph model.

    Attributes:
      op: the kind, as "Conv2D".
      name: its own name.
      inputs: the names of the nodes that it reads.
      attributes: its texts and lists of whole numbers by name, as "padding" and "strides".
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, object]


class _Shard(NamedTuple):
    path: Path
    size: int  # in bytes


class _Entry(NamedTuple):
    """The place of an array's numbers, and how they are made from what is stored."""

    shards: tuple[_Shard, ...]
    start: int  # in bytes, from the start of the group's first shard
    stored: np.dtype
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    least: float

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.stored.itemsize


def starts_like(start: bytes) -> bool:
    """Returns whether a file with these first bytes may be a TensorFlow.js model's JSON."""
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") and 0 not in start


def opened(path: Path) -> tuple[Arrays, Reader, tuple[Node, ...]]:
    """Opens a model: its arrays' shapes and types, what reads one, and the nodes of its graph.

    The sizes of the binary files are compared with the manifest first, to the byte. A model that
    is no graph model has no nodes.

    Raises:
      ValueError: the JSON has no manifest, an array or a file of it cannot be used, or a file is
        missing, cut off or too long; the reader raises it too.
    """
    with _guarded(path):
        if path.stat().st_size > _LONGEST:
            raise ValueError(f"its JSON would take {path.stat().st_size:,} bytes")
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"it is no JSON of a TensorFlow.js model ({error})") from None
        manifest = content.get("weightsManifest") if isinstance(content, dict) else content
        if not isinstance(manifest, list) or not all(isinstance(g, dict) for g in manifest):
            raise ValueError('it has no "weightsManifest", as a TensorFlow.js model has')
        entries: dict[str, _Entry] = {}
        faults = [fault for group in manifest for fault in _read_group(group, path, entries)]
        names = [str(file) for group in manifest for file in _list(group, "paths")]
        faults += [f"{name} is named twice" for name in set(names) if names.count(name) > 1]
        if faults or not entries:
            rest = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
            raise ValueError("; ".join(faults[:_SHOWN]) + rest or "its manifest has no arrays")
        topology = content.get("modelTopology") if isinstance(content, dict) else None
        nodes = tuple(map(_node, _list(topology, "node"))) if isinstance(topology, dict) else ()

    def read(name: str) -> np.ndarray:
        with _guarded(path):
            return _array(entries[name])

    arrays = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in entries.items()}
    return arrays, read, nodes


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"path: {path}: {' '.join(str(error).split())}") from error
    # Hostile JSON may be nested too deep, or have anything in any place.
    except Exception as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"path: {path} is a damaged TensorFlow.js model ({what})") from error


def _list(parent: Mapping[str, object], key: str) -> Sequence[object]:
    value = parent.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f'"{key}" is {str(value)[:40]}, expected a list')
    return value


def _read_group(
    group: Mapping[str, object], path: Path, entries: dict[str, _Entry]
) -> Iterator[str]:
    """Adds the arrays of a group to `entries`; gives a line on each fault."""
    shards = []
    for name in _list(group, "paths"):
        shard = path.parent / str(name)
        pure = PurePosixPath(str(name))
        if pure.is_absolute() or ".." in pure.parts or "\\" in str(name) or "\0" in str(name):
            yield f"{str(name)[:100]!r} does not lie beside it, and is not opened"
        elif not shard.is_file():
            yield f"{str(name)[:100]}, which it names, is not beside it"
        else:
            shards.append(_Shard(shard, shard.stat().st_size))
    start = 0
    for item in _list(group, "weights"):
        entry = _entry(item, tuple(shards), start)
        if isinstance(entry, str):
            yield entry
            return  # the places of the arrays that follow depend on it
        name = cast(dict[str, str], item)["name"]
        if name in entries:
            yield f"{name} is listed twice"
        entries[name] = entry
        start += entry.size
    size = sum(shard.size for shard in shards)
    if size != start and len(shards) == len(_list(group, "paths")):
        files = ", ".join(shard.path.name for shard in shards)
        state = "is cut off" if size < start else "is too long"
        yield f"{files or 'no file'} {state}: {size:,} bytes, and its arrays take {start:,}"


def _entry(item: object, shards: tuple[_Shard, ...], start: int) -> _Entry | str:
    """Returns an array of the manifest, or what is wrong with it."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return f"an array without a name: {str(item)[:100]}"
    name, shape, kind = item["name"], item.get("shape"), item.get("dtype")
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or any(type(side) is not int or not 0 <= side < 2**40 for side in shape)
    ):
        return f"{name}: shape: {str(shape)[:60]}, expected a list of lengths"
    if kind not in _DTYPES:
        return f"{name}: dtype: {str(kind)[:40]!r} is not read, only {', '.join(_DTYPES)}"
    dtype = np.dtype(_DTYPES[kind])
    stored, scale, least = dtype, 1.0, 0.0
    if (quantised := item.get("quantization")) is not None:
        how = quantised.get("dtype") if isinstance(quantised, dict) else quantised
        if how not in _QUANTISED or kind not in ("float32", "int32"):
            return (
                f"{name}: quantization: {str(how)[:40]!r} for {kind} is not read, only "
                f"{', '.join(_QUANTISED)} for float32 and int32"
            )
        stored = np.dtype(_QUANTISED[how])
        if stored.kind == "u":
            scale, least = quantised.get("scale"), quantised.get("min")
            if not all(type(x) in (int, float) and math.isfinite(x) for x in (scale, least)):
                return f"{name}: quantization: expected a scale and a min, got {scale}, {least}"
    return _Entry(shards, start, stored, tuple(shape), dtype, float(scale), float(least))


def _array(entry: _Entry) -> np.ndarray:
    content = bytearray()
    first, last = entry.start, entry.start + entry.size
    position = 0
    for shard in entry.shards:
        begin, end = max(first - position, 0), min(last - position, shard.size)
        if begin < end:
            with shard.path.open("rb") as file:
                file.seek(begin)
                content += file.read(end - begin)
        position += shard.size
    if len(content) != entry.size:
        raise ValueError("a binary file was changed while it was read")
    stored = np.frombuffer(content, entry.stored).reshape(entry.shape)
    if entry.stored == entry.dtype:
        return stored
    if entry.stored.kind == "u":  # JavaScript computes in float64
        wide = stored * np.float64(entry.scale) + entry.least
        stored = np.floor(wide + 0.5) if entry.dtype.kind == "i" else wide
    return stored.astype(entry.dtype)


def _node(item: object) -> Node:
    if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("op", "name")):
        raise ValueError(f"its graph has a node without op or name: {str(item)[:100]}")
    attributes: dict[str, object] = {}
    for name, value in item.get("attr", {}).items():
        if "s" in value:
            attributes[name] = base64.b64decode(value["s"]).decode()
        if "list" in value and "i" in value["list"]:
            attributes[name] = tuple(int(n) for n in value["list"]["i"])
        if "list" in value and "s" in value["list"]:
            attributes[name] = tuple(base64.b64decode(t).decode() for t in value["list"]["s"])
    inputs = tuple(str(name).removesuffix(":0") for name in item.get("input", []))
    return Node(item["op"], item["name"], inputs, attributes)
