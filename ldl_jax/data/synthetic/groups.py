"""Puts drawn persons into groups that look different, differ in age, and are harder to tell."""

from typing import NamedTuple

import numpy as np

from ldl_jax.data.synthetic.people import Look, draws


class PersonGroup(NamedTuple):
    """Describes the persons of a group."""

    name: str  # in `Records.groups`
    tone: tuple[float, float]  # range of the skins' tones, from 0 to 1
    power: float  # ages are low + (high - low) u ** power, u uniform: above 1 more are young
    spread: float  # factor of how much people disagree, the plain spread σ


GROUPS = (
    PersonGroup("a", (0.0, 0.45), 1.0, 1.0),
    PersonGroup("b", (0.3, 0.75), 1.8, 1.3),
    PersonGroup("c", (0.55, 1.0), 0.6, 1.6),
)


def assign(persons: np.ndarray, groups: int, seed: int) -> np.ndarray:
    """Returns the number of each person's group, int64 [N]; it depends on (seed, person) only.

    Of `groups` groups, 2 or 3, the first has the greatest share: 2/3 and 1/3, or 1/2, 1/3 and 1/6.
    """
    share = np.arange(groups, 0, -1) / (groups * (groups + 1) / 2)
    uniform = draws(("group",), seed, 4, persons).group
    return np.searchsorted(np.cumsum(share)[:-1], uniform, "right")


def dressed(person: Look, group: np.ndarray) -> Look:
    """Returns the persons with the skins of their groups, whose numbers are `group` [N]."""
    low, high = np.array([members.tone for members in GROUPS])[group].T
    return Look(**vars(person) | {"tone": low + (high - low) * person.tone})
