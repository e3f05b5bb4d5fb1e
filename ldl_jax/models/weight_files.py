"""Reads foreign weight files as dicts of arrays: Keras's HDF5, safetensors, and PyTorch's .pth."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open

from ldl_jax.models import torch_files

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a file by their names in it; its first bytes tell its format.

    Raises:
      ValueError: there is no such file, it is damaged, or it has another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path: no weight file at {path}")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(_HDF5_MAGIC):
        return _read_hdf5(path)
    # A safetensors file starts with the length of its header in 8 bytes, and the header is JSON.
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if zipfile.is_zipfile(path) or start[:1] == b"\x80":
        return torch_files.read(path)
    raise ValueError(f"path: {path} is neither HDF5 (Keras), safetensors, nor a file of torch.save")


def _read_hdf5(path: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"path: {path} is a damaged HDF5 file ({error})") from error
    return arrays


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"path: {path} is a damaged safetensors file ({error})") from error
