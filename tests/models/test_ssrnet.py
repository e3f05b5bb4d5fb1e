"""Compares SSR-Net with the authors' weights and answers, and tests its options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import methods, models
from ldl_jax.labels import AGE
from ldl_jax.models import convolution, pretrained

FILES = {"imdb": (33.5948, 35.2470), "megaage_asian": (27.5428, 26.4898)}  # of all-0 and all-128


@pytest.fixture(scope="module")
def authors(real_data):
    folder = real_data / "ssrnet"
    if not folder.is_dir():
        pytest.skip(f"no SSR-Net files at {folder}")
    return folder


@pytest.fixture(scope="module", params=FILES)
def ages(request, authors):
    """(name, the function of BGR pictures that an authors' file makes of network and method)."""
    model, method = models.build("ssrnet"), methods.get("ssr", space=AGE)
    head = jax.eval_shape(lambda key: method.head.init(key, model.width), jax.random.key(0))
    found = pretrained.load(authors / f"{request.param}.h5", model, head, strict=True)
    assert found.notices == ()
    assert found.inputs == pretrained.TrainedInputs("BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    @jax.jit
    def answer(images):
        features, _ = model.apply(found.params, found.model_state, images, train=False)
        return method.predict(method.head.apply(found.head, features)).value

    return request.param, answer


@pytest.mark.parametrize("batch", [1, 7, 32])
def test_the_authors_weights_answer_as_the_authors_network(ages, authors, batch):
    name, answer = ages
    golden = np.load(authors / "golden.npz")
    images = golden["images_rgb_uint8"][..., ::-1].astype(np.float32)
    got = [answer(images[start : start + batch]) for start in range(0, len(images), batch)]
    assert len(images) == 32
    np.testing.assert_allclose(np.concatenate(got), golden[f"age_{name}"], rtol=0, atol=1e-3)


def test_the_authors_weights_on_blank_pictures(ages):
    name, answer = ages
    blank = np.stack([np.full((64, 64, 3), grey, np.float32) for grey in (0, 128)])
    np.testing.assert_allclose(answer(blank), FILES[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ({}, (4, 3, 3)),
        ({"form": "pytorch"}, (8, 4, 4)),
        ({"size": 38}, (1, 2, 2)),
        ({"size": 96}, (8, 5, 5)),
        ({"stages": (5, 2)}, (12, 7)),
        ({"stages": (4,)}, (29,)),
        ({"stages": (2, 3, 4, 5), "size": 96}, (2, 2, 2, 2)),
    ],
)
def test_parts_follow_stages_and_size(options, cells):
    model = models.build("ssrnet", **options)
    stages = options.get("stages", (3, 3, 3))
    expected = {f"stage{k}": 2 * s for k, s in enumerate(stages, start=1)}
    expected |= {f"range{k}": 10 * side**2 for k, side in enumerate(cells, start=1)}
    assert model.width == expected
    size = options.get("size", 64)
    assert model.size == size
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    features, _ = jax.eval_shape(functools.partial(model.apply, train=False), *shapes, images)
    assert {name: x.shape for name, x in features.items()} == {
        name: (2, width) for name, width in expected.items()
    }


@pytest.fixture(scope="module")
def small(draw_weights):
    model, method = models.build("ssrnet", size=38), methods.get("ssr", space=AGE)
    weights = draw_weights(model, method)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(0, 255, (4, 38, 38, 3)), jnp.float32)
    return model, weights, images


def test_dropout_comes_after_the_range_s_part(small):
    """Delta reads s * x as it is; only the bins' dense layers see dropout."""
    model, weights, images = small

    @jax.jit
    def features(key):
        arguments = weights.params["backbone"], weights.model_state, images
        return model.apply(*arguments, train=True, key=key)[0]

    first, other = (features(jax.random.key(seed)) for seed in (1, 2))
    for k in (1, 2, 3):
        np.testing.assert_array_equal(first[f"range{k}"], other[f"range{k}"])
    assert any(bool((first[f"stage{k}"] != other[f"stage{k}"]).any()) for k in (1, 2, 3))


@pytest.mark.parametrize("form", ["keras", "pytorch"])
def test_both_streams_train_together_on_accelerators(form, monkeypatch):
    """The layers stand side by side there; features, statistics and gradients are the same."""
    model = models.build("ssrnet", size=38, form=form, stages=(2, 3, 4))
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params, before = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape) + (x.ndim == 1), jnp.float32), shapes
    )
    images = jnp.asarray(rng.normal(0, 1, (4, 38, 38, 3)), jnp.float32)

    def total(params):
        key = jax.random.key(3)
        features, after = model.apply(params, before, images, train=True, key=key)
        return sum(jnp.sum(jnp.sin(x)) for x in features.values()), (features, after)

    def trained():
        # A new function each time, since a trace is kept for each.
        return jax.jit(jax.grad(lambda x: total(x), has_aux=True))

    apart = trained()(params)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    text = trained().lower(params).as_text()
    assert text.count("stablehlo.convolution") < 3 * 7  # in turn they are 3 * 14
    together = trained()(params)
    gradients, (features, after) = together
    for ours, theirs in ((features, apart[1][0]), (after, apart[1][1]), (gradients, apart[0])):
        for name, own in ours.items():
            for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(theirs[name]), strict=True):
                room = 1e-4 * max(1e-2, float(jnp.abs(b).max()))
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=room, err_msg=name)


@pytest.mark.parametrize(("form", "momentum"), [("keras", 0.99), ("pytorch", 0.9)])
def test_running_statistics_move_by_each_form_s_share(small, form, momentum):
    images = small[2]
    model = models.build("ssrnet", size=38, form=form)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    rng = np.random.default_rng(1)
    params, before = jax.tree.map(
        lambda x: jnp.asarray(rng.uniform(0.5, 1.5, x.shape), jnp.float32), shapes
    )
    _, after = jax.jit(functools.partial(model.apply, train=True))(
        params, before, images, key=jax.random.key(0)
    )
    kernel, bias = (params["x_conv1"][leaf] for leaf in ("kernel", "bias"))
    padding = [(int(form == "pytorch"),) * 2] * 2
    layout = ("NHWC", "HWIO", "NHWC")
    mapped = jax.lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=layout)
    mean = (mapped + bias[None, None, None]).mean(axis=(0, 1, 2))
    old, new = (state["x_norm1"]["norm"]["mean"] for state in (before, after))
    np.testing.assert_allclose(new, momentum * old + (1 - momentum) * mean, rtol=1e-4)


@pytest.mark.parametrize(("form", "size"), [("keras", 38), ("pytorch", 39)])
def test_training_on_a_cpu_is_that_of_xla_s_own_forms(draw_weights, form, size):
    model, method = models.build("ssrnet", form=form, size=size), methods.get("ssr", space=AGE)
    weights = draw_weights(model, method)
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (4, size, size, 3)), jnp.float32)

    def loss(params):
        features, state = model.apply(
            params, weights.model_state, images, train=True, key=jax.random.key(0)
        )
        return sum(jnp.square(x).sum() for x in jax.tree.leaves(features)), state

    def results():
        fresh = jax.value_and_grad(lambda params: loss(params), has_aux=True)
        return jax.jit(fresh)(weights.params["backbone"])

    fast = results()
    with convolution.plain():
        own = results()
    largest = {path: np.abs(x).max() for path, x in jax.tree.leaves_with_path(own)}

    def close(path, ours, its):
        if "bias" in str(path) and "conv" in str(path):  # no gradient but of rounding
            np.testing.assert_allclose(ours, its, atol=1e-2)
        else:
            np.testing.assert_allclose(ours, its, rtol=1e-3, atol=1e-3 * largest[path] + 1e-6)

    jax.tree.map_with_path(close, fast, own)


@pytest.mark.parametrize("size", [64, 67])  # even, whose first block is in cells, and odd
@pytest.mark.parametrize("form", ["keras", "pytorch"])
def test_inference_in_the_forms_of_cpus_is_that_of_xla_s_own(draw_weights, size, form):
    model = models.build("ssrnet", size=size, form=form)
    weights = draw_weights(model, methods.get("ssr", space=AGE))
    norms = [name for name in weights.params["backbone"] if "norm" in name]
    for name in norms:  # the maximum must hold where the normalisation turns the order round
        scale = weights.params["backbone"][name]["norm"]["scale"]
        weights.params["backbone"][name]["norm"]["scale"] = scale.at[::2].multiply(-0.5)
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, size, size, 3)), jnp.float32)

    def answer():
        fresh = functools.partial(model.apply, train=False)
        return jax.jit(fresh)(weights.params["backbone"], weights.model_state, images)[0]

    fast = answer()
    with convolution.plain():
        own = answer()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), fast, own)
