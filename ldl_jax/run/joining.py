"""Several processes for one command: its flags, and the common end of all of them."""

import contextlib
import json
import os
import secrets
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import jax
from absl import flags, logging

from ldl_jax import files, processes
from ldl_jax.evaluation.cells import plain
from ldl_jax.processes import address
from ldl_jax.processes.secret import VARIABLE, Secret
from ldl_jax.run.command import fail
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.workdir import differences
from ldl_jax.workdir.folder import SECRET

_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "several processes: HOST:PORT where process 0 listens"
)
_PROCESSES = flags.DEFINE_integer("processes", None, "how many processes run this command")
_PROCESS = flags.DEFINE_integer("process", None, "which of them this is, from 0")
_SECONDS = flags.DEFINE_float("connect_seconds", 300, "how long they wait for one another")
_ECHO = 10.0  # seconds in which the group learns why a collective operation broke
_SEEN = 30.0  # seconds that a network file system may take to show a file to another host
_LEAST = 16  # characters of a secret that the user gives; a shorter one could be guessed


def come_together(workdir: Path) -> None:
    """Joins the processes that the flags, the environment or SLURM tell of; may end this one.

    They know one another by a secret, from the environment or else from the folder of the run.
    """
    try:
        rendezvous = address.find(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, os.environ)
        if _SECONDS.value <= 0:
            fail(f"--connect_seconds: expected more than 0, got {_SECONDS.value:g}")
        if rendezvous is not None:
            with _secret(workdir, rendezvous.index == 0) as secret:
                processes.join(rendezvous, _SECONDS.value, end, secret)
    except ValueError as error:
        fail(str(error))


@contextlib.contextmanager
def _secret(workdir: Path, primary: bool) -> Iterator[Secret]:
    """Gives the run's secret; process 0 draws one where the user gives none, and removes it then.

    Only its owner can read the file. A folder that was made for it is removed with it.

    Raises:
      ValueError: the user's is too short, or the folder of the run can hold none.
    """
    if text := os.environ.get(VARIABLE, "").encode(errors="surrogateescape"):
        if len(text) < _LEAST:
            raise ValueError(f"{VARIABLE}: expected {_LEAST} characters or more, got {len(text)}")
        yield Secret(lambda: text, VARIABLE)
        return
    path = workdir / SECRET

    def read() -> bytes:
        with contextlib.suppress(OSError):
            return path.read_bytes()
        return b""

    new = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"workdir: {workdir} is a file; give a new folder")
    if not primary:
        yield Secret(read, str(path), _SEEN)
        return
    try:
        files.write(path, secrets.token_hex(32), mode=0o600)
    except OSError as error:
        raise ValueError(f"workdir: {workdir} cannot be written to ({error})") from None
    try:
        yield Secret(read, str(path))
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else has written there meanwhile
            for folder in new:
                folder.rmdir()


@contextlib.contextmanager
def together(*known: type[Exception]) -> Iterator[None]:
    """Ends all processes where one fails: with the line alone of an error that is `known`.

    One process by itself is left as it is.
    """
    try:
        yield
    except known as error:
        if processes.count() == 1:
            raise
        if flags.FLAGS.verbosity >= logging.DEBUG:
            traceback.print_exc()
        processes.fail(str(error))
    except Interrupted:
        processes.leave()
        raise
    except KeyboardInterrupt:  # before the run takes note of signals
        if processes.count() == 1:
            raise
        processes.fail("stopped by SIGINT")
    except Exception as error:
        if processes.count() == 1:
            raise
        if isinstance(error, jax.errors.JaxRuntimeError):
            time.sleep(_ECHO)  # most likely another process has ended, and this one does here
        traceback.print_exc()
        processes.fail(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    processes.leave()


def check_same(description: Mapping[str, object]) -> None:
    """Compares what the processes are about to run.

    Raises:
      ValueError: this process's is another than process 0's; the line says in what.
    """
    content = json.loads(json.dumps(description))
    if changes := differences(processes.broadcast(content), content):
        raise ValueError(
            f"runs something else than process 0: {'; '.join(changes)}; give all processes the "
            "same command, code and data"
        )
    processes.all_gather(None)


def end(text: str) -> NoReturn:
    """Ends this process at once, whatever its other threads do, with a line for the user."""
    if text:
        sys.stderr.write(f"error: {plain(' '.join(text.split()))}\n")
        sys.stderr.flush()
    os._exit(1)
