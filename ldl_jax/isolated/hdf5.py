"""Reads the arrays of a Keras HDF5 file; a program for `children.asked`.

It is a program of its own, since a damaged file can make the HDF5 library loop, crash, or take any
memory.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from ldl_jax.isolated import server

_DEEPEST, _MOST = 32, 20_000  # groups in one another, and objects


class _ForeignError(ValueError):
    """A file that is whole, and has what is not read."""


def opened(
    path: Path, stack: contextlib.ExitStack
) -> tuple[server.Described, Callable[[str], np.ndarray]]:
    """Opens a file: the types and shapes of all datasets by their names, and what reads one.

    Raises:
      ValueError: it is damaged, or has what is not read: links, numbers in other files, other
        values than numbers; the reader raises it too.
    """
    with _guarded():
        file = stack.enter_context(h5py.File(path, "r"))
        described = dict(_datasets(file))

    def read(name: str) -> np.ndarray:
        with _guarded():
            array = np.asarray(file[name][()])
            return array.astype(array.dtype.newbyteorder("="), copy=False)

    return described, read


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Turns what the library raises into a ValueError; a damaged file can raise anything."""
    try:
        yield
    except _ForeignError as error:
        raise ValueError(f": {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f" is a damaged HDF5 file ({reason})") from error


def _datasets(file: h5py.File) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Walks all datasets of a file by their names; none of another file is opened."""
    groups = [("", file)]
    count = 0
    while groups:
        start, group = groups.pop()
        count += len(group)
        if count > _MOST or start.count("/") > _DEEPEST:
            raise _ForeignError(f"its groups have more than {_MOST:,} objects or {_DEEPEST} levels")
        for name in group:
            whole = f"{start}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _ForeignError(f"{whole[:100]} is a link to elsewhere, which is not followed")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append((f"{whole}/", item))
            elif isinstance(item, h5py.Dataset):
                yield whole, _dataset(whole, item)


def _dataset(name: str, item: h5py.Dataset) -> tuple[str, tuple[int, ...]]:
    if item.is_virtual or item.external:
        raise _ForeignError(f"{name} has its numbers in other files, which are not opened")
    if item.shape is None or item.dtype.kind not in "fiub" or item.dtype.itemsize > 8:
        raise _ForeignError(f"{name} is of type {item.dtype}, expected an array of numbers")
    return item.dtype.name, item.shape


if __name__ == "__main__":
    server.serve(opened)
