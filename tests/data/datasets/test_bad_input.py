"""Bad lists and pictures: stopped at the first with file and row, or skipped, named and counted."""

import numpy as np
import pytest
from imitation import write
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError
from ldl_jax.data.splits import protocols


def listed(root, text, name="faces.csv"):
    write(root, {"a.jpg": "", "b/c.jpg": ""})
    (root / name).write_bytes(text.encode())


def read(root, **options):
    return catalogue.read("csv_folder", root, csv="faces.csv", **options)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_delimiters_and_marks(tmp_path, end, delimiter, mark):
    text = "path,label,subject\na.jpg,3,x\nb/c.jpg,4,y\n"
    listed(tmp_path, mark + text.replace(",", delimiter).replace("\n", end))
    records = read(tmp_path)
    assert records.ids == ("a.jpg", "b/c.jpg")
    np.testing.assert_array_equal(records.labels, [3, 4])
    assert records.sources == ("faces.csv row 2", "faces.csv row 3")


@pytest.mark.parametrize("label", ["-1", "-0.5", "130.5", "999", "1e30"])
def test_an_age_that_is_none_is_named_with_its_row(tmp_path, label):
    listed(tmp_path, f"path,label\na.jpg,30\nb/c.jpg,{label}\n")
    with pytest.raises(DataError, match=r"^faces.csv row 3: .* is no age of 0 to 130 years$"):
        read(tmp_path)
    if float(label) > -1:
        assert read(tmp_path, unit="score").unit == "score"  # a label of another kind may be


@pytest.mark.parametrize(("label", "says"), [("", "label is empty"), ("1e39", "a finite number")])
def test_a_label_that_is_missing_or_no_float32(tmp_path, label, says):
    listed(tmp_path, f"path,label\na.jpg,30\nb/c.jpg,{label}\n")
    with pytest.raises(DataError, match=f"^faces.csv row 3: .*{says}"):
        read(tmp_path, unit="score")


@pytest.mark.parametrize("start", ["../", "b/../../", "{outside}/"])
def test_a_path_that_leaves_the_root_is_named_with_its_row(tmp_path, start):
    root = tmp_path / "root"
    write(tmp_path, {"secret.jpg": "", "root/b/c.jpg": ""})
    path = start.format(outside=tmp_path) + "secret.jpg"
    write(root, {"faces.csv": f"path,label\nb/c.jpg,3\n{path},30\n"})
    with pytest.raises(
        DataError, match=r"^faces.csv row 3: .*secret.jpg leaves the root .*/root; "
    ):
        read(root)


def test_roots_of_all_kinds_hold_their_pictures(tmp_path, monkeypatch):
    listed(tmp_path, f"path,label\na.jpg,3\n{tmp_path}/b/c.jpg,30\n")
    assert len(read(tmp_path)) == 2  # an absolute path in the root is in the root
    listed(tmp_path, "path,label\na.jpg,3\nb/c.jpg,30\n")
    monkeypatch.chdir(tmp_path / "b")
    for root in ("..", f"{tmp_path}/", "../b/.."):
        assert len(read(root)) == 2
    monkeypatch.chdir(tmp_path)
    assert len(read(".")) == 2


def test_links_in_the_root_are_followed(tmp_path):
    root = tmp_path / "root"
    write(tmp_path, {"elsewhere/a.jpg": "", "one.jpg": ""})
    write(root, {"faces.csv": "path,label\nfar/a.jpg,3\none.jpg,4\n"})
    (root / "far").symlink_to(tmp_path / "elsewhere")
    (root / "one.jpg").symlink_to(tmp_path / "one.jpg")
    assert len(read(root)) == 2


def test_a_picture_listed_twice_in_other_words_is_found_by_its_bytes(tmp_path):
    listed(tmp_path, "path,label\na.jpg,3\na.jpg,4\n")
    with pytest.raises(DataError, match=r"^faces.csv row 3: 'a.jpg' is listed already in .* row 2"):
        read(tmp_path)


def test_a_subject_in_two_folds_is_a_leak(tmp_path):
    listed(tmp_path, "path,label,subject,fold\na.jpg,3,Ann,0\nb/c.jpg,4,Ann,1\n")
    parts = protocols.split(read(tmp_path), "official_folds")
    assert parts.notes == ("LEAK: 1 of 1 test subjects are also in train",)


def test_bad_pictures_are_skipped_named_by_what_is_left_or_stop(tmp_path):
    """Truncated, of zero bytes, of text, and a PNG called a JPEG, which can be read."""
    rng = np.random.default_rng(0)
    for name in ("whole.jpg", "cut.jpg", "called.png"):
        pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "called.png").rename(tmp_path / "called.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    names = ("cut.jpg", "whole.jpg", "empty.jpg", "called.jpg", "text.jpg", "gone.jpg")
    paths = [tmp_path / name for name in names]
    pixels, kept = pictures.decode(paths, 16, "skip")
    assert [names[row] for row in kept] == ["whole.jpg", "called.jpg"]
    assert pixels.shape == (2, 16, 16, 3)
    for row in {0, 2, 4, 5}:
        with pytest.raises(DataError, match=f"{names[row]}: cannot be read as a picture"):
            pictures.decode(paths[row : row + 1], 16)
