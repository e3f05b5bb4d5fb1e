"""Opens foreign weight files: Keras's HDF5, safetensors, PyTorch's .pth, and TensorFlow.js' JSON.

A file first states the names, shapes and types of its arrays, which are checked against the size of
the file. An array is read when it is asked for. HDF5 files and pickles are parsed by a process of
their own (`ldl_jax.isolated`); the header of a safetensors file is JSON, and is parsed here.
"""

import contextlib
import json
import math
import operator
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from ldl_jax import extras
from ldl_jax.files import from_home
from ldl_jax.isolated import children
from ldl_jax.models import tfjs_files

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_LONGEST = 16 * 2**20  # bytes of what describes a file's arrays, as a safetensors header
# What a reader in a process of its own has for a file: so long, and a second for so many bytes.
_SECONDS, _SPEED = 60.0, 10e6
# The bytes that an array may take: so many, and so many times those of the file.
_SPARE, _RATIO = 16 * 2**20, 16
_SAFETENSORS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
}
_TYPES = {dtype: dtype for dtype in _SAFETENSORS.values()}
# What wrappers put before all names, or before those of one part.
_PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net.", "backbone."),
    *("state_dict.", "model_state_dict.", "model_weights/"),
)
_OPTIMIZER = "optimizer_weights/"  # of a whole model that Keras saved


class WeightFile(NamedTuple):
    """An open file of weights.

    Attributes:
      arrays: the shape and type of each array, by its name.
      read: `read(name)` gives an array.
      graph: of a TensorFlow.js model, its operations, where it has them; None of other files.
      metadata: the texts by name that a safetensors file has beside its arrays.
    """

    arrays: Mapping[str, jax.ShapeDtypeStruct]
    read: Callable[[str], np.ndarray]
    graph: tuple[tfjs_files.Node, ...] | None = None
    metadata: Mapping[str, str] = MappingProxyType({})


@contextlib.contextmanager
def opened(path: str | Path, *, as_named: bool = False) -> Iterator[WeightFile]:
    """Opens a file; its first bytes tell its format.

    What wrappers put before names is left off: "module." of DataParallel, "_orig_mod." of
    torch.compile, "model.", "net.", "backbone.", in any order, and the names of containers. With
    `as_named` all names are those of the file.

    Raises:
      ValueError: there is no such file, it is damaged, has another format, or states an array that
        is too large for it. `read` raises it too.
    """
    path = Path(from_home(path))
    if not path.is_file():
        raise ValueError(f"path: no weight file at {path}")
    with contextlib.ExitStack() as stack:
        file = _open(path, stack)
        if file.graph is None:  # the files beside a TensorFlow.js JSON were compared to the byte
            _check_sizes(path, file.arrays)
        if as_named:
            yield file
            return
        names = _plain(path, file.arrays)
        arrays = {plain: file.arrays[name] for plain, name in names.items()}
        yield file._replace(arrays=arrays, read=lambda plain: file.read(names[plain]))


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a file by their names; raises ValueError as `opened` does."""
    with opened(path) as file:
        return {name: file.read(name) for name in file.arrays}


def _open(path: Path, stack: contextlib.ExitStack) -> WeightFile:
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(_HDF5_MAGIC):
        if missing := extras.missing("h5py", "reading HDF5 files", "formats"):
            raise ValueError(f"path: {path}: {missing}")
        return _open_isolated("hdf5", path, stack)
    if tfjs_files.starts_like(start):
        return WeightFile(*tfjs_files.opened(path))
    # A safetensors file starts with the length of its header in 8 bytes, and the header is JSON.
    if start[8:9] == b"{":
        return _open_safetensors(path, int.from_bytes(start[:8], "little"), stack)
    if zipfile.is_zipfile(path) or start[:1] == b"\x80":
        return _open_isolated("torch_files", path, stack)
    raise ValueError(
        f"path: {path} is neither HDF5 (Keras), safetensors, a file of torch.save, nor the "
        "JSON of a TensorFlow.js model"
    )


def _check_sizes(path: Path, arrays: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Checks that the arrays, alone and together, are not much larger than their file."""
    size = path.stat().st_size
    allowed, total = _SPARE + _RATIO * size, 0
    for name, array in arrays.items():
        needed = math.prod(array.shape) * array.dtype.itemsize
        total += needed
        if total > allowed:
            raise ValueError(
                f"path: {path}: {name} {list(array.shape)} would take {needed:,} bytes, and the "
                f"file has {size:,}"
            )


def _plain(path: Path, names: Mapping[str, object]) -> dict[str, str]:
    """Returns the names by what is left of them without the prefixes of wrappers."""
    plain: dict[str, str] = {}
    for name in names:
        short = name
        if short.startswith(_OPTIMIZER):
            continue
        while prefix := next((p for p in _PREFIXES if short.startswith(p)), ""):
            short = short.removeprefix(prefix)
        if short in plain:
            raise ValueError(f"path: {path}: {plain[short]} and {name} are both {short}")
        plain[short] = name
    return plain


class _RefusedError(ValueError):
    """A file that is whole, and has what is not read."""


@contextlib.contextmanager
def _damaged(path: Path, kind: str) -> Iterator[None]:
    """Turns what a library raises into a ValueError; a damaged file can raise anything."""
    try:
        yield
    except _RefusedError as error:
        raise ValueError(f"path: {path}: {error}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"path: {path} is a damaged {kind} file ({reason})") from error


def _open_isolated(program: str, path: Path, stack: contextlib.ExitStack) -> WeightFile:
    """Opens a file in a process of its own, from which come names, types, shapes and bytes."""
    seconds = _SECONDS + path.stat().st_size / _SPEED
    with _readable(path):
        ask = stack.enter_context(children.asked(program, path, seconds))
        arrays = _described(ask("", _LONGEST))

    def read(name: str) -> np.ndarray:
        array = arrays[name]
        needed = math.prod(array.shape) * array.dtype.itemsize
        with _readable(path):
            content = ask(name, needed)
            if len(content) != needed:
                raise children.ReaderError(f"its reader gave other bytes than those of {name}")
            return np.frombuffer(content, array.dtype).reshape(array.shape)

    return WeightFile(arrays, read)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except children.ReaderError as error:
        text = str(error)
        joined = text if text.startswith((" ", ":")) else f": {text}"
        raise ValueError(f"path: {path}{joined}") from error


def _described(answer: bytes | bytearray) -> dict[str, jax.ShapeDtypeStruct]:
    """Reads what a program says of a file's arrays, which the file may have made it say."""
    try:
        arrays = {
            name: jax.ShapeDtypeStruct(tuple(map(operator.index, shape)), jnp.dtype(_TYPES[dtype]))
            for name, (dtype, shape) in json.loads(answer).items()
        }
        if any(side < 0 for array in arrays.values() for side in array.shape):
            raise ValueError("a shape below 0")
        return arrays
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise children.ReaderError(f"its arrays are not described ({reason})") from error


def _open_safetensors(path: Path, length: int, stack: contextlib.ExitStack) -> WeightFile:
    with _damaged(path, "safetensors"):
        if length > _LONGEST:
            raise _RefusedError(f"its header would take {length:,} bytes")
        file = stack.enter_context(safe_open(path, framework="numpy"))  # checks all of the header
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        kinds = {name: part.get_dtype() for name, part in slices.items()}
        if strange := [
            f"{name} ({kind})" for name, kind in kinds.items() if kind not in _SAFETENSORS
        ]:
            raise _RefusedError(f"types of numbers that are not read: {', '.join(strange[:5])}")
        arrays = {
            name: jax.ShapeDtypeStruct(part.get_shape(), jnp.dtype(_SAFETENSORS[kinds[name]]))
            for name, part in slices.items()
        }
        with path.open("rb") as raw:
            header = json.loads(raw.read(8 + length)[8:])

    def read(name: str) -> np.ndarray:
        with _damaged(path, "safetensors"), path.open("rb") as raw:
            start, end = header[name]["data_offsets"]
            raw.seek(8 + length + start)
            content = raw.read(end - start)
            return np.frombuffer(content, arrays[name].dtype).reshape(arrays[name].shape)

    return WeightFile(arrays, read, metadata=header.get("__metadata__") or {})


def metadata(path: Path) -> dict[str, str]:
    """Returns the texts by name in the header of a safetensors file; none of any other file.

    Nothing is checked but that they are texts: `opened` checks the file.
    """
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > _LONGEST:
            return {}
        content = b"{" + file.read(length - 1)
    try:
        texts = json.loads(content)["__metadata__"]
        return {name: text for name, text in texts.items() if isinstance(text, str)}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return {}
