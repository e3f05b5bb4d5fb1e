"""The process that does the units of a worker: `python -m ldl_jax.workers.child`.

It reads pickled messages from its standard input, each after its length: first the surroundings,
then units. It answers each unit with its ending. When the input ends, whoever started it is gone,
and it ends too: at once, so that another worker can take over the unit, whose folder it has locked.
"""

import importlib
import os
import pickle
import queue
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from ldl_jax.workers.units import (
    DONE,
    FAILED,
    STOPPED,
    UNUSABLE,
    Surroundings,
    UnitEnding,
    UnitStopped,
    WorkUnit,
)

_LENGTH = struct.Struct(">Q")
_SEEN = 30.0  # seconds that a network file system may take to show a file to another host


def send(stream: IO[bytes], message: object) -> None:
    """Writes a message that `receive` reads."""
    data = pickle.dumps(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Returns the next message, still pickled; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    data = stream.read(*_LENGTH.unpack(head))
    return data if len(data) == _LENGTH.unpack(head)[0] else None


def main() -> None:
    """Does units until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, waiting, busy), daemon=True).start()
    first, fault = waiting.get(), None
    if first is None:
        return
    surroundings: Surroundings = pickle.loads(first)
    os.chdir(surroundings.folder)
    sys.path[:] = [*surroundings.search, *(x for x in sys.path if x not in surroundings.search)]
    ready = False
    while (data := waiting.get()) is not None:
        busy.set()
        start = time.monotonic()
        try:
            unit: WorkUnit = pickle.loads(data)
            _print_to(unit.log)
            if not ready:
                fault, ready = _set_up(surroundings), True
            ending = UnitEnding(UNUSABLE, fault) if fault else _done(unit)
        except Exception as error:  # what the unit names is not to be found here
            traceback.print_exc()
            ending = UnitEnding(FAILED, f"{type(error).__name__}: {error}")
        sys.stdout.flush()
        sys.stderr.flush()
        busy.clear()
        seconds = time.monotonic() - start
        send(answers, UnitEnding(ending.kind, ending.text, seconds, socket.gethostname()))


def _listen(requests: IO[bytes], waiting: "queue.SimpleQueue[bytes | None]", busy: Any) -> None:
    """Puts messages into a queue; ends the process at the end of the input."""
    while (data := receive(requests)) is not None:
        waiting.put(data)
    if busy.is_set():
        os._exit(1)
    waiting.put(None)


def _set_up(surroundings: Surroundings) -> str | None:
    """Prepares this process for units; returns what makes it unusable."""
    path, content = surroundings.seen
    end = time.monotonic() + _SEEN
    while not (path.is_file() and path.read_text() == content):
        if time.monotonic() > end:
            return (
                f"workdir: the worker on {socket.gethostname()} does not see what the driver "
                f"writes to {path.parent}; give a folder on a file system that all machines share"
            )
        time.sleep(0.1)
    try:
        _function(surroundings.setup)(**surroundings.arguments)
    except Exception as error:
        traceback.print_exc()
        return f"a worker on {socket.gethostname()} cannot be used: {error}"
    return None


def _done(unit: WorkUnit) -> UnitEnding:
    """Does a unit; its errors are printed, which is to its log."""
    try:
        _function(unit.task)(**unit.arguments)
    except UnitStopped as stop:
        return UnitEnding(STOPPED, str(stop))
    except (ValueError, OSError) as error:  # the user's, of which the line is enough
        print(f"error: {error}", flush=True)
        return UnitEnding(FAILED, str(error))
    except Exception as error:
        traceback.print_exc()
        return UnitEnding(FAILED, f"{type(error).__name__}: {error}")
    return UnitEnding(DONE)


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _print_to(path: Path) -> None:
    """Has all that this process prints, its libraries' included, appended to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    main()
