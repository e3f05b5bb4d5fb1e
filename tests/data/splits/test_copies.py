"""Copies are kept out of two parts: taken out of training, or drawn together."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import audit, copies, draw, hashes, protocols, split_file
from ldl_jax.run import data
from ldl_jax.run.config import ConfigError, DataConfig

COUNT, TIMES = 24, 3  # different pictures, and how often each is there


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Each of 24 pictures three times: as it is, with the same bytes, and as a near-duplicate."""
    root = tmp_path_factory.mktemp("pictures")
    paths = []
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8))
        image = small.resize((64, 64), Image.Resampling.BICUBIC)
        for copy, changed in enumerate((image, image, image.point(lambda x: 0.8 * x + 30))):
            paths.append(root / f"{number:02}{'abc'[copy]}.png")
            changed.save(paths[-1])
    parts = ["train", "test", "train"] * 8 + ["train", "train", "test"] * 8 + ["train"] * 24
    return Records(
        name="toy",
        ids=tuple(path.name for path in paths),
        labels=np.arange(len(paths), dtype=np.float32),
        sources=tuple(path.name for path in paths),
        paths=tuple(paths),
        split=tuple(parts),
    )


@pytest.fixture(scope="module")
def taken(records):
    return hashes.take(records)


def test_groups_are_copies_of_copies_and_people(records, taken):
    groups = copies.linked(records, taken, by_person=False)
    assert len(np.unique(groups)) == COUNT
    np.testing.assert_array_equal(groups[::TIMES], groups[1::TIMES])
    np.testing.assert_array_equal(groups[::TIMES], groups[2::TIMES])
    somebody = ["", *["x"] * 2, *[""] * (len(records) - 3)]
    somebody[10] = "x"  # of another picture than rows 1 and 2
    known = dataclasses.replace(records, subjects=tuple(somebody))
    both = copies.linked(known, taken, by_person=True)
    assert len(np.unique(both)) == COUNT - 1
    assert len(set(both[[0, 1, 2, 9, 10, 11]].tolist())) == 1


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_drop_train_leaves_nothing_for_the_auditor(records, taken, fraction):
    parts = protocols.split(records, "official", 3, 0.2, fraction, leaks="drop_train", hashes=taken)
    assert len(parts.test) == 16
    assert len(parts.removed) == 32  # two copies of each test picture
    assert len(parts.train) + len(parts.validation) == len(records) - 16 - 32
    verdict = audit.audit(records, parts, taken)
    assert verdict.leaks == ()
    assert [overlap.pictures for overlap in verdict.overlaps] == [0] * len(verdict.overlaps)
    assert verdict.name == parts.name == "official, leaks removed from training"
    assert (len(parts.validation) > 0) == (fraction > 0)
    reasons = {records.ids[x.row]: x.reason for x in parts.removed}
    assert reasons["00a.png"] == "identical to 00b.png"
    assert reasons["00c.png"] == "near-duplicate of 00b.png"
    assert parts.notes[0] == "32 train pictures are left out, since test has them too"


def test_pictures_of_people_in_test_go_unless_pictures_are_drawn(records, taken):
    names = [f"p{row % 70}" for row in range(len(records))]  # rows 0 and 70, 1 and 71
    known = dataclasses.replace(records, subjects=tuple(names))
    parts = protocols.split(known, "official", leaks="drop_train", hashes=taken)
    assert "shows p1, who is in test" in {entry.reason for entry in parts.removed}
    assert audit.audit(known, parts, taken).leaks == ()
    drawn = protocols.split(known, "kfold", leaks="drop_train", hashes=taken)
    assert not any(entry.reason.startswith("shows") for entry in drawn.removed)


@pytest.mark.parametrize("protocol", protocols.DRAWN)
def test_group_keeps_copies_in_one_part(records, taken, protocol):
    names = tuple(f"p{row // 5}" for row in range(len(records)))
    known = dataclasses.replace(records, subjects=names if "subject" in protocol else ())
    tests = []
    for fold in range(4 if protocol in protocols.FOLDED else 1):
        parts = protocols.split(known, protocol, 1, 0.25, 0.25, fold, "group", taken)
        verdict = audit.audit(known, parts, taken)
        assert verdict.name == f"{protocol}, copies kept together"
        assert not any(overlap.pictures for overlap in verdict.overlaps)
        assert not any("LEAK" in line for line in parts.notes)
        assert sum(map(len, (parts.train, parts.validation, parts.test))) == len(records)
        tests += parts.test.tolist()
    assert len(tests) == len(set(tests))
    if protocol in protocols.FOLDED:
        assert len(tests) == len(records)


def test_without_copies_the_draw_and_the_name_are_those_of_before(records, taken):
    rows = np.arange(0, len(records), TIMES)
    alone = records.take(rows)
    own = hashes.take(alone)
    for protocol in ("random", "stratified", "kfold"):
        plain = protocols.split(alone, protocol, 5, 0.25, 0.2)
        grouped = protocols.split(alone, protocol, 5, 0.25, 0.2, leaks="group", hashes=own)
        dropped = protocols.split(alone, protocol, 5, 0.25, 0.2, leaks="drop_train", hashes=own)
        assert dropped.name == protocol
        for other in (grouped, dropped):
            for part in split_file.PARTS:
                np.testing.assert_array_equal(getattr(plain, part), getattr(other, part))


def test_stratified_groups_are_drawn_whole_with_their_share():
    labels = np.repeat(np.arange(40.0), 2)
    groups = np.repeat(np.arange(40), 2)
    drawn = draw.stratified(np.random.default_rng(0), labels, 0.25, groups)
    np.testing.assert_array_equal(drawn[::2], drawn[1::2])
    assert [int(drawn[start : start + 16].sum()) for start in range(0, 80, 16)] == [4] * 5


def test_the_list_is_in_split_json_and_comes_back(records, taken, tmp_path):
    parts = protocols.split(records, "official", leaks="drop_train", hashes=taken)
    path = tmp_path / "split.json"
    path.write_bytes(split_file.dumped(records, parts))
    content = json.loads(path.read_text())
    assert content["leaks"] == "drop_train"
    first = {"id": "00a.png", "part": "train", "reason": "identical to 00b.png"}
    assert content["removed"][0] == first
    again = split_file.read(path, records)
    assert (again.name, again.removed) == (parts.name, parts.removed)
    older = {key: x for key, x in content.items() if key not in ("leaks", "removed")}
    path.write_text(json.dumps(older))
    assert split_file.read(path, records).name == "official"
    for key, value in {
        "leaks": "some",
        "removed": [{"id": "00a.png"}],
    }.items():
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(DataError, match=f"split.json: is no split: {key}"):
            split_file.read(path, records)


def test_a_run_is_called_by_it(records, tmp_path):
    config = DataConfig(name="aaf", root="x", leaks="drop_train")
    lines = []
    parts = data.parts_of(config, records)
    assert data.audited(config, records, parts, None, lines.append)[0] == parts.name
    assert lines[0].startswith("no leak found: call a number 'official, leaks removed from")


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"leaks": "all"}, "data.leaks: expected one of keep, drop_train, group, got 'all'"),
        ({"leaks": "group"}, "data.leaks: 'group' draws copies into one part, and 'official'"),
        ({"leaks": "drop_train", "audit": False}, "data.leaks: 'drop_train' needs the auditor"),
    ],
)
def test_what_cannot_be(keys, text):
    with pytest.raises(ConfigError, match=text):
        DataConfig(name="aaf", **keys)


def test_hashes_are_needed(records):
    with pytest.raises(ValueError, match="hashes: expected those of 72 pictures, got none"):
        protocols.split(records, "official", leaks="drop_train")
