"""Lets the processes of a run find one another: all connect to process 0, within a given time.

Process 0 greets whoever connects with a word that is used once. A process of the run answers with
its index and a proof that it knows the run's secret, and gets process 0's proof with the welcome.
The secret itself is never sent. What anybody else sends is dropped: it has little time, little
room, and no say.
"""

import collections
import contextlib
import dataclasses
import queue
import socket
import threading
import time
from collections.abc import Iterable

from ldl_jax.processes import listening
from ldl_jax.processes.address import Address
from ldl_jax.processes.link import Link, Message
from ldl_jax.processes.secret import VARIABLE, Secret, nonce, sign, signed

_GREETING, _WELCOME, _END = "ldl_jax", "welcome", "end"
_AGAIN = 0.1  # seconds until a process that was not answered asks again
_GREET = 5.0  # seconds in which a whole greeting must come
_SHORT, _LONG = 2**10, 2**16  # bytes of a greeting, and of an answer
_STRANGERS = 128  # connections that may be silent at a time; the oldest makes room


class _TurnedAwayError(ValueError):
    """Raised where process 0 tells a process that it does not take it, and why."""


@dataclasses.dataclass(frozen=True)
class _Guest:
    """A process of the run, as it has introduced itself."""

    link: Link
    count: int
    index: int
    nonce: str


def meet(
    address: Address, seconds: float, port: int, secret: Secret
) -> tuple[dict[int, Link], int]:
    """Waits until all processes are there, and returns this one's links and process 0's `port`.

    Process 0 gets a link to each of the others, and each of them gets one to process 0.

    Args:
      address: this process's.
      seconds: how long to wait.
      port: the port that process 0 tells the others; in the others it is not used.
      secret: the run's.

    Raises:
      ValueError: a process is missing, or does not fit; the message says which, and what to do.
    """
    if address.index == 0:
        return _wait_for_all(address, seconds, port, secret.read()), port
    return _come(address, seconds, secret)


def _wait_for_all(address: Address, seconds: float, port: int, key: bytes) -> dict[int, Link]:
    guests: dict[int, _Guest] = {}
    arrived: queue.SimpleQueue[_Guest] = queue.SimpleQueue()
    strangers: collections.deque[Link] = collections.deque()
    end = time.monotonic() + seconds
    try:
        with listening.listen(address) as server:
            server.settimeout(_AGAIN)
            while len(guests) < address.count - 1:
                if time.monotonic() > end:
                    raise TimeoutError
                _open_door(server, key, strangers, arrived)
                while not arrived.empty():
                    _admit(arrived.get(), guests, address, key)
    except (TimeoutError, ValueError) as error:
        text = str(error)
        if isinstance(error, TimeoutError):
            missing = " and ".join(str(i) for i in range(1, address.count) if i not in guests)
            text = (
                f"{len(guests) + 1} of {address.count} processes came to {address} within "
                f"{seconds:g} s; start the same command with --process={missing} too"
            )
        _turn_away(guests.values(), text, key)
        raise ValueError(text) from None
    finally:
        for link in tuple(strangers):
            link.close()
    for guest in guests.values():
        with contextlib.suppress(OSError):  # one that has died meanwhile is noticed by the group
            proof = sign(key, _WELCOME, guest.nonce, port)
            guest.link.send({_WELCOME: port, "proof": proof})
    return {index: guest.link for index, guest in guests.items()}


def _open_door(
    server: socket.socket,
    key: bytes,
    strangers: collections.deque[Link],
    arrived: "queue.SimpleQueue[_Guest]",
) -> None:
    """Lets a thread of its own listen to whoever connects, so that nobody waits for another."""
    try:
        link = Link(server.accept()[0])
    except OSError:  # nobody came, or who came is gone
        return
    while len(strangers) >= _STRANGERS:
        strangers.popleft().close()
    strangers.append(link)

    def listen() -> None:
        guest = None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            guest = _greeted(link, key)
        with contextlib.suppress(ValueError):  # it had to make room
            strangers.remove(link)
        if guest is None:
            link.close()
        else:
            arrived.put(guest)

    threading.Thread(target=listen, daemon=True).start()


def _greeted(link: Link, key: bytes) -> _Guest | None:
    """Returns who greets as a process of this run does, and None for anybody else."""
    link.patience(_GREET)
    challenge = nonce()
    link.send({"challenge": challenge})
    greeting = link.receive(_SHORT, _GREET) or {}
    word, (count, index) = greeting["nonce"], greeting[_GREETING]
    if not signed(key, greeting["proof"], _GREETING, challenge, word, count, index):
        link.send({"denied": 1})
        return None
    if not type(count) is type(index) is int or not 0 < index < count or len(word) > _SHORT:
        return None
    return _Guest(link, count, index, word)


def _admit(guest: _Guest, guests: dict[int, _Guest], address: Address, key: bytes) -> None:
    """Takes in a process of the run.

    Raises:
      ValueError: it was started otherwise than process 0, or twice.
    """
    if guest.count != address.count:
        fault = (
            f"process {guest.index} was started with --processes={guest.count}, process 0 with "
            f"--processes={address.count}; give all the same"
        )
    elif guest.index in guests:
        fault = (
            f"two processes were started with --process={guest.index}; give each another, "
            f"from 0 to {guest.count - 1}"
        )
    else:
        guests[guest.index] = guest
        return
    _turn_away([guest], fault, key)
    raise ValueError(fault)


def _turn_away(guests: Iterable[_Guest], text: str, key: bytes) -> None:
    for guest in guests:
        with contextlib.suppress(OSError):
            guest.link.send({_END: text, "proof": sign(key, _END, guest.nonce, text)})
        guest.link.close()


def _come(address: Address, seconds: float, secret: Secret) -> tuple[dict[int, Link], int]:
    end, late = time.monotonic() + seconds, time.monotonic() + secret.patience
    while True:
        link = listening.connect(address, end, seconds)
        try:
            port = _introduced(link, address, secret, end + seconds)
        except _TurnedAwayError:
            link.close()
            raise
        except (OSError, ValueError, TypeError):
            link.close()
            raise ValueError(
                f"--coordinator: {address} is not process 0 of this command, or it ended; "
                "start it with --process=0"
            ) from None
        if port is not None:
            return {0: link}, port
        link.close()
        if time.monotonic() > late:
            raise ValueError(
                f"process 0 at {address} does not know this process by {secret.source}; give all "
                f"the same {VARIABLE}, or a workdir on a file system that all share"
            )
        time.sleep(_AGAIN)


def _introduced(link: Link, address: Address, secret: Secret, end: float) -> int | None:
    """Returns the port of process 0's welcome, or None where it has another secret or none is here.

    Raises:
      _TurnedAwayError: process 0 ends this process, with a line.
      OSError: the other end does not answer.
      ValueError: it is not process 0 of this run.
    """
    challenge = (link.receive(_SHORT, _GREET) or {}).get("challenge")
    if not isinstance(challenge, str):
        raise ValueError("no challenge")
    key, word = secret.read(), nonce()  # process 0 listens once its secret can be read
    if not key:
        return None
    proof = sign(key, _GREETING, challenge, word, address.count, address.index)
    link.patience(_GREET)
    link.send({_GREETING: [address.count, address.index], "nonce": word, "proof": proof})
    left = max(1.0, end - time.monotonic())  # process 0 waits for the others
    answer: Message = link.receive(_LONG, left) or {}
    if "denied" in answer:
        return None
    if signed(key, answer.get("proof"), _END, word, answer.get(_END)):
        raise _TurnedAwayError(str(answer[_END]))
    if not signed(key, answer.get("proof"), _WELCOME, word, answer.get(_WELCOME)):
        raise ValueError("no welcome")
    return int(answer[_WELCOME])
