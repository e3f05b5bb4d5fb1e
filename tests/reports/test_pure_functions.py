"""What holds of every public loss, encoding, decoder and metric: NaN, transforms, meshes, dtypes.

`CASES` has the arguments of each. A name in an `__all__` without a case fails.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from public_functions import (
    CASES,
    CHECKED,
    COUNTS,
    COUPLED,
    HITS,
    PACKAGES,
    SPACE,
    B,
    D,
    function_of,
)

from ldl_jax import encodings, losses, metrics
from ldl_jax.labels import LabelSpace


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def assert_same(ours, theirs):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_every_public_function_has_a_case():
    public = {
        f"{package}.{name}"
        for package, module in PACKAGES.items()
        for name in module.__all__
        if package != "metrics" or isinstance(getattr(module, name), metrics.Metric)
    }
    assert public == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_nan_in_is_nan_out(name):
    """A NaN anywhere is seen in a float result; of whole numbers it is in no count."""
    call, arguments = function_of(name)
    key = name.split(".")[1]
    good = leaves(call(arguments))
    assert all(np.isfinite(x).all() or name == "metrics.per_label_mae" for x in good)
    for argument, x in arguments.items():
        # One in the first and one in the last place of a row.
        for place in {(0,) * x.ndim, tuple(n - 1 for n in x.shape)}:
            bad = np.array(x)
            bad[place] = np.nan
            if f"{name}.{argument}" in CHECKED:
                with pytest.raises(ValueError, match=f"^{argument}: "):
                    call(arguments | {argument: bad})
                continue
            results = leaves(call(arguments | {argument: bad}))
            if name in COUNTS:
                assert sum(r.sum() for r in results) == sum(r.sum() for r in good) - 1
            elif key in HITS:
                assert all((r <= g).all() for r, g in zip(results, good, strict=True))
            elif key == "ece" and argument == "labels":
                assert np.isfinite(results[0])
            elif key == "interval_coverage":
                assert results[0] <= good[0]
                assert np.isnan(results[1]) or argument == "labels"
            elif key == "per_label_mae" and argument == "labels":
                np.testing.assert_array_equal(
                    np.isnan(results[0]).sum(), np.isnan(good[0]).sum() + 1
                )
            elif key in ("balanced_mae", "average_mae", "maximum_mae") and argument == "labels":
                assert np.isfinite(results[0])
            else:
                assert any(np.isnan(r).any() for r in results), (argument, place)


@pytest.mark.parametrize("name", CASES)
def test_transforms(name):
    """Jit, vmap over each argument, gradients, `jax.checkpoint` and shard_map, in one program."""
    call, arguments = function_of(name)
    if not arguments:
        np.testing.assert_array_equal(jax.jit(call)(arguments), call(arguments))
        return
    split = {key: data_axis(x) for key, x in arguments.items()}
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    sharded = (
        name not in COUPLED
        and not name.startswith("metrics")
        and any(map(rows, arguments.values()))
    )

    def scalar(arguments):
        floats = [x for x in jax.tree.leaves(call(arguments)) if x.dtype == jnp.float32]
        return sum((jnp.sum(x) for x in floats), jnp.float32(0))

    def everything(arguments):
        results = {"jit": call(arguments), "gradient": jax.grad(jax.checkpoint(scalar))(arguments)}
        if sharded:
            results["shards"] = jax.shard_map(
                call, mesh=mesh, in_specs=(split,), out_specs=PartitionSpec("data")
            )(arguments)
        return results

    results = jax.jit(everything)(arguments)
    eager = call(arguments)
    assert_same(results["jit"], eager)
    if name != "metrics.per_label_mae":  # NaN where no label is
        assert all(np.isfinite(x).all() for x in leaves(results["gradient"]))
    if sharded:
        assert_same(results["shards"], eager)
    for key, x in arguments.items():
        two = jax.ShapeDtypeStruct((2, *x.shape), x.dtype)
        mapped = jax.eval_shape(jax.vmap(lambda x, key=key: call(arguments | {key: x})), two)
        shapes = [(2, *np.shape(y)) for y in jax.tree.leaves(eager)]
        assert [y.shape for y in jax.tree.leaves(mapped)] == shapes


def data_axis(x):
    return PartitionSpec("data") if rows(x) else PartitionSpec()


def rows(x):
    return x.ndim > 0 and x.shape[0] == B and x is not D["rank_weights"]


@pytest.mark.parametrize("name", CASES)
def test_rows_on_an_explicit_mesh(name):
    """`jax.make_mesh` makes explicit axes; a function must say how its result is sharded."""
    call, arguments = function_of(name)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        shards = {
            key: jax.device_put(x, NamedSharding(mesh, data_axis(x)))
            for key, x in arguments.items()
        }
        result = jax.jit(call)(shards)
    assert_same(result, call(arguments))


@pytest.mark.parametrize("name", CASES)
def test_results_are_float32_where_x64_is_enabled(name):
    call, arguments = function_of(name)
    expected = [x.dtype for x in jax.tree.leaves(jax.eval_shape(call, arguments))]
    with jax.enable_x64(True):
        doubled = jax.tree.map(np.float64, arguments)
        shapes = jax.eval_shape(call, doubled)
    assert [x.dtype for x in jax.tree.leaves(shapes)] == expected
    assert set(expected) <= {np.dtype("float32"), np.dtype("int32")}


INFINITE = ("cross_entropy", "kl_divergence", "focal", "reverse_kl_divergence", "jensen_shannon")


@pytest.mark.parametrize("name", INFINITE)
def test_a_logit_of_minus_infinity_costs_nothing_where_the_target_is_zero(name):
    loss = getattr(losses, name)
    logits = jnp.array([0.3, -0.2, -jnp.inf])
    target = jnp.array([0.4, 0.6, 0.0])
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    value, gradient = both(logits, target)
    shorter, (its, _) = both(logits[:2], target[:2])
    np.testing.assert_allclose(value, shorter, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradient[0], [*its, 0.0], rtol=1e-4, atol=1e-6)
    assert np.isfinite(gradient[1]).all()


def test_infinite_logits_of_a_class_or_a_rank_that_is_right():
    logits = jnp.array([[0.3, -0.2, -jnp.inf, 0.1, -jnp.inf]])
    for loss in (losses.dex, losses.mean_residue, losses.mean_variance, losses.crps):
        of_logits = jax.value_and_grad(lambda x, f=loss: f(x, np.float32([20]), SPACE)[0])
        value, gradient = jax.jit(of_logits)(logits)
        assert np.isfinite(value), loss
        assert np.isfinite(gradient).all(), loss
    ranks, signs = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.array([1.0, 1.0, -1.0, -1.0])
    for loss in (losses.coral, losses.conditional_cross_entropy):
        value, gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(signs * jnp.inf, ranks)
        assert value == 0, loss
        assert np.isfinite(gradient[0]).all(), loss
        assert np.isinf(loss(-signs * jnp.inf, ranks)), loss


@pytest.mark.parametrize("size", [5, 101])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("beta", {"concentration": 400.0}),
        ("exponential", {"power": 1.5, "temperature": 2.0}),
        ("triangular", {"alpha": 0.1}),
    ],
)
def test_traced_parameters_of_soft_labels(name, parameters, size):
    space = LabelSpace.range(0, size - 1)
    encode = functools.partial(getattr(encodings, name), np.arange(size, dtype=np.float32), space)
    traced = jax.jit(lambda p: encode(**p))(parameters)
    np.testing.assert_allclose(traced, encode(**parameters), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "key", "at"),
    [
        ("beta", "concentration", 25.0),
        ("exponential", "power", 1.5),
        ("exponential", "temperature", 2.0),
        ("triangular", "alpha", 0.1),
    ],
)
def test_gradients_by_parameters_of_soft_labels(name, key, at):
    def mean(x):
        return jnp.vdot(getattr(encodings, name)(22.0, SPACE, **{key: x}), jnp.arange(5.0) ** 2)

    numeric = (mean(1.01 * at) - mean(0.99 * at)) / (0.02 * at)
    np.testing.assert_allclose(jax.jit(jax.grad(mean))(at), numeric, rtol=2e-2)
