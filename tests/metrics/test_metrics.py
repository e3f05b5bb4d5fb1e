"""Errors and correlations against float64 NumPy written from the equations."""

import inspect
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ldl_jax import metrics
from ldl_jax.labels import AGE

N = 257
EDGES = np.array([16.0, 25.0, 40.0, 60.0, 77.0])


def rows(seed: int, count: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates, labels in whole years (so ties occur) and σ, float32 [count]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(16, 78, count)
    pred = labels + rng.normal(0, 4, count)
    sigma = rng.uniform(1, 6, count)
    return pred.astype(np.float32), labels.astype(np.float32), sigma.astype(np.float32)


def exact(arrays: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [x.astype(np.float64) for x in arrays]


def balanced(pred: np.ndarray, labels: np.ndarray) -> float:
    means = []
    for i, (low, high) in enumerate(itertools.pairwise(EDGES)):
        last = i == len(EDGES) - 2
        chosen = (labels >= low) & ((labels <= high) if last else (labels < high))
        if chosen.any():
            means.append(np.abs(pred - labels)[chosen].mean())
    return float(np.mean(means))


# name -> (ours(pred, labels, sigma, mask), the equation in float64(pred, labels, sigma))
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mae": (
        lambda p, y, s, m: metrics.mae(p, y, m),
        lambda p, y, s: np.abs(p - y).mean(),
    ),
    "rmse": (
        lambda p, y, s, m: metrics.rmse(p, y, m),
        lambda p, y, s: np.sqrt(((p - y) ** 2).mean()),
    ),
    "epsilon_error": (
        lambda p, y, s, m: metrics.epsilon_error(p, y, s, m),
        lambda p, y, s: (1 - np.exp(-((p - y) ** 2) / (2 * s**2))).mean(),
    ),
    "ca3": (
        lambda p, y, s, m: metrics.cumulative_accuracy(p, y, 3, mask=m),
        lambda p, y, s: (np.abs(p - y) < 3).mean(),
    ),
    "accuracy": (
        lambda p, y, s, m: metrics.accuracy(jnp.round(p), y, m),
        lambda p, y, s: (np.round(p) == y).mean(),
    ),
    "one_off": (
        lambda p, y, s, m: metrics.one_off_accuracy(jnp.round(p), y, m),
        lambda p, y, s: (np.abs(np.round(p) - y) <= 1).mean(),
    ),
    "curve": (
        lambda p, y, s, m: metrics.cumulative_score_curve(p, y, np.arange(6), mask=m),
        lambda p, y, s: np.array([(np.abs(p - y) <= t).mean() for t in range(6)]),
    ),
    "balanced_mae": (
        lambda p, y, s, m: metrics.balanced_mae(p, y, EDGES, m),
        lambda p, y, s: balanced(p, y),
    ),
    "pearson": (
        lambda p, y, s, m: metrics.pearson(p, y, m),
        lambda p, y, s: np.corrcoef(p, y)[0, 1],
    ),
    "spearman": (
        lambda p, y, s, m: metrics.spearman(p, y, m),
        lambda p, y, s: scipy.stats.spearmanr(p, y)[0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_golden_masks_and_jit(name: str) -> None:
    ours, golden = CASES[name]
    jitted = jax.jit(ours)
    arrays = rows(0)
    everything = jitted(*arrays, None)
    assert everything.dtype == jnp.float32
    np.testing.assert_allclose(everything, golden(*exact(arrays)), rtol=2e-6)
    np.testing.assert_allclose(ours(*arrays, None), everything, rtol=1e-6)

    kept = np.arange(N) % 3 != 1
    padded = [np.where(kept, x, np.nan).astype(np.float32) for x in arrays]
    masked = jitted(*padded, kept)
    np.testing.assert_allclose(masked, golden(*exact(x[kept] for x in arrays)), rtol=2e-6)
    np.testing.assert_array_equal(jitted(*padded, kept.astype(np.float32)), masked)


def test_cumulative_accuracy_strict() -> None:
    pred, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4)
    assert metrics.cumulative_accuracy(pred, labels, 3) == 0.5
    assert metrics.cumulative_accuracy(pred, labels, 3, strict=False) == 0.75


def test_group_indices() -> None:
    pred, labels = np.array([0, 1, 2, 7]), np.array([0, 2, 4, 7])
    assert metrics.accuracy(pred, labels) == 0.5
    assert metrics.one_off_accuracy(pred, labels) == 0.75


def test_epsilon_error_takes_one_sigma() -> None:
    got = metrics.epsilon_error(np.array([2.0, 0.0]), np.zeros(2), 2.0)
    np.testing.assert_allclose(got, (1 - np.exp(-0.5)) / 2, rtol=1e-6)


def test_balanced_mae_ignores_rows_outside_and_empty_bins() -> None:
    pred, labels = np.array([1.0, 1.0, 4.0, 99.0]), np.array([0.0, 0.0, 10.0, 50.0])
    got = metrics.balanced_mae(pred, labels, np.array([0.0, 1.0, 5.0, 10.0]))
    np.testing.assert_allclose(got, (1 + 6) / 2)


def test_kl_to_truth() -> None:
    rng = np.random.default_rng(1)
    truth, probs = rng.dirichlet(np.ones(9), 6), rng.dirichlet(np.ones(9), 6)
    truth[0] = np.eye(9)[3]  # 0 ln 0
    probs[1] = 0.0  # an underflowed softmax
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(truth > 0, truth * np.log(truth / probs), 0).sum(1)
    got = np.asarray(metrics.kl_to_truth(probs, truth, mask=np.arange(6) < 5))
    np.testing.assert_allclose(got[[0, 2, 3, 4]], expected[[0, 2, 3, 4]], rtol=1e-5)
    assert np.isfinite(got[1])
    assert got[1] > 50
    assert got[5] == 0
    np.testing.assert_allclose(metrics.kl_to_truth(truth, truth), 0, atol=1e-6)


def test_no_row_is_nan() -> None:
    pred, labels, _ = rows(2)
    none = np.zeros(N, bool)
    for metric in (metrics.mae, metrics.rmse, metrics.pearson, metrics.spearman):
        assert np.isnan(metric(pred, labels, mask=none))


def test_pearson_of_a_constant_is_nan_and_large_means_keep_their_digits() -> None:
    pred, labels, _ = rows(3)
    assert np.isnan(metrics.pearson(np.full(N, 0.1), labels))
    far = (pred + 4096).astype(np.float32)
    expected = np.corrcoef(far.astype(np.float64), labels)[0, 1]
    np.testing.assert_allclose(metrics.pearson(far, labels), expected, rtol=1e-5)


MEANS = ("mae", "rmse", "epsilon_error", "balanced_mae", "pearson", "spearman")


@pytest.mark.parametrize("name", CASES)
def test_a_kept_nan_shows_in_a_mean_and_is_a_miss_in_a_count(name: str) -> None:
    pred, labels, sigma = rows(4)
    everything = np.asarray(CASES[name][0](pred, labels, sigma, None))
    pred[np.argmin(np.abs(pred - labels))] = np.nan  # right to the nearest year, so far
    with_nan = np.asarray(CASES[name][0](pred, labels, sigma, None))
    if name in MEANS:
        assert np.isnan(with_nan)
    else:
        # At a threshold of 0 years no row counted before.
        np.testing.assert_allclose(with_nan, np.maximum(everything - 1 / N, 0), atol=1e-6)


def test_spearman_of_infinities_and_of_more_rows_than_its_capacity() -> None:
    pred, labels, _ = rows(6)
    pred[:3], labels[:2] = np.inf, -np.inf
    kept = np.arange(N) % 4 > 0
    got = metrics.spearman(pred, labels, mask=kept)
    expected = scipy.stats.spearmanr(
        *(scipy.stats.rankdata(x[kept]) for x in (pred, labels))
    ).statistic
    np.testing.assert_allclose(got, expected, rtol=1e-6)

    enough, short = (
        metrics.spearman.over(capacity=kept.sum()),
        metrics.spearman.over(capacity=kept.sum() - 1),
    )
    np.testing.assert_allclose(
        enough.result(enough.update(enough.init(), pred, labels, kept)), got, rtol=1e-6
    )
    assert np.isnan(short.result(short.update(short.init(), pred, labels, kept)))


def test_curve_at_strict_thresholds() -> None:
    got = metrics.cumulative_score_curve(np.arange(4.0), np.zeros(4), np.arange(4), strict=True)
    np.testing.assert_array_equal(got, [0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("name", CASES)
def test_vmap_is_the_loop(name: str) -> None:
    ours = CASES[name][0]
    stacked = [np.stack(x) for x in zip(rows(7, 20), rows(8, 20), strict=True)]
    got = jax.vmap(lambda p, y, s: ours(p, y, s, None))(*stacked)
    for i in range(2):
        np.testing.assert_allclose(got[i], ours(*(x[i] for x in stacked), None), rtol=1e-6)


def test_a_metric_with_parameters_says_that_they_are_not_set() -> None:
    with pytest.raises(TypeError, match=r"cumulative_accuracy: set n first, by cumulative_acc"):
        metrics.cumulative_accuracy.init()
    with pytest.raises(TypeError, match="labels"):
        metrics.mae(np.zeros(2))


def test_a_metric_has_the_signature_of_its_call() -> None:
    assert list(inspect.signature(metrics.ece).parameters) == [
        "probs", "labels", "space", "bins", "mask",
    ]  # fmt: skip
    assert list(inspect.signature(metrics.ece.over(AGE)).parameters) == ["probs", "labels", "mask"]
    assert metrics.ece.__doc__ is not None
    assert metrics.ece.__doc__.startswith("Expected calibration error")


def test_a_new_metric_is_a_function_of_rows() -> None:
    @metrics.averaged(metrics.mean_of)
    def bias(pred: np.ndarray, labels: np.ndarray, scale: float = 1.0) -> jax.Array:
        return jnp.asarray(scale * (pred - labels))

    pred, labels, _ = map(jnp.asarray, rows(9))
    np.testing.assert_allclose(bias(pred, labels), np.mean(pred - labels), rtol=1e-5)
    doubled = bias.over(scale=2.0)
    acc = doubled.update(doubled.init(), pred, labels, mask=None)
    np.testing.assert_allclose(doubled.result(acc), 2 * bias(pred, labels), rtol=1e-6)


TWO, THREE = np.zeros(2), np.zeros(3)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "labels": (lambda: metrics.mae(TWO, THREE), r"labels.*\[2\].*\[3\]"),
    "no broadcast": (lambda: metrics.rmse(TWO, 1.0), r"labels.*\[2\].*\[\]"),
    "pred": (lambda: metrics.pearson(np.zeros((2, 1)), TWO), r"pred.*\[N\].*\[2, 1\]"),
    "mask": (lambda: metrics.accuracy(TWO, TWO, THREE), r"mask.*\[2\].*\[3\]"),
    "sigma": (lambda: metrics.epsilon_error(TWO, TWO, THREE), r"sigma.*\[2\].*\[3\]"),
    "thresholds": (lambda: metrics.cumulative_score_curve(TWO, TWO, 3.0), r"thresholds.*\[T\]"),
    "edges": (lambda: metrics.balanced_mae(TWO, TWO, [1.0, 1.0]), r"edges.*rising.*\[1.0, 1.0\]"),
    "one edge": (lambda: metrics.balanced_mae(TWO, TWO, [1.0]), "edges"),
    "capacity": (lambda: metrics.spearman.over(capacity=0), "capacity.*got 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
