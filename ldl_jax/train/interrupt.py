"""Ctrl-C and SIGTERM end a run after a step, not in the middle of one."""

import signal
from types import FrameType
from typing import Any, NoReturn

from ldl_jax import processes

# Steps from one agreement of several processes to the next, so that none waits for the others.
_AGREE = 4


class Interrupted(Exception):  # noqa: N818 - it is news, not an error
    """Training was asked to stop and has saved a checkpoint."""

    def __init__(self, number: int, generation: int, step: int | None = None) -> None:
        """A signal's number stops a run after a step of a generation, or after its end.

        Generation 0 is before all training.
        """
        self.number, self.generation, self.step = number, generation, step
        where = f"in generation {generation} after step {step}"
        if generation == 0:
            where = "before the first step, while features were computed"
        elif step is None:
            where = f"after generation {generation}"
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")


class Interrupt:
    """While it is entered, the first signal is noted; a second one ends the process at once.

    Attributes:
      number: the signal that came to a process of the run, None without one.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._noted: int | None = None
        self._before: dict[int, Any] = {}
        self._calls, self._posted = 0, -1

    def __enter__(self) -> "Interrupt":
        for kind in (signal.SIGINT, signal.SIGTERM):
            # A shell has its background jobs ignore SIGINT, and they go on doing so.
            if kind == signal.SIGTERM or signal.getsignal(kind) is not signal.SIG_IGN:
                self._before[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for noted, handler in self._before.items():
            signal.signal(noted, handler)

    def check(self, now: bool = False) -> int | None:
        """Sets and gives `number`; all processes call this alike, and get the same.

        Of several processes, a signal to one is known to all after 4 to 8 calls.

        Args:
          now: wait for the other processes, to know it at once.
        """
        if processes.count() == 1:
            self.number = self._noted
            return self.number
        self._calls += 1
        if now:
            self._agree(processes.all_gather(self._noted))
        elif self._calls % _AGREE == 0:
            if self._posted >= 0:
                self._agree(processes.collect(self._posted))
            self._posted = processes.post(self._noted)
        return self.number

    def stop(self, generation: int, step: int | None = None) -> NoReturn:
        """Raises Interrupted for the signal that `check` gave."""
        assert self.number is not None
        raise Interrupted(self.number, generation, step)

    def stop_now(self) -> None:
        """Raises Interrupted if a signal came, before anything is trained; of a single process."""
        if self.check() is not None:
            self.stop(0)

    def _agree(self, noted: list[int | None]) -> None:
        self.number = self.number or next(filter(None, noted), None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._noted = number
        signal.signal(number, signal.SIG_DFL)
