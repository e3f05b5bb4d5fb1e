"""Finds the config that --config names: a file, or one of the package's by its short name."""

import difflib
import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

# Beside ldl_jax in a checkout and in an installed package alike.
FOLDER = Path(__file__).parents[2] / "configs"
_FLAG = re.compile(r"--?config")
_PARTS = {"__init__", "recipes"}  # what configs are made of


def names() -> list[str]:
    """Returns the short names of the package's configs, as "quickstart" and "sweeps/five_seeds"."""
    paths = (path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
    return sorted(
        path.with_suffix("").as_posix()
        for path in paths
        if not _PARTS & {path.parts[0], path.stem} and "__pycache__" not in path.parts
    )


def put_files(arguments: Sequence[str]) -> list[str]:
    """Returns command-line arguments with a file wherever --config gives a name.

    Raises:
      ValueError: there is neither a file nor a config of the package of this name.
    """
    files = list(arguments)
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if equals and _FLAG.fullmatch(flag):
            files[index] = f"{flag}={file_of(value)}"
    for index, (flag, value) in enumerate(itertools.pairwise(arguments)):
        if _FLAG.fullmatch(flag):
            files[index + 1] = file_of(value)
    return files


def file_of(value: str) -> str:
    """Returns the file that a value of --config means, with the argument after its colon, if any.

    It is the file of this path, which may go without its .py, or else the package's config of this
    name, with or without "configs/" and ".py".

    Raises:
      ValueError: as of `put_files`.
    """
    path, colon, argument = value.partition(":")
    for file in (path, f"{path}.py"):
        if Path(file).is_file():
            return f"{file}{colon}{argument}"
    name = path.removeprefix("./").removeprefix("configs/").removesuffix(".py")
    known = names()
    if name in known:
        _take_package()
        return f"{FOLDER / name}.py{colon}{argument}"
    near = _near(path, name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the package has {', '.join(known)}"
    raise ValueError(
        f"--config: there is no file {path} (from {os.getcwd()}), and no config of the package of "
        f"this name; {hint}"
    )


def workdir(given: str | None, config: flags.Flag) -> Path:
    """Returns the folder of a run: the one that was given, or runs/NAME of the config's file."""
    if given is not None:
        return Path(given)
    file = config_flags.get_config_filename(config)
    return Path("runs") / Path(file.partition(":")[0]).stem


def _take_package() -> None:
    """Imports the package's `configs`, which its files import one another from.

    A folder `configs` of the user's own, where the command was started, would be found first.
    """
    loaded = sys.modules.get("configs")
    if loaded is not None and str(FOLDER) in map(str, loaded.__path__):
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "configs"]:
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location("configs", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["configs"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _near(path: str, name: str, known: Sequence[str]) -> list[str]:
    """Returns at most three files and names that are like one, the files first."""
    prefix = "configs/" if path.startswith("configs/") else ""
    suffix = ".py" if path.endswith(".py") else ""
    files = [str(file) for file in Path(path).parent.glob("*.py")]
    files += [str(file) for file in Path("configs").rglob("*.py") if file.stem not in _PARTS]
    near = difflib.get_close_matches(path, files, 3)
    last = name.rpartition("/")[2]
    near += [f"{prefix}{each}{suffix}" for each in _like(name, last, known)]
    return list(dict.fromkeys(near))[:3]


def _like(name: str, last: str, known: Sequence[str]) -> Iterator[str]:
    """Yields the names that are like one as a whole, and then those whose last part is."""
    yield from difflib.get_close_matches(name, known, 3)
    lasts = {each.rpartition("/")[2]: each for each in known}
    yield from (lasts[each] for each in difflib.get_close_matches(last, lasts, 3))
