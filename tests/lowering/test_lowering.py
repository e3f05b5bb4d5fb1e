"""Functions of JAX as ONNX models: ONNX Runtime's answers are JAX's, for every primitive."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

onnx = pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ldl_jax[export] is not installed")

from ldl_jax import lowering  # noqa: E402

RNG = np.random.default_rng(0)
NHWC = ("NHWC", "HWIO", "NHWC")
KERNEL = RNG.normal(size=(3, 3, 4, 6)).astype(np.float32)
ROW = RNG.normal(size=(1, 1, 1, 4)).astype(np.float32)
MATRIX = RNG.normal(size=(4, 5)).astype(np.float32)
GATES = RNG.normal(size=(4, 4)).astype(np.float32)
MAPS = ((None, 6, 7, 4), "float32")
ROWS = ((None, 5), "float32")


def run(model, arrays):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [x.name for x in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def draw(inputs, count):
    """Arrays of some shapes, with a batch of that size."""
    rng, arrays = np.random.default_rng(count), []
    for sizes, dtype in inputs:
        shape = [count if size is None or isinstance(size, str) else size for size in sizes]
        values = rng.normal(0, 2, shape)
        arrays.append((values > 0 if dtype == "bool" else values).astype(dtype))
    return arrays


def check(function, *inputs, sizes=(1, 5), atol=2e-5):
    """Compares both for batches of several sizes; returns the model's operations."""
    named = {f"x{index}": given for index, given in enumerate(inputs)}
    count = len(jax.tree.leaves(jax.eval_shape(function, *draw(inputs, 2))))
    model = lowering.to_onnx(function, named, [f"y{index}" for index in range(count)])
    for size in sizes:
        arrays = draw(inputs, size)
        expected = jax.tree.leaves(jax.jit(lambda *x: function(*x))(*arrays))
        for one, other in zip(run(model, arrays), expected, strict=True):
            assert one.dtype == np.asarray(other).dtype
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=atol)
    return [node.op_type for node in model.graph.node]


def convolve(x, kernel=KERNEL, strides=(1, 1), padding="SAME", **options):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=NHWC, **options)


def window(x, reduce=lax.max, start=-np.inf, size=2, stride=2, padding="VALID"):
    start = np.asarray(start, x.dtype)
    return lax.reduce_window(x, start, reduce, (1, size, size, 1), (1, stride, stride, 1), padding)


ONE = {
    "exp": jnp.exp,
    "log": lambda x: jnp.log(jnp.abs(x) + 1),
    "log1p": lambda x: jnp.log1p(jnp.exp(x)),
    "expm1": jnp.expm1,
    "logistic": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "gelu": lambda x: jax.nn.gelu(x, False),
    "silu": jax.nn.silu,
    "hard_swish": jax.nn.hard_swish,
    "relu6": jax.nn.relu6,
    "rsqrt": lambda x: lax.rsqrt(jnp.square(x) + 1.0),
    "sqrt": lambda x: jnp.sqrt(jnp.abs(x)),
    "powers": lambda x: x**3 + jnp.abs(x) ** 0.75 + x**2,
    "sign": lambda x: jnp.sign(x) * jnp.floor(x) - jnp.ceil(x) + jnp.round(x),
    "sin": lambda x: jnp.sin(x) + jnp.cos(x),
    "rem": lambda x: lax.rem(x, jnp.full_like(x, 0.7)),
    "clamp": lambda x: jnp.clip(x, -1.0, 0.5),
    "where": lambda x: jnp.where(x > 0, x, jnp.nan_to_num(x / 0.0, posinf=1.0, neginf=-1.0)),
    "cases": lambda x: lax.select_n((jnp.abs(x) > 1).astype(jnp.int32) * 2, x, -x, x * 3),
    "logic": lambda x: ~((x > 0) & (x < 1)) | (x == 2) ^ (x != 1) | (x <= 3) | (x >= 9),
    "bits": lambda x: (x.astype(jnp.int32) & 3) | 4,
    "finite": lambda x: jnp.isfinite(x / jnp.where(x > 0, x, 0.0)),
    "integers": lambda x: (x.astype(jnp.int32) // jnp.int32(2)).astype(jnp.float32),
    "softmax": jax.nn.softmax,
    "sums": lambda x: (x.sum(0), x.mean(1), x.max(1, keepdims=True), x.min(), x.prod(1)),
    "any": lambda x: (jnp.any(x > 0, 1), jnp.all(x > -1, 1)),
    "argmax": lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 1)),
    "cumulative": lambda x: (jnp.cumsum(x, 1), lax.cumsum(x, 1, reverse=True), jnp.cumprod(x, 1)),
    "cummax": lambda x: (lax.cummax(x, 1), lax.cummin(x, 1, reverse=True)),
    "sort": lambda x: (jnp.sort(x, 1), jnp.argsort(x, 1), lax.top_k(x, 2)),
    "transpose": lambda x: (x.T, x[:, None].swapaxes(1, 2)),
    "reshape": lambda x: (x.reshape(-1), x.reshape(x.shape[0], 5, 1), x[:, None, :, None]),
    "slices": lambda x: (x[:, 1:4], x[:, ::2], x[:, ::-1], x[:, -1], x[:, 2:2]),
    "pad": lambda x: (jnp.pad(x, ((0, 0), (1, 2))), lax.pad(x, 3.0, ((0, 0, 0), (-1, 2, 0)))),
    "concatenate": lambda x: jnp.concatenate([x, jnp.zeros((x.shape[0], 2)), x], 1),
    "stack": lambda x: jnp.stack([x, x * 2, jnp.ones_like(x)]).sum(0),
    "split": lambda x: jnp.split(x, [2], axis=1),
    "iota": lambda x: x + jnp.arange(5.0)[None] + jnp.arange(x.shape[0])[:, None],
    "dynamic_slice": lambda x: lax.dynamic_slice_in_dim(x, jnp.argmax(x[0]), 3, 1),
    "take": lambda x: x[:, jnp.array([3, 0, 0])],
    "take_index": lambda x: jnp.take(x, jnp.argmax(jnp.abs(x), 1), axis=1, mode="clip"),
    "broadcast": lambda x: jnp.broadcast_to(x[:, :1], x.shape) * x[:, :, None].max(2),
    "scale": lambda x: x / 4.0 * 2.0 * 2.0,
    "custom": lambda x: jax.checkpoint(jax.jit(jax.nn.relu))(x),
    "barrier": lambda x: sum(lax.optimization_barrier((x, x * 2))),
    "bfloat": lambda x: (jnp.floor(x).astype(jnp.bfloat16) * 2).astype(jnp.float32),
    "unstack": lambda x: jnp.unstack(x, axis=1)[1:3],
    "tile": lambda x: jnp.tile(x, (1, 2)),
    "constant": lambda x: (jnp.ones((x.shape[0], 3)).cumsum(1), jnp.float32(2.0)),
    "random_rows": lambda x: x[:, :1] * jnp.ones((1, 4)),
}
MAPPED = {
    "convolution": convolve,
    "strided": lambda x: convolve(x, strides=(2, 1), padding=((1, 0), (2, 1))),
    "dilated": lambda x: convolve(x, rhs_dilation=(2, 2)),
    "depthwise": lambda x: convolve(x, KERNEL[:, :, :1, :4], feature_group_count=4),
    "two": lambda x: jax.nn.relu(convolve(jnp.tanh(convolve(x * ROW)), KERNEL.swapaxes(2, 3))),
    "max": window,
    "max_same": lambda x: window(x, size=3, padding="SAME"),
    "mean": lambda x: window(convolve(x), lax.add, 0.0) / 4,
    "padded_sum": lambda x: window(x, lax.add, 0.0, 3, 2, "SAME"),
    "any": lambda x: window(x > 1, lax.bitwise_or, False),
    "squeeze_excite": lambda x: x * jax.nn.sigmoid(x.mean((1, 2)) @ GATES)[:, None, None],
    "flat": lambda x: convolve(x).reshape(x.shape[0], -1),
    "flipped": lambda x: convolve(x[:, :, ::-1]).mean((1, 2)),
    "channels": lambda x: convolve(x[..., ::-1])[..., 1:3],
    "joined": lambda x: jnp.concatenate([convolve(x), x], -1).sum((1, 2)),
    "padded": lambda x: convolve(jnp.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0))), padding="VALID"),
    "normalised": lambda x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True).clip(0.1),
    "products": lambda x: (x @ MATRIX, jnp.einsum("bijc,bikc->bijk", x, x)),
    "einsum": lambda x: (
        jnp.einsum("bijc,bijc->bij", x, x),
        jnp.einsum("bijc,cd->dbij", x, MATRIX),
    ),
    "attention": lambda x: jnp.einsum("bqhd,bkhd->bhqk", x, x),
    "along": lambda x: jnp.take_along_axis(
        x,
        jnp.broadcast_to(jnp.array([2, 0])[None, :, None, None], (x.shape[0], 2, 1, 1)),
        1,
        mode="clip",
    ),
}


@pytest.mark.parametrize("name", ONE)
def test_rows(name):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        check(ONE[name], ROWS)


@pytest.mark.parametrize("name", MAPPED)
def test_maps(name):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        check(MAPPED[name], MAPS, atol=1e-4)


def test_no_transposition_stands_between_convolutions():
    with jax.numpy_rank_promotion("allow"):
        operations = check(MAPPED["two"], MAPS, atol=1e-4)
    assert operations.count("Transpose") == 2  # one before and one after
    assert operations.count("Conv") == 2


def test_a_mean_of_windows_is_one_operation():
    operations = check(MAPPED["mean"], MAPS, atol=1e-4)
    assert "Mul" not in operations
    assert "Div" not in operations


def test_mirror_images_are_a_product():
    with jax.numpy_rank_promotion("allow"):
        operations = check(MAPPED["flipped"], MAPS, atol=1e-4)
    assert not {"Gather", "Slice"} & {*operations}
    assert operations.count("MatMul") == 1


def test_a_rectifier_with_an_end_is_one_operation():
    assert check(lambda x: jax.nn.relu6(x), ROWS) == ["Clip", "Identity"]


def test_what_needs_no_input_is_computed_at_once():
    def function(x):
        weights = jnp.tanh(jnp.arange(5.0)) @ jnp.ones((5, 5))
        return x * jnp.broadcast_to(weights[None], x.shape)

    assert check(function, ROWS) == ["Mul", "Identity"]


def test_sizes_have_names():
    def function(x, y):
        return x[:, 1:].mean(1) + y.sum() + x.shape[1]

    with jax.numpy_dtype_promotion("standard"):
        model = lowering.to_onnx(
            function, {"x": (("B", "W"), "float32"), "y": ((3,), "int32")}, ["mean"]
        )
    x, y = np.arange(8, dtype=np.float32).reshape(2, 4), np.arange(3, dtype=np.int32)
    np.testing.assert_allclose(run(model, [x, y])[0], [2 + 3 + 4, 6 + 3 + 4])
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == ["B", "W"]


def test_two_inputs_and_a_dict():
    def function(x, y):
        return {"sum": x + y, "product": x @ y.T}

    inputs = {"x": ((None, 3), "float32"), "y": ((4, 3), "float32")}
    with pytest.raises(TypeError, match="incompatible shapes"):
        lowering.to_onnx(function, inputs, ["product", "sum"])
    model = lowering.to_onnx(
        lambda x, y: {"sum": x.sum() + y.sum(), "product": x @ y.T}, inputs, ["product", "sum"]
    )
    x, y = draw([((2, 3), "float32"), ((4, 3), "float32")], 0)
    product, total = run(model, [x, y])
    np.testing.assert_allclose(product, x @ y.T, rtol=1e-5)
    np.testing.assert_allclose(total, x.sum() + y.sum(), rtol=1e-5)


def test_an_input_that_is_an_output_and_one_that_is_not_used():
    model = lowering.to_onnx(
        lambda x, y: (x, x), {"x": ROWS, "y": ((2,), "float32")}, ["a", "b"], {"key": "text"}
    )
    (x,) = draw([ROWS], 3)
    for result in run(model, [x, np.zeros(2, np.float32)]):
        np.testing.assert_array_equal(result, x)
    assert [(p.key, p.value) for p in model.metadata_props] == [("key", "text")]
    assert model.opset_import[0].version == 18


REFUSED = {
    "no form in ONNX is known for while": lambda x: lax.while_loop(
        lambda y: y.sum() < 1, lambda y: y + 1, x
    ),
    "no form in ONNX is known for scan": lambda x: lax.scan(lambda c, y: (c + y, c), x[0], x)[1],
    "for lgamma, scatter": lambda x: lax.lgamma(x).at[:, 0].set(0.0),
    "several axes": lambda x: x[jnp.array([0, 1]), jnp.array([0, 1])],
    "each row of a batch": lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1, mode="clip"),
    "fills what lies beyond": lambda x: jnp.take(x, jnp.argmax(x, 1), axis=1, mode="fill"),
    "between the elements": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1))),
    "halves away from zero": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
    "is transposed": lambda x: lax.conv_general_dilated(
        x[:, None], jnp.ones((1, 1, 3)), (1,), ((1, 1),), lhs_dilation=(2,)
    ),
    "several keys": lambda x: lax.sort((x, x), dimension=1, num_keys=2)[0],
    "a window": lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2), (1, 1), "SAME"),
    "known only when the model runs: .*B": lambda x: x if x.shape[0] > 3 else -x,
    "returns 2 arrays, got names for 1": lambda x: (x, x),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_form_is_refused(message):
    with pytest.raises(ValueError, match=message):
        lowering.to_onnx(REFUSED[message], {"x": ROWS}, ["y"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"x": ((None, -3), "float32")}, ["y"], "x: expected sizes as 3, None or a name, got -3"),
        ({"x": ROWS}, ["x"], "outputs: x is the name of another input or output"),
    ],
)
def test_bad_names_and_sizes(inputs, outputs, message):
    with pytest.raises(ValueError, match=message):
        lowering.to_onnx(functools.partial(jnp.multiply, 2.0), inputs, outputs)
