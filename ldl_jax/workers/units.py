"""Defines what a worker is given, what comes back, and the launcher between the two."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

DONE, FAILED = "done", "failed"
STOPPED = "stopped"  # by a signal, after a checkpoint
DIED = "died"  # without a word: killed, out of memory, or with its machine
UNUSABLE = "unusable"  # the worker itself, for any unit


@dataclasses.dataclass(frozen=True)
class WorkUnit:
    """A piece of work that one worker does as a whole.

    Attributes:
      name: on the screen.
      task: the function that does it, as "package.module:function".
      arguments: of the function, by name; they are pickled.
      log: the file that what it prints is appended to.
      needs: the names of units that must be done before.
      after: the names of units that must have ended before, well or not.
    """

    name: str
    task: str
    arguments: Mapping[str, Any]
    log: Path
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """The state of the driver that a worker takes over, so that units find the same there.

    Attributes:
      folder: the current one.
      search: where modules are searched.
      environment: variables, beside the worker's own.
      setup: a function that is called first, as "package.module:function", and its arguments.
      arguments: of the function, by name.
      seen: a file that the driver has written, and its content.
    """

    folder: str
    search: tuple[str, ...]
    environment: Mapping[str, str]
    setup: str
    arguments: Mapping[str, Any]
    seen: tuple[Path, str]


@dataclasses.dataclass(frozen=True)
class UnitEnding:
    """The end of a unit in a worker.

    Attributes:
      kind: DONE, FAILED, STOPPED, DIED or UNUSABLE.
      text: why it is not done, for the user.
      seconds: that it took.
      host: the machine.
    """

    kind: str
    text: str = ""
    seconds: float = 0.0
    host: str = ""


class UnitStopped(Exception):  # noqa: N818 - it is news, not an error
    """Raised by a task that a signal has stopped after a checkpoint."""


class Launcher(Protocol):
    """Has units done by workers. It is told of one unit at a time, and never of too many."""

    def start(self, unit: WorkUnit) -> None:
        """Hands a unit to a worker; returns at once."""

    def wait(self, seconds: float) -> list[tuple[str, UnitEnding]]:
        """Returns the names of the units that have ended since, waiting so long for a first one."""

    def stop(self) -> None:
        """Asks the workers to save what they are at; their units end as STOPPED."""

    def close(self) -> None:
        """Ends the workers, whatever they are at."""
