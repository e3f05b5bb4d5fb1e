"""Crop, resize, flip and normalise, against Pillow and against their definitions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.augment import augmentation

PREPROCESSING = augmentation.Preprocessing(20, 16, (10.0, 20.0, 30.0), (2.0, 4.0, 8.0))
crop_and_resize = jax.jit(augmentation.crop_and_resize, static_argnums=3)
random_boxes = jax.jit(augmentation.random_boxes, static_argnums=(1, 2))
augmented = jax.jit(augmentation.augment, static_argnums=(2, 3))


def smooth_pictures(seed, count, height, width):
    """Random uint8 pictures without edges: a few coarse cells, enlarged."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    shape = (width, height)
    return np.stack([Image.fromarray(c).resize(shape, Image.Resampling.BICUBIC) for c in cells])


def pillow(picture, box, size):
    top, left, height, width = map(float, box)
    corners = (left, top, left + width, top + height)
    resized = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=corners)
    return np.asarray(resized, np.float32)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(40, 40, 40), (40, 40, 17), (24, 31, 64), (53, 37, 32), (90, 70, 8)],
)
def test_a_crop_is_pillow_s(height, width, size):
    images = smooth_pictures(size, 6, height, width)
    rng = np.random.default_rng(1)
    extent = rng.uniform(0.3, 1.0, (6, 2)) * (height, width)
    corner = rng.uniform(0, 1, (6, 2)) * ((height, width) - extent)
    boxes = np.concatenate([corner, extent], axis=1).astype(np.float32)
    boxes[0] = 0, 0, height, width
    got = crop_and_resize(images, boxes, np.zeros(6, bool), size)
    assert got.shape == (6, size, size, 3)
    assert got.dtype == jnp.float32
    expected = np.stack([pillow(i, b, size) for i, b in zip(images, boxes, strict=True)])
    # Pillow rounds to whole numbers after each of its two passes.
    np.testing.assert_allclose(got, expected, atol=1.5)
    assert abs(np.asarray(got) - expected).mean() < 0.5


def test_a_flip_is_the_mirror_image_of_the_crop():
    images = smooth_pictures(0, 3, 20, 20)
    boxes = np.asarray([[0, 0, 20, 20], [1.5, 2.5, 12, 15], [3, 0, 10, 9]], np.float32)
    plain = crop_and_resize(images, boxes, np.zeros(3, bool), 16)
    flipped = crop_and_resize(images, boxes, np.asarray([True, False, True]), 16)
    np.testing.assert_allclose(flipped[0], plain[0, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(flipped[1], plain[1], atol=1e-3)
    np.testing.assert_allclose(flipped[2], plain[2, :, ::-1], atol=1e-3)


def test_the_whole_picture_at_its_own_size_is_itself():
    images = smooth_pictures(2, 2, 16, 16)
    boxes = np.tile(np.asarray([[0, 0, 16, 16]], np.float32), (2, 1))
    got = crop_and_resize(images, boxes, np.zeros(2, bool), 16)
    np.testing.assert_allclose(got, images.astype(np.float32), atol=1e-3)


def test_a_constant_picture_stays_constant():
    images = np.full((2, 9, 11, 3), 77, np.uint8)
    boxes = np.asarray([[0, 0, 9, 11], [8.5, 10.5, 0.5, 0.5]], np.float32)
    got = crop_and_resize(images, boxes, np.zeros(2, bool), 5)
    np.testing.assert_allclose(got, 77.0, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (80, 50)])
def test_boxes_lie_within_the_picture_and_have_the_recipe_s_area_and_aspect(height, width):
    recipe = augmentation.Recipe(scale=(0.3, 0.7), aspect=(0.8, 1.25))
    boxes = np.asarray(random_boxes(jax.random.key(0), (4000, height, width, 3), recipe))
    top, left, high, wide = boxes.astype(np.float64).T
    slack = 1e-4 * height
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + high).max() <= height + slack
    assert (left + wide).max() <= width + slack
    area, aspect = high * wide / (height * width), wide / high
    assert 0.3 - 1e-5 <= area.min() < 0.31
    assert 0.69 < area.max() <= 0.7 + 1e-5
    assert 0.8 - 1e-5 <= aspect.min() < 0.81
    assert 1.23 < aspect.max() <= 1.25 + 1e-5
    if height == width:  # every box fits at once, so none of the draws is turned down
        np.testing.assert_allclose(area.mean(), 0.5, atol=0.01)
        np.testing.assert_allclose(np.log(aspect).mean(), 0, atol=0.01)
    # A place is uniform in the room that is left.
    np.testing.assert_allclose((top / (height - high)).mean(), 0.5, atol=0.02)
    np.testing.assert_allclose((left / (width - wide)).mean(), 0.5, atol=0.02)


def test_a_box_that_never_fits_is_the_whole_picture():
    recipe = augmentation.Recipe(scale=(1.0, 1.0), aspect=(1.5, 2.0))
    boxes = random_boxes(jax.random.key(0), (5, 12, 12, 3), recipe)
    np.testing.assert_allclose(boxes, [[0, 0, 12, 12]] * 5)


@pytest.mark.parametrize("flip", [0.0, 0.3, 1.0])
def test_flips_come_with_their_probability(flip):
    recipe = augmentation.Recipe(scale=(1.0, 1.0), aspect=(1.0, 1.0), flip=flip)
    same = dataclasses.replace(PREPROCESSING, size=4)
    images = np.zeros((2000, 4, 4, 3), np.uint8)
    images[:, :, 0] = 255  # white on the left
    got = augmented(jax.random.key(3), images, recipe, same)
    flipped = np.asarray(got[:, 0, -1, 0] > got[:, 0, 0, 0])
    np.testing.assert_allclose(flipped.mean(), flip, atol=0.035)


def test_the_key_decides_the_pictures():
    images = smooth_pictures(3, 4, 20, 20)
    recipe = augmentation.Recipe()
    once, again, other = (
        np.asarray(augmented(jax.random.key(seed), images, recipe, PREPROCESSING))
        for seed in (1, 1, 2)
    )
    assert once.shape == (4, 16, 16, 3)
    assert once.dtype == np.float32
    np.testing.assert_array_equal(once, again)
    assert (once != other).any(axis=(1, 2, 3)).all()
    twins = np.broadcast_to(images[:1], images.shape)
    drawn = np.asarray(augmented(jax.random.key(1), twins, recipe, PREPROCESSING))
    assert all((drawn[i] != drawn[j]).any() for i in range(4) for j in range(i))


def test_a_picture_is_independent_of_the_rest_of_its_batch():
    images, others = smooth_pictures(4, 5, 20, 20), smooth_pictures(5, 5, 20, 20)
    others[2] = images[2]
    key, recipe = jax.random.key(7), augmentation.Recipe()
    once, again = (augmented(key, batch, recipe, PREPROCESSING)[2] for batch in (images, others))
    np.testing.assert_array_equal(once, again)


def test_augment_with_nothing_to_do_is_prepare():
    images = smooth_pictures(6, 3, 20, 20)
    nothing = augmentation.Recipe(scale=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0)
    got = augmented(jax.random.key(0), images, nothing, PREPROCESSING)
    np.testing.assert_allclose(got, augmentation.prepare(images, PREPROCESSING), atol=1e-3)


def test_prepare_at_equal_size_only_normalises():
    images = smooth_pictures(7, 2, 16, 16)
    got = augmentation.prepare(jnp.asarray(images), PREPROCESSING)
    expected = (images.astype(np.float64) - PREPROCESSING.mean) / PREPROCESSING.std
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_prepare_resizes_the_whole_picture_as_pillow_does():
    images = smooth_pictures(8, 2, 30, 22)
    got = np.asarray(augmentation.prepare(images, PREPROCESSING))
    expected = np.stack([pillow(image, (0, 0, 30, 22), 16) for image in images])
    restored = got * PREPROCESSING.std + PREPROCESSING.mean
    np.testing.assert_allclose(restored, expected, atol=1.5)


def test_normalise_maps_the_default_range_to_one():
    images = jnp.asarray([0.0, 127.5, 255.0], jnp.float32)[:, None, None, None]
    images = jnp.broadcast_to(images, (3, 2, 2, 3))
    got = augmentation.normalise(images, augmentation.Preprocessing(2, 2))
    np.testing.assert_allclose(got[:, 0, 0, 0], [-1, 0, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.0, 1.0)}, r"augment\.scale: .*0 < low <= high <= 1, got \(0\.0, 1\.0\)"),
        ({"scale": (0.9, 0.8)}, r"augment\.scale"),
        ({"scale": (0.5, 1.1)}, r"augment\.scale"),
        ({"scale": (0.5, float("nan"))}, r"augment\.scale"),
        ({"aspect": (0.0, 1.0)}, r"augment\.aspect: .*0 < low <= high, got \(0\.0, 1\.0\)"),
        ({"aspect": (2.0, 1.0)}, r"augment\.aspect"),
        ({"flip": -0.1}, r"augment\.flip: expected a probability, got -0\.1"),
        ({"flip": 1.5}, r"augment\.flip"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        augmentation.Recipe(**options)


def test_channels_are_given_in_the_networks_order():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    bgr = dataclasses.replace(PREPROCESSING, channels="bgr")
    expected = (images[..., ::-1].astype(np.float32) - [10, 20, 30]) / [2, 4, 8]
    np.testing.assert_allclose(augmentation.prepare(images, bgr), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="channels: expected 'rgb' or 'bgr', got 'grb'"):
        dataclasses.replace(PREPROCESSING, channels="grb")
