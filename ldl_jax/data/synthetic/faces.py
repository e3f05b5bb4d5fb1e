"""Draws faces of known apparent age or attractiveness: no file is needed, the truth is exact.

Picture i shows person i // pictures_per_person. Kinds of labels:
  age: an apparent age a, uniform over low..high and different in each of the person's pictures,
    shows in the face's proportions, skin and hair. The label is one guess, a draw from
    `labels.true_distribution` of a and of whether glasses or a hat are worn.
  age_groups: the same faces and guesses, as Adience's eight groups (`ldl_jax.labels.ADIENCE`).
  attractiveness: a score (`attractiveness.scores`), mostly the person's own, of persons of 18 to
    60. The votes are `raters` whole answers of 1 to 5, the label is their mean, sigma their
    standard deviation, and the truth what raters think, on the grid 1:0.1:5
    (`ldl_jax.labels.SCUT_FBP`).
Pose, light, background, clothes and noise say nothing about either. Groups of persons
(`groups.GROUPS`) have other skins and ages, and labels that are harder to tell.

The same arguments give the same bytes, and a larger count keeps the pictures and labels that a
smaller one had.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import Records
from ldl_jax.data.synthetic import attractiveness, canvas, corruptions, drawing, people, points
from ldl_jax.data.synthetic import groups as synthetic_groups
from ldl_jax.data.synthetic import labels as synthetic_labels
from ldl_jax.data.synthetic.corruptions import CORRUPTIONS, SEVERITIES
from ldl_jax.data.synthetic.groups import GROUPS
from ldl_jax.data.synthetic.people import Look
from ldl_jax.labels import ADIENCE, SCUT_FBP

KINDS = ("age", "age_groups", "attractiveness")


class _Cast(NamedTuple):
    """N pictures of persons: who is in each, and all that is drawn but the age or score."""

    numbers: np.ndarray  # of the pictures, int64 [N]
    persons: np.ndarray  # the number of each picture's person, int64 [N]
    person: Look  # what stays with each picture's person
    picture: Look  # what is each picture's own
    level: np.ndarray  # where the person's age lies in the range, float64 [N] in [0, 1)
    group: np.ndarray  # the number of the person's group, int64 [N]; 0 without groups
    spread: np.ndarray  # factor of how much people disagree about the person, float64 [N]


class _Labels(NamedTuple):
    labels: np.ndarray
    sigma: np.ndarray
    values: np.ndarray
    truth: np.ndarray
    votes: np.ndarray | None = None


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
    """Draws persons, each picture labelled with the age or attractiveness that it shows.

    Args:
      count: how many pictures, N; at least 8.
      size: the pictures' height and width in pixels; at least 32.
      seed: picks another set of persons; at least 0.
      low: the least label, in years; at least 0.
      high: the greatest label, in years; at most 120. Faces stop changing at 90.
      pictures_per_person: pictures of one person; at most count / 4.
      test_fraction: the part of the persons, rounded, whose split is "test"; in (0, 1).
      kind: one of `KINDS`, described above.
      groups: of how many groups the persons are, 2 or 3; 0 for one of all.
      folds: how many folds the persons are dealt into, at least 2.
      raters: of attractiveness; at least 1.
      corruption: what spoils every picture, one of `CORRUPTIONS`, or "".
      severity: of the corruption, 1 to 5.
      lazy: draw a picture when it is asked for: `images` is a `LazyImages`.
      workers: threads that draw; None for one a processor.

    Returns:
      Images uint8 RGB [N, size, size, 3], labels float32 [N], truth float32 [N, M] over
      truth_values, the raters' votes, sigma float32 [N] of them or else of the truth, subjects, a
      split and folds by person, groups if any, and each face's points (not of turned ones).

    Raises:
      ValueError: an argument is outside the range given above.
    """
    _check(count, size, seed, low, high, pictures_per_person, test_fraction)
    _check_options(kind, groups, folds, raters, corruption, severity)
    cast = _cast(count, pictures_per_person, groups, seed)
    look, told = _portrayed(cast, kind, low, high, raters, seed)
    spoiled = corruptions.spoil_look(look, corruption, severity, seed)
    source = _FaceSource(spoiled, cast.numbers, size, seed, corruption, severity, workers)
    images = LazyImages(count, size, source)
    return dataclasses.replace(
        _records(cast, told, images if lazy else images[:], groups > 0),
        split=_split(cast.persons, seed, test_fraction),
        unit="score" if kind == "attractiveness" else "years",
        folds=_folds(cast.persons, seed, folds),
        points=None if corruption == "rotation" else points.points(look, size),
        notes=(f"every picture has {corruption} of severity {severity}",) if corruption else (),
    )


# The arguments of `faces` that a config gives, with their defaults.
OPTIONS: dict[str, Any] = {
    name: inspect.signature(faces).parameters[name].default
    for name in (
        *("kind", "low", "high", "pictures_per_person", "groups", "folds", "raters"),
        *("corruption", "severity"),
    )
}


def _cast(count: int, pictures_per_person: int, groups: int, seed: int) -> _Cast:
    numbers = np.arange(count)
    persons = numbers // pictures_per_person
    everybody = np.arange(persons[-1] + 1)
    person = people.draws(people.PERSON, seed, 0, everybody).take(persons)
    picture = people.draws(people.PICTURE, seed, 1, numbers)
    # A person's ages lie in different strata of a circle that starts anywhere: so each is uniform.
    stratum = (numbers % pictures_per_person + 0.8 * picture.age) / pictures_per_person
    level, spread = (person.age + stratum) % 1, np.ones(count)
    group = np.zeros(count, int)
    if groups:
        group = synthetic_groups.assign(everybody, groups, seed)[persons]
        person = synthetic_groups.dressed(person, group)
        level = level ** np.array([members.power for members in GROUPS])[group]
        spread = np.array([members.spread for members in GROUPS])[group]
    return _Cast(numbers, persons, person, picture, level, group, spread)


def _portrayed(
    cast: _Cast, kind: str, low: int, high: int, raters: int, seed: int
) -> tuple[Look, _Labels]:
    """Returns how the pictures look, and what people say of them."""
    if kind == "attractiveness":
        score = attractiveness.scores(cast.persons, cast.numbers, seed)
        youngest, oldest = attractiveness.AGES
        person = attractiveness.proportioned(cast.person, score)
        look = people.portray(person, cast.picture, youngest + (oldest - youngest) * cast.level)
        look = attractiveness.rated(look, score)
        return look, _of_attractiveness(score, look, cast.spread, raters, seed)
    ages = low + (high - low) * cast.level
    look = people.portray(cast.person, cast.picture, ages)
    return look, _of_age(cast, look, ages, np.arange(low, high + 1), kind)


def _records(cast: _Cast, told: _Labels, images: np.ndarray | LazyImages, grouped: bool) -> Records:
    return Records(
        name="synthetic",
        ids=tuple(f"face-{i:06d}" for i in cast.numbers),
        labels=told.labels,
        sources=tuple(f"synthetic face {i}" for i in cast.numbers),
        images=images,
        sigma=told.sigma,
        subjects=tuple(f"person-{p:04d}" for p in cast.persons),
        truth_values=told.values.astype(np.float32),
        truth=told.truth.astype(np.float32),
        vote_values=None if told.votes is None else synthetic_labels.SCORES.astype(np.float32),
        votes=told.votes,
        groups={"group": tuple(GROUPS[group].name for group in cast.group)} if grouped else {},
    )


def _of_age(cast: _Cast, look: Look, ages: np.ndarray, values: np.ndarray, kind: str) -> _Labels:
    truth = synthetic_labels.true_distribution(ages, look.glasses, look.hat, values, cast.spread)
    if kind == "age_groups":
        truth, values = synthetic_labels.to_groups(truth, values), np.array(ADIENCE.values)
    mean = truth @ values
    sigma = np.sqrt((truth * np.square(values - mean[:, None])).sum(-1)).astype(np.float32)
    labels = synthetic_labels.draw_values(truth, cast.picture.label, values)
    return _Labels(labels, sigma, values, truth)


def _of_attractiveness(
    score: np.ndarray, look: Look, spread: np.ndarray, raters: int, seed: int
) -> _Labels:
    values = np.array(SCUT_FBP.values)
    truth = synthetic_labels.true_opinions(score, look.glasses, look.hat, values, spread)
    labels, sigma, votes = synthetic_labels.rate(truth, values, raters, seed)
    return _Labels(labels, sigma, values, truth, votes)


@dataclasses.dataclass(frozen=True)
class _FaceSource:
    """Draws pictures of a look, of faces of these numbers."""

    look: Look
    numbers: np.ndarray
    size: int
    seed: int
    corruption: str
    severity: int
    workers: int | None

    def draw(self, rows: np.ndarray) -> np.ndarray:
        numbers = self.numbers[rows]
        look = self.look.take(rows)
        drawn = canvas.render(drawing.LAYERS, look, self.size, self.seed, numbers, self.workers)
        return corruptions.spoil_pictures(drawn, self.corruption, self.severity, self.seed, numbers)

    def take(self, rows: np.ndarray) -> "_FaceSource":
        return dataclasses.replace(self, look=self.look.take(rows), numbers=self.numbers[rows])


def _split(persons: np.ndarray, seed: int, test_fraction: float) -> tuple[str, ...]:
    """Returns the split of each picture, the same for all pictures of a person."""
    total = int(persons[-1]) + 1
    tests = min(max(round(test_fraction * total), 1), total - 1)
    chosen = np.random.default_rng((seed, 3)).permutation(total)[:tests]
    return tuple("test" if test else "train" for test in np.isin(persons, chosen))


def _folds(persons: np.ndarray, seed: int, folds: int) -> np.ndarray:
    """Deals the persons into folds and returns each picture's fold, int64 [N]."""
    total = int(persons[-1]) + 1
    return (np.random.default_rng((seed, 9)).permutation(total) % folds)[persons]


def _check_options(
    kind: str, groups: int, folds: int, raters: int, corruption: str, severity: int
) -> None:
    _check_one_of("kind", kind, KINDS)
    _check_one_of("corruption", corruption, ("", *CORRUPTIONS))
    _check_one_of("groups", groups, (0, *range(2, len(GROUPS) + 1)))
    _check_one_of("severity", severity, SEVERITIES)
    _check_whole(folds=(folds, 2), raters=(raters, 1))


def _check_one_of(name: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        listed = ", ".join(filter(None, map(str, known)))
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}")


def _check(
    count: int, size: int, seed: int, low: int, high: int, per_person: int, test_fraction: float
) -> None:
    _check_whole(count=(count, 8), size=(size, 32), seed=(seed, 0), low=(low, 0))
    _check_whole(pictures_per_person=(per_person, 1))
    if not isinstance(high, int | np.integer) or not low < high <= 120:
        expected = f"a whole number above low = {low}, at most 120"
        raise ValueError(f"high: expected {expected}, got {high!r}")
    if count < 4 * per_person:
        expected = f"at most count / 4 = {count / 4:g}"
        raise ValueError(f"pictures_per_person: expected {expected}, got {per_person}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: expected a number in (0, 1), got {test_fraction}")


def _check_whole(**numbers: tuple[object, int]) -> None:
    """Raises ValueError for a value that is no whole number, or below its least."""
    for name, (value, least) in numbers.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
