"""Hands a run's rows to a writer in a thread of its own, so that training never waits for it."""

import collections
import re
import threading
from collections.abc import Callable

from ldl_jax.trackers.writer import Ending, RunWriter, TrackedRow, TrackedRun

_EVERY = 1.0  # seconds between two calls of a writer
_MOST = 50_000  # rows that wait for a writer; one that is that far behind is given up
_LENGTH = 300  # of a message
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # in an address, which messages may name


class Background:
    """A writer at work; what it raises is one line, after which it is left alone."""

    def __init__(
        self,
        name: str,
        make: Callable[[], RunWriter],
        run: TrackedRun,
        warn: Callable[[str], None],
        keep: Callable[[str], None],
    ) -> None:
        """Starts the thread.

        Args:
          name: the tracker's, for messages.
          make: makes the writer; it is called in the thread.
          run: what the writer starts with.
          warn: takes one line where the writer fails; it may be called from the thread.
          keep: takes what the writer's `start` returned, called in the thread.
        """
        self._name, self._make, self._run, self._warn, self._keep = name, make, run, warn, keep
        self._rows: collections.deque[TrackedRow] = collections.deque()
        self._ending: Ending | None = None
        self._ended, self._left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """True once the writer has failed, or was given up."""
        return self._left.is_set()

    def row(self, row: TrackedRow) -> None:
        """Hands on a row; returns at once."""
        if self._left.is_set():
            return
        if len(self._rows) >= _MOST:
            self._leave(f"it does not keep up, {_MOST:,} rows wait for it")
        else:
            self._rows.append(row)

    def end(self, ending: Ending, patience: float) -> bool:
        """Ends the run, and waits for the writer; returns whether all of it was written.

        Args:
          ending: what the writer ends with.
          patience: the seconds that it is waited for at most.
        """
        self._ending = ending
        self._ended.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._leave(f"it was waited for for {patience:g} s at the end of the run")
        return not self._left.is_set()

    def _work(self) -> None:
        try:
            writer = self._make()
            identity = str(writer.start(self._run) or "")
            if not self._left.is_set() and identity != self._run.id:
                self._keep(identity)
            while not self._left.is_set():
                ended = self._ended.wait(_EVERY)
                if rows := [self._rows.popleft() for _ in range(len(self._rows))]:
                    writer.rows(rows)
                if ended and not self._rows:
                    assert self._ending is not None
                    writer.end(self._ending)
                    return
        # A library may raise anything, SystemExit too, and it may not end the run.
        except BaseException as error:
            self._leave(f"{type(error).__name__}: {error}")

    def _leave(self, why: str) -> None:
        """Says once why the writer is left alone."""
        if self._left.is_set():
            return
        self._left.set()
        self._rows.clear()
        why = _PASSWORD.sub("...", " ".join(why.split()))[:_LENGTH]
        self._warn(
            f"warning: {self._name}: {why}; the run goes on, and is no longer tracked there "
            "(metrics.jsonl has all rows)"
        )
