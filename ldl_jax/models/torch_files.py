"""Reads PyTorch's .pth files without PyTorch and without executing anything in them.

Both of `torch.save`'s formats hold the bytes of storages, and a pickle that says where each tensor
lies in which storage. A pickle is a program that may call anything by name. Here it reaches only
the names below, each of them a plain function of this file; any other name is refused before it is
looked up.
"""

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of PyTorch's format before 1.6
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


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a state dict, by their names in it.

    The file holds a state dict, or a dict with one under "state_dict" or "model". Where all names
    begin with "module.", as DataParallel writes them, that beginning is left out.

    Raises:
      ValueError: the file is damaged, needs a name that is refused, or holds no state dict.
    """
    try:
        tree, storages = (_read_zip if zipfile.is_zipfile(path) else _read_legacy)(path)
        return {name: _array(x, storages) for name, x in _state_dict(tree).items()}
    except ValueError as error:
        raise ValueError(f"path: {path}: {error}") from error
    # A damaged or hostile pickle can raise anything.
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"path: {path} is not a PyTorch file that can be read ({what})") from error


def _read_zip(path: Path) -> tuple[object, dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("expected one data.pkl in the archive, as torch.save writes it")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder").decode()
            if order != "little":
                raise ValueError(f"expected little-endian storages, got {order!r}")
        tree = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
        data = f"{root}data/"
        names = [name for name in archive.namelist() if name.startswith(data)]
        return tree, {name.removeprefix(data): archive.read(name) for name in names}


def _read_legacy(path: Path) -> tuple[object, dict[str, bytes]]:
    file = io.BytesIO(path.read_bytes())
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise ValueError("expected a file of torch.save, got another pickle")
    _Unpickler(file).load()  # the protocol's version
    system = _Unpickler(file).load()
    if not system.get("little_endian", True):
        raise ValueError("expected little-endian storages")
    unpickler = _Unpickler(file)
    tree = unpickler.load()
    storages = {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        size = np.dtype(jnp.dtype(unpickler.storages[key])).itemsize
        storages[key] = file.read(count * size)
    return tree, storages


def _state_dict(tree: object) -> dict[str, _Tensor]:
    for name in ("state_dict", "model"):
        if isinstance(tree, Mapping) and isinstance(tree.get(name), Mapping):
            tree = tree[name]
    if not isinstance(tree, Mapping) or not tree:
        raise ValueError("expected a state dict, or one under 'state_dict' or 'model'")
    strange = [str(name) for name, x in tree.items() if not isinstance(x, _Tensor)]
    if strange:
        raise ValueError(f"expected a state dict of tensors alone, got also {', '.join(strange)}")
    prefix = "module." if all(name.startswith("module.") for name in tree) else ""
    return {name.removeprefix(prefix): x for name, x in tree.items()}


def _array(tensor: _Tensor, storages: Mapping[str, bytes]) -> np.ndarray:
    """Returns a copy of the tensor's elements, after checking that all lie in its storage."""
    dtype = np.dtype(jnp.dtype(tensor.storage.dtype))
    flat = np.frombuffer(storages[tensor.storage.key], dtype)
    shape, strides = tensor.shape, tensor.strides
    numbers = (tensor.offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= flat.size:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage")
    steps = tuple(step * dtype.itemsize for step in strides)
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, steps)
    return view.copy()


class _Unpickler(pickle.Unpickler):
    """Resolves the few names that tensors need to functions of this file; refuses all others."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> str | Callable[..., object]:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("collections", "OrderedDict"): lambda *a: collections.OrderedDict(*a),
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, strides, *_: (
                _Tensor(storage, offset, tuple(size), tuple(strides))
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise ValueError(
                f"refused to load {module}.{name}: only tensors are read, for a pickle can run "
                "any code; save the network's state_dict() alone"
            )
        return known[module, name]

    def persistent_load(self, pid: tuple[str, ...]) -> _Storage:
        kind, dtype, key = pid[:3]
        if kind != "storage" or dtype not in _DTYPES.values():
            raise ValueError(f"expected the reference of a storage, got {pid!r}")
        self.storages[str(key)] = dtype
        return _Storage(str(key), dtype)
