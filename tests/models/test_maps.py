"""Checks that features are the mean of a network's maps, and the score maps from these."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.labels import AGE

POOLED = [
    *("resnet10", "resnet18", "resnet10_tiny", "resnet18_tiny", "resnet34", "resnet50"),
    *("resnet18_adience", "thinagenet", "tinyagenet"),
]


def test_which_networks_have_maps():
    found = [name for name in models.MODELS if models.build(name).maps is not None]
    assert sorted(found) == sorted(POOLED)


@pytest.mark.parametrize("name", POOLED)
def test_maps_have_a_cell_for_each_place(name):
    model = models.build(name)
    images = jax.ShapeDtypeStruct((2, 97, 97, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    maps = jax.eval_shape(model.maps, *shapes, images)
    assert maps.dtype == jnp.float32
    assert maps.shape[0] == 2
    assert maps.shape[3] == model.width
    assert maps.shape[1] == maps.shape[2] >= 2


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        ("resnet10_tiny", "float32", 1e-5),
        ("resnet10_tiny", "bfloat16", 1e-2),  # what is rounded in between is the compiler's choice
        ("tinyagenet", "float32", 1e-5),
    ],
)
def test_the_features_are_the_maps_mean(draw_weights, name, dtype, tolerance):
    model = models.build(name, dtype=dtype)
    weights = draw_weights(model, methods.get("dex", space=AGE))
    images = np.random.default_rng(0).normal(size=(3, 64, 96, 3)).astype(np.float32)
    arguments = weights.params["backbone"], weights.model_state, images
    features, _ = jax.jit(lambda *a: model.apply(*a, train=False))(*arguments)
    maps = jax.jit(model.maps)(*arguments)
    assert maps.shape[1:3] == (2, 3)
    difference = np.linalg.norm(maps.mean(axis=(1, 2)) - features)
    assert difference <= tolerance * np.linalg.norm(features)
    assert (maps.std(axis=(1, 2)) > 0).any()


@pytest.mark.parametrize(
    ("name", "method"),
    [("resnet10_tiny", "cen"), ("tinyagenet", "dldl_v2"), ("tinyagenet", "mean_variance")],
)
def test_a_score_maps_mean_is_the_expected_logit(
    tmp_path, draw_weights, write_checkpoint, name, method
):
    """Σ_k p_k x_k = mean of Σ_k p_k (Σ_j w_kj F_j + b_k), since x_k = Σ_j w_kj mean(F_j) + b_k."""
    model, chosen = models.build(name), methods.get(method, space=AGE)
    weights = draw_weights(model, chosen, seed=1)
    rng = np.random.default_rng(2)
    layer = weights.params["head"]["logits"]
    layer["bias"] = jnp.asarray(rng.normal(size=AGE.size), jnp.float32)
    folder = write_checkpoint(
        tmp_path / "c",
        weights,
        model={"name": name, "dtype": "float32"},
        method={"name": method},
        preprocessing=Preprocessing(96, 96),
        flip=True,
    )
    predictor = ldl_jax.load(folder)
    images = rng.integers(0, 256, (2, 96, 96, 3), np.uint8)
    maps = predictor.score_maps(images)
    assert maps.shape == (2, 3, 3)
    features, _ = jax.jit(lambda *a: model.apply(*a, train=False))(
        weights.params["backbone"], weights.model_state, prepare(images, predictor.preprocessing)
    )
    outputs = chosen.head.apply(weights.params["head"], features)
    expected = (chosen.predict(outputs).probs * outputs["logits"]).sum(axis=-1)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("network", "method", "says"),
    [
        ({"name": "mobilenet", "alpha": 0.25}, "dex", "features of mobilenet are not the means"),
        ({"name": "resnet10_tiny"}, "coral", "method coral has no logits"),
        ({"name": "resnet10_tiny"}, "megaage", "method megaage has no logits of the labels that"),
    ],
)
def test_what_has_no_score_maps_says_so(
    tmp_path, draw_weights, write_checkpoint, network, method, says
):
    weights = draw_weights(models.build(**network), methods.get(method, space=AGE))
    size = models.build(**network).size
    preprocessing = Preprocessing(size, size)
    folder = write_checkpoint(
        tmp_path / "c", weights, model=network, method={"name": method}, preprocessing=preprocessing
    )
    predictor = ldl_jax.load(folder)
    with pytest.raises(ValueError, match=rf"score maps: .*{says}"):
        predictor.score_maps(np.zeros((1, size, size, 3), np.uint8))
