"""The connections of a server: their number is bounded, and so is the time that each may dawdle.

uvicorn bounds how long a connection without a request is kept. It bounds neither how long a
request's headers may take, nor how long a client may take to read its answer.
"""

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 10.0  # seconds in which a request's headers must have come
STALL = 30.0  # seconds in which a client must have taken something of an answer


class Bounded(H11Protocol):
    """A connection that is closed where its client is too slow; `bounded` sets its limits."""

    most, head, stall = 256, HEAD, STALL
    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for a request's headers, or refuses where there is no room."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_full(self.most))
            transport.close()
            return
        self._head = self.loop.call_later(self.head, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; once a request's headers are whole their time is over."""
        if not self._answering() and self._head is None:
            self._head = self.loop.call_later(self.head, self.transport.abort)
        super().data_received(data)
        if self._answering() and self._head is not None:
            self._head.cancel()
            self._head = None

    def on_response_complete(self) -> None:
        """Closes, or waits for the next request; what has been written may still be unread."""
        closing = self.transport.is_closing()
        super().on_response_complete()
        if closing and self._stall is None:
            self._stall = self.loop.call_later(self.stall, self.transport.abort)

    def pause_writing(self) -> None:
        """Starts the time for a client to read."""
        super().pause_writing()
        self._stall = self._stall or self.loop.call_later(self.stall, self.transport.abort)

    def resume_writing(self) -> None:
        """Ends the time for a client to read."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all times."""
        for timer in filter(None, (self._head, self._stall)):
            timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, as one line of JSON."""
        line = f"request: expected HTTP/1.1, got something else ({msg})"
        super().send_400_response(json.dumps({"error": line, "status": 400}) + "\n")

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def bounded(most: int, head: float = HEAD, stall: float = STALL) -> type[Bounded]:
    """Returns uvicorn's protocol with limits.

    Args:
      most: connections at a time; others are answered 503 and closed.
      head: seconds in which a request's headers must have come.
      stall: seconds in which a client must have taken something of an answer.
    """
    return type("Bounded", (Bounded,), {"most": most, "head": head, "stall": stall})


def _full(most: int) -> bytes:
    line = f"server: it takes {most} connections at a time, and is full; try again later"
    body = json.dumps({"error": line, "status": 503}) + "\n"
    return (
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
