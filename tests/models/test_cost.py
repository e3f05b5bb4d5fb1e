"""Compares multiply-adds with published numbers of the networks and with counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from ldl_jax import heads, models
from ldl_jax.models import convolution, cost

# 1e9 multiply-adds at 224x224 with 1000 classes, as torchvision's documentation lists them.
PUBLISHED = {"resnet18": 1.81, "resnet34": 3.66, "resnet50": 4.09, "vgg16": 15.47, "vit_b16": 17.56}


def measure(name, size=None, *, activations=False, **units):
    model, head = models.build(name), heads.dense(**units)
    backbone, model_state = jax.eval_shape(model.init, jax.random.key(0))
    top = jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))

    def infer(params, model_state, images):
        features, _ = model.apply(params[0], model_state, images, train=False)
        return head.apply(params[1], features)

    side = size or model.size
    return cost.measure(infer, (backbone, top), model_state, side, activations=activations)


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_are_the_published(name):
    found = measure(name, logits=1000)
    assert round(found.multiply_adds / 1e9, 2) == PUBLISHED[name]
    assert found.activations is None


def test_products_and_convolutions_by_hand():
    x, w = jnp.ones((7, 5)), jnp.ones((5, 3))
    assert cost.multiply_adds(lambda x, w: x @ w, x, w) == 7 * 5 * 3
    a = jnp.ones((2, 7, 4, 5))
    attention = lambda a: jnp.einsum("bqhd,bkhd->bhqk", a, a)  # noqa: E731
    assert cost.multiply_adds(attention, a) == 2 * 4 * 7 * 7 * 5
    # Inside jit, a custom derivative and a loop.
    assert cost.multiply_adds(jax.jit(lambda x, w: jax.nn.relu(x @ w)), x, w) == 105

    def loop(x, w):
        return jax.lax.scan(lambda c, _: (c @ w @ w.T, None), x, None, length=4)[0]

    assert cost.multiply_adds(loop, x, w) == 4 * 2 * 105

    images, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 6))
    convolve = lambda x, k: convolution.convolve(x, k, 2, 1)  # noqa: E731
    assert cost.multiply_adds(convolve, images, kernel) == 2 * 4 * 4 * 9 * 4 * 6
    each = jnp.ones((3, 3, 1, 4))
    depthwise = lambda x, k: convolution.depthwise(x, k, 1, 1)  # noqa: E731
    assert cost.multiply_adds(depthwise, images, each) == 2 * 8 * 8 * 9 * 4


def test_the_fast_stem_is_counted_as_the_plain_one():
    images, kernel = jnp.ones((1, 32, 32, 3)), jnp.ones((7, 7, 3, 8))
    stem = lambda x, k: convolution.convolve(x, k, 2, 3)  # noqa: E731
    stem(images, kernel)  # what JAX keeps of a traced form must not enter the count
    assert cost.multiply_adds(stem, images, kernel) == 16 * 16 * 49 * 3 * 8


def test_memory_and_size():
    found = measure("ssrnet", activations=True, logits=101)
    assert found.size == 4 * (found.parameters + found.statistics)
    assert found.statistics == 2 * 4 * (32 + 16)
    # At least the first block's map of stream X, at most all maps of both streams many times.
    assert 62 * 62 * 32 * 4 <= found.activations < 10e6
