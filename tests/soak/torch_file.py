"""Writes what `torch.save` writes, in both of its formats, without PyTorch."""

import pickle
import zipfile
from pathlib import Path

import numpy as np


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the archive of today."""
    with zipfile.ZipFile(path, "w") as archive:
        members = {"data.pkl": _state(arrays), "byteorder": b"little", "version": b"3\n"}
        members |= {f"data/{key}": array.tobytes() for key, array in enumerate(arrays.values())}
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), member)


def save_legacy(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the pickles of before PyTorch 1.6, with the storages after them."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    pieces = [pickle.dumps(part, protocol=2) for part in head]
    pieces += [_state(arrays), pickle.dumps([str(key) for key in range(len(arrays))], protocol=2)]
    for array in arrays.values():
        pieces += [array.size.to_bytes(8, "little"), array.tobytes()]
    path.write_bytes(b"".join(pieces))


def _state(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns the pickle of a state dict, each of whose tensors has a storage of its own."""
    items = b"".join(
        _text(name) + _tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())
    )
    return b"\x80\x02}(" + items + b"u."


def _tensor(key: str, array: np.ndarray) -> bytes:
    strides = tuple(step // array.itemsize for step in array.strides)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + _text("storage")
        + b"ctorch\nFloatStorage\n"
        + _text(key)
        + _text("cpu")
        + b"I%d\ntQI0\n" % array.size
        + _numbers(array.shape)
        + _numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"


def _text(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()
