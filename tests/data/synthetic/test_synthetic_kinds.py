"""Drawn faces as a whole dataset: kinds of labels, groups, folds, corruptions, lazy pictures."""

import pickle

import numpy as np
import pytest

from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.splits import cross, protocols
from ldl_jax.data.synthetic import corruptions
from ldl_jax.data.synthetic import labels as synthetic_labels
from ldl_jax.data.synthetic.faces import KINDS, faces
from ldl_jax.data.synthetic.groups import GROUPS
from ldl_jax.labels import ADIENCE, SCUT_FBP


@pytest.fixture(scope="module")
def rated():
    """1,000 rated faces, of as many persons."""
    return faces(1000, size=64, kind="attractiveness", pictures_per_person=1)


def many(**options):
    """Labels of many faces; no picture is drawn."""
    return faces(6000, size=32, lazy=True, **options)


# Pictures that are drawn when they are asked for.


@pytest.mark.parametrize(
    "options", [{}, {"kind": "attractiveness"}, {"groups": 3}, {"corruption": "occlusion"}]
)
def test_lazy_pictures_are_those_drawn_at_once_in_any_chunks(options):
    whole = faces(30, size=40, seed=5, workers=1, **options)
    lazy = faces(30, size=40, seed=5, lazy=True, workers=3, **options).images
    assert isinstance(lazy, LazyImages)
    assert (lazy.shape, lazy.dtype, len(lazy)) == (whole.images.shape, np.uint8, 30)
    np.testing.assert_array_equal(lazy[:], whole.images)
    chunks = [lazy[start : start + 7] for start in range(0, 30, 7)]
    np.testing.assert_array_equal(np.concatenate(chunks), whole.images)
    rows = np.array([29, 3, 3, 11])
    np.testing.assert_array_equal(lazy[rows], whole.images[rows])
    np.testing.assert_array_equal(lazy[-1], whole.images[-1])
    np.testing.assert_array_equal(lazy.take(rows)[[0, 3]], whole.images[[29, 11]])
    with pytest.raises(IndexError):
        lazy[30]


def test_lazy_pictures_go_with_their_records_and_to_other_processes():
    records = faces(20, size=32, lazy=True, corruption="occlusion")
    pair = cross.combine(records, faces(20, size=32, seed=1))
    for some in (records, pair):
        chosen = some.take(np.array([19, 2, 5])).take(slice(1, 3))
        back = pickle.loads(pickle.dumps(chosen)).images
        assert isinstance(back, LazyImages)
        np.testing.assert_array_equal(back[:], some.images[[2, 5]])
    assert len(pickle.dumps(records.take(slice(0, 1)))) < len(pickle.dumps(records)) / 4


def test_a_larger_count_keeps_what_a_smaller_one_had():
    options = {"kind": "attractiveness", "groups": 2, "corruption": "rotation", "size": 32}
    few, more = faces(20, **options), faces(44, **options)
    for column in ("images", "labels", "sigma", "truth"):
        np.testing.assert_array_equal(getattr(few, column), getattr(more, column)[:20])
    assert few.groups["group"] == more.groups["group"][:20]


# What the labels are.


def test_ratings_are_means_of_whole_answers_drawn_from_the_truth(rated):
    assert rated.unit == "score"
    np.testing.assert_array_equal(rated.truth_values, np.float32(SCUT_FBP.values))
    total = rated.labels.astype(np.float64) * 60
    np.testing.assert_allclose(total, total.round(), atol=1e-4)
    assert (rated.labels.min() >= 1) & (rated.labels.max() <= 5)
    assert 0.4 < rated.sigma.mean() < 0.9  # SCUT-FBP5500's is about 0.65
    # Exactly, by the opinions' distribution: the mean over pictures of label and of variance.
    answers = np.floor(rated.truth_values.astype(np.float64) + 0.5 + 1e-6)
    truth = rated.truth.astype(np.float64)
    mean = truth @ answers
    variance = truth @ answers**2 - mean**2
    z = (rated.labels - mean) / np.sqrt(variance / 60)
    assert abs(z.mean()) < 4 / np.sqrt(1000)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / 1000)
    ratio = rated.sigma.astype(np.float64) ** 2 / (variance * 59 / 60)
    assert abs(ratio.mean() - 1) < 0.03


def test_opinions_are_what_many_raters_answer():
    values = np.array(SCUT_FBP.values)
    none = np.zeros(2)
    truth = synthetic_labels.true_opinions(np.array([2.0, 3.7]), none, none, values)
    mean, deviation, _ = synthetic_labels.rate(truth, values, 200_000, 0)
    drawn = np.random.default_rng(0).random((200_000, 1))
    for row in range(2):
        opinions = synthetic_labels.draw_values(
            np.tile(truth[row], (200_000, 1)), drawn[:, 0], values
        )
        answers = np.floor(opinions.astype(np.float64) + 0.5 + 1e-6)
        assert abs(mean[row] - answers.mean()) < 0.01
        assert abs(deviation[row] - answers.std()) < 0.01


def test_age_groups_are_the_years_summed():
    years, groups = many(), many(kind="age_groups")
    np.testing.assert_array_equal(groups.truth_values, np.float32(ADIENCE.values))
    for group, (low, high) in enumerate(ADIENCE.bounds):
        of_years = (years.truth_values >= low) & (years.truth_values <= high)
        inside = years.truth[:, of_years].sum(1)
        assert np.all(groups.truth[:, group] > inside - 1e-5)  # and of the gaps beside it
    np.testing.assert_allclose(groups.truth.sum(1), 1, atol=1e-5)
    counts = np.array([(groups.labels == np.float32(v)).sum() for v in ADIENCE.values])
    assert counts.sum() == 6000
    expected = groups.truth.sum(0, dtype=np.float64)
    spread = np.sqrt((groups.truth * (1 - groups.truth)).sum(0, dtype=np.float64))
    assert np.all(np.abs(counts - expected) < 5 * spread)


def test_years_in_a_gap_count_for_the_nearer_group():
    years = np.array([2, 3, 7, 14, 22, 45, 100])
    index = synthetic_labels.to_groups(np.eye(7), years).argmax(1)
    np.testing.assert_array_equal(index, [0, 0, 1, 2, 3, 5, 7])  # 3 is as near to 1 as to 5


def test_attractiveness_is_visible(rated):
    """A ridge regression on the pixels from brows to chin beats the training labels' mean."""
    pixels = rated.images[:, 22:51, 14:50].reshape(1000, -1) / 255
    train = np.arange(1000) < 800
    labels = rated.labels.astype(np.float64)
    middle, x = labels[train].mean(), pixels - pixels[train].mean(0)
    gram = x[train] @ x[train].T + 2 * np.eye(800)
    guess = x[~train] @ (x[train].T @ np.linalg.solve(gram, labels[train] - middle)) + middle
    error, blind = (np.abs(one - labels[~train]).mean() for one in (guess, middle))
    assert error < 0.85 * blind


def test_a_person_s_pictures_are_about_as_attractive():
    records = many(kind="attractiveness")
    pairs = (records.truth @ records.truth_values).reshape(-1, 2)
    assert np.abs(np.diff(pairs)).mean() < 0.5 * np.abs(np.diff(pairs[:, 0])).mean()


# Groups.


@pytest.mark.parametrize("groups", [2, 3])
def test_groups_have_their_shares_ages_and_difficulty(groups):
    records, plain = many(groups=groups), many()
    names = np.array(records.groups["group"])
    people = np.array(records.subjects)
    share = np.arange(groups, 0, -1) / np.arange(groups + 1).sum()
    for group, expected in zip(GROUPS, share, strict=False):
        mine = names == group.name
        spread = np.sqrt(expected * (1 - expected) / 3000)  # drawn by person, of 3,000
        assert abs(mine.mean() - expected) < 5 * spread
        # E u^p = 1 / (p + 1); the label space cuts off, and u is spread over a circle.
        age = (records.truth @ records.truth_values)[mine].mean()
        assert abs(age - (2 + 78 / (group.power + 1))) < 3
        # The same ages, plain, would be told as well as this.
        ages = np.interp(age, [2, 80], [1.5, 5.0])
        assert abs(records.sigma[mine].mean() / (ages * group.spread) - 1) < 0.25
    assert len(set(zip(people, names, strict=True))) == len(set(people))  # a person has one
    assert plain.groups == {}


def test_groups_look_different_and_attractiveness_is_the_same_in_all():
    drawn = faces(240, size=32, groups=3)
    names = np.array(drawn.groups["group"])
    brightness = drawn.images[:, 14:20, 13:19].mean((1, 2, 3))  # the middle of the face
    means = [brightness[names == group.name].mean() for group in GROUPS]
    assert means[0] > means[1] + 10
    assert means[1] > means[2] + 10
    scored = many(kind="attractiveness", groups=3)
    names = np.array(scored.groups["group"])
    score = (scored.truth @ scored.truth_values).astype(np.float64)
    means = [score[names == group.name].mean() for group in GROUPS]
    assert np.ptp(means) < 0.12


# Corruptions.


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
def test_corruption_grows_with_severity(corruption):
    clean = faces(24, size=48).images.astype(np.float64)
    apart = []
    for severity in range(1, 6):
        records = faces(24, size=48, corruption=corruption, severity=severity)
        assert records.notes == (f"every picture has {corruption} of severity {severity}",)
        apart.append(np.abs(records.images - clean).mean())
    assert apart[0] > 0.5
    assert np.all(np.diff(apart) > 0.2)


def test_occlusion_covers_the_area_it_says():
    clean, covered = (
        faces(16, size=96, corruption=name, severity=4).images.astype(int)
        for name in ("", "occlusion")
    )
    share = (clean != covered).any(-1).mean((1, 2))
    np.testing.assert_allclose(share, 0.32, atol=0.03)


def test_labels_do_not_depend_on_the_corruption():
    clean, spoiled = faces(24, size=32), faces(24, size=32, corruption="noise", severity=5)
    np.testing.assert_array_equal(clean.labels, spoiled.labels)
    np.testing.assert_array_equal(clean.truth, spoiled.truth)


# Every protocol.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_every_protocol_parts_them(kind, protocol):
    records = faces(60, size=32, kind=kind, lazy=True)
    if protocol == "cross_dataset":
        records = cross.combine(records, faces(60, size=32, seed=1, kind=kind, lazy=True))
    runs = protocols.fold_count(records, protocol)
    assert runs == {"official_folds": 5, "leave_one_person_out": 30}.get(
        protocol, 5 if "kfold" in protocol else 1
    )
    for fold in range(runs):
        parts = protocols.split(records, protocol, fold=fold)
        by_picture = protocol in ("random", "stratified", "kfold")
        assert by_picture or not any(note.startswith("LEAK") for note in parts.notes)
        assert len(parts.train) + len(parts.test) == len(records)


def test_both_sets_of_a_cross_dataset_are_drawn_when_asked_for():
    train, test = faces(12, size=32), faces(12, size=32, seed=1, lazy=True)
    images = cross.combine(train, test).images
    assert images.shape == (24, 32, 32, 3)
    rows = [23, 0, 12, 11]
    expected = np.concatenate([train.images, test.images[:]])[rows]
    np.testing.assert_array_equal(images[rows], expected)


def test_folds_are_of_persons_and_even():
    records = faces(60, size=32, lazy=True, folds=4)
    folds, people = np.array(records.folds), np.array(records.subjects)
    assert len(set(zip(people, folds, strict=True))) == 30
    assert np.ptp(np.bincount(folds)) <= 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "beauty"),
        ("groups", 1),
        ("groups", 4),
        ("folds", 1),
        ("raters", 0),
        ("raters", 2.5),
        ("corruption", "fog"),
        ("severity", 0),
        ("severity", 6),
    ],
)
def test_errors_name_the_option_and_the_value(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .*got {value!r}$"):
        faces(12, size=32, **{name: value})
