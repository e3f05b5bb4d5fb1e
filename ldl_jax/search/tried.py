"""The trials of a search as it knows them, and the names of what proposes and prunes them."""

from typing import Any, NamedTuple

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "asha", "none")


class Tried(NamedTuple):
    """A trial as the file has it.

    Attributes:
      number: from 0.
      values: of the keys.
      state: "finished", "pruned", "failed" or "running".
      value: the objective of a finished one, else None.
      why: why it failed or was pruned.
    """

    number: int
    values: dict[str, Any]
    state: str
    value: float | None
    why: str
