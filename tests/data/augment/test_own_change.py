"""A change of pictures that a user brings along: what it is given, and what it must keep to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.data.augment import own_change
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.features.compute import Extractor

CODE = """
import itertools
import jax, jax.numpy as jnp, numpy as np

TABLE = jnp.arange(3.0)

def darker(most=0.5):
    def change(key, image):
        return image * (1 - most * jax.random.uniform(key))
    return change

def shuffled():
    def change(key, images):
        assert images.ndim == 4
        mean = (images + jax.random.permutation(key, images)) / 2
        return mean + TABLE.sum() * 0
    return change

def inverse():
    def change(key, image):
        return 255 - image
    change.deterministic = True
    return change

def plain(): return lambda key, image: 255 - image
def nothing(): return None
def smaller(): return lambda key, image: image[1:]
def half(): return lambda key, image: image.astype(jnp.bfloat16)
def wide(): return lambda key, image: image + 100 * jax.random.uniform(key)
def infinite(): return lambda key, image: image / jnp.zeros_like(image)
def tuples(): return lambda key, image: (image, image)
def decides(): return lambda key, image: image if image.mean() > 3 else 255 - image
def numpys(): return lambda key, image: np.clip(np.array(image), 0, 9)
def draws():
    rng = np.random.default_rng()
    return lambda key, image: image * float(rng.uniform(0, 1))
"""
SIZE = 16


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_change.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)


def test_each_picture_is_changed_with_a_key_of_its_own_after_crop_and_flip():
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    inputs = Preprocessing(SIZE, SIZE)
    still = Recipe(scale=(1, 1), aspect=(1, 1))
    own = Recipe(scale=(1, 1), aspect=(1, 1), name="my_change:darker", options={"most": 0.9})
    jitted = jax.jit(augment, static_argnums=(2, 3))
    key = jax.random.key(3)
    before = np.asarray(jitted(key, images, still, inputs)) * 127.5 + 127.5
    after = np.asarray(jitted(key, images, own, inputs)) * 127.5 + 127.5
    np.testing.assert_array_equal(
        after, np.asarray(jitted(key, images, own, inputs)) * 127.5 + 127.5
    )
    shares = after.sum((1, 2, 3)) / before.sum((1, 2, 3))
    np.testing.assert_allclose(after, before * shares[:, None, None, None], atol=1e-3)
    assert len({round(float(share), 3) for share in shares}) == 4
    assert ((shares > 0.1) & (shares <= 1)).all()


@pytest.mark.parametrize("name", ["darker", "shuffled", "inverse"])
def test_changes_that_keep_to_the_contract(name):
    own_change.check(f"my_change:{name}", {}, SIZE)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "gave NoneType, expected a function of a key and an image"),
        ("smaller", r"gave float32\[4, 15, 16, 3\], expected float32\[4, 16, 16, 3\]"),
        ("half", r"gave bfloat16\[4, 16, 16, 3\], expected float32"),
        ("wide", r"gave 0[.\d]* to 3\d\d\.?\d*, expected 0 to 255, as the pictures have: jnp.clip"),
        ("infinite", "gave numbers that are not finite, expected finite ones"),
        ("tuples", "gave tuple, expected an array"),
        (
            "decides",
            r"its function raised TracerBoolConversionError: .*\(my_change.py:\d+\); it is",
        ),
        ("numpys", "its function raised TracerArrayConversionError.* take jnp.where for `if`"),
        ("draws", "gave other pictures from the same key, expected .* not with numpy.random"),
        ("plain", "gave the same pictures with 65 keys, .*the attribute deterministic = True"),
    ],
)
def test_a_change_that_breaks_the_contract(name, says):
    with pytest.raises(ValueError, match=rf"^augment\.name: 'my_change:{name}':? {says}"):
        own_change.check(f"my_change:{name}", {}, SIZE)


def test_names_and_options_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"^augment\.options\.least: .*has no such option; .*most"):
        own_change.made("my_change:darker", {"least": 1})
    with pytest.raises(
        ValueError, match=r"augment\.name: cannot import 'no_such:make'.*looked for"
    ):
        own_change.made("no_such:make", {})
    with pytest.raises(
        ValueError, match=r"augment\.name: expected package.module:factory, got 'x'"
    ):
        Recipe(name="x")
    with pytest.raises(ValueError, match=r"augment\.options\.most: is of a change of one's own"):
        Recipe(options={"most": 1})


def test_cached_features_of_recipes_without_a_change_keep_their_names():
    def names(recipe):
        return Extractor(None, (), Preprocessing(32, 32), recipe).augmented(1)

    assert names(Recipe()) == ["2bf53e8d05d815dd 0"]
    own = Recipe(name="my_change:darker", options={"most": 0.1})
    other = Recipe(name="my_change:darker", options={"most": 0.2})
    assert len({names(recipe)[0] for recipe in (Recipe(), own, other)}) == 3


def test_a_factory_s_arrays_outlive_the_trace_that_it_is_first_called_in():
    images = jnp.full((2, SIZE, SIZE, 3), 10.0)
    options: dict = {}
    for _ in range(2):
        result = jax.jit(
            lambda key, images: own_change.changed(key, images, "my_change:shuffled", options)
        )(jax.random.key(0), images)
        np.testing.assert_allclose(result, 10.0)
