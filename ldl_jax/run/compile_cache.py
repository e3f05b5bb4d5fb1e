"""Compiled programs kept on disk, so that a run that is started again does not compile again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import jax
from jax.experimental.compilation_cache import compilation_cache

_PRIVATE = ".writing-"
_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_enable_xla_caches")


@contextlib.contextmanager
def compile_cache(path: str) -> Iterator[None]:
    """While it is entered, JAX finds its compiled programs in a folder, and leaves new ones there.

    JAX writes an entry in place, and takes one that is there for whole: of a process that is killed
    half of one would stay for ever. So each process writes in a folder of its own, which begins
    with links to all entries, and what is new is moved when the process ends, by one rename each.
    A killed process leaves nothing but its folder, which the next one removes.

    Of several processes of a run, JAX lets process 0 alone leave what is new. On CPUs it alone
    finds it again too, for there JAX's keys are of a process; on GPUs they are of all.

    Args:
      path: a folder, shared by as many runs as you like; it is made where there is none. "" for no
        cache.

    Raises:
      ValueError: it is no folder, or cannot be written to.
    """
    if not path:
        yield
        return
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        private, lock = _private(folder)
    except OSError as error:
        raise ValueError(f"--compile_cache: {folder} cannot be written to ({error})") from None
    with lock:
        known = [_link(entry, private) for entry in folder.iterdir() if entry.is_file()]
        before = [jax.config.values[name] for name in _OPTIONS]
        # XLA's own caches would lie in the private folder, and its name would be in every key.
        _use(str(private), "none")
        try:
            yield
        finally:
            _use(*before)
            _publish(private, folder, set(known))


def _use(*values: str | None) -> None:
    for name, value in zip(_OPTIONS, values, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX opens it once


def _private(folder: Path) -> tuple[Path, TextIO]:
    """A new folder of this process, and its lock; others that start now may remove it before."""
    while True:
        private = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=folder))
        try:
            lock = _locked(private)
        except (BlockingIOError, FileNotFoundError):
            continue
        if (private / ".lock").exists():
            return private, lock
        lock.close()


def _link(entry: Path, private: Path) -> str:
    try:
        os.link(entry, private / entry.name)
    except OSError:  # a file system without links
        shutil.copy2(entry, private / entry.name)
    return entry.name


def _publish(private: Path, folder: Path, known: set[str]) -> None:
    for entry in private.iterdir():
        if entry.name not in known and entry.name != ".lock":
            entry.replace(folder / entry.name)
    shutil.rmtree(private, ignore_errors=True)


def _locked(private: Path) -> TextIO:
    lock = (private / ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when the process ends
    except OSError:
        lock.close()
        raise
    return lock


def _sweep(folder: Path) -> None:
    """Removes the folders of processes that were killed."""
    for private in folder.glob(f"{_PRIVATE}*"):
        with contextlib.suppress(OSError), _locked(private):
            shutil.rmtree(private, ignore_errors=True)
