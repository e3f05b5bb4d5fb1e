"""Runs a program that reads one foreign file, with limits on its memory and its time.

A reader that a damaged or hostile file leads astray ends alone. What it hands back is read as plain
data (JSON, or arrays without pickled objects), since whoever wrote the file may have written that.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ldl_jax.data.records import DataError
from ldl_jax.files import content_of

MEMORY = 4 * 2**30  # bytes of address space
SECONDS = 120.0
_MODULE = re.compile(r"^[\w.]+\.(?=\w+(:|$))")  # in front of an exception's name
_LIMITED = """
import contextlib, runpy, sys
with contextlib.suppress(ImportError, ValueError, OSError):  # none, or a lower one is set
    import resource
    limits = int(sys.argv.pop(1)), resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, limits)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class ReaderError(ValueError):
    """Raised where a program could not read a file; the message is the reason."""


def read(path: Path, file: str) -> bytes:
    """Returns a regular file's bytes; DataError, with `file` as its name, where it is none."""
    try:
        return content_of(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error


def output(program: str, arguments: Sequence[str], content: bytes) -> bytes:
    """Returns what a program beside this file writes, with `content` as its standard input.

    Raises:
      ReaderError: it failed, or took more memory or time than `MEMORY` and `SECONDS`.
    """
    script = str(Path(__file__).with_name(program))
    command = [sys.executable, "-P", "-c", _LIMITED, str(MEMORY), script, *arguments]
    # One thread: each of more would reserve memory of its own.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            input=content,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise ReaderError(f"its reader took more than {SECONDS:g} s") from None
    if done.returncode == 0:
        return done.stdout
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    # A process that a signal ended leaves no line of its own.
    if not last or done.returncode < 0 or "MemoryError" in last[0]:
        raise ReaderError("its reader ran out of memory, or crashed")
    raise ReaderError(_MODULE.sub("", last[0]))
