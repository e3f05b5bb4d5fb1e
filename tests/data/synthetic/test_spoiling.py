"""Spoiling finished pictures, as real ones are, and the masks of the drawing."""

import numpy as np
import pytest

from ldl_jax.data.synthetic import corruptions, masks
from ldl_jax.data.synthetic.corruptions import CORRUPTIONS, SEVERITIES
from ldl_jax.data.synthetic.faces import faces

NUMBERS = np.arange(8)


@pytest.fixture(scope="module")
def drawn():
    return faces(8, 48, 3, lazy=True)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_more_is_spoiled_at_each_severity(drawn, kind):
    images = drawn.images[:]
    before = images.copy()
    spoiled = [corruptions.spoil(images, kind, s, 0, NUMBERS).astype(int) for s in SEVERITIES]
    assert (images == before).all()
    off = [np.abs(x - images).mean() for x in spoiled]
    assert off[0] > 0.5
    assert (np.diff(off) > 0).all()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_picture_is_spoiled_alike_in_any_batch(drawn, kind):
    images = drawn.images[:]
    whole = corruptions.spoil(images, kind, 3, 5, NUMBERS)
    np.testing.assert_array_equal(
        whole[2:5], corruptions.spoil(images[2:5], kind, 3, 5, NUMBERS[2:5])
    )
    if kind in ("noise", "occlusion"):
        assert (whole != corruptions.spoil(images, kind, 3, 6, NUMBERS)).any()


def test_noise_and_light_are_as_said():
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    noisy = corruptions.spoil(grey, "noise", 2, 0, NUMBERS[:1])
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.05)
    dark = corruptions.spoil(grey, "low_light", 4, 0, NUMBERS[:1])
    assert dark.mean() == pytest.approx(128 * 0.32, rel=0.02)
    turned = corruptions.spoil(grey, "rotation", 5, 0, NUMBERS[:1])
    assert (turned == 128).all()  # no black corners


@pytest.mark.parametrize(
    ("kind", "severity", "says"),
    [("fog", 1, "expected one of blur"), ("blur", 6, "expected 1 to 5")],
)
def test_unknown_ones_are_refused(kind, severity, says):
    with pytest.raises(ValueError, match=says):
        corruptions.spoil(np.zeros((1, 32, 32, 3), np.uint8), kind, severity, 0, NUMBERS[:1])


def test_wrinkles_are_where_old_faces_have_them():
    found = faces(40, 64, 1, lazy=True)
    share = masks.wrinkles(found).mean(axis=(1, 2))
    assert share[found.labels < 15].mean() < 0.02
    assert 0.02 < share[found.labels > 60].mean() < 0.3
    assert (masks.without_wrinkles(found) != found.images[:]).any()
    with pytest.raises(ValueError, match="drawn lazily"):
        masks.wrinkles(faces(8, 32))
