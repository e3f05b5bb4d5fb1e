"""Sends messages between two processes, as lines of JSON over a socket."""

import contextlib
import json
import socket
import threading
from typing import Any

Message = dict[str, Any]
_MOST = 2**26  # bytes of a message; a description of a run is some KB


class Link:
    """An end of a connection. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._incoming = connection.makefile("rb")
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

    def receive(self) -> Message | None:
        """Returns the next message, or None where the other end has closed.

        Raises:
          OSError: the connection is broken, or (TimeoutError) silent for too long.
          ValueError: what came is no message.
        """
        line = self._incoming.readline(_MOST)
        if not line:
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("no message")
        return message

    def close(self) -> None:
        """Closes this end."""
        with contextlib.suppress(OSError):  # the other end may have closed first
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
