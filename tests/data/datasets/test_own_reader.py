"""A reader that a user brings along: what it may give, and every fault of it at once."""

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.datasets import catalogue, own_reader
from ldl_jax.data.records import DataError, Records

CODE = '''
import random
from pathlib import Path
import numpy as np
from ldl_jax.data.records import DataError, FoldSplit, Records

def faces(root, pattern="*.png", unit="years"):
    """Reads AGE_PERSON.png."""
    paths = sorted(root.glob(pattern))
    names = [path.stem.split("_") for path in paths]
    return Records(
        name="mine",
        ids=[path.name for path in paths],
        labels=[float(age) for age, _ in names],
        paths=[str(path) for path in paths],
        subjects=[person for _, person in names],
        sigma=np.full(len(paths), 2.0),
        folds=[index % 2 for index, _ in enumerate(paths)],
        groups={"sex": ["female" if "a" in name[1] else "male" for name in names]},
        unit=unit,
    )

def arrays(count=12, side=40):
    rng = np.random.default_rng(0)
    return Records("drawn", ids=[f"p{i}" for i in range(count)], labels=np.arange(20, 20 + count),
                   images=rng.integers(0, 256, (count, side, side, 3), np.uint8))

def listed(root, csv): return Records("listed", [csv], [30], paths=[root / csv])
def nothing(root): return [1, 2]
def fails(root): return {}["age"]
def own_words(root): raise DataError("faces.db: row 7: no age")
def shuffled(root):
    records = faces(root)
    order = list(range(len(records)))
    random.shuffle(order)
    return Records("mine", [records.ids[i] for i in order], [30.0] * len(order),
                   paths=[records.paths[i] for i in order])
def lengths(root):
    return Records("mine", ["a", "b"], [1.0], paths=["a.png"], groups={"sex": ["m"]})
def wrong(root):
    path = root / "30_ann.png"
    return Records(
        "mine", ["a", "a", "", "d"], [30.0, float("nan"), 140.0, "31"],
        paths=[path, root, root / "x", 3],
        sigma=[1.0, 0.0, -1.0, float("inf")], split=["train", "dev", "test", ""],
        folds=[0, 1.5, -1, 2], subjects=[1, "b", "c", "d"], bounds=((3, 1),), notes=(1,),
        votes=np.ones((4, 2)), vote_values=[3, 1], unit="years",
    )
def many(root):
    ids = [f"{i}" for i in range(30)]
    return Records("mine", ids, [30.0] * 30, paths=[f"no/{i}.png" for i in ids])
def floats(root): return Records("mine", ["a"], [30.0], images=np.zeros((1, 8, 8, 3), np.float32))
def two_places(root):
    images = np.zeros((1, 8, 8, 3), np.uint8)
    return Records("mine", ["a"], [30.0], paths=[root / "30_ann.png"], images=images)
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/my_reader.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    rng = np.random.default_rng(0)
    for name in ("30_ann", "31_bob", "40_ann", "52_cy"):
        image = Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8))
        image.save(tmp_path / f"{name}.png")
    return tmp_path


def test_a_reader_of_one_s_own(root):
    records = catalogue.read("my_reader:faces", root)
    assert records.ids == ("30_ann.png", "31_bob.png", "40_ann.png", "52_cy.png")
    assert records.sources == records.ids
    assert records.labels.dtype == np.float32
    np.testing.assert_array_equal(records.labels, [30, 31, 40, 52])
    assert records.paths[1] == root / "31_bob.png"
    assert records.subjects == ("ann", "bob", "ann", "cy")
    assert records.groups == {"sex": ("female", "male", "female", "male")}
    np.testing.assert_array_equal(records.folds, [0, 1, 0, 1])
    assert records.folds.dtype == np.int64
    assert records.take(np.array([2])).subjects == ("ann",)
    assert catalogue.options_of("my_reader:faces") == {"pattern": "*.png", "unit": "years"}
    assert len(catalogue.read("my_reader:faces", str(root), pattern="3*.png")) == 2
    assert catalogue.read("my_reader:listed", root, csv="30_ann.png").ids == ("30_ann.png",)


def test_pictures_in_memory_are_resized_when_they_are_asked_for(root):
    records = catalogue.read("my_reader:arrays", "", count=5)
    assert records.images.shape == (5, 40, 40, 3)
    assert own_reader.fitted(records, 40, 1.0, False) is records
    small = own_reader.fitted(records, 16, 0.5, True).take(np.array([3, 1]))
    assert small.images.shape == (2, 16, 16, 3)
    for row, source in enumerate((3, 1)):
        middle = Image.fromarray(records.images[source]).resize(
            (16, 16), Image.Resampling.BILINEAR, (10, 10, 30, 30), reducing_gap=3.0
        )
        np.testing.assert_array_equal(small.images[row], middle)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "^my_reader:nothing: returned list, expected Records$"),
        ("fails", r"^dataset: 'my_reader:fails' raised KeyError: 'age' \(my_reader.py:\d+\)$"),
        ("own_words", "^faces.db: row 7: no age$"),
        ("shuffled", r"two readings of it differ in ids, first in row \d: .*sort what a folder"),
        ("floats", r"images: expected uint8 \[N, H, W, 3\], .* got float32\[1, 8, 8, 3\]"),
        ("two_places", "paths and images: a picture is in one place, give one of them"),
        ("no_such", "^dataset: cannot import 'my_reader:no_such'"),
    ],
)
def test_a_reader_that_breaks_the_contract(root, name, says):
    with pytest.raises(DataError, match=says):
        catalogue.read(f"my_reader:{name}", root)


def test_all_faults_are_said_at_once(root):
    with pytest.raises(DataError) as caught:
        catalogue.read("my_reader:wrong", root)
    text = str(caught.value)
    for fault in (
        "ids, row 1: 'a' is the name of row 0 already",
        "ids, row 2: is empty",
        "split: expected train, validation, test or '', got 'dev'",
        "sigma, row 1: 0 is not more than 0",
        "sigma, row 2: -1 is not more than 0",
        "sigma, row 3: is infinite",
        "a: the label is nan, expected a number",
        "140 is no age of 0 to 130 years",
        "folds, row 1: expected a whole number",
        "subjects, row 0: expected a text, got 1",
        "vote_values: expected numbers that rise",
        "paths, row 3: expected a text or a Path, got 3",
        "notes: expected texts",
        "bounds: expected pairs",
    ):
        assert fault in text, fault
    assert text.startswith("my_reader:wrong: 14 faults\n  - ")
    with pytest.raises(DataError) as caught:
        catalogue.read("my_reader:lengths", root)
    for fault in ("labels has 1 rows, ids has 2", "paths has 1", "groups.sex has 1"):
        assert fault in str(caught.value)
    with pytest.raises(DataError, match=r"and 10 more$") as caught:
        catalogue.read("my_reader:many", root)
    assert str(caught.value).startswith("my_reader:many: 30 faults\n  - 0: no/0.png does not exist")
    assert str(caught.value).count("\n") == 21


def test_pictures_that_are_not_there_can_be_skipped(root, tmp_path):
    (root / "modules/half.py").write_text(
        "from ldl_jax.data.records import Records\n"
        "def faces(root):\n"
        "    return Records('mine', ['a', 'b', 'c'], [30, 31, 32],\n"
        "                   paths=[root / '30_ann.png', root / 'gone.png', root])\n"
    )
    with pytest.raises(DataError, match=r"2 faults\n  - b: .*gone.png does not exist\n  - c: "):
        catalogue.read("half:faces", root)
    records = catalogue.read("half:faces", root, unreadable="skip")
    assert records.ids == ("a",)
    (note,) = records.notes
    assert note.startswith("2 pictures left out: their files are not there (the first: b, ")


def test_what_cannot_be_given(root):
    with pytest.raises(DataError, match=r"faces: no root is given; .* --config.data.root=DIR"):
        catalogue.read("my_reader:faces", "")
    with pytest.raises(DataError, match=r"there is no folder or file .*nowhere"):
        catalogue.read("my_reader:faces", root / "nowhere")
    with pytest.raises(DataError, match="'my_reader:faces' must have a parameter named csv"):
        catalogue.read("my_reader:faces", root, csv="x.csv")
    with pytest.raises(DataError, match=r"option patern: .* has no such option; .*pattern, unit"):
        catalogue.read("my_reader:faces", root, patern="*")


def test_records_have_their_ids_as_sources_and_say_all_wrong_lengths():
    records = Records("x", ("a",), np.zeros(1, np.float32), paths=("a.png",))
    assert records.sources == ("a",)
