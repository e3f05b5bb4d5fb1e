"""A profile of a few steps: where the time goes, on the devices and on the host."""

from collections.abc import Callable
from pathlib import Path

import jax

from ldl_jax.train.state import PyTree

_WARM_UP, _STEPS = 10, 10


class Trace:
    """Traces ten steps or so after the first ten calls of a run, which compile; a context manager.

    TensorBoard's profile plugin and https://ui.perfetto.dev show what is in the folder.
    """

    def __init__(self, folder: str, log: Callable[[str], None]) -> None:
        """
        Args:
          folder: takes the trace; it is made where there is none. "" for no trace.
          log: takes a line for the user.

        Raises:
          ValueError: it is no folder, or cannot be made.
        """
        self._folder, self._log = folder, log
        self._calls, self._first, self._done = 0, 0, not folder
        if folder:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"--profile: {folder} cannot be made a folder ({error})") from None

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *error: object) -> None:
        if self._done:
            return
        if self._first:
            self._stop("the last one")
        else:
            self._log(f"--profile: a run of {_WARM_UP} calls or fewer leaves no trace")

    def after(self, step: int, state: PyTree) -> None:
        """Takes note of a call to the devices; `step` is its last one, `state` its result."""
        if self._done:
            return
        self._calls += 1
        if self._calls == _WARM_UP:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder)
            self._first = step + 1
        elif self._calls > _WARM_UP and step >= self._first + _STEPS - 1:
            jax.block_until_ready(state)
            self._stop(str(step))

    def _stop(self, last: str) -> None:
        jax.profiler.stop_trace()
        self._done = True
        self._log(f"--profile: a trace of step {self._first} to {last} is in {self._folder}")
