"""Splits: every picture once, nobody twice, leaks named; and the fingerprint of it all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import protocols
from ldl_jax.data.splits.protocols import split
from ldl_jax.labels import ADIENCE, AGE, LabelSpace


@pytest.fixture(params=range(12))
def seed():
    """Made fresh; a failure shows it."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def records_of(subjects, parts=(), labels=None, sigma=None):
    count = len(subjects)
    return Records(
        name="toy",
        ids=tuple(f"{row}.jpg" for row in range(count)),
        labels=np.full(count, 30, np.float32) if labels is None else np.float32(labels),
        sources=tuple(f"toy.csv row {row + 2}" for row in range(count)),
        paths=tuple(Path(f"{row}.jpg") for row in range(count)),
        sigma=sigma,
        subjects=tuple(subjects),
        split=tuple(parts),
    )


def random_records(seed):
    """Records of people with 1 to many pictures, some unknown, with an official split."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(60, 400))
    people = rng.integers(0, rng.integers(20, 200), count)
    subjects = [f"s{person}" for person in people]
    parts = rng.choice(["train", "validation", "test"], count, p=[0.6, 0.1, 0.3])
    return records_of(subjects, parts.tolist())


def subjects_in(records, rows):
    return {records.subjects[row] for row in rows}


@pytest.mark.parametrize(
    "protocol", ["official", "random", "stratified", "subject", "kfold", "subject_kfold"]
)
@pytest.mark.parametrize("validation_fraction", [0.0, 0.15])
def test_every_picture_is_in_exactly_one_part(seed, protocol, validation_fraction):
    records = random_records(seed)
    parts = split(records, protocol, seed, validation_fraction=validation_fraction)
    rows = [parts.train, parts.validation, parts.test]
    assert all(part.dtype == np.int64 for part in rows)
    assert all((np.diff(part) > 0).all() for part in rows)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(records)))
    again = split(records, protocol, seed, validation_fraction=validation_fraction)
    for part, same in zip(rows, (again.train, again.validation, again.test), strict=True):
        np.testing.assert_array_equal(part, same)
    if protocol != "official":
        assert parts.test.size == pytest.approx(0.2 * len(records), abs=0.1 * len(records))
    if validation_fraction:
        whole = split(records, protocol, seed)
        np.testing.assert_array_equal(parts.test, whole.test)


def test_by_subject_nobody_is_in_two_parts(seed):
    records = random_records(seed)
    parts = split(records, "subject", seed, test_fraction=0.3, validation_fraction=0.2)
    train, validation, test = (
        subjects_in(records, rows) for rows in (parts.train, parts.validation, parts.test)
    )
    assert not train & validation
    assert not (train | validation) & test
    assert parts.notes == ()


def test_leaks_are_counted(seed):
    records = random_records(seed)
    parts = split(records, "random", seed, validation_fraction=0.2)
    train, validation, test = (
        subjects_in(records, rows) for rows in (parts.train, parts.validation, parts.test)
    )
    assert not train & validation  # validation is held out by subject
    expected = [
        f"LEAK: {len(test & other)} of {len(test)} test subjects are also in {name}"
        for name, other in (("train", train), ("validation", validation))
        if test & other
    ]
    assert list(parts.notes) == expected


def test_random_is_by_picture_and_to_the_count():
    records = records_of([""] * 100)
    parts = split(records, "random", validation_fraction=0.25)
    assert not np.array_equal(parts.test, split(records, "random", seed=1).test)
    assert [len(rows) for rows in (parts.train, parts.validation, parts.test)] == [60, 20, 20]
    assert parts.notes == (
        "subjects are unknown for 100 of 100 pictures: that somebody is in both train and test "
        "cannot be excluded",
    )


def test_official_rows():
    parts = ["train", "test", "validation", "train", "test"]
    records = records_of(["a", "b", "c", "c", "a"], parts)
    found = split(records, "official")
    np.testing.assert_array_equal(found.train, [0, 3])
    np.testing.assert_array_equal(found.validation, [2])
    np.testing.assert_array_equal(found.test, [1, 4])
    assert found.notes == (
        "LEAK: 1 of 2 test subjects are also in train",
        "LEAK: 1 of 1 validation subjects are also in train",
    )
    drawn = split(records, "official", validation_fraction=0.4)
    np.testing.assert_array_equal(drawn.test, [1, 4])
    assert "the 1 official validation pictures are drawn anew" in drawn.notes


def test_unknown_subjects_do_not_count_as_subjects():
    records = records_of(["a", "", "", "a"], ["train", "train", "test", "test"])
    notes = split(records, "official").notes
    assert notes[0].startswith("subjects are unknown for 2 of 4 pictures")
    assert notes[1:] == ("LEAK: 1 of 1 test subjects are also in train",)


@pytest.mark.parametrize(
    ("subjects", "parts", "protocol", "expected"),
    [
        ("ab", (), "official", "no official split; use protocol 'random' or 'subject'"),
        (["", ""], (), "official", "no official split; use protocol 'random'$"),
        ("ab", ["train"] * 2, "official", "lists 2 train, 0 validation and 0 test pictures; use"),
        ("ab", ["test"] * 2, "official", "lists 0 train, 0 validation and 2 test pictures; use"),
        ("ab", ["test", ""], "official", r"1 of 2 pictures are in no part \(the first: toy.csv r"),
        (["a", ""], (), "subject", "unknown for 1 of 2 .the first: toy.csv row 3.; use protocol"),
        (["", ""], ["train", "test"], "subject", "use protocol 'random' or 'official'"),
        ("aaaaa", (), "subject", "the test part is empty; 5 pictures of 1 subjects are too few"),
        ("a", (), "random", "the test part is empty"),
    ],
)
def test_impossible_splits_are_explained(subjects, parts, protocol, expected):
    with pytest.raises(DataError, match=expected) as caught:
        split(records_of(subjects, parts), protocol)
    assert str(caught.value).startswith("toy: ")


def test_empty_validation_or_train_is_an_error():
    with pytest.raises(DataError, match="the validation part is empty"):
        split(records_of("a" + "b" * 8), "random", validation_fraction=0.01)
    with pytest.raises(DataError, match="the train part is empty"):
        split(records_of("abcd"), "random", test_fraction=0.9)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"protocol": "folds"}, "protocol: expected one of official, random, .*, got 'folds'"),
        ({"protocol": "random", "test_fraction": 0.0}, "test_fraction: must be between 0 and 1"),
        ({"protocol": "random", "test_fraction": 1.0}, "test_fraction: must be between 0 and 1"),
        ({"protocol": "random", "validation_fraction": -0.1}, "validation_fraction: must be in"),
        ({"protocol": "random", "validation_fraction": float("nan")}, "validation_fraction: must"),
    ],
)
def test_arguments_out_of_range(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        split(records_of("abcde"), **arguments)


def test_fingerprint_changes_with_what_it_covers_only():
    records = random_records(0)
    parts = split(records, "random")
    print_ = protocols.fingerprint(records, parts)
    assert len(print_) == 64
    assert int(print_, 16) >= 0
    elsewhere = dataclasses.replace(
        records,
        paths=tuple(Path("/elsewhere") / path for path in records.paths),
        sigma=np.full(len(records), np.nan, np.float32),
    )
    assert protocols.fingerprint(elsewhere, parts) == print_
    labels = records.labels.copy()
    labels[3] += 1
    sigma = np.full(len(records), np.nan, np.float32)
    sigma[0] = 2
    changed = [
        (dataclasses.replace(records, labels=labels), parts),
        (dataclasses.replace(records, sigma=sigma), parts),
        (dataclasses.replace(records, ids=records.ids[::-1]), parts),
        (records, split(records, "random", seed=1)),
        (records, dataclasses.replace(parts, train=parts.test, test=parts.train)),
    ]
    prints = {protocols.fingerprint(*pair) for pair in changed}
    assert len(prints) == len(changed)
    assert print_ not in prints


def test_labels_outside_the_space_are_named():
    records = records_of("abcd", labels=[0, 101, np.nan, 100])
    protocols.check_labels(records, AGE, np.asarray([0, 3]))
    with pytest.raises(DataError) as caught:
        protocols.check_labels(records, AGE, np.arange(4))
    assert str(caught.value) == (
        "toy.csv row 3: label 101 lies outside the label space 0..100 years; 2 of 4 labels do"
    )
    with pytest.raises(DataError, match=r"toy.csv row 4: label nan lies outside .* 1 of 1"):
        protocols.check_labels(records, ADIENCE, np.asarray([2]))


def test_labels_on_the_bounds_of_a_decimal_space_are_inside():
    space = LabelSpace.range(0.1, 0.7, 0.1)
    records = records_of("ab", labels=[0.1, 0.7])
    protocols.check_labels(records, space, np.arange(2))
