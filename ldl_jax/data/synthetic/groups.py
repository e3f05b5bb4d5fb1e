"""Groups of drawn persons that look different, have other ages, and are harder to tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ldl_jax.data.synthetic.people import Look, draws


class Group(NamedTuple):
    """A group of persons.

    Attributes:
      name: in `Records.groups`.
      tone: the least and greatest place on the scale of skins, of 0 to 1.
      power: ages are low + (high - low) u ** power, u uniform: above 1 more are young.
      spread: factor of how much people disagree, the plain spread σ.
    """

    name: str
    tone: tuple[float, float]
    power: float
    spread: float


GROUPS = (
    Group("a", (0.0, 0.45), 1.0, 1.0),
    Group("b", (0.3, 0.75), 1.8, 1.3),
    Group("c", (0.55, 1.0), 0.6, 1.6),
)


def assign(persons: np.ndarray, groups: int, seed: int) -> np.ndarray:
    """The group's number of each person, int64 [N]; a person's depends on (seed, person) only.

    Of `groups` groups, 2 or 3, the first has the greatest share: 2/3 and 1/3, or 1/2, 1/3 and 1/6.
    """
    share = np.arange(groups, 0, -1) / (groups * (groups + 1) / 2)
    uniform = draws(("group",), seed, 4, persons).group
    return np.searchsorted(np.cumsum(share)[:-1], uniform, "right")


def dressed(person: Look, group: np.ndarray) -> Look:
    """The persons with their groups' skins; group [N] are numbers."""
    low, high = np.array([one.tone for one in GROUPS])[group].T
    return Look(**vars(person) | {"tone": low + (high - low) * person.tone})
