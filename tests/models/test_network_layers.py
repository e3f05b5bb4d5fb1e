"""Compares the layers that networks share with NumPy, and PyTorch's or Keras's definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ldl_jax.models.compact import local_response
from ldl_jax.models.layers import Dense, LayerNorm, Norm, dropout

FLOAT32 = jnp.dtype("float32")


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("epsilon", "momentum"), [(1e-5, 0.9), (1e-3, 0.99)])
def test_norm_by_the_batch_and_by_the_running_statistics(epsilon, momentum):
    norm = Norm(3, FLOAT32, nnx.Rngs(0), epsilon=epsilon, momentum=momentum)
    x = 2 * draw(0, 4, 5, 5, 3) + 1
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    expected = (x - mean) / np.sqrt(var + epsilon)
    np.testing.assert_allclose(norm(jnp.asarray(x), train=True), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm.norm.mean[...], (1 - momentum) * mean, rtol=1e-4)
    running = momentum + (1 - momentum) * var
    np.testing.assert_allclose(norm.norm.var[...], running, rtol=1e-4)
    expected = (x - (1 - momentum) * mean) / np.sqrt(running + epsilon)
    np.testing.assert_allclose(norm(jnp.asarray(x), train=False), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [Norm, LayerNorm])
def test_normalisations_compute_in_float32(make):
    layer = make(64, jnp.dtype("bfloat16"), nnx.Rngs(0))
    # In bfloat16 a variance about so large a mean would be lost.
    x = jnp.asarray(1000 + 8 * draw(1, 32, 64), jnp.bfloat16)
    y = layer(x, train=True) if make is Norm else layer(x)
    assert y.dtype == jnp.bfloat16
    axis = 0 if make is Norm else 1
    np.testing.assert_allclose(np.asarray(y, np.float32).std(axis=axis), 1, atol=0.02)


def test_layer_norm_is_its_definition():
    x = draw(2, 3, 7, 16)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    got = LayerNorm(16, FLOAT32, nnx.Rngs(0))(jnp.asarray(x))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6)])
def test_dense_is_a_product_and_a_bias(shape):
    dense = Dense(6, 5, FLOAT32, nnx.Rngs(0))
    dense.bias[...] = jnp.arange(5, dtype=jnp.float32)
    x = draw(3, *shape)
    expected = x @ np.asarray(dense.kernel[...]) + np.arange(5)
    np.testing.assert_allclose(dense(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-5)
    assert Dense(6, 5, jnp.dtype("bfloat16"), nnx.Rngs(0))(jnp.asarray(x)).dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dropout_keeps_the_mean(dtype):
    x = jnp.ones((200, 500), dtype)
    y = dropout(x, 0.2, jax.random.key(0))
    assert y.dtype == dtype
    y = np.asarray(y, np.float32)
    np.testing.assert_allclose((y == 0).mean(), 0.2, atol=0.005)
    np.testing.assert_allclose(y[y != 0], 1.25)
    assert dropout(x, 0.2, None) is x
    assert dropout(x, 0.0, jax.random.key(0)) is x


def test_local_response_is_torch_s():
    torch = pytest.importorskip("torch")
    x = 20 * draw(4, 2, 5, 5, 12)
    layer = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # Torch divides α by 5
    expected = layer(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(local_response(jnp.asarray(x)), expected, rtol=1e-5)
