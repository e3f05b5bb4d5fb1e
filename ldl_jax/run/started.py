"""Keeps how a run was started: the commands, and the versions of the software, for its model card.

started.json is a list with an object for each different start, in their order. The command is that
of the process, as it would be typed again. No run goes by what it says.
"""

import importlib.metadata
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import jax

from ldl_jax import __version__
from ldl_jax.workdir import WorkdirError, read_json

NAME = "started.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


def read(folder: Path) -> list[Any]:
    """Returns the starts of the run in a folder, from the first; none where it has no such file.

    Raises:
      WorkdirError: the file is damaged.
    """
    path = folder / NAME
    starts = read_json(path) if path.is_file() else []
    if not isinstance(starts, list):
        raise WorkdirError(f"{path}: expected a list, got a {type(starts).__name__}")
    return starts


def dumped(folder: Path) -> bytes:
    """Returns the content of the file of the run in a folder, with the start of this process."""
    known = read(folder)
    start = {"command": _command(), "versions": _versions(), "device": _device()}
    starts = known if start in known else [*known, start]
    return (json.dumps(starts, indent=1, ensure_ascii=False) + "\n").encode()


def _command() -> str:
    program = Path(sys.argv[0])
    name = program.name
    if program.parent.name == "launch" and program.suffix == ".py":
        name = f"python -m launch.{program.stem}"
    return " ".join([name, shlex.join(sys.argv[1:])]).strip()


def _versions() -> dict[str, str]:
    versions = {"ldl_jax": __version__, "python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _device() -> str:
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
