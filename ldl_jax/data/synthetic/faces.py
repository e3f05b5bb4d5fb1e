"""Drawn faces of known apparent age or attractiveness: no file is needed, the truth is exact."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import Records
from ldl_jax.data.synthetic import attractiveness, canvas, corruptions, people, points
from ldl_jax.data.synthetic import drawing as synthetic_drawing
from ldl_jax.data.synthetic import groups as synthetic_groups
from ldl_jax.data.synthetic import labels as synthetic_labels
from ldl_jax.data.synthetic.corruptions import CORRUPTIONS, SEVERITIES
from ldl_jax.data.synthetic.people import Look
from ldl_jax.labels import ADIENCE, SCUT_FBP

KINDS = ("age", "age_groups", "attractiveness")
# The arguments of `faces` that a config gives, with their defaults.
OPTIONS: dict[str, Any] = {
    "kind": "age",
    "low": 2,
    "high": 80,
    "pictures_per_person": 2,
    "groups": 0,
    "folds": 5,
    "raters": 60,
    "corruption": "",
    "severity": 3,
}


class _Labels(NamedTuple):
    labels: np.ndarray
    sigma: np.ndarray
    values: np.ndarray
    truth: np.ndarray


def faces(
    count: int,
    size: int = 64,
    seed: int = 0,
    low: int = 2,
    high: int = 80,
    pictures_per_person: int = 2,
    test_fraction: float = 0.25,
    *,
    kind: str = "age",
    groups: int = 0,
    folds: int = 5,
    raters: int = 60,
    corruption: str = "",
    severity: int = 3,
    lazy: bool = False,
    workers: int | None = None,
) -> Records:
    """Pictures of drawn persons, each labelled with the age or attractiveness that it shows.

    Picture i shows person i // pictures_per_person. Kinds of labels:
      age: an apparent age a, uniform over low..high and different in each of the person's pictures,
        shows in the face's proportions, skin and hair. The label is one guess, a draw from
        `synthetic_labels.true_distribution` of a and of whether glasses or a hat are worn.
      age_groups: the same faces and guesses, as Adience's eight groups (`labels.ADIENCE`).
      attractiveness: a score (`synthetic_attractiveness`), mostly the person's own, of persons of
        18 to 60. The label is the mean of `raters` whole answers of 1 to 5, sigma their standard
        deviation, and the truth what raters think, on the grid 1:0.1:5 (`labels.SCUT_FBP`).
    Pose, light, background, clothes and noise say nothing about either.

    Args:
      count: how many pictures, N; a whole number of at least 8.
      size: the pictures' height and width in pixels; at least 32.
      seed: picks another set of persons; at least 0. The same arguments give the same bytes, and a
        larger count keeps the pictures and labels that a smaller one had.
      low: the least label, in years; at least 0.
      high: the greatest label, in years; at most 120. Faces stop changing at 90.
      pictures_per_person: pictures of one person; at most count / 4.
      test_fraction: the part of the persons, rounded, whose split is "test"; in (0, 1).
      kind: one of `KINDS`.
      groups: of how many groups the persons are (`synthetic_groups.GROUPS`), 2 or 3, with other
        skins and ages, and labels that are harder to tell; 0 for one of all.
      folds: how many folds the persons are dealt into, at least 2.
      raters: of attractiveness; at least 1.
      corruption: what spoils every picture, one of `CORRUPTIONS`, or "".
      severity: of the corruption, 1 to 5.
      lazy: draw a picture when it is asked for: `images` is a `LazyImages`.
      workers: threads that draw; None for one a processor.

    Returns:
      Records with images uint8 RGB [N, size, size, 3]; labels float32 [N]; truth float32 [N, M]
      over truth_values, the label space; sigma float32 [N], of the raters or else of the truth, in
      the label's unit; subjects, a split and folds by person, groups if there are any, and the
      five points of each face (not of turned ones).

    Raises:
      ValueError: an argument is outside the range given above.
    """
    _check(count, size, seed, low, high, pictures_per_person, test_fraction)
    _check_options(kind, groups, folds, raters, corruption, severity)
    numbers = np.arange(count)
    persons = numbers // pictures_per_person
    person = people.draws(people.PERSON, seed, 0, np.arange(persons[-1] + 1))
    person = person.take(persons)
    picture = people.draws(people.PICTURE, seed, 1, numbers)
    # A person's ages lie in different strata of a circle that starts anywhere: so each is uniform.
    stratum = (numbers % pictures_per_person + 0.8 * picture.age) / pictures_per_person
    place, spread = (person.age + stratum) % 1, np.ones(count)
    group = np.zeros(count, int)
    if groups:
        group = synthetic_groups.assign(np.arange(persons[-1] + 1), groups, seed)[persons]
        person = synthetic_groups.dressed(person, group)
        place = place ** np.array([one.power for one in synthetic_groups.GROUPS])[group]
        spread = np.array([one.spread for one in synthetic_groups.GROUPS])[group]
    if kind == "attractiveness":
        score = attractiveness.scores(persons, numbers, seed)
        youngest, oldest = attractiveness.AGES
        person = attractiveness.proportioned(person, score)
        look = people.portray(person, picture, youngest + (oldest - youngest) * place)
        look = attractiveness.rated(look, score)
        told = _of_attractiveness(score, look, spread, raters, seed)
    else:
        ages = low + (high - low) * place
        look = people.portray(person, picture, ages)
        told = _of_age(ages, look, spread, np.arange(low, high + 1), picture.label, kind)
    spoiled = corruptions.spoil_look(look, corruption, severity, seed)
    drawing = _Drawing(spoiled, numbers, size, seed, corruption, severity, workers)
    images = LazyImages(count, size, drawing)
    return Records(
        name="synthetic",
        ids=tuple(f"face-{i:06d}" for i in numbers),
        labels=told.labels,
        sources=tuple(f"synthetic face {i}" for i in numbers),
        images=images if lazy else images[:],
        sigma=told.sigma,
        subjects=tuple(f"person-{p:04d}" for p in persons),
        split=_split(persons, seed, test_fraction),
        truth_values=told.values.astype(np.float32),
        truth=told.truth.astype(np.float32),
        unit="score" if kind == "attractiveness" else "years",
        folds=_folds(persons, seed, folds),
        points=None if corruption == "rotation" else points.points(look, size),
        groups=tuple(synthetic_groups.GROUPS[g].name for g in group) if groups else (),
        notes=(f"every picture has {corruption} of severity {severity}",) if corruption else (),
    )


def _of_age(
    ages: np.ndarray,
    look: Look,
    spread: np.ndarray,
    values: np.ndarray,
    uniform: np.ndarray,
    kind: str,
) -> _Labels:
    truth = synthetic_labels.true_distribution(ages, look.glasses, look.hat, values, spread)
    if kind == "age_groups":
        truth, values = synthetic_labels.to_groups(truth, values), np.array(ADIENCE.values)
    mean = truth @ values
    sigma = np.sqrt((truth * np.square(values - mean[:, None])).sum(-1)).astype(np.float32)
    return _Labels(synthetic_labels.draw_values(truth, uniform, values), sigma, values, truth)


def _of_attractiveness(
    score: np.ndarray, look: Look, spread: np.ndarray, raters: int, seed: int
) -> _Labels:
    values = np.array(SCUT_FBP.values)
    truth = synthetic_labels.true_opinions(score, look.glasses, look.hat, values, spread)
    labels, sigma = synthetic_labels.rate(truth, values, raters, seed)
    return _Labels(labels, sigma, values, truth)


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """Pictures of a look, of faces of these numbers."""

    look: Look
    numbers: np.ndarray
    size: int
    seed: int
    corruption: str
    severity: int
    workers: int | None

    def draw(self, rows: np.ndarray) -> np.ndarray:
        numbers = self.numbers[rows]
        drawn = canvas.render(
            synthetic_drawing.LAYERS,
            self.look.take(rows),
            self.size,
            self.seed,
            numbers,
            self.workers,
        )
        return corruptions.spoil_pictures(drawn, self.corruption, self.severity, self.seed, numbers)

    def take(self, rows: np.ndarray) -> _Drawing:
        return dataclasses.replace(self, look=self.look.take(rows), numbers=self.numbers[rows])


def _split(persons: np.ndarray, seed: int, test_fraction: float) -> tuple[str, ...]:
    """The split of each picture, the same for all pictures of a person."""
    total = int(persons[-1]) + 1
    tests = min(max(round(test_fraction * total), 1), total - 1)
    chosen = np.random.default_rng((seed, 3)).permutation(total)[:tests]
    return tuple("test" if test else "train" for test in np.isin(persons, chosen))


def _folds(persons: np.ndarray, seed: int, folds: int) -> np.ndarray:
    """The fold of each picture, int64 [N]: persons are dealt, so folds differ by one at most."""
    total = int(persons[-1]) + 1
    return (np.random.default_rng((seed, 9)).permutation(total) % folds)[persons]


def _check_options(
    kind: str, groups: int, folds: int, raters: int, corruption: str, severity: int
) -> None:
    for name, text, known in (
        ("kind", kind, KINDS),
        ("corruption", corruption, ("", *CORRUPTIONS)),
    ):
        if text not in known:
            raise ValueError(
                f"{name}: expected one of {', '.join(filter(None, known))}, got {text!r}"
            )
    counts = (0, *range(2, len(synthetic_groups.GROUPS) + 1))
    for name, number, choice in (("groups", groups, counts), ("severity", severity, SEVERITIES)):
        if number not in choice:
            listed = ", ".join(map(str, choice))
            raise ValueError(f"{name}: expected one of {listed}, got {number!r}")
    for name, number, least in (("folds", folds, 2), ("raters", raters, 1)):
        _check_whole(name, number, least)


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
        _check_whole(name, value, least)
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


def _check_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
