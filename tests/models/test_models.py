"""Tests the contract of every network of MODELS, and CEN's networks against PyTorch's."""

import contextlib
import dataclasses
import functools
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import models
from ldl_jax.heads import dense, stagewise
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.methods.cen import cen
from ldl_jax.models import convolution

MORPH = LabelSpace.range(16, 77)
# What makes a network quick where its own size is not the question.
QUICK: dict[str, dict[str, Any]] = {
    "ssrnet": {"size": 38, "stages": (5, 4, 3)},
    "vgg16": {"size": 32, "hidden": 16},
    "vit_b16": {"size": 48, "depth": 2, "width": 24, "heads": 3},
    "mobilenet": {"size": 33},
    "densenet": {"depth": 7},
    "farl_b16": {"size": 48, "depth": 1, "width": 24, "heads": 3},
    "dinov3_s16": {"size": 48, "depth": 1, "width": 24, "heads": 3},
    "efficientnet_b0": {"width": 0.25, "depth": 0.25},
    "convnext_tiny": {"blocks": (1, 1, 1, 1), "width": 8},
}
VITS = {"vit_b16", "farl_b16", "dinov3_s16"}
# Networks of a module that another one runs here; with others' weights they are run in
# test_pretrained.py and tests/peers/test_backbones.py.
ALIKE = {"resnet34", "dinov2_s14", "dinov2_b14", "dinov3_b16"}
ALIKE |= {"mobilenet_v3_small", "mobilenet_v3_large"}
# Their gradient is 0 but for rounding: the normalisation that follows takes any constant away.
NORMALISED_BIASES = {("ssrnet", f"{stream}_conv{i}") for stream in "xs" for i in range(1, 5)}
STATELESS = {"vgg16", "orcnn", "faceres", "convnext_tiny"} | VITS
DROPOUT = {"ssrnet", "vgg16", "mobilenet", "densenet"}
DROPOUT |= {"efficientnet_b0", "convnext_tiny"}


DEPTHWISE = {"mobilenet", "faceres", "efficientnet_b0", "convnext_tiny"}


def size_of(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_float32(tree):
    assert {leaf.dtype for leaf in jax.tree.leaves(tree)} <= {jnp.dtype("float32")}


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


def side_of(model):
    """A side that the network takes: its own, or one that leaves a rest in every halving."""
    return model.size if "size" in models.known_options(model.name) else 33


def draw_images(side, count=4):
    rng = np.random.default_rng(5)
    return jnp.asarray(rng.normal(size=(count, side, side, 3)), jnp.float32)


def joined(features):
    """The features, or their parts side by side."""
    return jnp.concatenate(jax.tree.leaves(features), axis=-1)


@dataclasses.dataclass
class Built:
    """A network with weights and four pictures."""

    name: str
    model: models.Model
    params: Any
    model_state: Any
    images: Any

    def again(self, dtype):
        return models.build(self.name, dtype=dtype, **QUICK.get(self.name, {}))


@pytest.fixture(scope="module", params=sorted(models.MODELS.keys() - ALIKE))
def built(request, draw_weights):
    model = models.build(request.param, **QUICK.get(request.param, {}))
    weights = draw_weights(model, cen(MORPH))
    images = draw_images(side_of(model))
    return Built(request.param, model, weights.params["backbone"], weights.model_state, images)


def assert_features(model, features, count):
    assert jax.tree.map(lambda x: x.shape, features) == jax.tree.map(
        lambda width: (count, width), model.width
    )
    assert_float32(features)


def test_features_at_another_size(built):
    name, model, size = built.name, built.model, 100
    shapes = built.params, built.model_state
    if "size" in models.known_options(name):
        size = 96 if name in VITS | {"vgg16"} else size
        model = models.build(name, **{**QUICK.get(name, {}), "size": size})
        shapes = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    features, model_state = jax.eval_shape(
        lambda *a: model.apply(*a, train=True, key=jax.random.key(0)), *shapes, images
    )
    assert_features(model, features, 2)
    assert_same_shapes(model_state, shapes[1])


def test_weights_are_plain_float32_dicts_whatever_it_computes_in(built):
    trees = jax.eval_shape(built.again("bfloat16").init, jax.random.key(0))
    for tree, like in zip(trees, (built.params, built.model_state), strict=True):
        assert_plain(tree)
        assert_float32(tree)
        assert_same_shapes(tree, like)


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
            return jnp.square(joined(features)).sum(), (features, state)

        return jax.grad(loss, has_aux=True)(params)

    # The compiler takes long over the gradients of the many shifted views.
    form = convolution.plain() if built.name in DEPTHWISE else contextlib.nullcontext()
    with form:
        gradients, (features, state) = gradient(built.params, built.model_state, built.images)
    assert_features(built.model, features, 4)
    assert bool(jnp.isfinite(joined(features)).all())
    assert jax.tree.structure(gradients) == jax.tree.structure(built.params)
    assert_float32(gradients)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        names = tuple(part.key for part in path)
        assert bool(jnp.isfinite(leaf).all()), names
        if names[-1] != "bias" or (built.name, names[0]) not in NORMALISED_BIASES:
            assert bool((leaf != 0).any()), names
    if built.name in STATELESS:
        assert state == built.model_state == {}
        return
    assert_float32(state)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state, built.model_state)
    assert all(jax.tree.leaves(moved))


def test_inference_keeps_the_statistics_and_bfloat16_is_close(built):
    infer = {
        dtype: jax.jit(functools.partial(built.again(dtype).apply, train=False))
        for dtype in models.DTYPES
    }
    arguments = built.params, built.model_state, built.images
    features, state = infer["float32"](*arguments)
    jax.tree.map(np.testing.assert_array_equal, state, built.model_state)
    features = joined(features)
    # Each picture by itself: the batch plays no part.
    alone, _ = infer["float32"](built.params, built.model_state, built.images[::-1])
    np.testing.assert_allclose(joined(alone)[::-1], features, rtol=1e-4, atol=1e-4)

    rounded, state = infer["bfloat16"](*arguments)
    jax.tree.map(np.testing.assert_array_equal, state, built.model_state)
    assert_features(built.model, rounded, 4)
    error = jnp.linalg.norm(joined(rounded) - features) / jnp.linalg.norm(features)
    assert 0 < error < 0.05


def test_dropout_draws_by_the_key_in_training_alone(built):
    arguments = built.params, built.model_state, built.images
    train = functools.partial(built.model.apply, train=True)
    if built.name not in DROPOUT:
        jax.eval_shape(train, *arguments)
        return
    with pytest.raises(ValueError, match=rf"key: {built.name} has dropout.*got None"):
        train(*arguments)

    @jax.jit
    def draw(key):
        return joined(train(*arguments, key=key)[0])

    first, again, other = (draw(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert bool((first != other).any())
    infer = functools.partial(built.model.apply, train=False)
    with_a_key = jax.make_jaxpr(functools.partial(infer, key=jax.random.key(1)))(*arguments)
    assert str(with_a_key) == str(jax.make_jaxpr(infer)(*arguments))


def test_pictures_of_another_shape_are_refused(built):
    name, model = built.name, built.model

    def infer(*shape):
        model.apply(built.params, built.model_state, jnp.zeros(shape), train=False)

    with pytest.raises(ValueError, match=rf"images: {name} takes \[B, H, W, 3\], got \[2, 64, 64"):
        infer(2, 64, 64)
    with pytest.raises(ValueError, match=rf"images: {name} takes \[B, H, W, 3\]"):
        infer(2, 64, 64, 1)
    if "size" in models.known_options(name):
        with pytest.raises(ValueError, match=rf"{model.size}, 3\], got \[2, 31, 31, 3\]"):
            infer(2, 31, 31, 3)


@pytest.mark.parametrize("pooling", ["hybrid", "average"])
def test_thin_networks_name_the_least_size(pooling):
    model = models.build("tinyagenet", pooling=pooling)
    least = {"hybrid": 32, "average": 16}[pooling]
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    apply = functools.partial(model.apply, train=False)
    jax.eval_shape(apply, *shapes, jax.ShapeDtypeStruct((1, least, least, 3), jnp.float32))
    with pytest.raises(ValueError, match=f"tinyagenet takes {least}x{least} pixels and more"):
        jax.eval_shape(apply, *shapes, jax.ShapeDtypeStruct((1, least, least - 1, 3), jnp.float32))


SCUT_FBP = LabelSpace.range(1.0, 5.0, 0.1)
# (network, head): the parameters with that head, where it is published to the last digit.
EXACT = {
    ("resnet18", dense(logits=1000)): 11_689_512,  # torchvision
    ("resnet34", dense(logits=1000)): 21_797_672,  # torchvision
    ("resnet50", dense(logits=1000)): 25_557_032,  # torchvision
    ("resnet18_adience", dense(logits=8)): 12_555_080,
    ("thinagenet", dense(logits=AGE.size)): 3_708_229,  # the authors' Torch code
    ("tinyagenet", dense(logits=AGE.size)): 934_869,
    ("thinagenet", dense(logits=SCUT_FBP.size)): 3_708_229 - 60 * 257,  # ThinAttNet
    ("tinyagenet", dense(logits=SCUT_FBP.size)): 934_869 - 60 * 129,  # TinyAttNet
    ("vgg16", dense(logits=1000)): 138_357_544,  # torchvision
    ("vgg16", dense(logits=AGE.size)): 134_674_341,
    ("vit_b16", dense(logits=1000)): 86_567_656,  # timm and torchvision
    ("ssrnet", stagewise((3, 3, 3))): 40_531,  # the authors' Keras code, those that are trained
    ("orcnn", dense(rank_logits=AGE.size - 1)): 442_620,
    # torchvision
    ("mobilenet_v3_small", dense(logits=1000)): 2_542_856,
    ("mobilenet_v3_large", dense(logits=1000)): 5_483_032,
    ("efficientnet_b0", dense(logits=1000)): 5_288_548,
    ("convnext_tiny", dense(logits=1000)): 28_589_128,
}


@functools.cache
def network_shapes(name):
    model = models.build(name)
    return model.width, jax.eval_shape(model.init, jax.random.key(0))


def shapes_of(name, head):
    """(backbone and head, running statistics)."""
    width, (backbone, model_state) = network_shapes(name)
    top = jax.eval_shape(lambda key: head.init(key, width), jax.random.key(0))
    return (backbone, top), model_state


@pytest.mark.parametrize(("name", "head"), EXACT)
def test_parameters_to_the_last_digit(name, head):
    assert size_of(shapes_of(name, head)[0]) == EXACT[name, head]


def test_sizes_that_the_papers_give_with_the_running_statistics():
    assert size_of(shapes_of("ssrnet", stagewise((3, 3, 3)))) == 40_915
    # The Adience report's 47.92 MiB.
    mebibytes = 4 * size_of(shapes_of("resnet18_adience", dense(logits=8))) / 2**20
    assert round(mebibytes, 2) == 47.92
    # MobileNet 0.25 as keras.applications counts it, without what SSR-Net's code puts on top.
    (backbone, _), statistics = shapes_of("mobilenet", dense(score=None))
    top = size_of((backbone["reduce"], backbone["dense"]))
    assert size_of((backbone, statistics)) - top == 218_544
    # SSR-Net's Table 1: OR-CNN 1.7 MB, MobileNet and DenseNet about 1 MB.
    assert round(4 * size_of(shapes_of("orcnn", dense(rank_logits=100))) / 2**20, 1) == 1.7
    for name in ("mobilenet", "densenet"):
        assert 0.9e6 < 4 * size_of(shapes_of(name, dense(score=None))) < 1.1e6
    # DLDL-v2's 3.8 MB, to what a file's own headers may add.
    assert 3.7e6 < 4 * size_of(shapes_of("tinyagenet", dense(logits=101))) <= 3.8e6


@pytest.mark.parametrize("name", [n for n in models.MODELS if n != "ssrnet"])
def test_docstrings_tell_the_parameters_in_millions(name):
    said = re.search(r"([\d.]+)M parameters", models.MODELS[name].__doc__.partition("\n")[0])
    head = {
        "orcnn": dense(rank_logits=100),
        "mobilenet": dense(score=None),
        "densenet": dense(score=None),
        "vit_b16": dense(),
        "resnet34": dense(),
        "resnet50": dense(),
        "resnet18_adience": dense(logits=8),
        **dict.fromkeys(("farl_b16", "dinov2_s14", "dinov2_b14", "dinov3_s16"), dense()),
        **dict.fromkeys(("dinov3_b16", "convnext_tiny"), dense()),
    }.get(name, dense(logits=AGE.size))
    if name in ("resnet10", "resnet18", "resnet10_tiny", "resnet18_tiny"):
        head = cen(MORPH).head  # CEN's Table 7
    count = size_of(shapes_of(name, head)[0]) / 1e6
    digits = len(said[1].partition(".")[2])
    # DLDL-v2's 134.6 cuts what the others round.
    assert float(said[1]) in (round(count, digits), math.floor(count * 10) / 10)


def test_an_unknown_name_option_or_value_lists_the_known():
    with pytest.raises(ValueError, match=r"model\.name.*'resnet11'.*resnet10, resnet18"):
        models.build("resnet11")
    with pytest.raises(ValueError, match=r"model\.dtype.*float32, bfloat16.*'float16'"):
        models.build("resnet10", dtype="float16")
    with pytest.raises(ValueError, match=r"model\.pool: 'tinyagenet' has.*rate, pooling, dtype"):
        models.build("tinyagenet", pool="hybrid")
    with pytest.raises(ValueError, match=r"model\.size: expected one like 64, got '64'"):
        models.build("ssrnet", size="64")
    assert models.known_options("tinyagenet") == {
        "rate": 0.25,
        "pooling": "hybrid",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("tinyagenet", {"rate": 0.0}, r"model\.rate.*1/64 to 1.*0\.0"),
        ("thinagenet", {"rate": 2}, r"model\.rate"),
        ("thinagenet", {"pooling": "max"}, r"model\.pooling.*'hybrid' or 'average'.*'max'"),
        ("vgg16", {"size": 100}, r"model\.size.*multiple of 32.*100"),
        ("vgg16", {"hidden": 0}, r"model\.hidden"),
        ("vgg16", {"dropout": 1.0}, r"model\.dropout"),
        ("ssrnet", {"stages": ()}, r"model\.stages"),
        ("ssrnet", {"stages": [3, 0]}, r"model\.stages.*\(3, 0\)"),
        ("ssrnet", {"form": "caffe"}, r"model\.form.*keras, pytorch.*'caffe'"),
        ("ssrnet", {"dropout": -0.1}, r"model\.dropout"),
        ("ssrnet", {"size": 37}, r"model\.size.*37x37.*3 stages"),
        ("resnet18_adience", {"shortcut": "2x2"}, r"model\.shortcut"),
        ("orcnn", {"size": 59}, r"model\.size.*60"),
        ("mobilenet", {"alpha": 0.0}, r"model\.alpha"),
        ("mobilenet", {"size": 0}, r"model\.size"),
        ("densenet", {"depth": 20}, r"model\.depth.*3 n \+ 4.*20"),
        ("densenet", {"growth": 0}, r"model\.growth"),
        ("vit_b16", {"size": 100}, r"model\.size.*multiple of 16"),
        ("vit_b16", {"depth": 0}, r"model\.depth"),
        ("vit_b16", {"heads": 5}, r"model\.heads.*768"),
        ("dinov2_s14", {"size": 96}, r"model\.size.*multiple of 14"),
        ("dinov3_s16", {"width": 18, "heads": 3}, r"model\.heads.*multiple of 4.*18 / 3"),
        ("dinov2_b14", {"gamma": 0.0}, r"model\.gamma"),
        ("faceres", {"features": "all"}, r"model\.features.*both, pooled, hidden, layers.*'all'"),
        ("mobilenet_v3_small", {"width": 0.0}, r"model\.width"),
        ("mobilenet_v3_large", {"dropout": 1.0}, r"model\.dropout"),
        ("efficientnet_b0", {"depth": -1.0}, r"model\.depth"),
        ("efficientnet_b0", {"drop_path": 1.5}, r"model\.drop_path"),
        ("convnext_tiny", {"blocks": (3, 3)}, r"model\.blocks.*4 stages.*\(3, 3\)"),
        ("convnext_tiny", {"width": 0}, r"model\.width"),
        ("convnext_tiny", {"drop_path": -0.1}, r"model\.drop_path"),
    ],
)
def test_a_bad_value_is_named(name, options, words):
    with pytest.raises(ValueError, match=words):
        models.build(name, **options)
