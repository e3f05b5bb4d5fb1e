"""Has units done by a process of their own on this machine, and tells how it ended."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from types import FrameType

from ldl_jax.workers import child
from ldl_jax.workers.units import DIED, Surroundings, UnitEnding, WorkUnit

_END = 10.0  # seconds in which a process without work ends by itself


class Supervisor:
    """Keeps one process for units, which may be many; a new one where the last has died.

    What a process has read and compiled serves its next units. It ends with this one, however that
    ends, and no signal of a terminal reaches it.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._busy = threading.Lock(), False

    def run(self, unit: WorkUnit) -> UnitEnding:
        """Has a unit done, and returns how it ended."""
        with self._lock:
            process = self._process = self._process or self._start()
            self._busy = True
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                child.send(process.stdin, unit)
                answer = child.receive(process.stdout)
            except OSError:  # it has died before it read all of it
                answer = None
        finally:
            with self._lock:
                self._busy = False
        if answer is not None:
            ending: UnitEnding = pickle.loads(answer)
            return ending
        code = process.wait()
        self._process = None
        return UnitEnding(DIED, _reason(code), host=socket.gethostname())

    def stop(self) -> None:
        """Tells the process to save the unit that it is at, if it is at one."""
        with self._lock:
            if self._busy and self._process is not None:
                self._process.terminate()

    def close(self) -> None:
        """Ends the process: when it has no work by itself, else at once."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        surroundings = self._surroundings
        environment = os.environ | surroundings.environment
        environment["PYTHONPATH"] = os.pathsep.join(surroundings.search)
        process = subprocess.Popen(
            [sys.executable, "-m", "ldl_jax.workers.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=surroundings.folder,
            env=environment,
            start_new_session=True,
        )
        assert process.stdin is not None
        child.send(process.stdin, surroundings)
        return process


def run_once(surroundings: Surroundings, unit: WorkUnit) -> UnitEnding:
    """Has one unit done in this process's name; a signal to it has the unit saved."""
    supervisor = Supervisor(surroundings)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        supervisor.stop()

    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(kind, stop)
    try:
        return supervisor.run(unit)
    finally:
        supervisor.close()


def _reason(code: int) -> str:
    """Returns how a process ended, by its exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
