"""Faces cut out of pictures: the transform against its definition, and pixels where they belong."""

import math

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import align
from ldl_jax.data.align import TEMPLATE, Alignment, Face, Square


def turned(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@pytest.mark.parametrize("seed", range(5))
def test_a_similarity_is_found_again(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(5, 2))
    scale, angle, shift = rng.uniform(0.1, 50), rng.uniform(-math.pi, math.pi), rng.normal(size=2)
    target = scale * points @ turned(angle).T + shift
    found = align.similarity(points, target)
    np.testing.assert_allclose(found[0], scale)
    np.testing.assert_allclose(found[1], turned(angle), atol=1e-12)
    np.testing.assert_allclose(found[2], shift, atol=1e-10)


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_similarity_is_nearer(mirrored):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5, 2))
    if mirrored:
        b = a * [-1, 1]

    def error(scale, rotation, shift):
        return np.square(scale * a @ rotation.T + shift - b).sum()

    scale, rotation, shift = align.similarity(a, b)
    assert scale > 0
    np.testing.assert_allclose(np.linalg.det(rotation), 1)  # no reflection, even if that is nearer
    best = error(scale, rotation, shift)
    for _ in range(200):
        near = rng.normal(size=4) * 0.05
        other = error(scale + near[0], rotation @ turned(near[1]), shift + near[2:])
        assert other >= best - 1e-12


def test_points_that_are_one_have_no_similarity():
    with pytest.raises(ValueError, match="points that differ"):
        align.similarity(np.ones((5, 2)), np.zeros((5, 2)))


def face(x=100.0, y=80.0, side=60.0, angle=0.0):
    points = TEMPLATE @ turned(angle).T * side + [x, y]
    return Face((x - 0.4 * side, y - side / 2, x + 0.4 * side, y + side / 2), points)


def test_the_square_of_a_box_is_as_long_as_its_longer_side_and_twice_the_margin():
    assert align.square_of(face(), Alignment("box", 0.25)) == Square(100, 80, 90, 0)
    assert align.square_of(face(), Alignment("none", 0.0)) == Square(100, 80, 60, 0)


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_the_square_of_the_points_is_turned_with_the_face(angle):
    found = align.square_of(face(angle=angle), Alignment("similarity", 0.1))
    np.testing.assert_allclose(found, (100, 80, 72, angle), atol=1e-9)


def plane(width=200, height=160):
    """A picture whose red is x and whose green is y, in pixels, at their middles."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, 0 * x + 9], -1).astype(np.uint8))


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2])
def test_pixels_are_where_the_square_says(angle):
    square = Square(100, 80, 50, angle)
    pixels = np.asarray(align.cut(plane(), square, 20)).astype(float)
    assert pixels.shape == (50, 50, 3)
    row, column = np.mgrid[0:50, 0:50] + 0.5
    inside = np.stack([column - 25, row - 25], -1) @ turned(angle).T + [100, 80]
    np.testing.assert_allclose(pixels[..., 0] + 0.5, inside[..., 0], atol=1.1)
    np.testing.assert_allclose(pixels[..., 1] + 0.5, inside[..., 1], atol=1.1)


def test_a_large_face_is_averaged_and_a_small_one_enlarged():
    noise = np.random.default_rng(0).integers(0, 2, (800, 800, 1), np.uint8) * np.uint8(255)
    large = align.cut(Image.fromarray(noise.repeat(3, 2)), Square(400, 400, 800, 0), 16)
    assert 16 <= large.width <= 48
    assert np.asarray(large).std() < 20  # sampled pixels would be black and white
    small = align.cut(plane(), Square(100, 80, 8, 0), 64)
    assert small.size == (64, 64)
    np.testing.assert_allclose(np.asarray(small)[32, 32, :2], (100, 80), atol=1.5)


def test_outside_is_black():
    pixels = np.asarray(align.cut(plane(), Square(0, 0, 40, 0), 20))
    assert (pixels[:19, :19] == 0).all()
    assert (pixels[21:, 21:, 2] == 9).all()


def test_paste_puts_back_what_was_cut():
    square = Square(100, 80, 60, 0.4)
    image = plane()
    back = np.asarray(align.paste(align.cut(image, square, 20), square, image.size)).astype(int)
    inside = back[..., 3] == 255
    area = inside.sum()
    assert 0.9 * 60**2 < area <= 60**2
    np.testing.assert_allclose(back[inside][:, :3], np.asarray(image)[inside], atol=2)
    assert (back[0, 0] == 0).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "square"}, r"alignment\.kind: .* got 'square'"),
        ({"margin": -0.1}, r"alignment\.margin: .* got -0\.1"),
        ({"margin": float("nan")}, r"alignment\.margin"),
    ],
)
def test_refuses(changes, says):
    with pytest.raises(ValueError, match=says):
        Alignment(**changes)
