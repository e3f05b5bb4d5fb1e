"""Gradients of several devices are added up in float32 where that is asked for."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ldl_jax import models
from ldl_jax.models import exchange
from ldl_jax.models.convolution import Conv
from ldl_jax.models.functional import functional
from ldl_jax.models.layers import Dense, Norm
from ldl_jax.placement import make_placement
from ldl_jax.run import config as schema
from ldl_jax.train import sharded

DEVICES, SIZE = 2, 16
# One of each kind of layer.
NETWORKS = ("resnet10_tiny", "ssrnet", "mobilenet", "faceres", "convnext_tiny", "farl_b16")


def summed(text):
    """How many numbers a program's all-reduces add up, by the type that it asks for.

    XLA for CPUs widens those of bfloat16, and says so in the name of what adds them.
    """
    counts = {"float32": 0, "bfloat16": 0}
    for line in text.splitlines():
        if match := re.search(r"= (.*?) all-reduce(?:-start)?\(.*to_apply=(\S+)", line):
            for sizes in re.findall(r"\b(?:f32|bf16)\[([\d,]*)\]", match[1]):
                count = int(np.prod([int(n) for n in sizes.split(",") if n]))
                narrow = "promoted" in match[2] or "bf16[" in match[1]
                counts["bfloat16" if narrow else "float32"] += count
    return counts


class Tiny(nnx.Module):
    """A convolution, a normalisation and a dense layer, in bfloat16."""

    def __init__(self, rngs):
        narrow = jnp.dtype("bfloat16")
        self.conv = Conv(3, 8, 3, bias=True, dtype=narrow, rngs=rngs)
        self.norm = Norm(8, narrow, rngs, of="conv")
        self.dense = Dense(8, 5, narrow, rngs)

    def __call__(self, images, *, train):
        x = jax.nn.relu(self.norm(self.conv(images), train=train))
        return self.dense(x.astype(jnp.float32).mean((1, 2))).astype(jnp.float32)


@pytest.fixture(scope="module")
def both():
    """A gradient on two devices in either way, by the network's own type and by float32."""
    place = make_placement(DEVICES)
    model = functional("tiny", lambda rngs: Tiny(rngs), 5)
    params, model_state = model.init(jax.random.key(0))
    images = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 3)).astype(np.float32)

    def gradient_of(model):
        def loss(params, images):
            features, _ = model.apply(params, model_state, images, train=True)
            return jnp.mean(jnp.square(features))

        places = {"in_shardings": (place.replicated, place.by_batch)}
        made = jax.jit(jax.grad(loss), out_shardings=place.replicated, **places)
        return made.lower(params, images).compile()

    results = {}
    for name, network in (("network", model), ("float32", sharded.exchanging(model, place))):
        made = gradient_of(network)
        gradient = made(place.place(params), place.split(images))
        results[name] = summed(made.as_text()), gradient
    return params, results


def test_the_program_adds_up_in_float32(both):
    params, results = both
    kernels = sum(x.size for x in jax.tree.leaves(params) if x.ndim > 1)
    assert results["network"][0]["bfloat16"] >= kernels
    assert results["float32"][0]["bfloat16"] == 0
    assert results["float32"][0]["float32"] >= kernels


def test_the_sums_keep_more_digits_and_are_near(both):
    _, results = both
    for a, b in zip(*(jax.tree.leaves(results[name][1]) for name in results), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=0.02 * float(jnp.abs(b).max()))
    kernels = {name: gradient["conv"]["kernel"] for name, (_, gradient) in results.items()}
    rounds = {
        name: bool((x == x.astype(jnp.bfloat16).astype(jnp.float32)).all())
        for name, x in kernels.items()
    }
    assert rounds == {"network": True, "float32": False}


def narrowed(jaxpr):
    """The variables of a program's arguments that it converts to bfloat16 outside of a layer."""
    given = set(jaxpr.invars)
    found = []
    for equation in jaxpr.eqns:
        to = str(equation.params.get("new_dtype"))
        if equation.primitive.name == "convert_element_type" and to == "bfloat16":
            found += [var.aval.shape for var in equation.invars if var in given]
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_of_a_network_is_added_up_so(name):
    model = models.build(name, dtype="bfloat16")
    key = jax.random.key(0)
    params, model_state = jax.eval_shape(model.init, key)
    images = jax.ShapeDtypeStruct((DEVICES, model.size, model.size, 3), jnp.bfloat16)

    def left():
        def forward(params, state, images):  # a new one each time, since a trace is kept for each
            return model.apply(params, state, images, train=True, key=key)[0]

        return narrowed(jax.make_jaxpr(forward)(params, model_state, images).jaxpr)

    assert left()
    with exchange.in_float32(make_placement(DEVICES).replicated.mesh):
        assert not left()


def test_one_device_or_float32_computes_as_always():
    layer = jax.make_jaxpr(lambda x, w: exchange.weighted(jnp.matmul, x, w, jnp.dtype("float32")))
    x, w = jnp.ones((2, 3)), jnp.ones((3, 4))
    plain = str(layer(x, w))
    with exchange.in_float32(make_placement(DEVICES).replicated.mesh):
        assert str(layer(x, w)) == plain
    with exchange.in_float32(make_placement(1).replicated.mesh):
        narrow = jax.make_jaxpr(
            lambda x, w: exchange.weighted(jnp.matmul, x, w, jnp.dtype("bfloat16"))
        )(x.astype(jnp.bfloat16), w)
    assert "shard_map" not in str(narrow)
    assert "custom_vjp" not in str(narrow)


def test_a_wrong_word_in_a_config():
    config = schema.defaults()
    config.mesh.exchange = "float64"
    with pytest.raises(ValueError, match=r"mesh\.exchange: expected one of network, float32, got"):
        schema.parse(config)
