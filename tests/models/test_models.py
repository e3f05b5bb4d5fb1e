"""The contract that every network of MODELS keeps, and CEN's networks against PyTorch's."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import models
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import cen

MORPH = LabelSpace.range(16, 77)
# CEN's Table 7, in millions, with its two heads.
MILLIONS = {"resnet10": 4.9, "resnet18": 11.2, "resnet10_tiny": 1.2, "resnet18_tiny": 2.8}
SIZES = (32, 33, 64, 100, 224)


def size_of(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_float32(tree):
    assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


def assert_plain(tree):
    assert type(tree) is dict
    for name, branch in tree.items():
        assert type(name) is str
        if not hasattr(branch, "shape"):
            assert_plain(branch)


def assert_same_shapes(tree, like):
    jax.tree.map(
        lambda a, b: np.testing.assert_equal((a.shape, a.dtype), (b.shape, b.dtype)), tree, like
    )


@dataclasses.dataclass
class Built:
    """A network with weights and four pictures."""

    name: str
    model: models.Model
    params: Any
    model_state: Any
    images: Any


@pytest.fixture(scope="module", params=sorted(models.MODELS))
def built(request, draw_weights):
    model = models.build(request.param)
    weights = draw_weights(model, cen(MORPH))
    rng = np.random.default_rng(5)
    images = jnp.asarray(rng.normal(size=(4, 33, 33, 3)), jnp.float32)
    return Built(request.param, model, weights.params["trunk"], weights.model_state, images)


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_features_at_every_size(built, dtype):
    model = models.build(built.name, dtype=dtype)
    for size in SIZES:
        images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        features, model_state = jax.eval_shape(
            lambda *a: model.apply(*a, train=True, key=jax.random.key(0)),
            built.params,
            built.model_state,
            images,
        )
        assert features.shape == (2, model.width)
        assert features.dtype == jnp.float32
        assert_same_shapes(model_state, built.model_state)


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_weights_are_plain_float32_dicts_in_every_dtype(built, dtype):
    model = models.build(built.name, dtype=dtype)
    for tree in jax.eval_shape(model.init, jax.random.key(0)):
        assert_plain(tree)
        assert_float32(tree)


def test_init_is_a_function_of_the_key():
    model = models.build("resnet10_tiny")
    first, again, other = (model.init(jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    differs = jax.tree.map(lambda a, b: bool((a != b).any()), first[0], other[0])
    kernels = [
        changed
        for path, changed in jax.tree_util.tree_leaves_with_path(differs)
        if path[-1].key == "kernel"
    ]
    assert len(kernels) == 12
    assert all(kernels)
    moments = first[1]["stem_norm"]["norm"]
    np.testing.assert_array_equal(moments["mean"], 0)
    np.testing.assert_array_equal(moments["var"], 1)


def test_training_has_gradients_and_moves_the_running_statistics(built):
    @jax.jit
    def gradient(params, model_state, images):
        def loss(params):
            features, state = built.model.apply(
                params, model_state, images, train=True, key=jax.random.key(0)
            )
            return jnp.square(features).sum(), (features, state)

        return jax.grad(loss, has_aux=True)(params)

    gradients, (features, state) = gradient(built.params, built.model_state, built.images)
    assert bool(jnp.isfinite(features).all())
    assert jax.tree.structure(gradients) == jax.tree.structure(built.params)
    assert_float32(gradients)
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradients))
    assert all(bool((g != 0).any()) for g in jax.tree.leaves(gradients))
    assert_float32(state)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state, built.model_state)
    assert all(jax.tree.leaves(moved))


def test_inference_keeps_the_statistics_and_bfloat16_is_close(built):
    infer = {
        dtype: jax.jit(functools.partial(models.build(built.name, dtype=dtype).apply, train=False))
        for dtype in models.DTYPES
    }
    arguments = built.params, built.model_state, built.images
    features, state = infer["float32"](*arguments)
    jax.tree.map(np.testing.assert_array_equal, state, built.model_state)
    # Each picture by itself: the batch plays no part.
    alone, _ = infer["float32"](built.params, built.model_state, built.images[::-1])
    np.testing.assert_allclose(alone[::-1], features, rtol=1e-4, atol=1e-4)

    rounded, state = infer["bfloat16"](*arguments)
    jax.tree.map(np.testing.assert_array_equal, state, built.model_state)
    assert rounded.dtype == jnp.float32
    error = jnp.linalg.norm(rounded - features) / jnp.linalg.norm(features)
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", MILLIONS)
def test_parameter_counts_are_table_7_s(name):
    model, method = models.build(name), cen(MORPH)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    head = jax.eval_shape(lambda key: method.head.init(key, model.width), jax.random.key(0))
    assert round((size_of(params) + size_of(head)) / 1e6, 1) == MILLIONS[name]


def test_an_unknown_name_or_dtype_lists_the_known():
    with pytest.raises(ValueError, match=r"model\.name.*'resnet11'.*resnet10, resnet18"):
        models.build("resnet11")
    with pytest.raises(ValueError, match=r"model\.dtype.*float32, bfloat16.*'float16'"):
        models.build("resnet10", dtype="float16")


def test_resnet_is_pytorch_s(draw_weights, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import torch_resnet

    name = "resnet10_tiny"
    model = models.build(name)
    weights = draw_weights(model, cen(MORPH))
    rng = np.random.default_rng(6)

    def shaken(leaf):  # or all scales and variances would be 1, all biases and means 0
        return leaf * jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32) + jnp.asarray(
            rng.uniform(0, 0.1, leaf.shape), jnp.float32
        )

    params, model_state = jax.tree.map(shaken, (weights.params["trunk"], weights.model_state))
    images = rng.normal(size=(3, 33, 33, 3)).astype(np.float32)
    network = torch_resnet.ResNet(*torch_resnet.NETWORKS[name])
    torch_resnet.copy_weights(network, params, model_state)
    for train in (False, True):
        features, state = jax.jit(lambda *a, train=train: model.apply(*a, train=train))(
            params, model_state, images
        )
        network.train(train)
        with torch.no_grad():
            expected = network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
        np.testing.assert_allclose(features, expected, rtol=2e-4, atol=2e-4)
    mean = state["stem_norm"]["norm"]["mean"]
    np.testing.assert_allclose(mean, network.stem_norm.running_mean.numpy(), rtol=1e-4, atol=1e-5)
