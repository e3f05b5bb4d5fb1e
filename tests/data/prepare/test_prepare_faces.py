"""Faces cut out when a set is prepared: which square, whose, and what is left out and why."""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import align, pictures
from ldl_jax.data.align import TEMPLATE, Alignment, Face, Square
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.detect import choice
from ldl_jax.data.prepare import chunk, preparation, sheet
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.records import DataError
from ldl_jax.data.synthetic import drawing
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.data.synthetic.shapes import ellipse

SIDE = 60


def turned(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def points_at(x, y, side, angle=0.0):
    return TEMPLATE @ turned(angle).T * side + [x, y]


def scene(path, square):
    """A picture that is 200 inside the square and 20 outside."""
    row, column = np.mgrid[0:120, 0:160] + 0.5
    inside = np.stack([column - square.x, row - square.y], -1) @ turned(square.angle)
    pixels = np.where((np.abs(inside) < square.side / 2).all(-1), 200, 20).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def raw(tmp_path):
    """Three pictures of a white square about a face, each turned in another way."""
    root = tmp_path / "raw"
    root.mkdir()
    places = [(70, 60, 0.0), (90, 55, 0.4), (80, 62, -0.7)]
    for i, (x, y, angle) in enumerate(places):
        scene(root / f"{i}.png", Square(x, y, SIDE, angle))
    (root / "list.csv").write_text("path,label\n0.png,10\n1.png,20\n2.png,30\n")
    records = catalogue.read("csv_folder", root, csv="list.csv")
    points = np.stack([points_at(x, y, SIDE, angle) for x, y, angle in places])
    return dataclasses.replace(records, points=points.astype(np.float32))


def prepared(records, out, **form):
    made = preparation.prepare(records, out, PictureForm(**form), workers=1)
    return made, catalogue.read("prepared", out)


def test_given_points_make_faces_upright(raw, tmp_path):
    alignment = Alignment("similarity", 0.0)
    _, back = prepared(raw, tmp_path / "out", alignment=alignment, size=40, png=True)
    pixels, _ = pictures.decode(back.packed, 40)
    assert (pixels[:, 2:-2, 2:-2] > 190).all()  # the square, and nothing but the square
    assert back.alignment == alignment
    assert back.points is None  # they were those of the originals


def test_a_margin_is_around_it(raw, tmp_path):
    _, back = prepared(
        raw, tmp_path / "out", alignment=Alignment("similarity", 0.25), size=60, png=True
    )
    pixels, _ = pictures.decode(back.packed, 60)
    assert (pixels[:, 12:48, 12:48] > 190).all()
    assert (pixels[:, 27:33, :8] < 30).all()
    assert (pixels[:, 27:33, -8:] < 30).all()


def test_a_box_stays_as_it_stands(raw, tmp_path):
    _, back = prepared(raw, tmp_path / "out", alignment=Alignment("box", 0.0), size=40, png=True)
    pixels, _ = pictures.decode(back.packed, 40)
    assert (pixels[0] > 190).all(-1).mean() > 0.95
    assert (pixels[1:, 0, 0] < 30).all()  # the corners of a turned face are outside it


def test_size_0_keeps_the_pictures_own_resolution(raw, tmp_path):
    _, back = prepared(raw, tmp_path / "out", alignment=Alignment("similarity", 0.5), png=True)
    shapes = {pictures.read(content).size for content in back.packed}
    assert shapes == {(2 * SIDE, 2 * SIDE)}


def test_the_benchmarks_quad_is_cut_where_it_is_given(raw, tmp_path):
    squares = [Square(70, 60, SIDE, 0), Square(90, 55, SIDE, 0.4)]
    corners = np.full((3, 4, 2), np.nan, np.float32)
    corners[:2] = [align.square_corners(square) for square in squares]
    given = dataclasses.replace(raw, quads=corners, points=np.where([[[True]], [[True]], [[False]]],
                                np.nan, raw.points).astype(np.float32))  # fmt: skip
    made, back = prepared(
        given, tmp_path / "out", alignment=Alignment("quad", 0.0), size=40, png=True
    )
    assert made.pictures == 3  # the third by its points: no detector is needed
    pixels, _ = pictures.decode(back.packed, 40)
    assert (pixels[:2, 2:-2, 2:-2] > 190).all()
    assert back.quads is None


def test_the_quads_square_is_the_published_one():
    """Against the published code's steps, written out for one face."""
    left, right, mouth = np.array([40.0, 50]), np.array([70.0, 56]), np.array([50.0, 92])
    points = np.stack([left, right, [0, 0], mouth - 9, mouth + 9])
    eyes, across = (left + right) / 2, right - left
    down = mouth - eyes
    x = across - np.flipud(down) * [-1, 1]
    x = x / np.hypot(*x) * max(np.hypot(*across) * 1.92, np.hypot(*down) * 1.89)
    y = np.flipud(x) * [-1, 1]
    middle = eyes + down * 0.1
    expected = np.stack([middle - x - y, middle + x - y, middle + x + y, middle - x + y])
    square = align.quad_square(points)
    np.testing.assert_allclose(align.square_corners(square), expected, atol=1e-9)
    again = align.corners_square(expected)
    np.testing.assert_allclose(again, square, atol=1e-9)
    wider = align.square_of(Face((0, 0, 1, 1), points), Alignment("quad", 0.5))
    assert wider == square._replace(side=2 * square.side)
    with pytest.raises(ValueError, match="points that differ"):
        align.quad_square(np.ones((5, 2)))


def test_a_face_of_points_has_the_templates_box():
    face = align.face_of(points_at(30, 40, 20, angle=0.3))
    np.testing.assert_allclose(face.box, (20, 30, 40, 50), atol=1e-6)


def detector(monkeypatch, found):
    """A stand-in for MTCNN that finds so many faces, the largest first, the last in the middle."""
    monkeypatch.setattr(choice, "check", lambda name: None)
    chunk._detector.cache_clear()

    def detect(image):
        count = found(image)
        faces = []
        for i in range(count):
            side = 50 - 10 * i
            x = image.width / 2 - 20 * (count - 1 - i)
            box = (x - side / 2, 60 - side / 2, x + side / 2, 60 + side / 2)
            faces.append(Face(box, points_at(x, 60, side)))
        return faces

    monkeypatch.setattr(choice, "load", lambda name: detect)
    return detect


@pytest.fixture
def bare(raw, monkeypatch):
    """The pictures without points; the detector finds 0, 1 and 3 faces in them."""
    pixels = [np.asarray(pictures.read(path)) for path in raw.paths]
    detector(
        monkeypatch,
        lambda image: [0, 1, 3][[np.array_equal(np.asarray(image), p) for p in pixels].index(True)],
    )
    yield dataclasses.replace(raw, points=None)
    chunk._detector.cache_clear()


@pytest.mark.parametrize(
    ("policy", "pictures_left", "reasons"),
    [
        ("skip", 1, ["no face was found (the first: 0.png)", "several faces were found"]),
        ("largest", 2, ["no face was found"]),
        ("centre", 2, ["no face was found"]),
    ],
)
def test_no_face_or_several(bare, tmp_path, policy, pictures_left, reasons):
    made, back = prepared(bare, tmp_path / "out", alignment=Alignment("box", 0.0), faces=policy)
    assert made.pictures == pictures_left
    assert len(made.left) == len(reasons)
    for line, reason in zip(made.left, reasons, strict=True):
        assert line.startswith("1 picture left out: ")
        assert reason in line
    assert back.notes[-len(reasons) :] == made.left
    assert back.ids == ("1.png", "2.png")[:pictures_left]
    sides = [pictures.read(content).width for content in back.packed]
    assert sides == {"skip": [50], "largest": [50, 50], "centre": [50, 30]}[policy]


def test_without_a_detector_it_says_how_many_need_one(raw, tmp_path, monkeypatch):
    points = raw.points.copy()
    points[1] = np.nan
    find_spec = importlib.util.find_spec
    without = lambda name, *of: None if name == "mtcnn" else find_spec(name, *of)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ValueError, match=r"1 of 3 pictures come without landmarks: .*\[align\]"):
        prepared(
            dataclasses.replace(raw, points=points),
            tmp_path / "out",
            alignment=Alignment("similarity", 0.1),
        )
    assert not (tmp_path / "out").exists()


def test_landmarks_that_cannot_be_leave_a_picture_out(raw, tmp_path):
    points = raw.points.copy()
    points[0] = 5.0  # all one
    points[1] *= 1e6
    made, back = prepared(
        dataclasses.replace(raw, points=points),
        tmp_path / "out",
        alignment=Alignment("similarity", 0.0),
    )
    assert back.ids == ("2.png",)
    assert made.left == ("2 pictures left out: its landmarks cannot be right (the first: 0.png)",)


def test_drawn_faces_have_their_points_where_they_are_drawn(monkeypatch):
    """A white spot painted at each eye, where the layer of the eyes has it, is at the point."""
    places = []
    for side in (-1, 1):
        places.append(lambda f, side=side: (f.yaw + side * f.eye_x, f.eye_y))
    places.append(lambda f: (1.6 * f.yaw, f.nose_y))
    for side in (-1, 1):
        places.append(
            lambda f, side=side: (1.1 * f.yaw + side * f.mouth_w, f.mouth_y - 0.6 * f.smile)
        )
    for number, place in enumerate(places):

        def spot(p, place=place):
            x, y = place(p.f)
            p.rgb[:] = 0
            p.paint(1.0, p.cover(ellipse(p.x - x, p.y - y, 0.06, 0.06)))

        monkeypatch.setattr(drawing, "LAYERS", ((spot, (-9, -9, 9, 9), ""),))
        records = synthetic.faces(12, 96)
        white = (records.images.mean(-1) > 80)[..., None]
        where = np.stack(np.meshgrid(np.arange(96), np.arange(96)), -1) + 0.5
        middle = (white * where).sum((1, 2)) / white.sum((1, 2))
        np.testing.assert_allclose(records.points[:, number], middle, atol=0.3)


def test_all_age_faces_originals(tmp_path):
    root = tmp_path
    for name in ("original images/00000A02.jpg", "original images/00001A35.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(root / name)
    (root / "image sets").mkdir()
    (root / "image sets/train.txt").write_text("00000A02.jpg 0\n")
    (root / "image sets/val.txt").write_text("00001A35 1\n")
    places = np.arange(98.0).reshape(49, 2)
    (root / "key points").mkdir()
    for name in ("00000A02.txt", "00001A35.txt"):
        text = "\n".join(f"{x} {y}" for x, y in places)
        (root / "key points" / name).write_text(text + "\n")
    records = catalogue.read("aaf", root, originals=True)
    assert records.ids == ("00000A02.jpg", "00001A35.jpg")
    expected = [places[19:25].mean(0), places[25:31].mean(0), places[13], places[31], places[37]]
    np.testing.assert_allclose(records.points, [expected, expected])
    (root / "key points/00001A35.txt").write_text("1 2\n3 x\n")
    with pytest.raises(DataError, match=r"val.txt row 1: key points/00001A35.txt: expected 49 lin"):
        catalogue.read("aaf", root, originals=True)
    (root / "key points/00001A35.txt").unlink()
    with pytest.raises(DataError, match=r"key points/00001A35.txt: expected 49 lines"):
        catalogue.read("aaf", root, originals=True)


def test_a_sheet_shows_what_is_cut(raw):
    page = np.asarray(sheet.sheet(raw, PictureForm(Alignment("similarity", 0.0)), count=3))
    cell, gap = sheet.CELL, sheet.GAP
    high, wide = cell + sheet.LINE + gap, 2 * cell + 4 * gap
    assert page.shape == (2 * high, 2 * wide, 3)
    after = page[4 : cell - 4, cell + gap + 4 : 2 * cell + gap - 4]
    assert (after > 190).all()
    before = page[:cell, :cell].astype(int)
    yellow = (before[..., 0] > 200) & (before[..., 2] < 90)
    assert 100 < yellow.sum() < 3000
    green = (before[..., 1] > 180) & (before[..., 0] < 90)
    assert green.sum() > 50


def test_a_sheet_says_what_is_left_out(bare):
    broken = bare.paths[1]
    broken.write_bytes(b"")
    whole = sheet.sheet(bare, PictureForm(Alignment("box", 0.0), faces="skip"), count=3)
    right = np.asarray(whole)[:160, 164:324]
    assert (right == 255).all()  # nothing was cut
    gray = np.asarray(whole)[40, 340]
    assert (gray == sheet._OUTSIDE).all()
