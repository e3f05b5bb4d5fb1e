"""Reads PyTorch's .pth files without PyTorch and without executing anything in them.

It is a program for `children.asked`, since a pickle can also ask for endless work.

Both of `torch.save`'s formats hold the bytes of storages, and a pickle that says where each tensor
lies in which storage. A pickle is a program that may call anything by name. Here it reaches only
the names below, each of them a plain function or an empty class of this file; any other name is
refused before it is looked up.
"""

import collections
import contextlib
import functools
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ldl_jax.isolated import server

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of PyTorch's format before 1.6
_LONGEST = 4 * 2**20  # bytes of a pickle; one of 1,000 tensors has 0.1 MB
_MOST = 1_000_000  # items that a pickle's calls may copy
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# Names of plain values that people save beside the weights. They are skipped, not made.
_SKIPPED = {
    *(("numpy", "dtype"), ("numpy", "ndarray"), ("_codecs", "encode")),
    *((f"numpy.{c}.multiarray", name) for c in ("core", "_core") for name in ("scalar",)),
    *((f"numpy.{c}.multiarray", "_reconstruct") for c in ("core", "_core")),
    *((f"numpy.{c}.numeric", "_frombuffer") for c in ("core", "_core")),
    *((f"{b}", name) for b in ("builtins", "__builtin__") for name in ("set", "frozenset")),
    *(("builtins", "complex"), ("torch", "Size"), ("torch", "device"), ("argparse", "Namespace")),
    *(("pathlib", "PosixPath"), ("pathlib", "WindowsPath"), ("datetime", "datetime")),
}
_BYTES = {"bfloat16": "uint16"}  # types that NumPy alone does not have, as numbers of their size
_KEPT = 4  # storages in memory; tensors that share one mostly follow one another


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Source(NamedTuple):
    """The bytes of storages: how many there are of each, and what reads them."""

    sizes: Mapping[str, int]
    read: Callable[[str], bytes]


class _Skipped:
    """Stands for a plain value beside the weights, of which nothing is kept."""

    def __init__(self, *arguments: object) -> None:
        del arguments

    def __setstate__(self, state: object) -> None:
        del state


def opened(
    path: Path, stack: contextlib.ExitStack
) -> tuple[server.Described, Callable[[str], np.ndarray]]:
    """Opens a state dict: its tensors' types and shapes by their names, and what reads one.

    The file holds a state dict, or a dict with one under "state_dict", "model_state_dict", "model"
    or "net". Plain Python and NumPy values beside the tensors are left out.

    Raises:
      ValueError: the file is damaged, needs a name that is refused, or holds no state dict; the
        reader raises it too.
    """
    with _guarded():
        tree, source = (_open_zip if zipfile.is_zipfile(path) else _open_legacy)(path, stack)
        tensors = _state_dict(tree)
        described = {name: _described(tensor, source) for name, tensor in tensors.items()}

    def read(name: str) -> np.ndarray:
        with _guarded():
            return _array(tensors[name], source)

    return described, read


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except ValueError as error:
        raise ValueError(f": {error}") from error
    except Exception as error:  # a damaged or hostile pickle can raise anything
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f" is not a PyTorch file that can be read ({what})") from error


def _open_zip(path: Path, stack: contextlib.ExitStack) -> tuple[object, _Source]:
    archive = stack.enter_context(zipfile.ZipFile(path))
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    stored = path.stat().st_size
    if sum(sizes.values()) > 4 * stored + 2**20:  # torch.save compresses nothing
        raise ValueError(
            f"its parts would take {sum(sizes.values()):,} bytes, and the file has {stored:,}"
        )
    pickles = [name for name in sizes if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("expected one data.pkl in the archive, as torch.save writes it")
    root = pickles[0].removesuffix("data.pkl")
    order = archive.read(name)[:100] if (name := f"{root}byteorder") in sizes else b"little"
    if order != b"little":
        raise ValueError(f"expected little-endian storages, got {order!r}")
    if sizes[pickles[0]] > _LONGEST:
        raise ValueError(f"its data.pkl would take {sizes[pickles[0]]:,} bytes")
    tree = _load(io.BytesIO(archive.read(pickles[0])))[0]
    data = f"{root}data/"
    for name in sizes:
        if not name.startswith(data):
            archive.read(name)  # which compares its check sum
    return tree, _Source(
        {name.removeprefix(data): size for name, size in sizes.items() if name.startswith(data)},
        functools.lru_cache(_KEPT)(lambda key: archive.read(f"{data}{key}")),
    )


def _open_legacy(path: Path, stack: contextlib.ExitStack) -> tuple[object, _Source]:
    file = stack.enter_context(path.open("rb"))
    if _load(file)[0] != _LEGACY_MAGIC:
        raise ValueError("expected a file of torch.save, got another pickle")
    _load(file)  # the protocol's version
    system = _load(file)[0]
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise ValueError("expected little-endian storages")
    tree, storages = _load(file)
    keys = _load(file)[0]
    if not isinstance(keys, list):
        raise ValueError("expected the list of its storages")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        size = count * _plain(storages[key]).itemsize
        places[key] = file.tell(), size
        if places[key][0] + size > path.stat().st_size:
            raise ValueError(f"the storage {key!r} is cut short")
        file.seek(size, io.SEEK_CUR)

    def read(key: str) -> bytes:
        file.seek(places[key][0])
        return file.read(places[key][1])

    sizes = {key: size for key, (_, size) in places.items()}
    return tree, _Source(sizes, functools.lru_cache(_KEPT)(read))


def _load(file: BinaryIO) -> tuple[object, dict[str, str]]:
    """Reads one pickle: what it makes, and the types of the storages that it names.

    Its operations are looked through first, as some would take memory that it does not have: that
    is a ValueError, as is damage, and a name that is refused.
    """
    start = file.tell()
    content = file.read(_LONGEST)
    end = 0
    for operation, argument, position in _operations(content):
        end = position + 1
        if "PUT" in operation.name and isinstance(argument, int) and argument > len(content):
            raise ValueError(f"its pickle would keep {argument:,} values")
    file.seek(start + end)
    unpickler = _Unpickler(io.BytesIO(content[:end]))
    return unpickler.load(), unpickler.storages


def _operations(content: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, object, int]]:
    try:
        for operation, argument, position in pickletools.genops(content):
            yield operation, argument, position or 0
    except ValueError as error:
        raise ValueError(f"it is not a PyTorch file that can be read ({error})") from error


def _state_dict(tree: object) -> dict[str, _Tensor]:
    for _ in range(8):  # a dict may hold itself
        inner = [tree.get(name) for name in _CONTAINERS] if isinstance(tree, Mapping) else []
        tree = next((value for value in inner if isinstance(value, Mapping)), tree)
    items = tree.items() if isinstance(tree, Mapping) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, _Tensor)}
    if not tensors:
        names = ", ".join(str(name)[:40] for name, _ in [*items][:5]) or type(tree).__name__
        raise ValueError(
            f"expected a state dict of tensors, or one under {', '.join(_CONTAINERS)}; got {names}"
        )
    return tensors


def _plain(dtype: str) -> np.dtype:
    return np.dtype(_BYTES.get(dtype, dtype))


def _described(tensor: _Tensor, source: _Source) -> tuple[str, tuple[int, ...]]:
    """Returns a tensor's type and shape, after checking that all of it lies in its storage."""
    dtype = _plain(tensor.storage.dtype)
    shape, strides = tensor.shape, tensor.strides
    numbers = (tensor.offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    if math.prod(shape):
        last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= source.sizes[tensor.storage.key] // dtype.itemsize:
            raise ValueError(f"a tensor of shape {shape} reaches beyond its storage")
    return tensor.storage.dtype, shape


def _array(tensor: _Tensor, source: _Source) -> np.ndarray:
    """Returns a copy of the tensor's elements, which `_described` found in its storage."""
    dtype = _plain(tensor.storage.dtype)
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, dtype)
    content = source.read(tensor.storage.key)
    if len(content) < source.sizes[tensor.storage.key]:
        raise ValueError(f"the storage {tensor.storage.key!r} is cut short")
    flat = np.frombuffer(content, dtype, len(content) // dtype.itemsize)
    steps = tuple(step * dtype.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps).copy()


class _Unpickler(pickle.Unpickler):
    """Resolves the few names that tensors need to functions of this file; refuses all others."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, str] = {}
        self._copied = 0

    def find_class(self, module: str, name: str) -> str | Callable[..., object]:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) in _SKIPPED:
            return _Skipped
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("collections", "OrderedDict"): self._ordered,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            name = f"{module}.{name}".encode("unicode_escape").decode()
            raise ValueError(
                f"refused to load {name}: only tensors are read, for a pickle can run "
                "any code; save the network's state_dict() alone"
            )
        return known[module, name]

    def _ordered(self, *items: list[tuple[str, object]]) -> dict[str, object]:
        self._copied += sum(map(len, items))
        if self._copied > _MOST:
            raise ValueError("its pickle copies more than it holds")
        return collections.OrderedDict(*items)

    def persistent_load(self, pid: tuple[str, ...]) -> _Storage:
        kind, dtype, key = pid[:3]
        if kind != "storage" or dtype not in _DTYPES.values():
            raise ValueError(f"expected the reference of a storage, got {str(pid)[:100]}")
        self.storages[str(key)] = dtype
        return _Storage(str(key), dtype)


def _rebuilt(
    storage: _Storage, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    if len(size) > 32 or len(strides) > 32 or not isinstance(storage, _Storage):
        raise ValueError("a tensor of more than 32 axes, or without a storage")
    return _Tensor(storage, offset, tuple(size), tuple(strides))


if __name__ == "__main__":
    server.serve(opened)
