"""Lists the pictures in folders, by one rule for all readers and commands.

Links are followed. Left out are hidden files and folders (their names start with a dot, as macOS's
._a.jpg), files without the suffix of a picture, what is no regular file (a broken link, a pipe, a
device), and a folder that was listed already under another name (a link to a folder above it).
"""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.pictures import SUFFIXES
from ldl_jax.data.records import DataError, Faults

# Files that nobody takes for pictures: they are not counted among what is left out.
_TEXTS = (
    *(".csv", ".db", ".gz", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md"),
    *(".npy", ".npz", ".ods", ".pdf", ".pts", ".py", ".tar", ".txt", ".xls", ".xlsm", ".xlsx"),
    *(".xml", ".yaml", ".yml", ".zip"),
)
_HIDDEN, _OTHER = "its name starts with a dot", "it is no regular file"
_AGAIN = "the folder is listed already under another name"

Left = MutableMapping[str, list[str]]
_Key = tuple[int, int]  # a folder's device and inode


class _Listing(NamedTuple):
    """Holds the names in a folder: its pictures, and the folders with their keys; both sorted."""

    pictures: list[str]
    folders: list[tuple[str, _Key]]


def pictures(folder: Path, left: Left | None = None, prefix: str = "") -> tuple[str, ...]:
    """Lists the names of the picture files in a folder, sorted; none where it is no folder.

    `left` takes the files that are left out, under the reason, each after `prefix`.
    """
    return tuple(_listing(folder, left, prefix).pictures)


def subfolders(folder: Path, left: Left | None = None, prefix: str = "") -> tuple[str, ...]:
    """Lists the names of the folders in a folder, sorted, hidden ones left out."""
    return tuple(name for name, _ in _listing(folder, left, prefix).folders)


def below(folder: Path, left: Left | None = None, prefix: str = "") -> Iterator[str]:
    """Yields the picture files in a folder and those below it, each after `prefix`.

    They are paths relative to the folder, sorted, those of a folder before those below it. `left`
    takes what is left out, by the reason.
    """
    if folder.is_dir():
        # A link to a folder above this one would list what does not belong here.
        above = {*folder.absolute().parents, *folder.resolve().parents, folder}
        states = [os.stat(path) for path in above]
        known = {(state.st_dev, state.st_ino) for state in states}
        yield from _below(folder, left, prefix, known)


def _below(folder: Path, left: Left | None, prefix: str, known: set[_Key]) -> Iterator[str]:
    listing = _listing(folder, left, prefix)
    for name in listing.pictures:
        yield f"{prefix}{name}"
    for name, key in listing.folders:
        if key in known:
            _leave(left, _AGAIN, f"{prefix}{name}")
            continue
        known.add(key)
        yield from _below(folder / name, left, f"{prefix}{name}/", known)


def named(
    files: Sequence[str], pattern: str, expected: str, left: Left | None = None
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yields each file with the match of `pattern` against its name (the path's last part).

    Args:
      files: paths relative to the root.
      pattern: a regular expression for the whole name, whose digits are 0 to 9.
      expected: the name's form, for messages.
      left: takes names of another form, for sets known to hold some; None makes them an error.

    Raises:
      LayoutError: there is no file.
      DataError: names have another form, and `left` is None; it lists them.
    """
    if not files:
        raise LayoutError("the folder holds no picture")
    # \d would match the digits of all scripts, and \w is meant for suffixes alone.
    compiled = re.compile(pattern.replace(r"\d", "[0-9]"))
    faults = Faults("names of files")
    for file in files:
        match = compiled.fullmatch(file.rsplit("/", 1)[-1])
        if match is not None:
            yield file, match
        elif left is None:
            faults.add(f"{file}: a file's name must be {expected}")
        else:
            left.setdefault(f"the name is not {expected}", []).append(file)
    faults.check()


def left_notes(left: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns a line for each reason to leave pictures out: how many, and the first."""
    return tuple(
        f"{len(rows)} {_counted(reason, len(rows))} left out: {reason} (the first: {rows[0]})"
        for reason, rows in left.items()
        if rows
    )


def _counted(reason: str, count: int) -> str:
    """Returns what is counted; files that may be no pictures are not called so."""
    what = "file" if reason in (_HIDDEN, _OTHER, _AGAIN) or "suffix" in reason else "picture"
    what = "folder" if reason == _AGAIN else what
    return what if count == 1 else f"{what}s"


def _listing(folder: Path, left: Left | None, prefix: str) -> _Listing:
    listing = _Listing([], [])
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return listing
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    for entry in ordered:
        _sort_in(entry, listing, left, prefix)
    return listing


def _sort_in(entry: os.DirEntry[str], listing: _Listing, left: Left | None, prefix: str) -> None:
    name, suffix = entry.name, os.path.splitext(entry.name)[1].lower()
    try:
        is_folder = entry.is_dir()
        key = entry.stat() if is_folder else None
        is_regular = entry.is_file()  # true of regular files alone
    except OSError:  # a link to itself, or one that leads to where nobody may look
        is_folder, key, is_regular = False, None, False
    if key is not None:
        if name.startswith("."):
            _leave(left, _HIDDEN, f"{prefix}{name}")
        else:
            listing.folders.append((name, (key.st_dev, key.st_ino)))
    elif suffix in SUFFIXES:
        if name.startswith("."):
            _leave(left, _HIDDEN, f"{prefix}{name}")
        elif is_regular:
            listing.pictures.append(name)
        else:
            _leave(left, _OTHER, f"{prefix}{name}")
    elif suffix not in _TEXTS and not name.startswith("."):
        _leave(left, _unread(suffix) if is_regular else _OTHER, f"{prefix}{name}")


def _unread(suffix: str) -> str:
    return f"files with the suffix {suffix} are not read" if suffix else "it has no suffix"


def _leave(left: Left | None, reason: str, name: str) -> None:
    if left is not None:
        left.setdefault(reason, []).append(name)
