"""Keeps compiled programs on disk, so that a run that is started again does not compile again."""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from ldl_jax.files import LOCK, lock

_PRIVATE = ".writing-"
_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_enable_xla_caches")


@contextlib.contextmanager
def compile_cache(path: str) -> Iterator[None]:
    """While it is entered, JAX finds its compiled programs in a folder, and leaves new ones there.

    JAX writes an entry in place, and takes every entry that exists for a whole one: half an entry,
    which a killed process leaves, would stay for ever. So each process writes to a folder of its
    own, which begins with links to all entries, and moves new entries out of it when it ends, by
    one rename each. A killed process leaves nothing but its folder, which the next one removes.

    In a run of several processes, JAX lets process 0 alone write new entries. On GPUs all processes
    find them again. On CPUs only process 0 does, since there JAX's keys differ by process.

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
        for private in folder.glob(f"{_PRIVATE}*"):  # of processes that were killed
            with contextlib.suppress(OSError), lock(private):
                shutil.rmtree(private, ignore_errors=True)
        private, locked = _private(folder)
    except OSError as error:
        raise ValueError(f"--compile_cache: {folder} cannot be written to ({error})") from None
    with locked:
        known = [_link(entry, private) for entry in folder.iterdir() if entry.is_file()]
        before = [jax.config.values[name] for name in _OPTIONS]
        # XLA's own caches would lie in the private folder, and its name would be in every key.
        _use(str(private), "none")
        try:
            yield
        finally:
            _use(*before)
            try:
                _publish(private, folder, set(known))
            except OSError as error:  # a full disk must not hide what the run itself ended with
                warnings.warn(f"--compile_cache: new programs are not kept ({error})", stacklevel=1)


def _use(*values: str | None) -> None:
    for name, value in zip(_OPTIONS, values, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX opens it once


def _private(folder: Path) -> tuple[Path, contextlib.AbstractContextManager[object]]:
    """Makes a folder for this process, and locks it.

    Another process that starts now may remove the folder before it is locked; then a new one is
    made.
    """
    while True:
        private = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=folder))
        try:
            locked = lock(private)
        except (TimeoutError, FileNotFoundError, FileExistsError):
            continue
        if (private / LOCK).exists():
            return private, locked
        with locked:
            pass


def _link(entry: Path, private: Path) -> str:
    try:
        os.link(entry, private / entry.name)
    except OSError:  # a file system without links
        shutil.copy2(entry, private / entry.name)
    return entry.name


def _publish(private: Path, folder: Path, known: set[str]) -> None:
    for entry in private.iterdir():
        if entry.name not in known and entry.name != LOCK:
            entry.replace(folder / entry.name)
    shutil.rmtree(private, ignore_errors=True)
