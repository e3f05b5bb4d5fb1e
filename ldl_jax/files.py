"""Files that appear whole or not at all, and folders that one process uses at a time."""

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

LOCK = ".lock"
_PARTIAL = ".partial"  # in the name of a file that is being written


@contextlib.contextmanager
def whole(path: str | os.PathLike[str], mode: int = 0o666) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` once all of it is on the disk.

    A reader, or a process that is killed, never meets half a file. The folder is made if it is
    missing. The temporary file beside `path` has a name that nobody can foresee, is never an
    existing file or link, and gets its permissions from `mode` without those of the umask.

    Raises:
      OSError: the file cannot be written; one that was there stays as it was.
    """
    path = Path(from_home(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_of(path)
    try:
        with open(partial, "xb", opener=lambda name, how: os.open(name, how, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def from_home(path: str | os.PathLike[str]) -> str:
    """Returns a path with its first "~" or "~NAME" replaced by that user's folder, as a shell does.

    This is the one rule for every path that a person gives: flags, config keys, and arguments of
    the functions that open or write a named file or folder.

    Raises:
      ValueError: there is no such user; a folder that is named "~" is never meant.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        return text
    full = os.path.expanduser(text)
    if full.startswith("~"):
        raise ValueError(f"{text}: no user has this name; give ./{text} for a file so named")
    return full


def to_home(text: str) -> str:
    """Returns a text with the name of the user's folder, wherever it stands, as "~"."""
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text


def listed(root: Path, text: str) -> Path:
    """Returns where a file of a list lies: below `root`, or below the user's folder after "~/".

    Other names that begin with "~" are those of files, as programs leave them.
    """
    return root / (from_home(text) if text.startswith("~/") else text)


def write(path: str | os.PathLike[str], content: str | bytes, mode: int = 0o666) -> None:
    """Writes a file, text as UTF-8, all of it or none; for `mode` see `whole`.

    File names in a text may hold bytes that are no UTF-8; they are written as they are.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    with whole(path, mode) as file:
        file.write(data)


def link(path: Path, other: Path) -> bool:
    """Gives the file `other` the name `path` as well; returns whether the file system does that.

    It suits files that are only ever replaced, never changed: each name keeps its content when the
    other is replaced or removed.
    """
    partial = _partial_of(path)
    try:
        os.link(other, partial)
        partial.replace(path)
    except OSError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Writes a JSON file, all of it or none."""
    write(path, json.dumps(content, indent=2) + "\n")


def content_of(path: str | os.PathLike[str], most: int = 2**30) -> bytes:
    """Reads a regular file of at most `most` bytes; a pipe, a socket or a device is not opened.

    Raises:
      OSError: the file cannot be read, or changed while it was read.
      ValueError: it is no regular file, or it is larger.
    """
    # Without O_NONBLOCK a pipe would be waited for. `open` would hold the interpreter three times
    # as long, and threads wait.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    if stat.S_ISDIR(mode := os.stat(path).st_mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(mode):  # to open a device may already do something
        raise ValueError("it is no regular file")
    descriptor = os.open(path, flags)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ValueError("it is no regular file")
        if before.st_size > most:
            raise ValueError(f"it has {before.st_size:,} bytes, more than {most:,}")
        content = os.read(descriptor, before.st_size)
        while len(content) < before.st_size:
            rest = os.read(descriptor, before.st_size - len(content))
            if not rest:
                break
            content += rest
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise OSError("it changed while it was read")
        return content
    finally:
        os.close(descriptor)


def links_out(folder: Path) -> list[str]:
    """Returns the links in a folder, to its depth, that lead out of it, as "link -> target".

    The folder itself may be reached by links. Links to folders are not gone into.
    """
    around, leading = folder.resolve(), []
    for parent, folders, names in os.walk(folder):
        for name in sorted([*folders, *names]):
            link = os.path.join(parent, name)
            if os.path.islink(link) and not _resolved(link).is_relative_to(around):
                leading.append(f"{os.path.relpath(link, folder)} -> {os.readlink(link)}")
    return leading


def _resolved(link: str) -> Path:
    try:
        return Path(link).resolve()
    except (OSError, RuntimeError):  # it leads to itself, as Pythons before 3.13 say
        return Path(os.path.normpath(Path(link).parent.resolve() / os.readlink(link)))


def _partial_of(path: Path) -> Path:
    """Returns a new name beside a file, for what is to take its place."""
    return path.with_name(f"{path.name}{_PARTIAL}-{secrets.token_hex(8)}")


def is_partial(path: Path) -> bool:
    """Returns whether a killed process may have left this file while it wrote another one."""
    return path.suffix == _PARTIAL or path.suffix.startswith(f"{_PARTIAL}-")


def remove_partial(folder: Path) -> None:
    """Removes what killed processes have left in a folder that nobody else writes to."""
    for path in folder.glob(f"*{_PARTIAL}*"):
        if is_partial(path):
            path.unlink(missing_ok=True)


def lock(folder: Path) -> contextlib.AbstractContextManager[object]:
    """Locks a folder for this process; to leave the returned context unlocks it.

    The system unlocks it too when the process ends, however it ends.

    Raises:
      TimeoutError: another process, or another part of this one, has locked it.
    """
    return FileLock(folder / LOCK).acquire(timeout=0)
