"""The unified benchmark's JSON databases and YAML splits, on small ones of the same form."""

import json

import numpy as np
import pytest

from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError, FoldSplit
from ldl_jax.data.splits import protocols

AGEDB = [
    {"img_path": f"AgeDB/{n}.jpg", "name": f"P{n}", "age": 20 + n, "folder": n, "number": "7"}
    for n in range(4)
]
CLAP = [
    {
        "img_path": "CLAP/train/1.jpg",
        "age": 35,
        "std_age": 4.5,
        "folder": 0,
        "aligned_bbox": [20, 22, 148, 2, 169, 130, 41, 150],
    },
    {"img_path": "CLAP/train/2.jpg", "age": 40, "folder": 2},
]
YAML = """
- database: "databases/AgeDB.json"
  tag: "AgeDB"
  split:
  - trn: [0, 1]
    val: [2]
    tst: [3]
  - trn: [2, 3]
    val: [0]
    tst: [1]
- database: "databases/CLAP.json"
  tag: "CLAP"
  split:
  - {trn: [], val: [], tst: [0, 2]}
  - {trn: [], val: [], tst: [0, 2]}
"""


@pytest.fixture
def root(tmp_path):
    for one in AGEDB + CLAP:
        path = tmp_path / "faces" / one["img_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "databases").mkdir()
    (tmp_path / "databases/AgeDB.json").write_text(json.dumps(AGEDB))
    (tmp_path / "databases/CLAP.json").write_text(json.dumps(CLAP))
    (tmp_path / "bench.yaml").write_text(YAML)
    return tmp_path


def read(root, csv="bench.yaml", **options):
    return catalogue.read("face_benchmark", root / "faces", csv=str(root / csv), **options)


def test_the_database_that_is_trained_on(root):
    records = read(root)
    assert records.ids == tuple(one["img_path"] for one in AGEDB)
    np.testing.assert_array_equal(records.labels, [20, 21, 22, 23])
    assert records.subjects == ("P0", "P1", "P2", "P3")
    np.testing.assert_array_equal(records.folds, [0, 1, 2, 3])
    assert records.fold_splits == (
        FoldSplit((0, 1), (2,), (3,)),
        FoldSplit((2, 3), (0,), (1,)),
    )
    parts = protocols.split(records, "official_folds", fold=1)
    assert [part.tolist() for part in (parts.train, parts.validation, parts.test)] == [
        [2, 3],
        [0],
        [1],
    ]


def test_a_database_by_its_tag(root):
    records = read(root, tag="CLAP")
    np.testing.assert_array_equal(records.sigma, [4.5, np.nan])
    assert records.quads.shape == (2, 4, 2)
    np.testing.assert_array_equal(records.quads[0], [[20, 22], [148, 2], [169, 130], [41, 150]])
    assert np.isnan(records.quads[1]).all()
    np.testing.assert_array_equal(records.folds, [0, 1])  # folders 0 and 2
    assert records.fold_splits[0] == FoldSplit((), (), (0, 1))
    with pytest.raises(DataError, match="the train part is empty"):
        protocols.split(records, "official_folds")
    with pytest.raises(DataError, match="has no database 'MORPH'; its databases: AgeDB, CLAP"):
        read(root, tag="MORPH")


def test_one_database(root):
    records = read(root, "databases/CLAP.json")
    assert len(records) == 2
    assert records.fold_splits == ()
    assert protocols.fold_count(records, "official_folds") == 2


def test_two_databases_trained_on_keep_their_folders_apart(root):
    text = YAML.replace("{trn: [], val: [], tst: [0, 2]}", "{trn: [0], val: [], tst: [2]}")
    (root / "bench.yaml").write_text(text)
    records = read(root)
    assert records.ids[0] == "AgeDB:AgeDB/0.jpg"
    assert records.subjects == ("AgeDB:P0", "AgeDB:P1", "AgeDB:P2", "AgeDB:P3", "", "")
    np.testing.assert_array_equal(records.folds, [0, 1, 2, 3, 4, 5])
    assert records.fold_splits[0] == FoldSplit((0, 1, 4), (2,), (3, 5))


@pytest.mark.parametrize(
    ("yaml", "database", "expected"),
    [
        ("- database: x.json\n", None, r"bench.yaml: expected a list of \{database, tag, split"),
        ("{", None, "bench.yaml: expected a list"),
        (YAML.replace("AgeDB.json", "no.json"), None, "has no 'no.json'"),
        (None, "{", "AgeDB.json: is no JSON"),
        (None, "{}", "AgeDB.json: expected a list of pictures"),
        (None, '[{"img_path": "AgeDB/0.jpg"}]', "AgeDB.json entry 1: expected .*KeyError: 'age'"),
        (None, '[{"img_path": "AgeDB/0.jpg", "age": "old"}]', "AgeDB.json entry 1: expected"),
        (None, "[3]", "AgeDB.json entry 1: expected"),
        (
            None,
            '[{"img_path": "AgeDB/0.jpg", "age": 3, "aligned_bbox": [1, 2]}]',
            "aligned_bbox has 2 numbers, not 8",
        ),
    ],
)
def test_complaints(root, yaml, database, expected):
    if yaml is not None:
        (root / "bench.yaml").write_text(yaml)
    if database is not None:
        (root / "databases/AgeDB.json").write_text(database)
    with pytest.raises(DataError, match=expected) as caught:
        read(root)
    assert "\n" not in str(caught.value)
