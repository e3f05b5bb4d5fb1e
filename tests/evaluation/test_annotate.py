"""What is drawn on pictures is where it belongs, on small ones and on large ones."""

import numpy as np
import pytest
from PIL import Image

from ldl_jax.evaluation import annotate, score_maps
from ldl_jax.evaluation.annotate import LEAST
from ldl_jax.evaluation.answers import Answer
from ldl_jax.labels import ADIENCE, AGE

ORANGE, GREY = (0xE6, 0x9F, 0x00), (0x9A, 0x9A, 0x9A)


def make(box=None, mean=40.0, space=AGE, square=None, score_map=None):
    values = np.asarray(space.values)
    probs = np.exp(-0.5 * ((values - mean) / 8) ** 2)
    probs = (probs / probs.sum()).astype(np.float32)
    return Answer("a.png", 1, box, square, mean, mean - 10, mean + 10, probs, score_map)


def drawn(size, found, space=AGE):
    image = Image.new("RGB", size, (40, 160, 60))
    return np.asarray(annotate.annotate(image, found, space)).astype(int)


def near(pixels, colour):
    return np.abs(pixels - colour).max(axis=-1) < 40


@pytest.mark.parametrize("size", [(32, 32), (64, 80), (300, 200), (1500, 1100)])
def test_a_picture_that_is_one_face_stays_whole_above_its_panel(size):
    pixels = drawn(size, [make()])
    scale = max(1, -(-LEAST // min(size)))
    width, height = size[0] * scale, size[1] * scale
    assert pixels.shape[1] == width
    assert min(pixels.shape[:2]) >= LEAST
    assert (pixels[:height] == (40, 160, 60)).all()
    panel = pixels[height:]
    assert 40 <= len(panel) < height
    columns = np.flatnonzero(near(panel, ORANGE).any(axis=0)) / width * 101
    assert 28 < columns.min() < 34  # the interval is 30 to 50, on an axis of 0 to 100
    assert 47 < columns.max() < 54
    grey = np.flatnonzero(near(panel, GREY).sum(axis=0) > 1) / width * 101
    assert grey.min() < 28
    assert (near(panel, (255, 255, 255)).sum()) > 50  # text, and the value's line


def test_the_tallest_bar_is_at_the_mode():
    panel = drawn((400, 400), [make(mean=70.0)])[400:]
    heights = (near(panel, ORANGE) | near(panel, (255, 255, 255)))[40:].sum(axis=0)
    top = np.flatnonzero(heights == heights.max()) / 400 * 101
    assert 66 < top.mean() < 74


@pytest.mark.parametrize("size", [(200, 150), (1000, 800)])
def test_a_box_and_its_panel_are_in_the_picture(size):
    width, height = size
    box = (width * 0.4, height * 0.1, width * 0.6, height * 0.3)
    pixels = drawn(size, [make(box)])
    scale = pixels.shape[1] // width
    assert pixels.shape[:2] == (height * scale, width * scale)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    assert near(pixels[top:bottom, left], ORANGE).all()
    assert near(pixels[top, left:right], ORANGE).all()
    inside = pixels[top + 10 : bottom - 10, left + 10 : right - 10]
    assert (inside == (40, 160, 60)).all()  # the panel is beside the face
    changed = (pixels[bottom + 8 :] != (40, 160, 60)).any(axis=-1)
    assert changed.sum() > 1000


def test_a_face_at_the_bottom_has_its_panel_above():
    pixels = drawn((600, 600), [make((200, 350, 400, 595))])
    assert (pixels[355:590, 210:390] == (40, 160, 60)).all()
    assert (pixels[:345] != (40, 160, 60)).any()


def test_panels_of_neighbours_are_apart():
    boxes = [(20, 100, 120, 200), (130, 100, 230, 200), (20, 330, 120, 430)]
    places = []
    for box in boxes:
        places.append(annotate._place(box, (600, 600), [*places, *boxes]))
    for i, a in enumerate(places):
        assert not any(annotate._shared(a, b) for b in [*boxes, *places[:i]])


def test_groups_and_a_face_that_fills_the_picture():
    pixels = drawn((500, 400), [make((0, 0, 500, 400), space=ADIENCE)], ADIENCE)
    assert pixels.shape == (400, 500, 3)
    assert near(pixels, ORANGE).sum() > 200


def test_a_map_has_a_sign_and_zero_is_clear():
    score_map = np.array([[-2.0, 0.0], [0.0, 4.0]])
    pixels = np.asarray(score_maps.coloured(score_map, 64)).astype(int)
    assert pixels.shape == (64, 64, 4)
    assert tuple(pixels[0, 0, :3]) == score_maps.LOWERS
    assert tuple(pixels[-1, -1, :3]) == score_maps.RAISES
    assert pixels[0, 0, 3] == pytest.approx(pixels[-1, -1, 3] / 2, abs=2)  # half as much
    assert pixels[0, -1, 3] == pixels[-1, 0, 3] == 0
    assert np.abs(np.diff(pixels[..., 3], axis=1)).max() < 20
    assert not np.asarray(score_maps.coloured(np.zeros((3, 3)), 8))[..., 3].any()


def lightness(colour):
    """CIE L* of an sRGB colour."""
    linear = np.array(colour) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ (0.2126, 0.7152, 0.0722)) - 16


def test_both_signs_are_as_light_as_each_other():
    assert lightness(score_maps.LOWERS) == pytest.approx(lightness(score_maps.RAISES), abs=3)


def test_the_legend_says_the_greatest_score_and_its_unit():
    """The strip under the picture is blue, grey and red, of one scale for all of its faces."""
    image = Image.new("RGB", (400, 400), (128, 128, 128))
    small = make(square=(100, 100, 80, 0.0), score_map=np.full((2, 2), 1.0))
    great = make(square=(300, 300, 80, 0.0), score_map=np.full((2, 2), -4.0))
    pixels = np.asarray(score_maps.overlay(image, [small, great], unit="years")).astype(int)
    legend = pixels[400:]
    assert 40 < len(legend) < 100
    bar = legend[len(legend) // 5]
    assert bar[30, 2] > bar[30, 0] + 40
    assert near(bar[200], (128, 128, 128))
    assert bar[370, 0] > bar[370, 2] + 40
    faint, strong = (np.abs(pixels[y, x] - 128).max() for y, x in ((100, 100), (300, 300)))
    assert 0 < faint < strong / 2


@pytest.mark.parametrize("crop", [1.0, 0.5])
def test_a_map_lies_over_what_the_network_saw(crop):
    image = Image.new("RGB", (400, 400), (128, 128, 128))
    found = make(square=(200, 150, 200, 0.0), score_map=np.eye(2) + 1)
    pixels = np.asarray(score_maps.overlay(image, [found], crop)).astype(int)[:400]
    rows, columns = np.nonzero((pixels != 128).any(axis=-1))
    half = 100 * crop
    limits = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    np.testing.assert_allclose(limits, (150 - half, 150 + half, 200 - half, 200 + half), atol=2)


def test_a_map_of_a_whole_picture():
    image = Image.new("RGB", (90, 40), (128, 128, 128))
    pixels = np.asarray(score_maps.overlay(image, [make(score_map=np.eye(2) + 1)]))
    assert pixels.shape[0] > 320
    assert pixels.shape[1:] == (720, 3)
    assert (pixels[:320] != 128).any(axis=-1).all()
    with pytest.raises(ValueError, match=r"a\.png has no score map"):
        score_maps.overlay(image, [make()])
