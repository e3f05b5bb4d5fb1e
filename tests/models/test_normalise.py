"""Compares the written-out gradient of normalisation with automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from ldl_jax.models import convolution, normalise
from ldl_jax.models.layers import LayerNorm, Norm
from ldl_jax.models.normalise import batch_norm, norm_relu_mean, norm_tanh_max

EPSILON = 1e-3


def draw(*shape, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(2, 3, shape), jnp.float32)
    scale = jnp.asarray(rng.normal(size=shape[-1]), jnp.float32).at[0].set(-0.7)
    bias = jnp.asarray(rng.normal(size=shape[-1]), jnp.float32)
    return x, scale, bias


def reference(x, scale, bias):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    wide = (1,) * (x.ndim - 1) + (-1,)
    normal = (x - mean) / jnp.sqrt(variance + EPSILON)
    return normal * scale.reshape(wide) + bias.reshape(wide), mean.ravel(), variance.ravel()


def pooled(form, x):
    """Over windows of 2x2, or over the four places that lie side by side."""
    window = (1, 1, 1, 4, 1) if x.ndim == 5 else (1, 2, 2, 1)
    if form == "mean":
        y = lax.reduce_window(jax.nn.relu(x), 0.0, lax.add, window, window, "VALID") / 4
    else:
        y = lax.reduce_window(jnp.tanh(x), -jnp.inf, lax.max, window, window, "VALID")
    return y[:, :, :, 0] if x.ndim == 5 else y


def with_pooling(form):
    def function(x, scale, bias):
        y, mean, variance = reference(x, scale, bias)
        return pooled(form, y), mean, variance

    return function


CASES = [
    (batch_norm, reference, (3, 5, 4, 6)),
    (batch_norm, reference, (7, 6)),
    (norm_relu_mean, with_pooling("mean"), (3, 6, 8, 4)),
    (norm_relu_mean, with_pooling("mean"), (3, 7, 5, 4)),
    (norm_relu_mean, with_pooling("mean"), (3, 2, 5, 4, 6)),
    (norm_tanh_max, with_pooling("max"), (3, 6, 8, 4)),
    (norm_tanh_max, with_pooling("max"), (3, 7, 5, 4)),
    (norm_tanh_max, with_pooling("max"), (3, 2, 5, 4, 6)),
]


@pytest.mark.parametrize(("form", "expected", "shape"), CASES)
def test_values_and_gradients(form, expected, shape):
    arrays = draw(*shape)
    result = jax.jit(lambda *a: form(*a, EPSILON))(*arrays)
    like = expected(*arrays)
    for ours, its in zip(result, like, strict=True):
        np.testing.assert_allclose(ours, its, rtol=1e-4, atol=1e-5)
    weight = jnp.asarray(np.random.default_rng(9).normal(size=like[0].shape), jnp.float32)

    def gradient(function):
        return jax.jit(jax.grad(lambda a: jnp.vdot(function(*a)[0], weight)))(arrays)

    for ours, its in zip(gradient(lambda *a: form(*a, EPSILON)), gradient(expected), strict=True):
        np.testing.assert_allclose(ours, its, rtol=1e-3, atol=1e-4)


def test_a_tie_shares_its_gradient():
    """Flat pictures have many."""
    x = jnp.zeros((2, 4, 4, 1)).at[0, 0, 0, 0].set(1.0)
    one, none = jnp.ones(1), jnp.zeros(1)
    for form in (norm_tanh_max, norm_relu_mean):
        gradient = jax.grad(lambda b, form=form: form(x, one, b, EPSILON)[0].sum())(none)
        assert np.isfinite(gradient).all()

    def slope(scale):
        return norm_tanh_max(x, scale, none, EPSILON)[0].sum()

    numeric = (slope(one * 1.01) - slope(one * 0.99)) / 0.02
    np.testing.assert_allclose(jax.grad(slope)(one)[0], numeric, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_norm_is_flax_s(dtype):
    x, scale, bias = draw(4, 5, 3, 6)
    x = x.astype(dtype)
    norm = Norm(6, jnp.dtype(dtype), nnx.Rngs(0), momentum=0.7)
    flax = nnx.BatchNorm(6, momentum=0.7, epsilon=1e-5, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for each in (norm.norm, flax):
        each.scale[...], each.bias[...] = scale, bias
    y = norm(x, train=True)
    assert y.dtype == dtype
    assert norm.norm.mean[...].dtype == jnp.float32
    its = flax(x.astype(jnp.float32), use_running_average=False)
    rtol = 2e-2 if dtype == "bfloat16" else 1e-5
    np.testing.assert_allclose(y.astype(jnp.float32), its, rtol=rtol, atol=1e-5)
    np.testing.assert_allclose(norm.norm.mean[...], flax.mean[...], rtol=1e-5)
    np.testing.assert_allclose(norm.norm.var[...], flax.var[...], rtol=1e-5)


@pytest.mark.parametrize("ratio", [0, 100, 1000, 5000])
@pytest.mark.parametrize("form", [batch_norm, norm_relu_mean, norm_tanh_max])
def test_a_mean_that_is_large_beside_the_deviation(form, ratio):
    """E[x²] - E[x]² is off by 3e-3 at 100, by a fifth at 1,000 and by far more than all at 5,000.

    What is left is the rounding of x itself, which grows as the mean does.
    """
    shape = (8, 16, 16, 4)
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x = (z + np.float32(ratio)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=shape if form is batch_norm else (8, 8, 8, 4))
    weight = weight.astype(np.float32)
    ones, zeros = jnp.ones(4), jnp.zeros(4)

    @jax.jit
    def both(x):
        y, back, moments = jax.vjp(lambda x: split(form(x, ones, zeros, 1e-5)), x, has_aux=True)
        return y, moments, back(weight)[0]

    y, (mean, variance), dx = both(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=2e-6)
    # The same numbers about zero have the same result.
    near = (exact - exact.mean((0, 1, 2))).astype(np.float32)
    y_near, _, dx_near = both(near)
    room = 2e-5 + 1e-6 * ratio
    np.testing.assert_allclose(y, y_near, rtol=0, atol=room)
    # A kink or a tie within the rounding may fall to either side.
    away = np.abs(np.asarray(dx) - np.asarray(dx_near)) > room
    assert away.mean() < 1e-2


@pytest.mark.parametrize("ratio", [0, 100, 1000, 5000])
def test_one_pass_keeps_its_digits(ratio, monkeypatch):
    """Accelerators take one pass, which is told here from the CPU's two by its last digits."""
    z = np.random.default_rng(0).normal(size=(8, 16, 16, 4)).astype(np.float32)
    z[..., 3] = 0.0  # a channel that does not vary
    x = z + np.float32(ratio)
    exact = x.astype(np.float64)
    two = normalise.moments_of(jnp.asarray(x))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    mean, variance = normalise.moments_of(jnp.asarray(x))
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=5e-6)
    assert variance[3] == 0
    assert not np.array_equal(variance, two[1])


def split(normed):
    return normed[0], normed[1:]


def test_a_layer_norm_of_large_numbers():
    x = np.random.default_rng(0).normal(5000, 1, (6, 64)).astype(np.float32)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    norm = LayerNorm(64, jnp.dtype("float32"), nnx.Rngs(0))
    np.testing.assert_allclose(norm(jnp.asarray(x)), exact, atol=2e-3)


def test_a_bias_before_a_norm_moves_the_running_mean_alone():
    x, _, bias = draw(4, 5, 3, 6)
    wide = bias[None, None, None]
    norms = [Norm(6, jnp.dtype("float32"), nnx.Rngs(0)) for _ in range(2)]
    given = norms[0](x, train=True, bias=bias)
    np.testing.assert_allclose(given, norms[1](x + wide, train=True), rtol=1e-4, atol=1e-4)
    for name in ("mean", "var"):
        ours, its = (getattr(norm.norm, name)[...] for norm in norms)
        np.testing.assert_allclose(ours, its, rtol=1e-4)
    np.testing.assert_allclose(
        norms[0](x, train=False, bias=bias), norms[0](x + wide, train=False), rtol=1e-6
    )


@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_in_cells(padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 8, 6, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 5)), jnp.float32)

    def apart(x, kernel):
        y = convolution.direct(x, kernel, 1, padding)
        batch, height, width, channels = y.shape
        y = y.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(batch, height // 2, width // 2, 4, channels)

    expected, back = jax.vjp(apart, x, kernel)
    got, ours = jax.vjp(lambda x, k: convolution.in_cells(x, k, padding), x, kernel)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    weight = jnp.asarray(rng.normal(size=expected.shape), jnp.float32)
    for mine, its in zip(ours(weight), back(weight), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-4)
