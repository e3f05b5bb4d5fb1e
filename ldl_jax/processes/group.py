"""Links the processes of a run in a star, through which they share values and end together.

A closed connection tells process 0 at once that a process has died, and silence that its machine
stands still.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ldl_jax.processes.link import Link, Message

# Ends this process, with a line for the user unless the line is empty.
End = Callable[[str], NoReturn]
REMEDY = "start the same command again in all processes: it goes on from the last checkpoint"
BEAT = 2.0  # seconds from one sign of life to the next
SILENCE = 30.0  # seconds without a sign of life after which a process is lost
_ANSWER = 5.0  # seconds that a failing process waits for process 0's answer
_ALIKE = 1.0  # seconds that process 0 waits for a failure of its own, where all fail alike
_FAREWELL = 3.0  # seconds that process 0 waits for the others to end


class Group:
    """The links of this process to the others, and the values that are shared through them.

    Attributes:
      index: which one it is, from 0.
      count: how many there are.
    """

    def __init__(
        self,
        index: int,
        count: int,
        links: dict[int, Link],
        end: End,
        beat: float = BEAT,
        silence: float = SILENCE,
    ) -> None:
        """Starts to listen to the links of `meeting.meet`."""
        self.index, self.count = index, count
        self._links, self._end = links, end
        self._changed = threading.Condition()
        self._values: dict[int, dict[int, object]] = {}  # by exchange, by process
        self._posted, self._last = 0, -1
        self._news = ""  # what ended the run
        self._failing, self._ending, self._left = False, threading.Lock(), threading.Event()
        self._threads = {
            peer: threading.Thread(target=self._listen, args=(peer, link, silence))
            for peer, link in links.items()
        }
        for thread in (*self._threads.values(), threading.Thread(target=self._beat, args=(beat,))):
            thread.daemon = True
            thread.start()

    def post(self, value: object) -> int:
        """Gives a value of JSON's types to all, and returns the exchange's number for `collect`.

        All processes make their exchanges in the same order.
        """
        exchange = self._posted
        self._posted += 1
        self._give(exchange, {self.index: value})
        return exchange

    def collect(self, number: int) -> list[Any]:
        """Waits for all processes' values of an exchange, and returns them in their order."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._values.get(number, ())) == self.count)
            values = self._values.pop(number)
        return [values[index] for index in range(self.count)]

    def share(self, value: object) -> list[Any]:
        """Returns all processes' values: `post` and `collect` in one."""
        return self.collect(self.post(value))

    def leave(self) -> None:
        """Waits until all have come to this point; from then on each may end."""
        self._last = self._posted
        self.share(None)

    def close(self) -> None:
        """Closes the links, after `leave` or, in tests, as a process that dies would."""
        self._left.set()  # so that this process's own threads do not report it
        for link in self._links.values():
            link.close()

    def fail(self, text: str) -> NoReturn:
        """Ends all processes, this one with `text`; a failure that all share is told once."""
        self._failing = True
        if self.index == 0:
            self._finish(f"process 0: {text}", text)
        self._tell(0, {"failed": text})
        with self._changed:
            self._changed.wait_for(lambda: bool(self._news), _ANSWER)
        self._end("" if self._news == f"process 0: {text}" else text)

    def _give(self, number: int, values: dict[int, object]) -> None:
        """Takes in values of an exchange; process 0 sends them to all once it has them all."""
        with self._changed:
            known = self._values.setdefault(number, {})
            known.update(values)
            whole = sorted(known.items()) if len(known) == self.count else []
            if whole and number == self._last:
                self._left.set()
            self._changed.notify_all()
        if self.index == 0 and whole:
            for peer in self._links:
                self._tell(peer, {"values": [number, whole]})
        if self.index > 0 and not whole:
            self._tell(0, {"value": [number, values[self.index]]})

    def _tell(self, peer: int, message: Message) -> None:
        """Sends a message; the listener finds out where nobody is there."""
        with contextlib.suppress(OSError):
            self._links[peer].send(message)

    def _beat(self, seconds: float) -> None:
        while not self._left.wait(seconds) and not self._news:
            for peer in self._links:
                self._tell(peer, {"beat": 1})

    def _listen(self, peer: int, link: Link, silence: float) -> None:
        lost = "ended without a word"
        link.patience(silence)
        try:
            while (message := link.receive()) is not None:
                self._heard(peer, message)
        except TimeoutError:
            lost = f"gave no sign of life for {silence:g} s"
        except (OSError, ValueError):
            pass  # the connection broke in the middle of a message
        if self._left.is_set() or self._news:
            return
        text = f"process {peer} {lost}; {REMEDY}"
        if self._failing:
            self._note(text)
        else:
            self._finish(text)

    def _heard(self, peer: int, message: Message) -> None:
        if "value" in message:
            exchange, value = message["value"]
            self._give(exchange, {peer: value})
        elif "values" in message:
            exchange, pairs = message["values"]
            self._give(exchange, dict(pairs))
        elif "failed" in message:
            time.sleep(_ALIKE)
            if not self._failing:
                self._finish(f"process {peer}: {message['failed']}")
        elif "end" in message:
            self._note(message["end"])
            if not self._failing:
                self._end(message["end"])

    def _note(self, news: str) -> None:
        with self._changed:
            self._news = news
            self._changed.notify_all()

    def _finish(self, news: str, own: str = "") -> NoReturn:
        """Ends this process with its `own` text or the news; process 0 lets the others end before.

        JAX's coordinator lives in process 0. Without it, JAX would end the others with a dump.
        """
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()  # another thread is ending the process
        self._note(news)
        deadline = time.monotonic() + _FAREWELL
        if self.index == 0:
            for peer in self._links:
                self._tell(peer, {"end": news})
            for thread in self._threads.values():
                if thread is not threading.current_thread():
                    thread.join(max(0.0, deadline - time.monotonic()))
        self._end(own or news)
