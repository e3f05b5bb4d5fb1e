"""Any batches in any order on any devices: the results are those of one pass, to 1e-6 of them."""

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


@metrics.averaged(metrics.mean_of)
def epsilon_error(pred: jax.Array, labels: jax.Array) -> jax.Array:
    """The ε-error's score at one σ."""
    return -jnp.expm1(-jnp.square((pred - labels) / 2.0) / 2)


OF_VALUES = {
    "mae": metrics.mae,
    "rmse": metrics.rmse,
    "epsilon_error": epsilon_error,
    "accuracy": metrics.accuracy,
    "one_off": metrics.one_off_accuracy,
    "ca3": metrics.cumulative_accuracy.over(3),
    "ca3_not_strict": metrics.cumulative_accuracy.over(3, strict=False),
    "curve": metrics.cumulative_score_curve.over(np.arange(5)),
    "pearson": metrics.pearson,
    "confusion": metrics.confusion_matrix.over(SPACE),
    "per_label": metrics.per_label_mae.over(SPACE),
    "qwk": metrics.quadratic_weighted_kappa.over(SPACE),
    "amae": metrics.average_mae.over(SPACE),
    "mmae": metrics.maximum_mae.over(SPACE),
    "balanced": metrics.balanced_mae.over([0.0, 2.0, 5.0, 15.0]),
    "spearman": metrics.spearman.over(capacity=MOST),
}
OF_PROBS = {
    "nll": metrics.nll.over(SPACE),
    "crps": metrics.crps.over(SPACE),
    "coverage": metrics.interval_coverage.over(SPACE, 0.8),
    "shortest": metrics.interval_coverage.over(SPACE, 0.8, shortest=True),
    "ece": metrics.ece.over(SPACE),
    "calibration_curve": metrics.calibration_curve.over(SPACE),
    "calibration_error": metrics.quantile_calibration_error.over(SPACE),
}
ALL: dict[str, metrics.Metric[dict[str, Any]]] = {
    "values": metrics.together(OF_VALUES),
    "probs": metrics.together(OF_PROBS),
    "truth": metrics.ldl_measures,
}
UPDATES = {name: jax.jit(metric.update) for name, metric in ALL.items()}
COUNTS = {"accuracy", "one_off", "ca3", "ca3_not_strict", "curve", "confusion"}


def rows(kind: str, seed: int, count: int) -> tuple[np.ndarray, ...]:
    """The two arguments of an update, float32."""
    rng = np.random.default_rng(seed)
    K = SPACE.size
    labels = rng.integers(0, K, count).astype(np.float32)
    if kind == "values":
        return np.float32(labels + rng.normal(0, 2, count)), labels

    def draw() -> np.ndarray:
        return np.float32(rng.dirichlet(np.full(K, 0.5), count))

    return draw(), labels if kind == "probs" else draw()


def once(kind: str, arrays: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """The results of one pass over all rows, padded to one shape."""
    count = len(arrays[0])
    padded = [np.pad(x, [(0, MOST - count)] + [(0, 0)] * (x.ndim - 1)) for x in arrays]
    metric = ALL[kind]
    return metric.result(UPDATES[kind](metric.init(), *padded, np.arange(MOST) < count))


def check(got: dict[str, Any], expected: dict[str, Any]) -> None:
    """To 1e-6 of the result; counts of rows to the last bit."""
    assert got
    for name in got:
        for ours, theirs in zip(*map(jax.tree.leaves, (got[name], expected[name])), strict=True):
            if name in COUNTS:
                np.testing.assert_array_equal(ours, theirs, err_msg=name)
            else:
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, BATCH), max_size=6),
    split=st.integers(0, 6),
)
def test_any_batches_in_any_order(kind: str, seed: int, sizes: list[int], split: int) -> None:
    sizes = [*sizes, 5]  # a correlation needs rows
    arrays = rows(kind, seed, sum(sizes))
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
    check(metric.result(metric.merge(*shards)), once(kind, arrays))


@pytest.mark.parametrize("kind", ALL)
def test_over_eight_devices(kind: str) -> None:
    metric, arrays = ALL[kind], rows(kind, 1, 112)
    kept = np.arange(112) % 7 > 0

    def shard(a: jax.Array, b: jax.Array, mask: jax.Array) -> Any:
        acc = metric.update(metric.init(), a, b, mask)
        return metrics.merged(metric, jax.lax.all_gather(acc, "data"))

    data = PartitionSpec("data")
    mesh = make_placement(8).by_batch.mesh
    reduced = jax.shard_map(
        shard, mesh=mesh, in_specs=(data,) * 3, out_specs=PartitionSpec(), check_vma=False
    )
    got = metric.result(jax.jit(reduced)(*arrays, kept))
    check(got, once(kind, tuple(x[kept] for x in arrays)))


@pytest.mark.parametrize("kind", ALL)
def test_stacked_accumulators_of_eight_devices(kind: str) -> None:
    metric, arrays = ALL[kind], rows(kind, 2, 112)
    kept = np.arange(112) % 7 > 0

    def shard(*batch: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[None], metric.update(metric.init(), *batch))

    data = PartitionSpec("data")
    mesh = make_placement(8).by_batch.mesh
    stacked = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(data,) * 3, out_specs=data))(
        *arrays, kept
    )
    assert {leaf.shape[0] for leaf in jax.tree.leaves(stacked)} == {8}
    got = metric.result(metrics.merged(metric, jax.device_get(stacked)))
    check(got, once(kind, tuple(x[kept] for x in arrays)))


@pytest.mark.parametrize("kind", ALL)
def test_sharded_rows_in_one_program(kind: str) -> None:
    """As an evaluation runs: the compiler splits the update over the devices."""
    arrays = rows(kind, 3, MOST)
    metric = ALL[kind]
    split = make_placement(8).split((*arrays, np.ones(MOST, bool)))
    assert len(split[0].sharding.device_set) == 8
    check(metric.result(UPDATES[kind](metric.init(), *split)), once(kind, arrays))


def test_stacked_by_vmap() -> None:
    arrays = rows("truth", 4, 30)
    metric = metrics.ldl_measures
    parts = [x.reshape(5, 6, -1) for x in arrays]
    stacked = jax.vmap(lambda a, b: metric.update(metric.init(), a, b))(*parts)
    check(metric.result(metrics.merged(metric, stacked)), once("truth", arrays))


def test_spearman_without_a_capacity_grows_with_its_rows() -> None:
    pred, labels = rows("values", 5, 60)
    metric = metrics.spearman
    first = metric.update(metric.init(), pred[:20], labels[:20], np.arange(20) > 4)
    other = metric.update(
        metric.update(metric.init(), pred[20:30], labels[20:30]), pred[30:], labels[30:]
    )
    got = metric.result(metric.merge(other, first))
    np.testing.assert_allclose(got, metric(pred[5:], labels[5:]), rtol=1e-6)


def test_a_correlation_of_numbers_far_from_zero_in_any_batches() -> None:
    """Where the sums of squares themselves have no digit left for the spread."""
    pred, labels = (np.float32(x + 4096) for x in rows("values", 6, 4000))
    expected = np.corrcoef(pred.astype(np.float64), labels.astype(np.float64))[0, 1]
    for size in (4000, 400, 16):
        acc, update = metrics.pearson.init(), jax.jit(metrics.pearson.update)
        for start in range(0, 4000, size):
            acc = update(acc, pred[start : start + size], labels[start : start + size])
        np.testing.assert_allclose(metrics.pearson.result(acc), expected, rtol=1e-6)
    constant = np.full(32, 0.1, np.float32)
    acc = metrics.pearson.update(metrics.pearson.init(), constant, labels[:32])
    acc = metrics.pearson.update(acc, constant, labels[32:64])
    assert np.isnan(metrics.pearson.result(acc))


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
    metric = metrics.accuracy
    one_right = metric.update(metric.init(), np.zeros(1), np.zeros(1))
    many = functools.reduce(lambda acc, _: metric.merge(acc, acc), range(24), one_right)
    right = metric.update(many, np.zeros(1), np.zeros(1))
    assert right.rows == 2**24 + 1
    assert int(right.total.high) + int(right.total.low) == 2**24 + 1
    off = metric.update(many, np.ones(1), np.zeros(1))
    assert off.rows == 2**24 + 1
    assert int(off.total.high) + int(off.total.low) == 2**24
