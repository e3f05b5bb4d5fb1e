"""Starts the programs of this package, each of which reads one foreign file, with limits.

A reader that a damaged or hostile file leads astray ends alone. Its address space, its processor
time and the time that it is waited for are bounded (where the system has no such limits, as
Windows, the time alone). What it hands back is plain data, since whoever wrote the file may have
written that: JSON, bytes, or arrays without pickled objects.

A program is a new interpreter, so that it neither copies JAX's threads and locks nor has what this
process keeps in memory. It imports NumPy and its parser: a quarter of a second.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

MEMORY = 4 * 2**30  # bytes of address space
SECONDS = 120.0  # for a program that reads its whole file
_START = 600.0  # for one to import what it needs, of which the file has no say
_REPLY = 9  # bytes before a reply: whether it is an error, and its length
_MODULE = re.compile(r"^[\w.]+\.(?=\w+(:|$))")  # in front of an exception's name
_LIMITED = """
import contextlib, runpy, sys
memory, seconds, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with contextlib.suppress(ImportError):  # the system has no limits
    import resource
    for kind, most in (("AS", memory), ("CPU", seconds), ("CORE", 0)):
        kind = getattr(resource, "RLIMIT_" + kind)
        soft, hard = resource.getrlimit(kind)
        least = min(most, *(n for n in (soft, hard, most) if n != resource.RLIM_INFINITY))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (least, hard))
del sys.argv[:4]
sys.path.insert(0, root)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
Ask = Callable[[str, int], bytearray]


class ReaderError(ValueError):
    """Raised where a program could not read a file; the message is the reason."""


def output(program: str, arguments: Sequence[str], content: bytes) -> bytes:
    """Returns what a program of this package writes, with `content` as its standard input.

    Raises:
      ReaderError: it failed, or took more memory or time than `MEMORY` and `SECONDS`.
    """
    try:
        done = subprocess.run(
            _command(program, arguments, SECONDS),
            input=content,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise ReaderError(f"its reader took more than {SECONDS:g} s") from None
    if done.returncode == 0:
        return done.stdout
    last = done.stderr.strip().splitlines()[-1:]
    # A process that a signal ended leaves no line of its own.
    if not last or done.returncode < 0 or b"MemoryError" in last[0]:
        raise ReaderError("its reader ran out of memory, or crashed")
    raise ReaderError(_MODULE.sub("", _line(last[0])))


@contextlib.contextmanager
def asked(program: str, path: Path, seconds: float) -> Iterator[Ask]:
    """Starts a program that answers what it is asked about a file, by `server.serve`.

    Args:
      program: a module of this package.
      path: the file.
      seconds: for all of its answers together, once it has started.

    Yields:
      `ask(question, most)`, which gives the answer's bytes, at most `most`. It raises ReaderError
      where the program cannot answer, or takes more memory or time.
    """
    process = subprocess.Popen(
        _command(program, [str(path.absolute())], SECONDS + seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    left = seconds

    def ask(question: str, most: int) -> bytearray:
        nonlocal left
        started = time.monotonic()
        answer = _answer(process, question, most, left, seconds)
        left -= time.monotonic() - started
        return answer

    try:
        _answer(process, None, 0, _START, _START)  # it has imported what it needs
        yield ask
    finally:
        process.kill()
        with contextlib.suppress(OSError):  # what was not sent any more
            process.communicate()


def _command(program: str, arguments: Sequence[str], seconds: float) -> list[str]:
    root = str(Path(__file__).parents[2])
    limits = [str(MEMORY), str(max(1, round(seconds))), root]
    module = f"{__package__}.{program}"
    return [sys.executable, "-P", "-c", _LIMITED, *limits, module, *arguments]


def _environment() -> dict[str, str]:
    # One thread, since each of more would reserve memory of its own; and HDF5 takes filters from
    # nowhere but its own library.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return {**os.environ, **single, "HDF5_PLUGIN_PRELOAD": "::"}


def _answer(
    process: "subprocess.Popen[bytes]", question: str | None, most: int, left: float, given: float
) -> bytearray:
    """Returns a reply, which is waited for `left` of the `given` seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(max(left, 0.0), stop)
    timer.daemon = True
    timer.start()
    try:
        if question is not None:
            process.stdin.write(json.dumps(question).encode("ascii") + b"\n")
            process.stdin.flush()
        head = _exactly(process.stdout, _REPLY)
        length, is_error = int.from_bytes(head[1:], "little"), head[:1] != b"="
        if length > (2**16 if is_error else most):
            raise EOFError
        content = _exactly(process.stdout, length)
    except (OSError, EOFError):
        if late.is_set():
            raise ReaderError(f"its reader took more than {given:.0f} s") from None
        raise ReaderError("its reader ran out of memory, or crashed") from None
    finally:
        timer.cancel()
    if is_error:
        raise ReaderError(_line(content))
    return content


def _line(content: bytes | bytearray) -> str:
    """Returns what a program says as one line, in which nothing is hidden from a terminal."""
    text = " ".join(content.decode(errors="replace").split("\n"))
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _exactly(file: IO[bytes], count: int) -> bytearray:
    content = bytearray(count)
    if file.readinto(content) < count:  # type: ignore[attr-defined]
        raise EOFError
    return content
