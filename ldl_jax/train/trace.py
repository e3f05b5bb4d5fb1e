"""A profile of a few steps: where the time goes, on the devices and on the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_WARM_UP, _STEPS = 10, 10


class Trace:
    """Traces about ten steps after the first ten of a run, which compile and fill caches.

    TensorBoard's profile plugin and https://ui.perfetto.dev show what is in the folder.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """
        Args:
          folder: takes the trace; it is made where there is none.
          say: takes a line for the user.

        Raises:
          ValueError: it is no folder, or cannot be written to.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--profile: {folder} cannot be made a folder ({error})") from None
        self._folder, self._say = folder, say
        self._seen, self._first, self._done = 0, 0, False

    def after(self, number: int, state: Any) -> None:
        """A call was sent to the devices; `number` is its last step, `state` its result."""
        self._seen += 1
        if self._done:
            return
        if self._first == 0 and self._seen > _WARM_UP:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder))
            self._first = number + 1
        elif self._first and number >= self._first + _STEPS - 1:
            jax.block_until_ready(state)
            self._stop(number)

    def close(self) -> None:
        """The run ends: what is there is written."""
        if self._first and not self._done:
            self._stop(None)
        if not self._done:
            self._say(f"--profile: fewer than {_WARM_UP + 1} calls of a step, so no trace")

    def _stop(self, number: int | None) -> None:
        jax.profiler.stop_trace()
        self._done = True
        end = "the run's end" if number is None else f"step {number}"
        self._say(f"a trace of step {self._first} to {end}: {self._folder}")
