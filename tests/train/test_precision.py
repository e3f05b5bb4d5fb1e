"""In bfloat16 networks compute in it; the state, the loss and what is logged stay float32."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import methods, models
from ldl_jax.labels import AGE
from ldl_jax.train.optimizers import OptimizerConfig, optimizer
from ldl_jax.train.state import Weights, init_state
from ldl_jax.train.step import make_predict_step, make_train_step

BATCH = 2


def traced_step(model, method):
    """(state before, (state after, scalars)) of a step; nothing is computed."""
    made = optimizer(OptimizerConfig(name="adamw"), lambda step: 1e-3)
    key = jax.random.key(0)
    backbone, model_state = jax.eval_shape(model.init, key)
    head = jax.eval_shape(lambda key: method.head.init(key, model.width), key)
    weights = Weights({"backbone": backbone, "head": head}, model_state)
    state = jax.eval_shape(lambda w, k: init_state(w, made, 1, k, average=True), weights, key)
    like = jax.ShapeDtypeStruct((BATCH,), jnp.float32)
    images = jax.ShapeDtypeStruct((BATCH, 32, 32, 3), jnp.float32)
    batch = {"images": images, "labels": like, "sigma": like}
    step = make_train_step(model, method, made, ema=0.9)
    return state, jax.eval_shape(step, state, batch, key)


def products(jaxpr, found):
    """How many convolutions and matrix products have inputs of each dtype."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            found.update({str(var.aval.dtype) for var in equation.invars})
        for value in equation.params.values():
            for part in value if isinstance(value, tuple) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    products(inner, found)
    return found


def dtypes(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("name", models.MODELS)
def test_a_network_computes_in_bfloat16_and_gives_float32(name):
    """Gradients are of their parameters' dtype, so the way there is all that can differ."""
    model = models.build(name, dtype="bfloat16")
    key = jax.random.key(0)
    params, model_state = jax.eval_shape(model.init, key)
    images = jax.ShapeDtypeStruct((BATCH, model.size, model.size, 3), jnp.float32)

    def forward(params, model_state, images):
        return model.apply(params, model_state, images, train=True, key=key)

    jaxpr, results = jax.make_jaxpr(forward, return_shape=True)(params, model_state, images)
    assert dtypes((params, results)) == {"float32"}
    assert set(products(jaxpr.jaxpr, collections.Counter())) == {"bfloat16"}


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize("name", methods.METHODS)
def test_a_step_keeps_float32_with_every_method(tiny_model, name):
    method = methods.get(name, space=AGE, counts=np.ones(AGE.size, np.float32))
    before, (after, scalars) = traced_step(tiny_model, method)
    assert dtypes((after.weights, after.ema, after.watch.losses, scalars)) == {"float32"}
    assert dtypes(after.opt_state) == {"float32", "int32"}
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert all(leaf.shape == () for leaf in scalars.values())


def test_answers_are_float32(draw_weights):
    model, method = models.build("resnet10_tiny", dtype="bfloat16"), methods.get("cen", space=AGE)
    weights = draw_weights(model, method)
    images = jnp.zeros((BATCH, 32, 32, 3), jnp.float32)
    answers = jax.eval_shape(make_predict_step(model, method), weights, images)
    assert dtypes(answers) == {"float32"}
