"""Audits: planted people, files and near-duplicates are found, strangers are not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import audit, protocols
from ldl_jax.data.splits import hashes as picture_hashes
from ldl_jax.data.splits.protocols import Parts

REAL = Path(__file__).parents[3] / "../shared/data"


def picture(seed, size=96):
    """A smooth random picture, like nothing else."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def records_of(paths, subjects=()):
    return Records(
        name="toy",
        ids=tuple(path.name for path in paths),
        labels=np.zeros(len(paths), np.float32),
        sources=tuple(path.name for path in paths),
        paths=tuple(paths),
        subjects=tuple(subjects),
    )


def saved(root, pictures, **options):
    paths = []
    for number, image in enumerate(pictures):
        paths.append(root / f"{number}.jpg")
        image.save(paths[-1], **({"quality": 95} | options))
    return paths


def parts_of(train, validation, test, protocol="official"):
    rows = (np.asarray(part, np.int64) for part in (train, validation, test))
    return Parts(*rows, protocol=protocol)


def changed(image):
    """The same picture in other ways: small, bright, blurred, noisy, gray."""
    noise = np.random.default_rng(9).normal(0, 4, (*image.size[::-1], 3))
    return {
        "small": image.resize((50, 50)),
        "bright": image.point(lambda value: 0.8 * value + 40),
        "blurred": image.filter(ImageFilter.GaussianBlur(1.5)),
        "noisy": Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)),
        "gray": image.convert("L").convert("RGB"),
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("way", ["small", "bright", "blurred", "noisy", "gray"])
def test_a_near_duplicate_is_found_and_strangers_are_not(tmp_path, seed, way):
    image = picture(seed)
    pictures = [*(picture(100 + seed * 30 + other) for other in range(20)), image]
    paths = saved(tmp_path, [*pictures, changed(image)[way]], quality=60)
    records = records_of(paths)
    found = audit.audit(records, parts_of(range(21), [], [21]), picture_hashes.take(records))
    (overlap,) = found.overlaps
    np.testing.assert_array_equal(overlap.alike, [[21, 20]])
    assert overlap.identical.size == 0
    assert overlap.examples == ("21.jpg ~ 20.jpg",)
    assert found.name == "official with leaks (1 of 1 test pictures also in train)"


def test_identical_files_are_found_once(tmp_path):
    paths = saved(tmp_path, [picture(0), picture(1), picture(0), picture(0), picture(2)])
    records = records_of(paths)
    found = audit.audit(records, parts_of([0, 1], [2], [3, 4]), picture_hashes.take(records))
    by_pair = {(overlap.part, overlap.other): overlap for overlap in found.overlaps}
    for pair, rows in {
        ("test", "train"): [[3, 0]],
        ("test", "validation"): [[3, 2]],
        ("validation", "train"): [[2, 0]],
    }.items():
        np.testing.assert_array_equal(by_pair[pair].identical, rows)
        assert by_pair[pair].alike.size == 0
        assert by_pair[pair].pictures == 1
    assert found.leaks == (
        "1 of 2 test pictures also in train",
        "1 of 2 test pictures also in validation",
    )
    assert "LEAK: call a number 'official with leaks (1 of 2" in str(found)


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_people_in_two_parts_count_unless_pictures_are_drawn(tmp_path, protocol):
    paths = saved(tmp_path, [picture(number) for number in range(5)])
    records = records_of(paths, ["a", "b", "a", "c", ""])
    parts = parts_of([0, 1], [], [2, 3, 4], protocol)
    found = audit.audit(records, parts, picture_hashes.take(records))
    assert (found.overlaps[0].subjects, found.overlaps[0].known) == (1, 2)
    assert found.unknown == 1
    if protocol in ("random", "stratified", "kfold"):
        assert found.leaks == ()
        assert found.name == protocol
        assert str(found).startswith(f"no leak found: call a number '{protocol}'")
    else:
        assert found.name == f"{protocol} with leaks (1 of 2 test subjects also in train)"
    assert "1 of 2 known test subjects are in both" in str(found)
    assert "subjects are not known for 1 pictures" in str(found)


def test_broken_files_are_compared_by_their_bytes_alone(tmp_path):
    paths = saved(tmp_path, [picture(0), picture(1), picture(2), picture(3)])
    for number, text in ((1, "broken"), (2, "broken"), (3, "otherwise broken")):
        paths[number].write_text(text)
    records = records_of(paths)
    taken = picture_hashes.take(records, workers=1)
    assert taken.unreadable == (1, 2, 3)
    found = audit.audit(records, parts_of([0, 1], [], [2, 3]), taken)
    np.testing.assert_array_equal(found.overlaps[0].identical, [[2, 1]])
    assert found.overlaps[0].alike.size == 0
    assert "3 pictures cannot be read" in str(found)
    paths[0].unlink()
    with pytest.raises(DataError, match=r"0.jpg: cannot be read"):
        picture_hashes.take(records)


def test_pictures_in_memory(tmp_path):
    images = np.stack([np.asarray(picture(seed)) for seed in (0, 1, 0)])
    records = dataclasses.replace(
        records_of([Path("a"), Path("b"), Path("c")]), paths=(), images=images
    )
    found = audit.audit(records, parts_of([0, 1], [], [2]), picture_hashes.take(records))
    np.testing.assert_array_equal(found.overlaps[0].identical, [[2, 0]])


def test_progress_and_hashes_of_other_records(tmp_path):
    records = records_of(saved(tmp_path, [picture(seed) for seed in range(70)]))
    seen = []
    taken = picture_hashes.take(records, workers=2, progress=seen.append)
    assert seen == [64, 70]
    assert len(set(taken.files)) == 70
    fewer = records_of(records.paths[:3])
    with pytest.raises(ValueError, match="hashes: of 70 pictures, records has 3"):
        audit.audit(fewer, parts_of([0], [], [1]), taken)


@pytest.mark.parametrize("distance", [0, 1, 3, 8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_close_pairs_are_those_of_all_pairs(distance, seed):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 1 << 63, 120, dtype=np.uint64)
    for row in range(60):  # copies with some bits turned
        bits = rng.choice(64, rng.integers(0, 20), replace=False)
        hashes[60 + row] = hashes[row] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0)
        )
    order = rng.permutation(120)
    rows, other = np.sort(order[:50]), np.sort(order[50:])
    expected = [
        (row, copy)
        for row in rows
        for copy in other
        if int(hashes[row] ^ hashes[copy]).bit_count() <= distance
    ]
    found = picture_hashes.close_pairs(hashes, rows, other, distance)
    np.testing.assert_array_equal(found, np.asarray(expected, np.int64).reshape(-1, 2))


def test_distance_out_of_range():
    with pytest.raises(ValueError, match=r"distance: must be in 0..16 bits, got 17"):
        picture_hashes.close_pairs(np.zeros(2, np.uint64), np.arange(1), np.arange(1, 2), 17)


def test_the_difference_hash_is_its_definition():
    gray = np.arange(72, dtype=np.uint8).reshape(8, 9)
    assert picture_hashes.difference_hash(Image.fromarray(gray)) == np.uint64((1 << 64) - 1)
    assert picture_hashes.difference_hash(Image.fromarray(gray[:, ::-1].copy())) == 0
    gray[:, 3:] = 5
    bits = int(picture_hashes.difference_hash(Image.fromarray(gray))).bit_count()
    assert bits == sum(int(gray[y, x + 1]) > int(gray[y, x]) for y in range(8) for x in range(8))


def test_runs_whose_tests_overlap():
    tests = {"fold 0": ["a", "b"], "fold 1": ["c", "d"]}
    assert audit.overlapping_tests(tests) == ()
    tests["fold 2"] = ["d", "e", "f"]
    line = "fold 1 and fold 2 share 1 test pictures, 50% of those of fold 1"
    assert audit.overlapping_tests(tests) == (line,)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "aaf").is_dir(), reason="All-Age-Faces is not in ../shared/data")
def test_real_aaf_has_pictures_in_both_parts():
    records = catalogue.read("aaf", REAL / "aaf")
    found = audit.audit(records, protocols.split(records, "official"), picture_hashes.take(records))
    (overlap,) = found.overlaps
    assert (overlap.subjects, overlap.known) == (0, 6685)
    assert len(np.unique(overlap.identical[:, 0])) >= 99
    assert 150 <= overlap.pictures <= 250
