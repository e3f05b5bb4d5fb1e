"""Metrics by label against loops over the rows."""

import itertools

import numpy as np
import pytest

from ldl_jax import metrics
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP, LabelSpace

SPACES = {"age": AGE, "score": SCUT_FBP, "groups": ADIENCE}
N = 301


def rows(space: LabelSpace) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.asarray(space.values, np.float32), N)
    step = np.diff(space.values).min()
    pred = np.clip(labels + rng.normal(0, 2 * step, N), space.low, space.high)
    return pred.astype(np.float32), labels


def own(label: float, space: LabelSpace) -> int:
    for i, (low, high) in enumerate(space.bounds):
        if low <= label <= high:
            return i
    return int(np.abs(np.asarray(space.values) - np.float64(label)).argmin())


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_confusion_matrix(space: LabelSpace) -> None:
    pred, labels = rows(space)
    kept = np.arange(N) % 5 > 0
    expected = np.zeros((space.size, space.size), int)
    for estimate, label in zip(pred[kept], labels[kept], strict=True):
        expected[own(label, space), own(estimate, space)] += 1
    got = metrics.confusion_matrix(np.where(kept, pred, np.nan), labels, space, kept)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(expected, expected.T)


def test_the_confusion_matrix_leaves_nan_out() -> None:
    pred, labels = np.array([1.0, np.nan, 3.0]), np.array([1.0, 2.0, np.nan])
    got = np.asarray(metrics.confusion_matrix(pred, labels, AGE))
    assert got.sum() == got[1, 1] == 1


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_mae_of_each_label(space: LabelSpace) -> None:
    pred, labels = rows(space)
    places = np.array([own(label, space) for label in labels])
    errors = np.abs(pred.astype(np.float64) - labels)
    got = np.asarray(metrics.per_label_mae(pred, labels, space))
    for i in range(space.size):
        chosen = errors[places == i]
        np.testing.assert_allclose(got[i], chosen.mean() if len(chosen) else np.nan, rtol=1e-6)


def test_balanced_by_each_label_is_the_mean_of_the_labels() -> None:
    pred, labels = rows(AGE)
    edges = np.arange(-0.5, 101)
    per_label = metrics.per_label_mae(pred, labels, AGE)
    np.testing.assert_allclose(
        metrics.balanced_mae(pred, labels, edges), np.nanmean(per_label), rtol=1e-6
    )


@pytest.mark.parametrize("edge", [10.0, 20.0, 30.0])
def test_an_edge_is_in_the_bin_above_and_the_last_in_the_last(edge: float) -> None:
    """Each label at an edge and one in each bin, of which the shared bin's mean is less."""
    edges = [10.0, 20.0, 30.0]
    labels = np.array([edge, 15.0, 25.0])
    errors = np.array([0.0, 4.0, 8.0])
    shared = 1 if edge == 10.0 else 2
    means = [4.0, 8.0]
    means[shared - 1] /= 2
    assert metrics.balanced_mae(labels + errors, labels, edges) == np.mean(means)


def test_what_has_no_row() -> None:
    pred, labels = rows(AGE)
    none = np.zeros(N, bool)
    assert np.isnan(metrics.per_label_mae(pred, labels, AGE, none)).all()
    assert np.isnan(metrics.balanced_mae(pred, labels, [0.0, 50.0, 100.0], none))
    assert not metrics.confusion_matrix(pred, labels, AGE, none).any()


def test_accuracies_are_the_confusion_matrix_s() -> None:
    pred, labels = rows(ADIENCE)
    matrix = np.asarray(metrics.confusion_matrix(pred, labels, ADIENCE))
    indices = [np.array([own(x, ADIENCE) for x in series]) for series in (pred, labels)]
    near = sum(matrix[i, j] for i, j in itertools.product(range(8), repeat=2) if abs(i - j) < 2)
    np.testing.assert_allclose(metrics.accuracy(*indices), matrix.trace() / N, rtol=1e-6)
    np.testing.assert_allclose(metrics.one_off_accuracy(*indices), near / N, rtol=1e-6)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_mean_and_the_greatest_of_the_labels_errors(space: LabelSpace) -> None:
    pred, labels = rows(space)
    kept = np.arange(N) % 5 > 0
    each = np.asarray(metrics.per_label_mae(pred, labels, space, kept), np.float64)
    np.testing.assert_allclose(
        metrics.average_mae(pred, labels, space, kept), np.nanmean(each), rtol=1e-6
    )
    np.testing.assert_allclose(
        metrics.maximum_mae(pred, labels, space, kept), np.nanmax(each), rtol=1e-6
    )
    broken = np.where(np.arange(N) == 1, np.nan, pred)
    assert np.isnan(metrics.maximum_mae(broken, labels, space))
    nothing = np.zeros(N, bool)
    assert np.isnan(metrics.average_mae(pred, labels, space, nothing))
    assert np.isnan(metrics.maximum_mae(pred, labels, space, nothing))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_quadratic_kappa_is_that_of_the_confusion_matrix(space: LabelSpace) -> None:
    pred, labels = rows(space)
    pred = pred[np.random.default_rng(1).permutation(N)] * 0.3 + pred * 0.7
    kept = np.arange(N) % 5 > 0
    counts = np.asarray(metrics.confusion_matrix(pred, labels, space, kept), np.float64)
    apart = (np.arange(space.size)[:, None] - np.arange(space.size)) ** 2
    chance = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    expected = 1 - (apart * counts).sum() / (apart * chance).sum()
    got = metrics.quadratic_weighted_kappa(np.where(kept, pred, np.nan), labels, space, kept)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert metrics.quadratic_weighted_kappa(labels, labels, space) == 1
    constant = np.full(N, space.values[1], np.float32)
    assert np.isnan(metrics.quadratic_weighted_kappa(constant, constant, space))
    assert metrics.quadratic_weighted_kappa(constant, labels, space) == 0
    assert np.isnan(metrics.quadratic_weighted_kappa(np.full(N, np.nan), labels, space))
