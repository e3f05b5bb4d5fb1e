"""Checks that every form of convolution and pooling computes what XLA's and Flax's do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from ldl_jax import methods, models
from ldl_jax.labels import AGE
from ldl_jax.models import convolution, forms


def reference(x, kernel, stride, padding):
    """XLA's convolution, written out once more."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def reference_pool(x, size, stride, padding):
    return linen.max_pool(
        x, window_shape=(size, size), strides=(stride, stride), padding=((padding, padding),) * 2
    )


def draw(seed, *shapes, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def value_and_gradients(function, arrays, seed=99):
    """The result, and the gradients of its product with a random array."""
    result, pull = jax.vjp(function, *arrays)
    (cotangent,) = draw(seed, result.shape)
    return result, pull(cotangent)


def check_same(mine, its, arrays):
    """Equal results and gradients, under jit."""

    @jax.jit
    def both(*arrays):
        return value_and_gradients(mine, arrays), value_and_gradients(its, arrays)

    got, expected = both(*arrays)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4), got, expected)


@pytest.mark.parametrize("size", [3, 7, 11])
@pytest.mark.parametrize(("height", "width"), [(16, 12), (13, 9)])
def test_space_to_depth_is_a_convolution_of_stride_2(size, height, width):
    arrays = draw(size + height, (2, height, width, 3), (size, size, 3, 5))
    check_same(
        convolution.space_to_depth,
        lambda x, kernel: reference(x, kernel, 2, size // 2),
        arrays,
    )


@pytest.mark.parametrize(("size", "padding"), [(1, 0), (3, 1), (2, 0)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (5, 7)])
def test_patches_are_a_convolution(size, padding, stride, height, width):
    arrays = draw(height + size, (2, height, width, 4), (size, size, 4, 6))
    check_same(
        lambda x, kernel: convolution.patches(x, kernel, stride, padding),
        lambda x, kernel: reference(x, kernel, stride, padding),
        arrays,
    )


NEW, OLD = forms.FORMS


@pytest.mark.parametrize(("size", "padding"), [(3, 1), (2, 0), (5, 2), (1, 0)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 5), (1, 1)])
def test_dense_is_a_convolution(size, padding, stride, height, width):
    if min(height, width) + 2 * padding < size:
        pytest.skip("nothing is left of the map")
    arrays = draw(height + size, (2, height, width, 4), (size, size, 4, 6))
    check_same(
        lambda x, kernel: convolution.dense(x, kernel, stride, padding),
        lambda x, kernel: reference(x, kernel, stride, padding),
        arrays,
    )


# Shape of x, kernel size, outputs, stride, padding, and the form that a CPU takes from jax 0.11 on
# and before.
PATHS = [
    ((2, 15, 16, 3), 7, 8, 2, 3, "direct", "space_to_depth"),
    ((2, 16, 16, 3), 7, 64, 2, 3, "direct", "direct"),  # a wide stem
    ((2, 16, 16, 3), 7, 8, 2, 2, "direct", "direct"),  # another padding
    ((2, 16, 16, 3), 3, 8, 2, 1, "direct", "direct"),
    ((2, 9, 9, 8), 7, 8, 2, 3, "direct", "direct"),  # more than colours
    ((2, 9, 7, 4), 1, 6, 2, 0, "patches", "direct"),
    ((2, 4, 3, 4), 3, 6, 2, 1, "patches", "patches"),
    ((2, 2, 2, 4), 3, 6, 1, 1, "patches", "patches"),
    ((2, 1, 1, 4), 3, 6, 1, 1, "patches", "patches"),
    ((2, 1, 4, 4), 3, 6, 1, 1, "patches", "patches"),
    ((16, 2, 2, 4), 3, 6, 1, 1, "dense", "patches"),
    ((16, 2, 1, 4), 3, 6, 2, 1, "dense", "patches"),
    ((16, 2, 2, 4), 1, 6, 1, 0, "patches", "patches"),
    ((2, 5, 6, 4), 3, 6, 1, 1, "direct", "direct"),
    ((2, 5, 6, 4), 1, 6, 1, 0, "patches", "direct"),
    ((2, 9, 8, 4), 3, 6, 2, 1, "direct", "direct"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("line", [NEW, OLD], ids=["new", "old"])
def test_convolve_takes_a_form_and_is_the_convolution(monkeypatch, path, line):
    shape, size, outputs, stride, padding, *names = path
    for module in (convolution, forms):
        monkeypatch.setattr(module, "at_hand", lambda: line)
    arrays = draw(size + stride, shape, (size, size, shape[-1], outputs))
    taken = forms.form_of(shape, arrays[1].shape, stride, padding)
    assert taken == names[[NEW, OLD].index(line)]
    check_same(
        lambda x, kernel: convolution.convolve(x, kernel, stride, padding),
        lambda x, kernel: reference(x, kernel, stride, padding),
        arrays,
    )


@pytest.mark.parametrize(
    ("version", "line"),
    [((0, 8, 3), OLD), ((0, 10, 2), OLD), ((0, 11, 0), NEW), ((0, 12, 0, 1), NEW), ((1, 0), NEW)],
)
def test_the_forms_go_by_the_version_of_jax(version, line):
    assert forms.at_hand(version) is line


@pytest.mark.parametrize("path", PATHS[::4])
def test_convolve_off_the_cpu_is_xla_s_own(monkeypatch, path):
    shape, size, outputs, stride, padding, *_ = path
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.delattr(convolution, "space_to_depth")
    monkeypatch.delattr(convolution, "patches")
    x, kernel = draw(size, shape, (size, size, shape[-1], outputs))
    got = convolution.convolve(x, kernel, stride, padding)
    np.testing.assert_array_equal(got, reference(x, kernel, stride, padding))


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 1, 1), (3, 3, 0)]
)
@pytest.mark.parametrize(("height", "width"), [(8, 6), (5, 7)])
def test_max_pool_is_flax_s(size, stride, padding, height, width):
    # Distinct values, all negative: padding must never win.
    (noise,) = draw(size + height, (2, height, width, 3))
    values = jnp.argsort(noise.reshape(-1)).astype(jnp.float32).reshape(noise.shape)
    check_same(
        lambda x: convolution.max_pool(x, size, stride, padding),
        lambda x: reference_pool(x, size, stride, padding),
        [values / values.size - 2],
    )


@pytest.mark.parametrize("stride", [2, 3])  # windows that overlap, and that do not
def test_max_pool_shares_the_gradient_of_a_tie(stride):
    x = jnp.ones((1, 3, 3, 1))
    gradient = jax.grad(lambda x: convolution.max_pool(x, 3, stride, 0).sum())(x)
    np.testing.assert_allclose(gradient.sum(), 1.0)
    assert (gradient > 0).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (2, 2, 2, 3), (2, 6, 6, 3)])
def test_conv_computes_in_its_dtype_and_keeps_a_float32_kernel(dtype, shape):
    conv = convolution.Conv(3, 8, 3, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
    (x,) = draw(0, shape)
    y = conv(x)
    assert y.dtype == dtype
    assert conv.kernel[...].dtype == jnp.float32
    expected = reference(x, conv.kernel[...], 1, 1)
    tolerance = 1e-4 if dtype == "float32" else 5e-2
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=tolerance, atol=tolerance)


def test_conv_starts_he_normal_by_fan_out():
    conv = convolution.Conv(64, 128, 3, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(1))
    kernel = np.asarray(conv.kernel[...])
    assert kernel.shape == (3, 3, 64, 128)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 128)), rtol=0.02)
    assert abs(kernel.mean()) < 1e-3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (5, 7), (1, 2)])
def test_depthwise_is_a_convolution_of_each_channel(size, stride, height, width):
    arrays = draw(height + size, (2, height, width, 6), (size, size, 1, 6))
    check_same(
        lambda x, kernel: convolution.depthwise(x, kernel, stride, size // 2),
        lambda x, kernel: lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding=((size // 2, size // 2),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=6,
        ),
        arrays,
    )


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (11, 9)])
def test_average_pool_is_xla_s(size, height, width):
    window = (1, size, size, 1)
    check_same(
        lambda x: convolution.average_pool(x, size),
        lambda x: lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / size**2,
        draw(size + height, (2, height, width, 3)),
    )


def forms_in(function, *arrays):
    """The names of the primitives that a function is made of."""
    return {equation.primitive.name for equation in jax.make_jaxpr(function)(*arrays).jaxpr.eqns}


def test_plain_traces_xla_s_own_and_ends_with_its_block():
    x, kernel, each = draw(0, (2, 2, 2, 4), (3, 3, 4, 6), (3, 3, 1, 4))

    # New functions each time, since JAX keeps what it has traced.
    def traced():
        return forms_in(lambda x, k: convolution.convolve(x, k, 1, 1), x, kernel) | forms_in(
            lambda x, k: convolution.depthwise(x, k, 1, 1), x, each
        )

    def fail_inside():
        with convolution.plain():
            assert traced() == {"conv_general_dilated"}
            raise KeyError

    assert "conv_general_dilated" not in traced()
    with pytest.raises(KeyError):
        fail_inside()
    assert "conv_general_dilated" not in traced()


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (4, 4, 0)])
def test_pooling_by_windows_is_pooling(size, stride, padding):
    (x,) = draw(0, (2, 9, 10, 4))

    def pooled():
        return convolution.max_pool(x, size, stride, padding), convolution.average_pool(x, size)

    expected = pooled()
    with convolution.plain(pooling=True):
        windows = pooled()
        forms = forms_in(lambda x: convolution.max_pool(x, size, stride, padding), x)
    assert forms == {"reduce_window_max"}
    for one, other in zip(windows, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    with convolution.plain():
        assert "reduce_window_max" not in forms_in(lambda x: convolution.max_pool(x, 2, 2, 0), x)


def test_conv_adds_its_bias_where_it_has_one():
    conv = convolution.Conv(3, 8, 3, bias=True, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    (x,) = draw(0, (2, 6, 6, 3))
    without = conv(x)
    np.testing.assert_array_equal(conv.bias[...], np.zeros(8))
    conv.bias[...] = jnp.arange(8, dtype=jnp.float32)
    shift = jnp.arange(8, dtype=jnp.float32)[None, None, None]
    np.testing.assert_allclose(conv(x), without + shift, atol=1e-5)
    assert not hasattr(
        convolution.Conv(3, 8, 3, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)), "bias"
    )


def test_gradients_through_pools_are_those_of_plain_forms(draw_weights):
    """Where XLA computes a pool's input anew, no element need equal the maximum any more."""
    model = models.build("tinyagenet")
    weights = draw_weights(model, methods.get("dldl", space=AGE))
    images = jnp.asarray(np.random.default_rng(5).normal(size=(4, 33, 33, 3)), jnp.float32)

    def gradient(params):
        def loss(params):
            features, _ = model.apply(
                params, weights.model_state, images, train=True, key=jax.random.key(0)
            )
            return jnp.square(features).sum()

        return jax.grad(loss)(params)

    params = weights.params["backbone"]
    found = jax.jit(lambda params: gradient(params))(params)
    with convolution.plain():
        expected = jax.jit(lambda params: gradient(params))(params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(b).max()))
