"""Runs a service at an address until a signal ends it."""

import contextlib
import errno
import ipaddress
import socket
import sys
import time
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ldl_jax.serve.connections import HEAD, STALL, bounded
from ldl_jax.serve.service import Service

_CLOSE = 5  # seconds in which what is no request for an answer must be over


def listen(host: str, port: int) -> socket.socket:
    """Takes an address, at which nothing is answered yet.

    Args:
      host: of this machine, a name or an address; "0.0.0.0" and "::" are all its addresses.
      port: 0 takes any that is free.

    Raises:
      ValueError: it cannot be taken; the message says which flag to change.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        raise ValueError(_why(error, host, port)) from error


def url(listening: socket.socket) -> str:
    """Returns the address of a socket for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_open(address: str) -> bool:
    """Returns whether other machines may reach an address of this one, as "127.0.0.1"."""
    return not ipaddress.ip_address(address.partition("%")[0]).is_loopback


class Server(uvicorn.Server):
    """Answers until SIGTERM or SIGINT; then until what it had taken is answered.

    Meanwhile it refuses new requests with status 503. A second signal ends it at once.

    Attributes:
      unanswered: the number of requests that had been taken and had no answer at the end.
    """

    def __init__(
        self, app: ASGIApp, service: Service, *, head: float = HEAD, stall: float = STALL
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded(service.limits.connections, head, stall),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE,
            )
        )
        self.unanswered = 0
        self._service = service
        self._end: float | None = None  # of time.monotonic(), once it is stopping

    def answer(self, listening: socket.socket) -> bool:
        """Runs until it is stopped; returns whether all requests were answered and threads ended.

        Raises:
          ValueError: the programs could not be compiled.
        """
        self.run(sockets=[listening])
        self.unanswered = self._service.active()
        ended = self._service.workers.close(_CLOSE)
        if self._service.workers.failure is not None:
            error = self._service.workers.failure
            raise ValueError(f"the network cannot be used: {error}") from error
        return ended

    def stop(self) -> None:
        """Refuses new requests, and ends once those that were taken are answered."""
        if self._end is not None:
            self.should_exit = self.force_exit = True
            return
        self._service.stopping = True
        # A body and its answer may each take as long as the limit.
        self._end = time.monotonic() + 2 * self._service.limits.timeout + 1

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops; uvicorn's own would end the process by the signal, not with code 0."""
        self.stop()
        if self._service.active() and not self.force_exit:
            with contextlib.suppress(OSError, RuntimeError):  # a signal may come within a write
                sys.stderr.write(
                    f"stopping: {self._service.active()} requests are answered first, new ones are "
                    "refused\n"
                )

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to end now; uvicorn asks ten times a second."""
        over = self._end is not None and (
            not self._service.active() or time.monotonic() > self._end
        )
        failed = self._service.workers.failure is not None
        return await super().on_tick(counter) or over or failed


def _why(error: Exception, host: str, port: int) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"--host: expected a name or an address of this machine, got {host!r} ({error})"
    if code == errno.EADDRINUSE:
        return f"--port: {port} of {host} is in use; give another, or 0 for any that is free"
    if code in (errno.EACCES, errno.EPERM):
        return f"--port: {port} of {host} needs rights that you don't have; give 1024 or above"
    if code == errno.EADDRNOTAVAIL:
        return f"--host: expected an address of this machine, got {host!r}"
    return f"--host, --port: cannot listen at {host}:{port} ({error})"
