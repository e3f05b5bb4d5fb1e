"""Draws what raters of real faces agree on as attractive, on a known scale.

That is average proportions, a clear and even skin, and a smile. Neither the skin's tone, the hair
nor the sex has a part in it. It measures methods on drawings, and says nothing of people.
"""

import numpy as np

from ldl_jax.data.synthetic.people import Look, draws

AGES = (18, 60)  # the range of the persons' ages, which only disturbs here
_PROPORTIONS = (
    "width", "jaw", "spacing", "eyes", "tilt", "nose", "nose_long", "mouth", "brow", "arch", "ears",
)  # fmt: skip


def scores(persons: np.ndarray, numbers: np.ndarray, seed: int) -> np.ndarray:
    """Returns the attractiveness of N pictures, float64 in [1, 5], mostly the person's own.

    It is 1.3 + 1.7 (u + v) + 0.3 w, with u and v uniform on [0, 1) for each person, and w on
    [-1, 1) for each picture.
    """
    person = draws(("u", "v"), seed, 5, np.arange(persons[-1] + 1)).take(persons)
    return 1.3 + 1.7 * (person.u + person.v) + 0.3 * (2 * draws(("w",), seed, 6, numbers).w - 1)


def proportioned(person: Look, score: np.ndarray) -> Look:
    """Brings the persons' proportions the nearer to the average, the higher the score [N]."""
    keep = 1.15 - 0.25 * (score - 1)
    columns = {name: 0.5 + keep * (getattr(person, name) - 0.5) for name in _PROPORTIONS}
    return Look(**vars(person) | columns)


def rated(look: Look, score: np.ndarray) -> Look:
    """Returns the look of N faces with the skin and the smile of their scores [N]."""
    good = ((score - 1) / 4).astype(np.float32)
    poor = 1 - good
    changed = {
        "smile": 0.002 + 0.4 * (look.smile - 0.002) + 0.035 * good,
        "wrinkle": look.wrinkle * (1 - 0.6 * good) + 0.35 * np.square(poor),
        "sag": look.sag * (1 - 0.6 * good) + 0.7 * np.square(poor),
        "spots": look.spots * (1 - good) + 0.6 * np.square(poor),
        "freckles": 0.7 * np.square(poor),
        "blush": look.blush * poor + 0.22 * good,
    }
    columns = {name: np.asarray(column, np.float32) for name, column in changed.items()}
    return Look(**vars(look) | columns)
