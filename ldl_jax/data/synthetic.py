"""Drawn faces of known apparent age: a dataset that needs no file and whose truth is exact."""

from __future__ import annotations

import numpy as np

from ldl_jax.data import synthetic_canvas, synthetic_drawing, synthetic_people, synthetic_points
from ldl_jax.data.records import Records

# How people disagree about a face: mixtures of two parts (w, d, s), as in `true_distribution`.
# Glasses make a tail of older guesses; a hat hides the hair and makes two camps.
_PLAIN = ((1.0, 0.0, 1.0), (0.0, 0.0, 1.0))
_GLASSES = ((0.65, -0.5, 0.8), (0.35, 1.6, 1.2))
_HAT = ((0.55, -1.5, 0.6), (0.45, 1.8, 0.6))


def faces(
    count: int,
    size: int = 64,
    seed: int = 0,
    low: int = 2,
    high: int = 80,
    pictures_per_person: int = 2,
    test_fraction: float = 0.25,
) -> Records:
    """Pictures of drawn persons, each labelled with one guess of the age that it shows.

    Picture i shows person i // pictures_per_person at an apparent age a, uniform over low..high and
    different in each of the person's pictures. Its label is one draw from `true_distribution` of a
    and of whether the person wears glasses or a hat. The age shows in the face's proportions, skin
    and hair; pose, light, background, clothes and noise say nothing about it.

    Args:
      count: how many pictures, N; a whole number of at least 8.
      size: the pictures' height and width in pixels; at least 32.
      seed: picks another set of persons; at least 0. The same arguments give the same bytes, and a
        larger count keeps the pictures and labels that a smaller one had.
      low: the least label, in years; at least 0.
      high: the greatest label, in years; at most 120. Faces stop changing at 90.
      pictures_per_person: pictures of one person at different ages; at most count / 4.
      test_fraction: the part of the persons, rounded, whose split is "test"; in (0, 1).

    Returns:
      Records with images uint8 RGB [N, size, size, 3]; labels float32 [N], whole years;
      truth float32 [N, high - low + 1] over truth_values = low..high; sigma float32 [N], the
      standard deviation of the truth, in years; subjects; a split by person; and the five points
      of each face.

    Raises:
      ValueError: an argument is outside the range given above.
    """
    _check(count, size, seed, low, high, pictures_per_person, test_fraction)
    numbers = np.arange(count)
    persons = numbers // pictures_per_person
    person = synthetic_people.draws(synthetic_people.PERSON, seed, 0, np.arange(persons[-1] + 1))
    person = person.take(persons)
    picture = synthetic_people.draws(synthetic_people.PICTURE, seed, 1, numbers)
    # A person's ages lie in different strata of a circle that starts anywhere: so each is uniform.
    stratum = (numbers % pictures_per_person + 0.8 * picture.age) / pictures_per_person
    ages = low + (high - low) * ((person.age + stratum) % 1)
    look = synthetic_people.portray(person, picture, ages)
    values = np.arange(low, high + 1)
    truth = true_distribution(ages, look.glasses, look.hat, values)
    mean = truth @ values
    return Records(
        name="synthetic",
        ids=tuple(f"face-{i:06d}" for i in numbers),
        labels=_draw_labels(truth, picture.label, values),
        sources=tuple(f"synthetic face {i}" for i in numbers),
        images=synthetic_canvas.render(synthetic_drawing.LAYERS, look, size, seed),
        sigma=np.sqrt((truth * np.square(values - mean[:, None])).sum(-1)).astype(np.float32),
        subjects=tuple(f"person-{p:04d}" for p in persons),
        split=_split(persons, seed, test_fraction),
        truth_values=values.astype(np.float32),
        truth=truth.astype(np.float32),
        points=synthetic_points.points(look, size),
    )


def true_distribution(
    ages: np.ndarray, glasses: np.ndarray, hat: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """What people would say of a face: q(v) ∝ Σ_k w_k N(v; a + d_k σ, (s_k σ)²).

    The plain spread is σ = 1.5 + 3.5 a / 80 years. The parts (w, d, s) are, of a plain face,
    (1, 0, 1); with glasses, which skew towards older, (.65, -.5, .8) and (.35, 1.6, 1.2); with
    a hat, which makes two camps, (.55, -1.5, .6) and (.45, 1.8, .6). N is the normal density at
    a label value; the sum is normalised over the values, which cuts it off at both ends.

    Args:
      ages: the apparent ages a [N], in years.
      glasses: [N], not 0 where glasses are worn.
      hat: [N], not 0 where a hat is worn; a hat counts before glasses.
      values: the label values v [M], in years.

    Returns:
      Probabilities float64 [N, M]; rows sum to 1.
    """
    sigma = 1.5 + 3.5 * ages / 80
    parts = np.tile(_PLAIN, (len(ages), 1, 1))
    parts[np.asarray(glasses) != 0] = _GLASSES
    parts[np.asarray(hat) != 0] = _HAT
    weight, shift, scale = np.moveaxis(parts[:, :, None, :], -1, 0)  # [N, 2, 1] each
    spread = scale * sigma[:, None, None]
    z = (values - ages[:, None, None] - shift * sigma[:, None, None]) / spread
    density = (weight / spread * np.exp(-0.5 * np.square(z))).sum(1)
    return density / density.sum(-1, keepdims=True)


def _draw_labels(truth: np.ndarray, uniform: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One value a row, where the cumulative truth first exceeds the uniform draw."""
    below = np.cumsum(truth[:, :-1], -1) <= uniform[:, None]
    return values[below.sum(-1)].astype(np.float32)


def _split(persons: np.ndarray, seed: int, test_fraction: float) -> tuple[str, ...]:
    """The split of each picture, the same for all pictures of a person."""
    total = int(persons[-1]) + 1
    tests = min(max(round(test_fraction * total), 1), total - 1)
    chosen = np.random.default_rng((seed, 3)).permutation(total)[:tests]
    return tuple("test" if test else "train" for test in np.isin(persons, chosen))


def _check(
    count: int, size: int, seed: int, low: int, high: int, per_person: int, test_fraction: float
) -> None:
    for name, value, least in (
        ("count", count, 8),
        ("size", size, 32),
        ("seed", seed, 0),
        ("low", low, 0),
        ("pictures_per_person", per_person, 1),
    ):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    if not isinstance(high, int | np.integer) or not low < high <= 120:
        raise ValueError(
            f"high: expected a whole number above low = {low}, at most 120, got {high!r}"
        )
    if count < 4 * per_person:
        raise ValueError(
            f"pictures_per_person: expected at most count / 4 = {count / 4:g}, got {per_person}"
        )
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: expected a number in (0, 1), got {test_fraction}")
