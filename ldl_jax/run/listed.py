"""Finds the runs that a folder holds: its own, those of a sweep, or those of folds."""

from collections.abc import Sequence
from pathlib import Path


def runs_in(folder: Path) -> list[Path]:
    """Returns the workdirs of a sweep's runs or of folds, in the order of their names.

    The folder itself where it is a run's, or holds neither.
    """
    if not (folder / "config.json").exists():
        for inner in ("runs", "folds"):
            runs = [path.parent for path in (folder / inner).glob("*/config.json")]
            if runs:
                return sorted(runs, key=lambda path: _by_number(path.name))
    return [folder]


def _by_number(name: str) -> tuple[Sequence[int], str]:
    """Returns a key that puts fold 10 after fold 9."""
    return ([int(name)] if name.isdecimal() else [], name)
