"""Ctrl-C and SIGTERM end a run at the next step, not in the middle of one."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):  # noqa: N818 - it is news, not an error
    """Training was asked to stop and has saved a checkpoint."""

    def __init__(self, number: int, generation: int, step: int) -> None:
        self.number, self.generation, self.step = number, generation, step
        super().__init__(
            f"stopped by {signal.Signals(number).name} in generation {generation} after step {step}"
        )


class Interrupt:
    """While it is entered, the first signal is noted; a second one ends the process at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = number
        signal.signal(number, signal.SIG_DFL)
