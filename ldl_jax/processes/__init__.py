"""Joins several processes of one run, each with its own devices, into one program.

Process 0 is the primary: it writes the run's files and talks to the user. A process alone is
process 0 of 1 and shares values with itself, so that nothing else needs to know the difference.

JAX connects the devices (`jax.distributed`), and Orbax meets through its service. The links of this
package stay beside it for what JAX's public functions do not do:

- Where a process dies or does not come, JAX aborts the others with a dump of its stack, after its
  heartbeat's timeout. Here all end with one line that names the process, within a minute.
- `jax.experimental.multihost_utils` shares arrays, through the devices: it waits for the training
  steps before it, compiles a program for each shape, and needs as many devices in each process.
  Here values of JSON's types are shared while the devices compute, and before there are any.
"""

from typing import Any, NoReturn

from ldl_jax.processes import listening
from ldl_jax.processes.address import Address
from ldl_jax.processes.group import SILENCE, End, Group
from ldl_jax.processes.meeting import meet
from ldl_jax.processes.secret import Secret

_group: Group | None = None


def join(address: Address, seconds: float, end: End, secret: Secret) -> None:
    """Makes this process one of several. It must come before anything else of JAX is called.

    Args:
      address: this process's.
      seconds: how long to wait for the others.
      end: ends this process with a line when another one has ended.
      secret: the run's, by which its processes know one another.

    Raises:
      ValueError: not all came, or they do not fit one another; the message says what to do.
    """
    global _group
    primary = address.index == 0
    links, port = meet(address, seconds, listening.free_port(address) if primary else 0, secret)
    _group = Group(address.index, address.count, links, end)
    import jax  # late, since preparing a dataset needs this package and no JAX

    jax.distributed.initialize(
        _with_port(address.host, port),
        address.count,
        address.index,
        cluster_detection_method="deactivate",
        initialization_timeout=60,
        # JAX's own watch over the processes sees what escapes the group's.
        heartbeat_timeout_seconds=int(2 * SILENCE),
        # Without this JAX listens on all addresses of the machine.
        coordinator_bind_address=_with_port(listening.host(address) or "::", port),
    )


def leave() -> None:
    """Waits until all processes have come to the end of the run, and parts from them."""
    global _group
    if _group is not None:
        import jax

        _group.leave()
        jax.distributed.shutdown()
        _group.close()
        _group = None


def fail(text: str) -> NoReturn:
    """Ends all processes with a line; called only where there are several."""
    _several().fail(text)


def index() -> int:
    """Returns the index of this process, from 0."""
    return 0 if _group is None else _group.index


def count() -> int:
    """Returns how many processes there are."""
    return 1 if _group is None else _group.count


def primary() -> bool:
    """Returns whether this process writes the files and talks to the user."""
    return index() == 0


def all_gather(value: object) -> list[Any]:
    """Returns the values, of JSON's types, of all processes; waits for each to give its own."""
    return [value] if _group is None else _group.share(value)


def broadcast(value: object) -> Any:
    """Returns process 0's value, of JSON's types, in all processes."""
    return all_gather(value if primary() else None)[0]


def post(value: object) -> int:
    """Starts to share a value without waiting, and returns the number for `collect`."""
    return _several().post(value)


def collect(number: int) -> list[Any]:
    """Returns the values of a `post`, of all processes."""
    return _several().collect(number)


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _several() -> Group:
    assert _group is not None, "there is one process; join comes first"
    return _group
