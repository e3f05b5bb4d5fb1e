"""Faces that a dataset's boxes tell apart: cut out each by its box, or found in it."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import align, pictures
from ldl_jax.data.align import TEMPLATE, Alignment, Face
from ldl_jax.data.datasets import catalogue, own_records
from ldl_jax.data.detect import choice
from ldl_jax.data.prepare import chunk, preparation
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.records import DataError
from ldl_jax.data.splits import cross
from ldl_jax.run import data as run_data
from ldl_jax.run.sections import DataConfig

HEAD = "img_name,age,gender,face_x0,face_y0,face_x1,face_y1\n"
BOXES = [(10, 20, 50, 60), (90, 30, 130, 70)]
GREY = (80, 200)  # of the two faces


@pytest.fixture
def root(tmp_path):
    """A picture of two faces, each a square of one grey."""
    pixels = np.zeros((100, 150), np.uint8)
    for (left, top, right, bottom), grey in zip(BOXES, GREY, strict=True):
        pixels[top:bottom, left:right] = grey
    folder = tmp_path / "set" / "lag_benchmark"
    folder.mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "a.png")
    rows = [f"lag_benchmark/a.png,{20 + 10 * i},M,{','.join(map(str, box))}" for i, box in
            enumerate(BOXES)]  # fmt: skip
    (tmp_path / "set" / "lagenda_annotation.csv").write_text(HEAD + "\n".join(rows))
    return tmp_path / "set"


def cut_out(root, out, kind):
    form = PictureForm(alignment=Alignment(kind, 0.0), size=32, png=True)
    made = preparation.prepare(catalogue.read("lagenda", root), out, form, workers=1)
    return made, catalogue.read("prepared", out)


def test_each_face_is_cut_out_by_its_box(root, tmp_path):
    _, back = cut_out(root, tmp_path / "out", "box")
    pixels, _ = pictures.decode(back.packed, 32)
    for picture, grey in zip(pixels[:, 2:-2, 2:-2], GREY, strict=True):
        assert (abs(picture.astype(int) - grey) < 3).all()
    assert back.labels.tolist() == [20, 30]
    assert back.boxes is None  # they were those of the whole picture
    assert not back.shares_pictures


def found(monkeypatch, boxes):
    """A stand-in for MTCNN that finds faces in these boxes."""

    def points(box):
        left, top, right, bottom = box
        return TEMPLATE * (right - left) + [(left + right) / 2, (top + bottom) / 2]

    monkeypatch.setattr(choice, "check", lambda name: None)
    chunk._detector.cache_clear()
    faces = [Face(box, points(box)) for box in boxes]
    monkeypatch.setattr(choice, "load", lambda name: lambda image: faces)


def test_a_detectors_face_is_the_one_in_the_box(root, tmp_path, monkeypatch):
    found(monkeypatch, [(92, 32, 128, 68), (0, 0, 150, 100), (12, 18, 48, 62)])
    _, back = cut_out(root, tmp_path / "out", "similarity")
    pixels, _ = pictures.decode(back.packed, 32)
    assert [int(picture[16, 16, 0]) for picture in pixels] == list(GREY)


def test_a_face_that_is_found_elsewhere_is_not_taken(root, tmp_path, monkeypatch):
    found(monkeypatch, [BOXES[1]])
    made, back = cut_out(root, tmp_path / "out", "quad")
    assert back.labels.tolist() == [30]
    assert "1 picture left out: no face was found in the dataset's box" in made.left[0]


def test_whole_pictures_of_several_faces_are_refused(root, tmp_path):
    records = catalogue.read("lagenda", root)
    with pytest.raises(DataError, match=r"lagenda: pictures hold several .* --align=box"):
        preparation.prepare(records, tmp_path / "out", PictureForm(size=32), workers=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"data\.name: pictures of lagenda hold several .*--align"):
        run_data.read_records(DataConfig(name="lagenda", root=str(root)))


def test_boxes_go_with_their_rows(root):
    records = dataclasses.replace(catalogue.read("lagenda", root), name="boxed")
    paths = tuple(root / name for name in "xy")
    other = dataclasses.replace(records, boxes=None, ids=("x", "y"), paths=paths)
    both = cross.combine(records, other)
    np.testing.assert_array_equal(both.boxes[:2], BOXES)
    assert np.isnan(both.boxes[2:]).all()
    assert both.shares_pictures
    with pytest.raises(DataError, match=r"boxes: expected shape \[N, 4\], got \[2, 2\]"):
        own_records.checked("mine", dataclasses.replace(records, boxes=np.zeros((2, 2))))
    with pytest.raises(DataError, match="boxes has 1 rows, ids has 2"):
        dataclasses.replace(records, boxes=np.zeros((1, 4)))


def test_what_two_boxes_share():
    assert align.overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert align.overlap((0, 0, 2, 2), (2, 2, 4, 4)) == 0
    assert align.overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    square = align.box_square((0, 0, 2, 4), Alignment("box", 0.25))
    assert square == align.Square(1, 2, 6, 0)
