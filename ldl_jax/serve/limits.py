"""The limits of a server: what one request, all of them together and time may take."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Limits:
    """Says how much is taken, and how answers are batched.

    Attributes:
      max_megabytes: of a request's body, in millions of bytes.
      max_pictures: in one request.
      queue: pictures that are decoded, wait and are answered at a time; more get status 429.
      batch: faces that the network answers for at a time.
      wait: milliseconds that a face waits for others on their way, to be answered with them.
      timeout: seconds in which a request's body must have come, and in which it is answered then.
      connections: that are open at a time.

    Raises:
      ValueError: a limit is out of its range; the message says it of all of them.
    """

    max_megabytes: float = 20.0
    max_pictures: int = 32
    queue: int = 128
    batch: int = 64
    wait: float = 5.0
    timeout: float = 30.0
    connections: int = 256

    def __post_init__(self) -> None:
        if wrong := faults(dataclasses.asdict(self)):
            raise ValueError("; ".join(wrong))

    @property
    def body(self) -> int:
        """Returns the most bytes of a request's body."""
        return int(self.max_megabytes * 1e6)

    @property
    def held(self) -> int:
        """Returns the most bytes of all bodies that are in memory at a time."""
        return 8 * self.body


def faults(values: Mapping[str, float]) -> list[str]:
    """Returns a line on each limit that is out of its range, or does not go with another."""
    ranges = {
        "max_megabytes": (0.001, 1000.0),
        "max_pictures": (1, 10_000),
        "queue": (1, 100_000),
        "batch": (1, 4096),
        "wait": (0.0, 1000.0),
        "timeout": (0.1, 3600.0),
        "connections": (1, 100_000),
    }
    wrong = [
        f"{name}: expected {least:g} to {most:g}, got {values[name]:g}"
        for name, (least, most) in ranges.items()
        if not least <= values[name] <= most
    ]
    if not wrong and values["max_pictures"] > values["queue"]:
        wrong.append(
            f"max_pictures: expected at most the {values['queue']:g} of queue, got "
            f"{values['max_pictures']:g}: such a request would never be taken"
        )
    return wrong
