"""Several processes for one command: its flags, and the common end of all of them."""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import NoReturn

import jax
from absl import flags, logging

from ldl_jax import processes
from ldl_jax.evaluation.cells import plain
from ldl_jax.processes import address
from ldl_jax.run.command import fail
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.workdir import differences

_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "several processes: HOST:PORT where process 0 listens"
)
_PROCESSES = flags.DEFINE_integer("processes", None, "how many processes run this command")
_PROCESS = flags.DEFINE_integer("process", None, "which of them this is, from 0")
_SECONDS = flags.DEFINE_float("connect_seconds", 300, "how long they wait for one another")
_ECHO = 10.0  # seconds in which the group learns why a collective operation broke


def come_together() -> None:
    """Joins the processes that the flags, the environment or SLURM tell of; may end this one."""
    try:
        rendezvous = address.find(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, os.environ)
        if _SECONDS.value <= 0:
            fail(f"--connect_seconds: expected more than 0, got {_SECONDS.value:g}")
        if rendezvous is not None:
            processes.join(rendezvous, _SECONDS.value, end)
    except ValueError as error:
        fail(str(error))


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
