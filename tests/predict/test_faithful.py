"""Score maps that are signed, complete and faithful, and the check that tells which are."""

import jax
import numpy as np
import pytest

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import LabelSpace
from ldl_jax.predict import faithful
from ldl_jax.predict.influence import influence

SPACE = LabelSpace.range(0, 10)


def looks_at_a_corner(images):
    """A model whose answer is the brightness of the top left quarter."""
    bright = images[:, :16, :16].mean(axis=(1, 2, 3)) / 25.5
    values = np.asarray(SPACE.values)
    probs = np.exp(-0.5 * (values - bright[:, None]) ** 2)
    return probs / probs.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 90, (24, 32, 32, 3), np.uint8)
    images[:, :16, :16] += 150
    return images


def test_a_map_of_what_matters_is_faithful_and_others_are_not(pictures):
    right, wrong = np.zeros((2, len(pictures), 4, 4), np.float32)
    right[:, :2, :2], wrong[:, 2:, 2:] = -1.0, 1.0  # of either sign
    good = faithful.deletion(looks_at_a_corner, pictures, right, SPACE, side=0.5)
    bad = faithful.deletion(looks_at_a_corner, pictures, wrong, SPACE, side=0.5)
    assert good.interval[0] > 0
    assert good.share == 1.0
    assert bad.marked == 0.0
    assert bad.interval[1] < 0
    assert good.random == bad.random
    mean = (pictures.mean() - pictures[:, :16, :16].mean()) / 25.5
    assert good.marked == pytest.approx(abs(mean), rel=0.2)  # the earth mover's, in the unit


def test_the_weight_within_a_mask():
    masks = np.zeros((2, 8, 8), bool)
    masks[0, :4, :4] = True  # the second does not count
    maps = np.zeros((2, 8, 8), np.float32)
    maps[:, :4, :4], maps[:, 4:, 4:] = 3.0, 1.0
    assert faithful.weight_within(maps, masks) == (0.75, 0.25)
    assert faithful.weight_within(np.ones_like(maps), masks) == (0.25, 0.25)
    with pytest.raises(ValueError, match="masks: expected one that holds a pixel"):
        faithful.weight_within(maps, masks & False)


@pytest.mark.parametrize(
    ("maps", "options", "says"),
    [
        (np.zeros((3, 4, 4)), {}, "images, maps: expected"),
        (np.zeros((24, 4, 4)), {"side": 1.0}, "side, draws: expected"),
        (np.zeros((24, 4, 4)), {"draws": 0}, "side, draws: expected"),
    ],
)
def test_wrong_arguments_are_refused(pictures, maps, options, says):
    with pytest.raises(ValueError, match=says):
        faithful.deletion(looks_at_a_corner, pictures, maps, SPACE, **options)


@pytest.mark.parametrize("method", ["dldl_v2", "coral"])
def test_the_scores_of_a_map_sum_to_what_the_picture_adds(
    tmp_path, draw_weights, write_checkpoint, method
):
    """Σ a_i = v(x) - v(x'), with any network and method, and in any batch."""
    space = LabelSpace.range(0, 20)
    chosen = methods.get(method, space=space)
    model = {"name": "ssrnet"}
    weights = draw_weights(models.build(**model), chosen, seed=1)
    head = jax.tree.map(lambda x: 6 * x, weights.params["head"])
    folder = write_checkpoint(
        tmp_path / "c",
        weights._replace(params={**weights.params, "head": head}),
        model=model,
        method={"name": method},
        space=space,
        preprocessing=Preprocessing(64, 64),
    )
    predictor = ldl_jax.load(folder)
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (5, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    maps = influence(predictor, images)
    assert maps.shape == (5, 8, 8)
    assert (maps < 0).any()
    assert (maps > 0).any()
    flat = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True).round(), images.shape)
    whole, mean = (
        np.asarray(predictor.answer(x.astype(np.uint8)).probs) @ np.asarray(space.values)
        for x in (images, flat)
    )
    scale = np.abs(maps).sum(axis=(1, 2)).mean()
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), whole - mean, atol=0.1 * scale)
    np.testing.assert_allclose(influence(predictor, images[2:3]), maps[2:3], rtol=1e-3, atol=1e-4)
