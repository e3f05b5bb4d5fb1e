"""Folds, strata and two datasets: every test picture once, nobody twice, the same every time."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ldl_jax.data.records import DataError, FoldSplit, Records
from ldl_jax.data.splits import cross, draw, protocols, split_file
from ldl_jax.data.splits.protocols import split


@pytest.fixture(params=range(6))
def seed():
    """Made fresh; a failure shows it."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def records_of(subjects, **fields):
    count = len(subjects)
    return Records(
        **{
            "name": "toy",
            "ids": tuple(f"{row}.jpg" for row in range(count)),
            "labels": np.full(count, 30, np.float32),
            "sources": tuple(f"toy.csv row {row + 2}" for row in range(count)),
            "paths": tuple(Path(f"{row}.jpg") for row in range(count)),
            "subjects": tuple(subjects),
        }
        | fields
    )


def random_records(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(60, 400))
    people = rng.integers(0, rng.integers(20, 200), count)
    labels = np.float32(rng.integers(0, 101, count))
    return records_of([f"s{person}" for person in people], labels=labels)


def whose(records, rows):
    return {records.subjects[row] for row in rows}


@pytest.mark.parametrize("protocol", ["kfold", "subject_kfold", "leave_one_person_out"])
def test_each_picture_is_tested_in_one_fold(seed, protocol):
    records = random_records(seed)
    count = protocols.fold_count(records, protocol)
    runs = [split(records, protocol, seed, fold=fold) for fold in range(count)]
    tests = np.concatenate([run.test for run in runs])
    np.testing.assert_array_equal(np.sort(tests), np.arange(len(records)))
    for number, run in enumerate(runs):
        assert (run.protocol, run.seed, run.fold) == (protocol, seed, number)
        rows = np.concatenate([run.train, run.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(records)))
        if protocol != "kfold":
            assert not whose(records, run.train) & whose(records, run.test)
    if protocol == "kfold":
        assert np.ptp([run.test.size for run in runs]) <= 1
    if protocol == "leave_one_person_out":
        assert count == len(set(records.subjects))
        assert all(len(whose(records, run.test)) == 1 for run in runs)
        assert whose(records, runs[0].test) == {records.subjects[0]}


def test_the_number_of_folds_is_that_of_the_fraction():
    records = records_of([""] * 60)
    for folds in (2, 3, 5, 10):
        assert protocols.fold_count(records, "kfold", 1 / folds) == folds
    assert protocols.fold_count(records, "kfold", 0.333) == 3
    assert protocols.fold_count(records, "random", 0.3) == 1
    with pytest.raises(ValueError, match=r"test_fraction: 'kfold' has 1 / test_fraction folds"):
        split(records, "kfold", test_fraction=0.3)


@pytest.mark.parametrize(
    ("protocol", "fold", "last"), [("kfold", 5, 4), ("kfold", -1, 4), ("random", 1, 0)]
)
def test_a_fold_that_is_not_there(protocol, fold, last):
    expected = f"fold: must be in 0..{last} for '{protocol}' here, got {fold}"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        split(records_of([""] * 20), protocol, fold=fold)
    assert str(caught.value) == expected


@pytest.mark.parametrize("protocol", ["subject_kfold", "leave_one_person_out"])
def test_people_are_needed(protocol):
    with pytest.raises(DataError, match=f"protocol '{protocol}' needs every picture's subject"):
        split(records_of(["a", "", "b"]), protocol)


def test_too_few_people_for_the_folds():
    with pytest.raises(DataError, match="the test part is empty"):
        split(records_of("aaabbb"), "subject_kfold", fold=0)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.37, 0.5])
def test_a_stratified_draw_takes_its_share_of_every_range(seed, fraction):
    records = random_records(seed)
    test = split(records, "stratified", seed, test_fraction=fraction).test
    drawn = np.zeros(len(records), bool)
    drawn[test] = True
    for low in range(0, 101, 5):
        for high in range(low, 101, 10):
            inside = (records.labels >= low) & (records.labels <= high)
            assert abs(drawn[inside].sum() - fraction * inside.sum()) < 1 + 1e-6
    other = split(records, "stratified", seed + 1, test_fraction=fraction).test
    assert not np.array_equal(test, other)


def test_a_stratified_draw_takes_every_row_as_often():
    labels = np.repeat([1.0, 2.0, 2.5], [3, 7, 2])
    rng = np.random.default_rng(0)
    draws = np.mean([draw.stratified(rng, labels, 0.3) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(draws, 0.3, atol=0.04)


def test_official_folds():
    records = records_of("aabbc", folds=np.asarray([0, 0, 3, 3, 1]))
    assert protocols.fold_count(records, "official_folds") == 3
    tests = [split(records, "official_folds", fold=fold).test.tolist() for fold in range(3)]
    assert tests == [[0, 1], [4], [2, 3]]
    held = split(records, "official_folds", fold=1, validation_fraction=0.5)
    assert held.test.tolist() == [4]
    assert len(whose(records, held.validation) & whose(records, held.train)) == 0


def test_official_ways_to_part_the_folds():
    parts = (FoldSplit((0,), (1,), (2,)), FoldSplit((1, 2), (), (0, 3)))
    records = records_of("abcde", folds=np.asarray([0, 1, 2, -1, 3]), fold_splits=parts)
    first, second = (split(records, "official_folds", fold=fold) for fold in range(2))
    assert [first.train.tolist(), first.validation.tolist(), first.test.tolist()] == [[0], [1], [2]]
    assert [second.train.tolist(), second.test.tolist()] == [[1, 2], [0, 4]]


def test_official_folds_that_are_not_there():
    with pytest.raises(DataError, match="toy: there are no official folds; use protocol 'random'"):
        split(records_of("ab"), "official_folds")
    with pytest.raises(DataError, match=r"1 pictures are in no fold \(as toy.csv row 3\)"):
        split(records_of("ab", folds=np.asarray([0, -1])), "official_folds")


def test_the_readers_notes_come_first():
    records = records_of("abcde", notes=("2 pictures left out: no face was found",))
    assert split(records, "random").notes == records.notes


def two_sets():
    train = records_of(
        "aabbc",
        name="A",
        split=("train", "validation", "test", "train", "train"),
        sigma=np.float32([1, 2, 3, 4, 5]),
        notes=("noted",),
    )
    test = records_of("ab", name="B", paths=(Path("B/0.jpg"), Path("B/1.jpg")))
    return train, test


def test_across_datasets():
    train, test = two_sets()
    records = cross.combine(train, test)
    assert records.name == "A->B"
    assert records.ids[0] == "train:0.jpg"
    assert records.ids[-1] == "test:1.jpg"
    assert records.subjects == (*(f"train:{s}" for s in "aabbc"), "test:a", "test:b")
    np.testing.assert_array_equal(records.sigma, [1, 2, 3, 4, 5, np.nan, np.nan])
    parts = split(records, "cross_dataset")
    assert [p.tolist() for p in (parts.train, parts.validation, parts.test)] == [
        [0, 2, 3, 4],
        [1],
        [5, 6],
    ]
    assert parts.notes[0] == "A: noted"
    assert parts.notes[1] == "that somebody is in both A and B cannot be excluded"
    held = split(records, "cross_dataset", validation_fraction=0.4)
    assert held.test.tolist() == [5, 6]
    assert not whose(records, held.train) & whose(records, held.validation)


def test_across_datasets_in_memory():
    pictures = np.zeros((5, 4, 4, 3), np.uint8)
    train, test = (dataclasses.replace(one, paths=()) for one in two_sets_in_memory(pictures))
    records = cross.combine(train, test)
    assert records.images.shape == (7, 4, 4, 3)
    small = dataclasses.replace(test, images=np.zeros((2, 2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="pictures in memory of"):
        cross.combine(train, small)


def two_sets_in_memory(pictures):
    train, test = two_sets()
    return dataclasses.replace(train, images=pictures), dataclasses.replace(
        test, images=pictures[:2]
    )


def test_sets_that_cannot_be_combined():
    train, test = two_sets()
    with pytest.raises(DataError, match="labels in years and in score cannot be compared"):
        cross.combine(train, dataclasses.replace(test, unit="score"))
    with pytest.raises(DataError, match="5 files are in both sets"):
        cross.combine(train, train)
    memory = dataclasses.replace(test, paths=(), images=np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="of the one are files, of the other in memory"):
        cross.combine(train, memory)
    with pytest.raises(DataError, match="A: is one dataset; protocol 'cross_dataset' needs two"):
        split(train, "cross_dataset")


def test_a_split_as_a_file(tmp_path):
    records = random_records(3)
    parts = split(records, "subject_kfold", seed=5, validation_fraction=0.2, fold=2)
    path = tmp_path / "split.json"
    path.write_bytes(split_file.dumped(records, parts))
    assert json.loads(path.read_text())["sha256"] == protocols.fingerprint(records, parts)
    found = split_file.read(path, records)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(parts, part))
        assert getattr(found, part).dtype == np.int64
    assert (found.protocol, found.seed, found.fold, found.notes) == (
        "subject_kfold",
        5,
        2,
        parts.notes,
    )
    labels = records.labels.copy()
    labels[0] += 1
    with pytest.raises(DataError, match=r"split.json: was made for other pictures, labels or"):
        split_file.read(path, dataclasses.replace(records, labels=labels))
    ids = ("other.jpg", *records.ids[1:])
    with pytest.raises(DataError, match=r"split.json: toy has no '0.jpg'"):
        split_file.read(path, dataclasses.replace(records, ids=ids))
    path.write_text("nothing")
    with pytest.raises(DataError, match=r"split.json: is no split"):
        split_file.read(path, records)
