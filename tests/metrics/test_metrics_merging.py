"""Any batches in any order on any devices: the accumulators' results are those of one pass.

They are to the last bit where a row's own score is: whatever the numbers, for what subtracts,
squares and compares; for what adds within a row, of numbers that float32 adds exactly.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from ldl_jax import metrics
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement

SPACE = LabelSpace.range(0, 15)
BATCH, MOST = 16, 120
EPSILON_ERROR = metrics.EPSILON_ERROR._replace(
    update=functools.partial(metrics.EPSILON_ERROR.update, sigma=2.0)
)
OF_VALUES = {
    "mae": metrics.MAE,
    "rmse": metrics.RMSE,
    "epsilon_error": EPSILON_ERROR,
    "accuracy": metrics.ACCURACY,
    "one_off": metrics.ONE_OFF_ACCURACY,
    "ca3": metrics.within(3),
    "ca3_not_strict": metrics.within(3, strict=False),
    "curve": metrics.cumulative_score_curve_metric(np.arange(5)),
    "pearson": metrics.PEARSON,
    "confusion": metrics.confusion_matrix_metric(SPACE),
    "per_label": metrics.per_label_mae_metric(SPACE),
    "balanced": metrics.balanced_mae_metric([0.0, 2.0, 5.0, 15.0]),
}
OF_PROBS = {
    "nll": metrics.nll_metric(SPACE),
    "crps": metrics.crps_metric(SPACE),
    "coverage": metrics.interval_coverage_metric(SPACE, 0.8),
    "shortest": metrics.interval_coverage_metric(SPACE, 0.8, shortest=True),
    "ece": metrics.ece_metric(SPACE),
    "calibration_curve": metrics.calibration_curve_metric(SPACE),
    "calibration_error": metrics.quantile_calibration_error_metric(SPACE),
}
SUMS = {
    "values": metrics.together(OF_VALUES),
    "probs": metrics.together(OF_PROBS),
    "truth": metrics.LDL_MEASURES,
}
SPEARMAN = metrics.spearman_rows(MOST)
ALL = {**SUMS, "values": metrics.together({**OF_VALUES, "spearman": SPEARMAN})}
UPDATES = {name: jax.jit(metric.update) for name, metric in ALL.items()}
# To the last bit of any numbers, and of multiples of 1/64.
ANY = {*OF_VALUES, "spearman"} - {"epsilon_error"}
DYADIC = ANY | {"crps", "coverage", "shortest", "ece", "chebyshev", "intersection"}


def rows(kind: str, seed: int, count: int, dyadic: bool = False) -> tuple[np.ndarray, ...]:
    """The two arguments of an update, float32; multiples of 1/64 or not."""
    rng = np.random.default_rng(seed)
    K = SPACE.size
    labels = rng.integers(0, K, count).astype(np.float32)
    if kind == "values":
        error = rng.integers(-128, 129, count) / 64 if dyadic else rng.normal(0, 2, count)
        return np.float32(labels + error), labels

    def draw() -> np.ndarray:
        if dyadic:
            return np.float32(rng.multinomial(64, np.full(K, 1 / K), count) / 64)
        return np.float32(rng.dirichlet(np.full(K, 0.5), count))

    return draw(), labels if kind == "probs" else draw()


def once(kind: str, arrays: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """The results of one pass over all rows, padded to one shape."""
    count = len(arrays[0])
    padded = [np.pad(x, [(0, MOST - count)] + [(0, 0)] * (x.ndim - 1)) for x in arrays]
    metric = ALL[kind]
    return metric.result(UPDATES[kind](metric.init(), *padded, np.arange(MOST) < count))


def check(got: dict[str, Any], expected: dict[str, Any], bitwise: set[str]) -> None:
    assert got
    for name in got:
        for ours, theirs in zip(*map(jax.tree.leaves, (got[name], expected[name])), strict=True):
            if name in bitwise:
                np.testing.assert_array_equal(ours, theirs, err_msg=name)
            else:
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dyadic", [False, True])
@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, BATCH), max_size=6),
    split=st.integers(0, 6),
)
def test_any_batches_in_any_order(
    kind: str, dyadic: bool, seed: int, sizes: list[int], split: int
) -> None:
    sizes = [*sizes, 5]  # a correlation needs rows
    arrays = rows(kind, seed, sum(sizes), dyadic)
    order = np.random.default_rng(seed).permutation(sum(sizes))
    metric = ALL[kind]
    shards = [metric.init(), metric.init()]
    for i, batch in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        # Padded to one size, as the last batch of an evaluation is, by rows of NaN.
        padded = [np.full((BATCH, *x.shape[1:]), np.nan, np.float32) for x in arrays]
        for x, into in zip(arrays, padded, strict=True):
            into[: len(batch)] = x[batch]
        side = int(i >= split)
        shards[side] = UPDATES[kind](shards[side], *padded, np.arange(BATCH) < len(batch))
    got = metric.result(metric.merge(*shards))
    check(got, once(kind, arrays), DYADIC if dyadic else ANY)


@pytest.mark.parametrize("kind", SUMS)
def test_psum_over_eight_devices(kind: str) -> None:
    metric, arrays = SUMS[kind], rows(kind, 1, 112)
    kept = np.arange(112) % 7 > 0

    def shard(a: jax.Array, b: jax.Array, mask: jax.Array) -> Any:
        return jax.lax.psum(metric.update(metric.init(), a, b, mask), "data")

    data = PartitionSpec("data")
    mesh = make_placement(8).by_batch.mesh
    reduced = jax.shard_map(shard, mesh=mesh, in_specs=(data,) * 3, out_specs=PartitionSpec())
    got = metric.result(jax.jit(reduced)(*arrays, kept))
    check(got, once(kind, tuple(x[kept] for x in arrays)), ANY)


def test_stacked_accumulators_of_eight_devices() -> None:
    arrays = rows("values", 2, 112)
    kept = np.arange(112) % 7 > 0

    def shard(*batch: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[None], SPEARMAN.update(SPEARMAN.init(), *batch))

    data = PartitionSpec("data")
    mesh = make_placement(8).by_batch.mesh
    stacked = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(data,) * 3, out_specs=data))(
        *arrays, kept
    )
    assert stacked.rows.shape == (8,)
    got = SPEARMAN.result(metrics.merged(SPEARMAN, stacked))
    assert got == metrics.spearman(*arrays, mask=kept)
    assert got == once("values", tuple(x[kept] for x in arrays))["spearman"]


@pytest.mark.parametrize("kind", ALL)
def test_sharded_rows_in_one_program(kind: str) -> None:
    """As an evaluation runs: the compiler splits the update over the devices."""
    arrays = rows(kind, 3, MOST)
    metric = ALL[kind]
    split = make_placement(8).split((*arrays, np.ones(MOST, bool)))
    assert len(split[0].sharding.device_set) == 8
    check(metric.result(UPDATES[kind](metric.init(), *split)), once(kind, arrays), ANY)


def test_stacked_by_vmap() -> None:
    arrays = rows("truth", 4, 30)
    metric = metrics.LDL_MEASURES
    parts = [x.reshape(5, 6, -1) for x in arrays]
    stacked = jax.vmap(lambda a, b: metric.update(metric.init(), a, b))(*parts)
    check(metric.result(metrics.merged(metric, stacked)), once("truth", arrays), set())


@pytest.mark.parametrize("kind", ALL)
def test_no_row_is_neutral_and_its_result_nan(kind: str) -> None:
    metric = ALL[kind]
    acc = metric.update(metric.init(), *rows(kind, 5, 20))
    result = metric.result(acc)
    for merged in (metric.merge(acc, metric.init()), metric.merge(metric.init(), acc)):
        jax.tree.map(np.testing.assert_array_equal, metric.result(merged), result)
    nothing = metric.result(metric.init())
    if kind == "values":
        assert not np.asarray(nothing.pop("confusion")).any()
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(nothing))


def test_counts_beyond_what_float32_counts() -> None:
    """2^24 + 1 rows of which one is off: float32 would have lost it."""
    one_right = metrics.ACCURACY.update(metrics.ACCURACY.init(), np.zeros(1), np.zeros(1))
    many = functools.reduce(lambda acc, _: metrics.ACCURACY.merge(acc, acc), range(24), one_right)
    off = metrics.ACCURACY.update(many, np.ones(1), np.zeros(1))
    assert off.rows == 2**24 + 1
    assert off.total.digits[8] == 2**24
    accs = jax.tree.map(lambda a, b: a - b, off, many)
    assert (accs.rows, metrics.ACCURACY.result(accs)) == (1, 0)


def test_accumulators_are_integers() -> None:
    """So that adding them is exact, and jax.lax.psum of them is a merge."""
    for kind, metric in SUMS.items():
        acc = jax.eval_shape(metric.update, jax.eval_shape(metric.init), *rows(kind, 6, 3))
        assert {leaf.dtype for leaf in jax.tree.leaves(acc)} == {jnp.dtype("int32")}
