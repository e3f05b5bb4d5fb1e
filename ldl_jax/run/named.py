"""Short names for folders and files that a command was given."""

import os
import re
from collections.abc import Sequence
from pathlib import Path


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the end of each path that tells it from the others: its last part, or more of them.

    A path that is given twice gets a number.

    Examples:
      >>> short_names([Path("runs/a/x"), Path("runs/b/x"), Path("y.h5")])
      ['a/x', 'b/x', 'y.h5']
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    names: list[str] = []
    for index, path in enumerate(parts):
        length = 1
        others = [other for other in parts if other != path]
        while length < len(path) and any(other[-length:] == path[-length:] for other in others):
            length += 1
        name = str(Path(*path[-length:]))
        times = parts[: index + 1].count(path)
        names.append(name if times == 1 else f"{name} ({times})")
    return names


def file_names(names: Sequence[str]) -> list[str]:
    """Returns a name for a file of each name: of letters, digits and marks that no system minds.

    Examples:
      >>> file_names(["a/x", "a x", ".."])
      ['a_x', 'a_x-2', '_']
    """
    result: list[str] = []
    for name in names:
        safe = re.sub(r"[^\w.=+-]+", "_", name).strip(".")[:100] or "_"
        count, unique = 1, safe
        while unique.casefold() in map(str.casefold, result):
            count += 1
            unique = f"{safe}-{count}"
        result.append(unique)
    return result
