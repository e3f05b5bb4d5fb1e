"""Lists the pictures in folders, for sets whose labels are in names of files."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path

from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

Left = MutableMapping[str, list[str]]


def pictures(folder: Path) -> tuple[str, ...]:
    """Lists the names of the picture files in a folder, sorted; none where it is no folder."""
    return _names(folder, lambda e: e.name.lower().endswith(SUFFIXES) and e.is_file())


def subfolders(folder: Path) -> tuple[str, ...]:
    """Lists the names of the folders in a folder, sorted, hidden ones left out."""
    return _names(folder, os.DirEntry.is_dir)


def below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yields the picture files in a folder and those below it, as paths relative to it, sorted."""
    for name in pictures(folder):
        yield f"{prefix}{name}"
    for name in subfolders(folder):
        yield from below(folder / name, f"{prefix}{name}/")


def named(
    files: Sequence[str], pattern: str, expected: str, left: Left | None = None
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yields each file with the match of `pattern` against its name (the path's last part).

    Args:
      files: paths relative to the root.
      pattern: a regular expression for the whole name.
      expected: the name's form, for messages.
      left: takes names of another form, for sets known to hold some; None makes them an error.

    Raises:
      LayoutError: there is no file.
      DataError: a name has another form, and `left` is None.
    """
    if not files:
        raise LayoutError("the folder holds no picture")
    for file in files:
        match = re.fullmatch(pattern, file.rsplit("/", 1)[-1])
        if match is not None:
            yield file, match
        elif left is None:
            raise DataError(f"{file}: a file's name must be {expected}")
        else:
            left.setdefault(f"the name is not {expected}", []).append(file)


def left_notes(left: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns a line for each reason to leave pictures out: how many, and the first."""
    return tuple(
        f"{len(rows)} {'picture' if len(rows) == 1 else 'pictures'} left out: {reason} "
        f"(the first: {rows[0]})"
        for reason, rows in left.items()
        if rows
    )


def _names(folder: Path, is_wanted: Callable[[os.DirEntry[str]], bool]) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            wanted = [entry.name for entry in entries if is_wanted(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(name for name in wanted if not name.startswith(".")))
