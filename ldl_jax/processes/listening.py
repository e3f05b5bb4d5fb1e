"""Listens where process 0 was told to, and connects to it there."""

import ipaddress
import os
import socket
import time

from ldl_jax.processes.address import BIND, Address
from ldl_jax.processes.link import Link

_AGAIN = 0.1  # seconds until a process that was not answered asks again


def host(address: Address) -> str:
    """Returns the address on which process 0 listens, "" for all of its machine's.

    It is the one that the user gave to listen on, else that of the coordinator. A name that the
    machine's own list of hosts gives to its loopback, as Debian's does, says nothing of the network
    that the others come from: there, and where the name is not known, it is all addresses.
    """
    if address.bind:
        return address.bind
    try:
        return str(ipaddress.ip_address(address.host))
    except ValueError:
        pass  # it is a name
    try:
        entries = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    addresses = [str(entry[4][0]) for entry in entries]
    if address.host == "localhost":
        return addresses[0]
    outward = [text for text in addresses if not ipaddress.ip_address(text).is_loopback]
    return outward[0] if outward else ""


def listen(address: Address, port: int | None = None) -> socket.socket:
    """Returns a socket that listens on the `host` of an address, by default at its port.

    Raises:
      ValueError: it cannot.
    """
    where = host(address)
    family = socket.AF_INET6 if ":" in (where or address.host) else socket.AF_INET
    try:
        return socket.create_server((where, address.port if port is None else port), family=family)
    except OSError as error:
        raise ValueError(
            f"--coordinator: process 0 cannot listen on {address} ({reason(error)}); give its own "
            f"host and a free port, and in {BIND} the address to listen on where that is another"
        ) from None


def free_port(address: Address) -> int:
    """Returns a port on which nobody listens now, at the `host` of an address."""
    with listen(address, 0) as server:
        return int(server.getsockname()[1])


def connect(address: Address, end: float, seconds: float) -> Link:
    """Connects to process 0, which may be starting yet.

    Args:
      address: where it listens.
      end: how long to try, in the time of `time.monotonic`.
      seconds: how long that was from the start, for the message.

    Raises:
      ValueError: it does not answer.
    """
    while True:
        patience = min(10, max(0.1, end - time.monotonic()))
        try:
            return Link(socket.create_connection((address.host, address.port), patience))
        except OSError as error:  # its host may be starting with it
            why = reason(error)
        if time.monotonic() + _AGAIN > end:
            raise ValueError(
                f"--coordinator: process 0 does not answer at {address} within {seconds:g} s "
                f"({why}); start it there with --process=0, or correct the address"
            )
        time.sleep(_AGAIN)


def reason(error: OSError) -> str:
    """Returns the system's message, without what Python adds to it."""
    known = error.errno and error.errno > 0 and not isinstance(error, socket.gaierror)
    return os.strerror(error.errno) if known and error.errno else error.strerror or str(error)
