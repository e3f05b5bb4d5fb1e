"""Colours against Pillow, colorsys and NumPy in float64; their draws statistically."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ldl_jax.data import pictures
from ldl_jax.data.augment import colour
from ldl_jax.data.augment.colour import BRIGHTNESS, CONTRAST, HUE, SATURATION, Colour, Draws
from ldl_jax.data.synthetic import faces as synthetic

recolour = jax.jit(colour.recolour, static_argnames="hue")
random_colours = jax.jit(colour.random_colours, static_argnums=2)
draw = jax.jit(colour.draw, static_argnums=(1, 2))
turn_hue = jax.jit(colour.turn_hue)
LUMA = np.asarray([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def faces():
    return synthetic.faces(8, 40).images[:5]


@pytest.fixture(scope="module")
def real_faces(real_data):
    files = sorted((real_data / "aaf" / "aligned faces").glob("*.jpg"))[::2500]
    return np.stack([pictures.decode_one(file, 96) for file in files])


def given(count, factors=(1, 1, 1), turn=0.0, gray=False, order=(0, 1, 2, 3)):
    """The same draws for each picture of a batch."""
    return Draws(
        jnp.full((count,), gray),
        jnp.tile(jnp.asarray([[*factors, 1]], jnp.float32), (count, 1)),
        jnp.full((count,), turn, jnp.float32),
        jnp.tile(jnp.asarray([order], jnp.int32), (count, 1)),
    )


def as_float(images):
    return jnp.asarray(images, jnp.float32)


ENHANCERS = {
    "brightness": (ImageEnhance.Brightness, BRIGHTNESS),
    "contrast": (ImageEnhance.Contrast, CONTRAST),
    "saturation": (ImageEnhance.Color, SATURATION),
}


@pytest.mark.parametrize("factor", [0.0, 0.6, 0.9, 1.1, 1.4])
@pytest.mark.parametrize("name", ENHANCERS)
def test_one_operation_is_pillow_s(real_faces, name, factor):
    enhancer, place = ENHANCERS[name]
    factors = [factor if place == i else 1 for i in range(3)]
    got = recolour(as_float(real_faces), given(len(real_faces), factors), hue=False)
    for picture, ours in zip(real_faces, got, strict=True):
        theirs = np.asarray(enhancer(Image.fromarray(picture)).enhance(factor), float)
        # Pillow's luma is a whole number, its result is cut off to one and limited to 0-255.
        np.testing.assert_allclose(np.clip(ours, 0, 255), theirs, atol=1.01 + abs(1 - factor) / 2)


def test_gray_is_pillow_s_luma(real_faces):
    got = recolour(as_float(real_faces), given(len(real_faces), gray=True), hue=False)
    theirs = np.stack([np.asarray(Image.fromarray(x).convert("L"), float) for x in real_faces])
    np.testing.assert_allclose(got, np.repeat(theirs[..., None], 3, -1), atol=0.6)


@pytest.mark.parametrize("turn", [-0.5, -0.13, -0.02, 0.02, 0.3])
def test_a_turn_of_the_hue_is_colorsys_s(real_faces, turn):
    """Exactly HSV's, at pixels of real faces, at greys and at pure colours."""
    pixels = real_faces.reshape(-1, 3)[:: real_faces.size // 1500]
    corners = np.asarray(list(itertools.product([0, 128, 255], repeat=3)))
    pixels = np.concatenate([pixels, corners])
    got = turn_hue(as_float(pixels)[None, :, None], jnp.asarray([turn], jnp.float32))[0, :, 0]
    for pixel, ours in zip(pixels / 255, np.asarray(got), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        theirs = np.multiply(255, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_turn_of_the_hue_is_pillow_s(faces):
    got = turn_hue(as_float(faces), jnp.full((len(faces),), 5 / 256, jnp.float32))
    for picture, ours in zip(faces, got, strict=True):
        hsv = np.array(Image.fromarray(picture).convert("HSV"))
        hsv[..., 0] += 5  # of 256, and around
        theirs = Image.fromarray(hsv, "HSV").convert("RGB")
        # Pillow's hue is one of 256 and its saturation too, each cut off.
        difference = np.abs(np.asarray(ours) - np.asarray(theirs, float))
        assert difference.max() < 8
        assert difference.mean() < 1


def test_a_turn_of_the_hue_is_opencv_s(real_faces):
    cv2 = pytest.importorskip("cv2")
    turns = np.linspace(-0.5, 0.5, len(real_faces), dtype=np.float32)
    got = np.asarray(turn_hue(as_float(real_faces), turns))
    for picture, turn, ours in zip(real_faces, turns, got, strict=True):
        hsv = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # in degrees
        hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
        theirs = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        np.testing.assert_allclose(ours, theirs, atol=0.02)


def one_after_another(picture, drawn, i):
    """Picture i by the definition, an operation at a time, in float64."""
    x = np.asarray(picture, np.float64)
    if drawn.gray[i]:
        x = np.repeat((x @ LUMA)[..., None], 3, -1)
    for which in np.asarray(drawn.order[i]):
        f = float(drawn.factors[i, which])
        if which == BRIGHTNESS:
            x = f * x
        elif which == CONTRAST:
            x = f * x + (1 - f) * (x @ LUMA).mean()
        elif which == SATURATION:
            x = f * x + (1 - f) * (x @ LUMA)[..., None]
        else:
            x = np.asarray(turn_hue(as_float(x)[None], drawn.turns[i : i + 1])[0], np.float64)
    return x


@pytest.mark.parametrize("hue", [0.0, 0.3])
def test_all_in_any_order_is_one_after_another(faces, hue):
    orders = list(itertools.permutations(range(4)))
    images = np.resize(faces, (len(orders), *faces.shape[1:]))
    recipe = Colour(gray=0.3, brightness=0.4, contrast=0.4, saturation=0.4, hue=hue)
    drawn = draw(jax.random.key(2), len(orders), recipe)
    drawn = drawn._replace(order=jnp.asarray(orders, jnp.int32))
    got = recolour(as_float(images), drawn, hue=hue > 0)
    expected = np.stack([one_after_another(x, drawn, i) for i, x in enumerate(images)])
    np.testing.assert_allclose(got, expected, atol=5e-3)


def test_the_order_changes_the_picture(faces):
    once, other = (
        recolour(as_float(faces), given(5, (1.4, 0.6, 1), order=order), hue=False)
        for order in ((0, 1, 2, 3), (1, 0, 2, 3))
    )
    np.testing.assert_allclose(once, other, atol=1e-3)  # both scale, and the mean with them
    once, other = (
        recolour(as_float(faces), given(5, (1, 1, 0.2), 0.3, order=order), hue=True)
        for order in ((0, 1, SATURATION, HUE), (0, 1, HUE, SATURATION))
    )
    assert np.abs(np.asarray(once) - np.asarray(other)).max() > 5


def test_what_is_drawn_has_its_range_and_probability():
    count = 12000
    recipe = Colour(gray=0.5, brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    drawn = draw(jax.random.key(0), count, recipe)
    np.testing.assert_allclose(drawn.gray.mean(), 0.5, atol=0.015)
    columns = np.column_stack([drawn.factors[:, :3] - 1, drawn.turns])
    for values, reach in zip(columns.T, (0.4, 0.3, 0.2, 0.1), strict=True):
        assert 0.99 * reach < np.abs(values).max() <= 1.00001 * reach
        np.testing.assert_allclose(values.mean(), 0, atol=0.02 * reach)
        np.testing.assert_allclose(values.std(), reach / np.sqrt(3), rtol=0.02)
    assert np.abs(np.corrcoef(columns.T) - np.eye(4)).max() < 0.04
    np.testing.assert_array_equal(drawn.factors[:, HUE], 1)
    orders, counts = np.unique(np.asarray(drawn.order), axis=0, return_counts=True)
    assert len(orders) == 24
    np.testing.assert_allclose(counts / count, 1 / 24, atol=0.01)


def test_the_result_is_limited_where_asked(faces):
    recipe = Colour(brightness=1.0, contrast=1.0)
    key, images = jax.random.key(1), as_float(faces)
    free = np.asarray(random_colours(key, images, recipe))
    assert free.max() > 300
    limited = random_colours(key, images, Colour(brightness=1.0, contrast=1.0, clip=True))
    np.testing.assert_allclose(limited, free.clip(0, 255), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gray": 1.5}, r"augment\.colour\.gray: expected a probability, got 1\.5"),
        ({"brightness": -0.1}, r"augment\.colour\.brightness: expected 0 to 1, got -0\.1"),
        ({"contrast": 1.1}, r"augment\.colour\.contrast: expected 0 to 1, got 1\.1"),
        ({"saturation": float("nan")}, r"augment\.colour\.saturation: expected 0 to 1, got nan"),
        ({"hue": 0.6}, r"augment\.colour\.hue: expected 0 to 0\.5, got 0\.6"),
    ],
)
def test_colours_that_make_no_sense_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        Colour(**options)
