"""Several processes of one run, each with its own devices, as one program.

Process 0 leads: it writes the run's files and talks to the user. Alone, a process is process 0 of 1
and shares values with itself, so that nothing else needs to know the difference.
"""

from __future__ import annotations

from typing import Any, NoReturn

import jax

from ldl_jax.processes.address import Address
from ldl_jax.processes.group import SILENCE, End, Group
from ldl_jax.processes.meeting import free_port, meet

_group: Group | None = None


def join(address: Address, seconds: float, end: End) -> None:
    """Makes this process one of several; before anything else of JAX is called.

    Args:
      address: of this process.
      seconds: how long to wait for the others.
      end: ends this process with a line, when another one has ended.

    Raises:
      ValueError: not all came, or they do not fit one another; the line says what to do.
    """
    global _group
    links, port = meet(address, seconds, free_port() if address.index == 0 else 0)
    _group = Group(address.index, address.count, links, end)
    host = f"[{address.host}]" if ":" in address.host else address.host
    jax.distributed.initialize(
        f"{host}:{port}",
        address.count,
        address.index,
        cluster_detection_method="deactivate",
        initialization_timeout=60,
        # JAX's own watch over the processes, for what passes this one's.
        heartbeat_timeout_seconds=int(2 * SILENCE),
    )


def leave() -> None:
    """Waits for the others to come to the end of the run, and parts from them."""
    global _group
    if _group is not None:
        _group.leave()
        jax.distributed.shutdown()
        _group.close()
        _group = None


def fail(text: str) -> NoReturn:
    """Ends all processes with a line; only where there are several."""
    _several().fail(text)


def index() -> int:
    """Which process this is, from 0."""
    return 0 if _group is None else _group.index


def count() -> int:
    """How many processes there are."""
    return 1 if _group is None else _group.count


def primary() -> bool:
    """Whether this process writes the files and talks to the user."""
    return index() == 0


def all_gather(value: Any) -> list[Any]:
    """The values, of JSON's types, of all processes; waits for all of them to give theirs."""
    return [value] if _group is None else _group.share(value)


def broadcast(value: Any) -> Any:
    """Process 0's value, of JSON's types, in all processes."""
    return all_gather(value if primary() else None)[0]


def post(value: Any) -> int:
    """Starts to share a value without waiting; for `collect`."""
    return _several().post(value)


def collect(number: int) -> list[Any]:
    """The values of a `post`."""
    return _several().collect(number)


def _several() -> Group:
    assert _group is not None, "there is one process; join comes first"
    return _group
