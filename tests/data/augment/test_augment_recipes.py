"""The papers' recipes whole: what they do to pictures, and as values of a config."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from ldl_jax.data.augment import augmentation
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.augment.recipes import RECIPES
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.placement import make_placement
from ldl_jax.run import config

# The pictures' own scale, 0-255, and nothing subtracted.
RAW = Preprocessing(40, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
augmented = jax.jit(augmentation.augment, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def faces():
    return synthetic.faces(8, 40).images


def test_the_default_is_cen_s():
    assert RECIPES["cen"] == Recipe()
    assert Recipe().warp.still
    assert Recipe().colour.still
    assert Recipe().gridmask.still
    moving = {name: r for name, r in RECIPES.items() if not r.warp.still}
    assert list(moving) == ["dldl_v2", "ssr_net", "adience"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_key_decides_the_pictures(faces, name):
    once, again, other = (
        augmented(jax.random.key(seed), faces, RECIPES[name], RAW, 0.5) for seed in (1, 1, 2)
    )
    assert once.shape == (8, 32, 32, 3)
    assert once.dtype == jnp.float32
    assert jnp.isfinite(once).all()
    np.testing.assert_array_equal(once, again)
    assert (once != other).any(axis=(1, 2, 3)).sum() >= 6  # SSR-Net leaves some as they are
    # A face stays a face: most of what is seen of it, wherever it went and whatever its light.
    assert 30 < once.mean() < 220


@pytest.mark.parametrize("name", RECIPES)
def test_a_picture_is_independent_of_the_rest_of_its_batch(faces, name):
    others = np.roll(faces, 1, axis=0)
    others[2] = faces[2]
    once, again = (
        augmented(jax.random.key(3), x, RECIPES[name], RAW, 0.5)[2] for x in (faces, others)
    )
    np.testing.assert_array_equal(once, again)


def test_jit_is_eager(faces):
    name = "adience"  # has all of it: a reduction, the warp, every colour, and a grid
    key, progress = jax.random.key(4), jnp.float32(0.5)
    jitted = augmented(key, faces[:2], RECIPES[name], RAW, progress)
    eager = augmentation.augment(key, jnp.asarray(faces[:2]), RECIPES[name], RAW, progress)
    np.testing.assert_allclose(jitted, eager, atol=0.05)


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_of_one(faces, name):
    got = augmented(jax.random.key(0), faces[:1], RECIPES[name], RAW, 0.0)
    assert got.shape == (1, 32, 32, 3)
    assert jnp.isfinite(got).all()


@pytest.mark.parametrize("name", ["dldl_v2", "adience"])
def test_a_batch_split_over_devices_is_the_same_and_none_speaks_to_another(faces, name):
    whole, split = make_placement(8).replicated, make_placement(8).by_batch

    def function(key, images):
        return augmentation.augment(key, images, RECIPES[name], RAW, 0.5)

    images = np.concatenate([faces, faces[::-1]])
    sharded = jax.jit(function, in_shardings=(whole, split), out_shardings=split)
    compiled = sharded.lower(jax.random.key(3), images).compile()
    for operation in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert operation not in compiled.as_text()
    got = compiled(jax.device_put(jax.random.key(3), whole), jax.device_put(images, split))
    np.testing.assert_allclose(got, jax.jit(function)(jax.random.key(3), images), atol=1e-3)


def test_half_of_dldl_v2_s_pictures_are_gray_and_flipped(faces):
    images = np.repeat(faces[:1], 600, axis=0)
    images[:, :, :20] = [250, 60, 0]  # red on the left, blue on the right
    images[:, :, 20:] = [0, 60, 250]
    got = np.asarray(augmented(jax.random.key(5), images, RECIPES["dldl_v2"], RAW))
    middle = got[:, 12:20]
    gray = np.ptp(middle, axis=-1).max((1, 2)) < 1e-2
    np.testing.assert_allclose(gray.mean(), 0.5, atol=0.07)
    red = middle[~gray][..., 0].mean(1)
    flipped = red[:, 28] > red[:, 4]
    np.testing.assert_allclose(flipped.mean(), 0.5, atol=0.1)


def test_ssr_net_s_pictures_stay_at_rest_with_the_product_of_the_probabilities(faces):
    same = dataclasses.replace(RAW, stored_size=32)
    images = np.repeat(synthetic.faces(8, 32).images[:1], 2000, axis=0)
    got = np.asarray(augmented(jax.random.key(6), images, RECIPES["ssr_net"], same))
    rest = np.stack([images[0], images[0, :, ::-1]])
    at_rest = (np.abs(got[:, None] - rest).max((2, 3, 4)) < 0.01).any(1)
    np.testing.assert_allclose(at_rest.mean(), 0.75**4, atol=0.035)
    assert got.min() >= images[0].min() - 0.01  # no black: the edge is repeated


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.6), (1.0, 0.8)])
def test_adience_s_grids_become_more_likely_and_hide_with_the_mean_colour(
    faces, progress, expected
):
    recipe = dataclasses.replace(RECIPES["adience"], warp=Recipe().warp)
    images = np.repeat(faces[:1], 3000, axis=0)
    mean = dataclasses.replace(RAW, mean=(300.0, 300.0, 300.0))  # no pixel of a face is 0
    got = np.asarray(augmented(jax.random.key(7), images, recipe, mean, progress))
    hidden = (got == 0).all(-1)
    assert (got[~hidden] < 0).all()
    share = hidden.any((1, 2)).mean()
    assert expected - 0.06 < share < expected + 0.02  # some grids lie beyond the picture


def test_a_recipe_that_rises_needs_the_progress(faces):
    with pytest.raises(ValueError, match=r"progress: .*augment\.gridmask changes; got None"):
        augmentation.augment(jax.random.key(0), jnp.asarray(faces), RECIPES["adience"], RAW)


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_takes_a_recipe(name):
    content = config.defaults()
    content.augment = ml_collections.ConfigDict(config.to_dict(RECIPES[name]))
    assert config.parse(content).augment == RECIPES[name]


def test_a_config_names_the_key_that_makes_no_sense():
    content = config.defaults()
    content.augment.warp.border = "wrap"
    with pytest.raises(config.ConfigError, match=r"^augment\.warp\.border: expected one of edge"):
        config.parse(content)
