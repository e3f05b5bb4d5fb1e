"""Drawn faces: the truth is what it says, the age is visible, and nothing depends on chance."""

import numpy as np
import pytest

from ldl_jax.data.synthetic import canvas, drawing
from ldl_jax.data.synthetic import people as synthetic_people
from ldl_jax.data.synthetic.faces import faces
from ldl_jax.data.synthetic.labels import true_distribution


@pytest.fixture(scope="module")
def many():
    return faces(1600, size=32)


def test_shapes_and_names():
    records = faces(13, size=40, seed=3, low=5, high=60, pictures_per_person=3)
    assert records.name == "synthetic"
    assert records.images.shape == (13, 40, 40, 3)
    assert records.images.dtype == np.uint8
    assert records.truth.shape == (13, 56)
    for column in (records.truth, records.truth_values, records.labels, records.sigma):
        assert column.dtype == np.float32
    np.testing.assert_array_equal(records.truth_values, np.arange(5, 61))
    assert records.ids[12] == "face-000012"
    assert records.sources[12] == "synthetic face 12"
    assert records.subjects[:4] == ("person-0000",) * 3 + ("person-0001",)
    assert set(records.labels) <= set(range(5, 61))


def test_same_arguments_same_bytes_and_other_seed_other_faces():
    first, again, other = faces(24, size=32), faces(24, size=32), faces(24, size=32, seed=1)
    assert first.images.tobytes() == again.images.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.split == again.split
    assert (first.images != other.images).mean() > 0.5
    assert (first.labels != other.labels).mean() > 0.5


@pytest.mark.parametrize("size", [32, 64])
def test_a_picture_does_not_depend_on_its_chunk(monkeypatch, size):
    records = faces(60, size=size)
    monkeypatch.setattr(canvas, "_CHUNK_PIXELS", 1)
    np.testing.assert_array_equal(faces(60, size=size).images, records.images)
    monkeypatch.setattr(canvas, "_CHUNK_PIXELS", 7 * size**2)
    np.testing.assert_array_equal(faces(60, size=size).images, records.images)


def test_a_layer_paints_nothing_outside_its_box(monkeypatch):
    records = faces(200, size=64, seed=2)
    everywhere = (-9.0, -9.0, 9.0, 9.0)
    layers = tuple((paint, everywhere, flag) for paint, _, flag in drawing.LAYERS)
    monkeypatch.setattr(drawing, "LAYERS", layers)
    np.testing.assert_array_equal(faces(200, size=64, seed=2).images, records.images)


def test_a_larger_count_keeps_the_pictures():
    few, more = faces(20, size=32), faces(50, size=32)
    np.testing.assert_array_equal(few.images, more.images[:20])
    np.testing.assert_array_equal(few.labels, more.labels[:20])
    np.testing.assert_array_equal(few.truth, more.truth[:20])


def test_a_face_is_the_same_at_another_size():
    small, large = faces(40, size=64).images / 255, faces(40, size=128).images / 255
    shrunk = large.reshape(40, 64, 2, 64, 2, 3).mean((2, 4))
    own = np.abs(small - shrunk).mean()
    assert own < 0.03  # the noise of two sensors
    assert np.abs(small - np.roll(shrunk, 1, 0)).mean() > 5 * own


def test_truth_is_a_distribution_and_sigma_its_deviation(many):
    truth, values = many.truth.astype(np.float64), many.truth_values.astype(np.float64)
    assert truth.min() >= 0
    np.testing.assert_allclose(truth.sum(1), 1, atol=1e-5)
    mean = truth @ values
    deviation = np.sqrt((truth * (values - mean[:, None]) ** 2).sum(1))
    np.testing.assert_allclose(many.sigma, deviation, rtol=1e-4)


def test_labels_are_drawn_from_the_truth(many):
    truth, values = many.truth.astype(np.float64), many.truth_values
    z = (many.labels - truth @ values) / many.sigma
    n = len(z)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    # The randomised rank of a label in its own distribution is uniform only for the right shape.
    column = many.labels.astype(int) - int(values[0])
    rows = np.arange(n)
    below = np.cumsum(truth, 1)[rows, column] - truth[rows, column]
    rank = below + truth[rows, column] * np.random.default_rng(0).random(n)
    counts = np.histogram(rank, 10, (0, 1))[0]
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < 30  # chi-square of 9: p = 0.0004


def test_true_distribution_is_the_formula():
    values = np.arange(2, 81)
    ages, glasses, hat = np.array([8.0, 40.0, 40.0]), np.array([0, 1, 0]), np.array([0, 0, 1])
    rows = true_distribution(ages, glasses, hat, values)

    def normal(mean, sigma):
        return np.exp(-0.5 * ((values - mean) / sigma) ** 2) / sigma

    young, s = normal(8, 1.85), 3.25
    skewed = 0.65 * normal(40 - 0.5 * s, 0.8 * s) + 0.35 * normal(40 + 1.6 * s, 1.2 * s)
    camps = 0.55 * normal(40 - 1.5 * s, 0.6 * s) + 0.45 * normal(40 + 1.8 * s, 0.6 * s)
    for row, golden in zip(rows, (young, skewed, camps), strict=True):
        np.testing.assert_allclose(row, golden / golden.sum(), rtol=1e-9)
    peaks = (rows[:, 1:-1] > rows[:, :-2]) & (rows[:, 1:-1] > rows[:, 2:])
    assert peaks[0].sum() == 1
    assert peaks[2].sum() == 2


def test_ages_cover_the_range_and_differ_within_a_person(many):
    mean = many.truth @ many.truth_values
    counts = np.histogram(mean, 6, (2, 80))[0]
    assert counts.min() > 0.7 * len(mean) / 6
    assert np.abs(mean[::2] - mean[1::2]).min() > 1


def test_split_is_by_person_and_exact():
    records = faces(90, size=32, pictures_per_person=3, test_fraction=0.2)
    people = {s: {p for p, q in zip(records.subjects, records.split, strict=True) if q == s}
              for s in ("train", "test")}  # fmt: skip
    assert not people["train"] & people["test"]
    assert len(people["test"]) == 6
    assert len(people["train"]) == 24


def test_age_is_visible(many):
    pixels = many.images.reshape(1600, 16, 2, 16, 2, 3).mean((2, 4)).reshape(1600, -1) / 255
    train = np.array(many.split) == "train"
    labels, middle = many.labels.astype(np.float64), many.labels[train].mean()
    x = pixels - pixels[train].mean(0)
    gram = x[train] @ x[train].T + 3 * np.eye(train.sum())
    guess = x[~train] @ (x[train].T @ np.linalg.solve(gram, labels[train] - middle)) + middle
    error, blind = np.abs(guess - labels[~train]).mean(), np.abs(middle - labels[~train]).mean()
    assert error < 0.6 * blind


def test_only_the_age_changes_an_ageing_face():
    """One person in one pose: the further apart the ages, the less alike the pictures."""
    rows = np.zeros(5, int)
    person = synthetic_people.draws(synthetic_people.PERSON, 0, 0, rows)
    picture = synthetic_people.draws(synthetic_people.PICTURE, 0, 1, rows)
    look = synthetic_people.portray(person, picture, np.array([30.0, 30.0, 36.0, 48.0, 70.0]))
    look.noise[:] = 0
    drawn = canvas.render(drawing.LAYERS, look, 64, 0) / 255
    apart = np.abs(drawn - drawn[0]).mean((1, 2, 3))
    assert apart[1] == 0
    assert np.all(np.diff(apart[1:]) > 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 7),
        ("count", 12.5),
        ("size", 31),
        ("seed", -1),
        ("low", -1),
        ("high", 2),
        ("high", 121),
        ("pictures_per_person", 0),
        ("pictures_per_person", 4),
        ("test_fraction", 0.0),
        ("test_fraction", 1.0),
        ("test_fraction", float("nan")),
    ],
)
def test_errors_name_the_argument_and_the_value(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .*got {value}$"):
        faces(**({"count": 12} | {name: value}))
