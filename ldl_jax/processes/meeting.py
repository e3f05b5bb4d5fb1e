"""Lets the processes of a run find one another: all connect to process 0, within a given time."""

import contextlib
import os
import socket
import time
from collections.abc import Iterable

from ldl_jax.processes.address import Address
from ldl_jax.processes.link import Link

_GREETING = "ldl_jax"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_AGAIN = 0.1  # seconds until a process that was not answered asks again


def meet(address: Address, seconds: float, port: int) -> tuple[dict[int, Link], int]:
    """Waits until all processes are there, and returns this one's links and process 0's `port`.

    Process 0 gets a link to each of the others, and each of them gets one to process 0.

    Args:
      address: this process's.
      seconds: how long to wait.
      port: the port that process 0 tells the others; in the others it is not used.

    Raises:
      ValueError: a process is missing, or does not fit; the message says which, and what to do.
    """
    if address.index == 0:
        return _wait_for_all(address, seconds, port), port
    return _come(address, seconds)


def free_port() -> int:
    """Returns a port that nobody listens on now."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for_all(address: Address, seconds: float, port: int) -> dict[int, Link]:
    links: dict[int, Link] = {}
    end = time.monotonic() + seconds
    try:
        with _server(address) as server:
            while len(links) < address.count - 1:
                server.settimeout(max(0.01, end - time.monotonic()))
                _admit(Link(server.accept()[0]), links, address)
    except (TimeoutError, ValueError) as error:
        text = str(error)
        if isinstance(error, TimeoutError):
            missing = " and ".join(str(i) for i in range(1, address.count) if i not in links)
            text = (
                f"{len(links) + 1} of {address.count} processes came to {address} within "
                f"{seconds:g} s; start the same command with --process={missing} too"
            )
        _turn_away(links.values(), text)
        raise ValueError(text) from None
    for link in links.values():
        link.send({"welcome": port})
    return links


def _server(address: Address) -> socket.socket:
    host = address.host if address.host in _LOCAL else ""  # a host may not know its own name
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((host, address.port), family=family)
    except OSError as error:
        raise ValueError(
            f"--coordinator: process 0 cannot listen on {address} ({_reason(error)}); "
            "give its own host and a free port"
        ) from None


def _admit(link: Link, links: dict[int, Link], address: Address) -> None:
    """Takes in a link that greets as a process of this run does; closes any other."""
    link.patience(5)
    try:
        greeting = link.receive() or {}
        count, index = (int(x) for x in greeting[_GREETING])
    except (OSError, ValueError, KeyError, TypeError):
        link.close()
        return
    if count != address.count:
        fault = (
            f"process {index} was started with --processes={count}, process 0 with "
            f"--processes={address.count}; give all the same"
        )
    elif index in links:
        fault = (
            f"two processes were started with --process={index}; give each another, "
            f"from 0 to {count - 1}"
        )
    else:
        links[index] = link
        return
    _turn_away([link], fault)
    raise ValueError(fault)


def _turn_away(links: Iterable[Link], text: str) -> None:
    for link in links:
        with contextlib.suppress(OSError):
            link.send({"end": text})
        link.close()


def _come(address: Address, seconds: float) -> tuple[dict[int, Link], int]:
    end = time.monotonic() + seconds
    link = _connect(address, seconds)
    try:
        link.patience(10)
        link.send({_GREETING: [address.count, address.index]})
        link.patience(seconds + max(1.0, end - time.monotonic()))  # process 0 waits for the others
        answer = link.receive() or {}
    except (OSError, ValueError):
        answer = {}
    if "welcome" in answer:
        return {0: link}, int(answer["welcome"])
    link.close()
    strange = f"--coordinator: {address} is not process 0 of this command, or it ended; "
    raise ValueError(answer.get("end", strange + "start it with --process=0"))


def _connect(address: Address, seconds: float) -> Link:
    end = time.monotonic() + seconds
    while True:
        patience = min(10, max(0.1, end - time.monotonic()))
        try:
            return Link(socket.create_connection((address.host, address.port), patience))
        except OSError as error:  # process 0 may be starting yet, and its host with it
            reason = _reason(error)
        if time.monotonic() + _AGAIN > end:
            raise ValueError(
                f"--coordinator: process 0 does not answer at {address} within {seconds:g} s "
                f"({reason}); start it there with --process=0, or correct the address"
            )
        time.sleep(_AGAIN)


def _reason(error: OSError) -> str:
    """Returns the system's message, without what Python adds to it."""
    known = error.errno and error.errno > 0 and not isinstance(error, socket.gaierror)
    return os.strerror(error.errno) if known and error.errno else error.strerror or str(error)
