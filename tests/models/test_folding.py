"""Checks that folding batch normalisation leaves the answers, and nothing to normalise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.labels import AGE
from ldl_jax.models.functional import functional
from ldl_jax.models.layers import Norm
from ldl_jax.train.state import Weights

# What makes a network quick, and MobileNet's other form.
NETWORKS = {
    **{name: {} for name in models.MODELS},
    "ssrnet": {"size": 38, "stages": (5, 4, 3)},
    "mobilenet": {"size": 33, "form": "keras"},
    "densenet": {"depth": 7},
}
WITHOUT = {
    *("vgg16", "vit_b16", "orcnn", "faceres", "convnext_tiny", "farl_b16"),
    *("dinov2_s14", "dinov2_b14", "dinov3_s16", "dinov3_b16"),
}


def trained(model, seed=0):
    """Weights as after training: no scale of 1, no shift of 0."""
    rng = np.random.default_rng(seed)

    def leaf(path, like):
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 1.5, like.shape), jnp.float32)
        if name != "kernel":
            return jnp.asarray(rng.normal(0, 0.3, like.shape), jnp.float32)
        spread = np.sqrt(2 / np.prod(like.shape[:-1]))
        return jnp.asarray(rng.normal(0, spread, like.shape), jnp.float32)

    return jax.tree.map_with_path(leaf, jax.eval_shape(model.init, jax.random.key(0)))


def joined(features):
    return jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(features)], axis=-1)


def both(model, weights, images):
    """What a network gives unfolded and folded, and the folded network with its weights."""
    network, *folded = models.folded(model, *weights)

    def features(model, weights):
        return joined(jax.jit(lambda *a: model.apply(*a, train=False)[0])(*weights, images))

    return features(model, weights), features(network, folded), (network, *folded)


def draw_images(side):
    return jnp.asarray(np.random.default_rng(5).normal(size=(2, side, side, 3)), jnp.float32)


@pytest.mark.parametrize("name", sorted(models.MODELS.keys() - WITHOUT))
def test_folded_and_unfolded_answer_alike(name):
    model = models.build(name, **NETWORKS[name])
    side = model.size if "size" in models.known_options(name) else 33
    weights = trained(model)
    before, after, (network, params, model_state) = both(model, weights, draw_images(side))
    # With these weights MobileNetV3-Large's hard gates make rounding ten times as large.
    most = 2e-4 if name == "mobilenet_v3_large" else 1e-5
    assert np.linalg.norm(after - before) <= most * np.linalg.norm(before)
    assert jnp.std(before) > 1e-3
    assert model_state == {}
    assert network.fold is None
    assert models.folded(network, params, model_state)[0] is network
    names = {path[0].key for path, _ in jax.tree.leaves_with_path(params)}
    # DenseNet normalises several layers' results at once.
    assert any("norm" in name for name in names) == (name == "densenet")
    fresh = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.structure(fresh) == jax.tree.structure((params, model_state))


@pytest.mark.parametrize("name", ["resnet10_tiny", "ssrnet"])
def test_folded_in_bfloat16(name):
    model = models.build(name, dtype="bfloat16", **NETWORKS[name])
    before, after, _ = both(model, trained(model), draw_images(38))
    assert np.linalg.norm(after - before) <= 0.05 * np.linalg.norm(before)


@pytest.mark.parametrize("name", ["orcnn", "vit_b16"])
def test_a_network_without_normalisation_keeps_its_weights(name):
    small = {"orcnn": {}, "vit_b16": {"size": 32, "depth": 1, "width": 12, "heads": 3}}[name]
    model = models.build(name, **small)
    weights = trained(model)
    before, after, (_, params, model_state) = both(model, weights, draw_images(model.size))
    np.testing.assert_array_equal(after, before)
    jax.tree.map(np.testing.assert_array_equal, (params, model_state), weights)


def test_normalisation_of_another_class_stays(tiny_model):
    weights = trained(tiny_model)
    before, after, (_, _, model_state) = both(tiny_model, weights, draw_images(16))
    np.testing.assert_array_equal(after, before)
    jax.tree.map(np.testing.assert_array_equal, model_state, weights[1])


class Alone(nnx.Module):
    """A normalisation with a bias of a layer that is not named to it."""

    def __init__(self, rngs):
        self.bias = nnx.Param(jnp.ones(3))
        self.norm = Norm(3, jnp.dtype("float32"), rngs)

    def __call__(self, images, *, train):
        return self.norm(images, train=train, bias=self.bias[...]).mean(axis=(1, 2))


def test_a_normalisation_without_its_layer_takes_the_bias_up():
    model = functional("alone", Alone, 3)
    before, after, (_, params, model_state) = both(model, trained(model), draw_images(8))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert sorted(params["norm"]) == ["scale", "shift"]
    assert model_state == {}


@pytest.mark.parametrize("name", ["resnet10_tiny", "densenet"])
def test_what_is_folded_does_not_train(name):
    model = models.build(name, **NETWORKS[name])
    network, *weights = models.folded(model, *trained(model))
    with pytest.raises(ValueError, match="train: the network's batch normalisation is folded"):
        network.apply(*weights, draw_images(33), train=True, key=jax.random.key(0))


def test_maps_are_folded_too():
    model = models.build("tinyagenet")
    weights = trained(model)
    network, *folded = models.folded(model, *weights)
    before, after = (
        jax.jit(m.maps)(*w, draw_images(32)) for m, w in ((model, weights), (network, folded))
    )
    assert np.linalg.norm(after - before) <= 1e-5 * np.linalg.norm(before)


def test_a_predictor_folds_once_and_answers_as_training_does(tmp_path, write_checkpoint):
    model, method = models.build("resnet10_tiny"), methods.get("cen", space=AGE)
    backbone, model_state = trained(model)
    head = method.head.init(jax.random.key(1), model.width)
    folder = write_checkpoint(
        tmp_path / "c",
        Weights({"backbone": backbone, "head": head}, model_state),
        model={"name": "resnet10_tiny"},
        method={"name": "cen"},
        preprocessing=Preprocessing(32, 32),
    )
    predictor = ldl_jax.load(folder)
    _, weights = predictor.pure
    assert weights.model_state == {}
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), np.uint8)
    features, _ = jax.jit(lambda *a: model.apply(*a, train=False))(
        backbone, model_state, prepare(images, predictor.preprocessing)
    )
    expected = method.predict(method.head.apply(head, features))
    got = predictor(images)
    np.testing.assert_allclose(got.value, expected.value, rtol=1e-5)
    np.testing.assert_allclose(got.probs, expected.probs, rtol=1e-4, atol=1e-6)
