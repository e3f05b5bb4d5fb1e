"""Sends messages between two processes, as lines of JSON over a socket."""

import contextlib
import json
import socket
import threading
import time
from typing import Any

Message = dict[str, Any]
_MOST = 2**26  # bytes of a message; a description of a run is some KB
_PIECE = 2**16  # bytes that are taken from the socket at a time


class Link:
    """An end of a connection. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._incoming = bytearray()
        self._sending = threading.Lock()

    def patience(self, seconds: float) -> None:
        """Sets how long a call may take before it raises TimeoutError."""
        self._connection.settimeout(seconds)

    def send(self, message: Message) -> None:
        """Sends a message of JSON's types.

        Raises:
          OSError: the other end is gone.
        """
        with self._sending:
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, most: int = _MOST, seconds: float | None = None) -> Message | None:
        """Returns the next message, or None where the other end has closed.

        Args:
          most: the bytes that a message may have.
          seconds: how long the whole message may take to come; None for no limit but `patience`
            between its pieces. It takes the place of `patience` afterwards, too.

        Raises:
          OSError: the connection is broken, or (TimeoutError) silent for too long.
          ValueError: what came is no message, or a longer one.
        """
        end = None if seconds is None else time.monotonic() + seconds
        searched = 0
        while (length := self._incoming.find(b"\n", searched)) < 0:
            searched = len(self._incoming)
            if searched > most:
                raise ValueError("a message is too long")
            if end is not None:
                if (left := end - time.monotonic()) <= 0:
                    raise TimeoutError("a message came too slowly")
                self._connection.settimeout(left)
            piece = self._connection.recv(_PIECE)
            if not piece and searched:
                raise ValueError("the connection ended within a message")
            if not piece:
                return None
            self._incoming += piece
        line = bytes(self._incoming[:length])
        del self._incoming[: length + 1]
        try:
            message = json.loads(line) if length <= most else None
        except RecursionError:
            message = None
        if not isinstance(message, dict):
            raise ValueError("no message")
        return message

    def close(self) -> None:
        """Closes this end."""
        with contextlib.suppress(OSError):  # the other end may have closed first
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
