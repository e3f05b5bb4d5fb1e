"""Dense heads against float64 NumPy, whatever the network computes in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.heads import dense

B, D, K = 5, 64, 7


@pytest.fixture(scope="module")
def head():
    return dense(logits=K, score=None)


@pytest.fixture(scope="module")
def params(head):
    return head.init(jax.random.key(0), D)


def test_shapes_and_dtypes(head, params):
    outputs = head.apply(params, jnp.zeros((B, D)))
    assert {name: x.shape for name, x in outputs.items()} == {"logits": (B, K), "score": (B,)}
    for leaf in jax.tree.leaves((params, outputs)):
        assert leaf.dtype == jnp.float32


def test_against_numpy(head, params):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(B, D)).astype(np.float32)
    shifted = jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape), x.dtype), params)
    kernel, bias = (np.asarray(shifted["logits"][n], np.float64) for n in ("kernel", "bias"))
    outputs = head.apply(shifted, features)
    np.testing.assert_allclose(outputs["logits"], features @ kernel + bias, rtol=1e-5, atol=1e-5)
    kernel, bias = (np.asarray(shifted["score"][n], np.float64) for n in ("kernel", "bias"))
    expected = (features @ kernel + bias)[:, 0]
    np.testing.assert_allclose(outputs["score"], expected, rtol=1e-5, atol=1e-5)


def test_initial_weights():
    """W ~ N(0, 1/D), b = 0; each output has its own draw."""
    params = dense(a=500, b=500).init(jax.random.key(1), D)
    for layer in params.values():
        assert not layer["bias"].any()
        np.testing.assert_allclose(layer["kernel"].std(), D**-0.5, rtol=0.02)
        np.testing.assert_allclose(layer["kernel"].mean(), 0, atol=0.003)
    assert (
        abs(np.corrcoef(params["a"]["kernel"].ravel(), params["b"]["kernel"].ravel()))[0, 1] < 0.03
    )


def test_the_key_is_all_that_init_depends_on(head, params):
    jax.tree.map(np.testing.assert_array_equal, head.init(jax.random.key(0), D), params)
    other = head.init(jax.random.key(2), D)
    assert (other["logits"]["kernel"] != params["logits"]["kernel"]).all()


def test_bfloat16_features(head, params):
    features = jax.random.normal(jax.random.key(3), (B, D), jnp.bfloat16)
    outputs = head.apply(params, features)
    expected = head.apply(params, features.astype(jnp.float32))
    jax.tree.map(np.testing.assert_array_equal, outputs, expected)


def test_jit_and_vmap(head, params):
    features = jax.random.normal(jax.random.key(4), (B, D))
    eager = head.apply(params, features)
    jitted = jax.jit(head.apply)(params, features)
    one_by_one = jax.vmap(lambda x: head.apply(params, x[None]))(features)
    for name, x in eager.items():
        np.testing.assert_allclose(jitted[name], x, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one_by_one[name][:, 0], x, rtol=1e-5, atol=1e-6)
