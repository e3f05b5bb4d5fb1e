"""Tells intact checkpoints from damaged ones, and finds the newest that can be read."""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ldl_jax import processes
from ldl_jax.train.record import RecordError

LogLine = Callable[[str], None]
Result = TypeVar("Result")


def warn(line: str) -> None:
    """Warns of what is wrong with a checkpoint, where nobody else takes the line."""
    warnings.warn(line, stacklevel=2)


class DamageError(ValueError):
    """A checkpoint's files are not as they were written."""


class UnfitError(ValueError):
    """A checkpoint cannot be restored into the state that is wanted, and may not be removed."""


def newest(
    paths: Iterable[Path],
    read: Callable[[Path], Result],
    log: LogLine = lambda text: None,
    remove: Callable[[int], object] | None = None,
    title: str = "checkpoint",
) -> Result | None:
    """Returns what `read` gives for the first checkpoint that can be read; None without any.

    Args:
      paths: the folders of checkpoints, latest first.
      read: reads one.
      log: takes a line of text on each damaged one before it, which begins with the title.
      remove: takes the step of each of these.
      title: as in `log`.

    Raises:
      UnfitError, RecordError: a checkpoint is not damaged, and cannot be used.
    """
    for path in paths:
        try:
            return read(path)
        except (UnfitError, RecordError):
            raise
        except Exception as error:  # Orbax and its storage raise many kinds for damage
            log(f"{title} {path} is damaged, falling back: {reason_of(error)}")
            if remove is not None:
                remove(int(path.name))
    return None


def saved_in(folder: Path) -> list[Path]:
    """Returns the checkpoints in a generation's folder, latest first."""
    steps = [path for path in folder.glob("*") if path.name.isascii() and path.name.isdigit()]
    return sorted(steps, key=lambda path: int(path.name), reverse=True)


def is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder holds a checkpoint, whatever its name is."""
    whole = "orbax-checkpoint-tmp" not in folder.name  # a save that was killed
    return whole and all((folder / part).is_dir() for part in ("state", "about"))


def reason_of(error: Exception) -> str:
    """Returns the first line of an error's message, cut short."""
    return (str(error).strip().splitlines() or [repr(error)])[0][:200]


def check_seal(step_folder: Path, shared: bool = False) -> bool:
    """Returns whether the checkpoint is sealed, and so is known to be as it was written.

    Args:
      step_folder: the checkpoint.
      shared: process 0 looks, and all processes return or raise the same.

    The seal of a checkpoint that was renamed is still found where it lay.

    Raises:
      DamageError: it is sealed, and its files are not as they were written; or one is no file.
    """
    intact = None
    if processes.primary() or not shared:
        check_regular(step_folder)
        if seal_of(step_folder).is_file():
            intact = _is_seal(seal_of(step_folder), digest(step_folder))
        elif left := [s for s in step_folder.parent.glob("*.sha256") if _is_alone(s)]:
            whole = digest(step_folder)
            intact = any(_is_seal(seal, whole) for seal in left) or None
    if shared:
        intact = processes.broadcast(intact)
    if intact is False:
        raise DamageError("its files are not as they were written")
    return bool(intact)


def check_regular(folder: Path) -> None:
    """Checks that all that lies in a folder are files and folders: to open a pipe would hang.

    Raises:
      DamageError: something else is there.
    """
    for path in folder.rglob("*"):
        if not path.is_file() and not path.is_dir():
            raise DamageError(f"{path.relative_to(folder)} is neither a file nor a folder")


def _is_alone(seal: Path) -> bool:
    return seal.is_file() and not seal.with_suffix("").exists()


def _is_seal(seal: Path, whole: str) -> bool:
    """Returns whether a seal's file holds this digest and no more."""
    with seal.open("rb") as file:
        return file.read(2 * len(whole)).strip() == whole.encode()


def seal_of(step_folder: Path) -> Path:
    """Returns the file of a checkpoint's seal."""
    return step_folder.with_name(step_folder.name + ".sha256")


def digest(folder: Path, instead: Mapping[Path, bytes] = MappingProxyType({})) -> str:
    """Hashes the names and the bytes of all files below a folder.

    `instead` has what is hashed in the place of some files' own bytes, by their relative paths.
    """
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(folder)).encode())
        if (content := instead.get(path.relative_to(folder))) is not None:
            total.update(hashlib.sha256(content).digest())
            continue
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
