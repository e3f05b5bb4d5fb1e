"""The looks at a picture that an answer is the mean over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.augment.looks import check_crops, looks_at, middle


@pytest.mark.parametrize("share", [0.9, 0.5, 0.33])
def test_the_middle_is_enlarged_as_pillow_does_it(share):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    box = (16 - 16 * share, 12 - 12 * share, 16 + 16 * share, 12 + 12 * share)
    channels = [Image.fromarray(pixels[..., c].astype(np.float32)) for c in range(3)]
    resized = [np.asarray(x.resize((32, 24), Image.Resampling.BILINEAR, box)) for x in channels]
    got = np.asarray(jax.jit(middle, static_argnums=1)(jnp.asarray(pixels)[None], share))[0]
    inside = slice(3, -3)  # at its edge Pillow does not look beyond the box
    expected = np.stack(resized, -1)
    np.testing.assert_allclose(got[inside, inside], expected[inside, inside], atol=1e-3)


def test_each_crop_is_followed_by_its_mirror_image():
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    whole, flipped, crop, flipped_crop = looks_at(images, True, (1.0, 0.5))
    np.testing.assert_array_equal(whole, images)
    np.testing.assert_array_equal(flipped, images[:, :, ::-1])
    np.testing.assert_array_equal(flipped_crop, crop[:, :, ::-1])
    np.testing.assert_array_equal(crop, middle(images, 0.5))
    assert len(looks_at(images, False, (1.0, 0.5))) == 2
    (alone,) = looks_at(images, False, ())
    np.testing.assert_array_equal(alone, images)


@pytest.mark.parametrize(
    ("crops", "says"),
    [
        ((0.05,), r"expected shares from 0.1 to 1, got \(0.05,\)"),
        ((1.5,), "expected shares"),
        ((float("nan"),), "expected shares"),
        ((0.5, 0.5), "expected at most 16 different shares"),
        (tuple(0.1 + 0.01 * i for i in range(17)), "at most 16"),
    ],
)
def test_crops_that_are_none_are_refused(crops, says):
    with pytest.raises(ValueError, match=f"^crops: .*{says}" if says[0] != "e" else says):
        check_crops("crops", crops)
