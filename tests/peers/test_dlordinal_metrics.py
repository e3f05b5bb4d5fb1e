"""Compares metrics with dlordinal's."""

import numpy as np
import pytest
from side_by_side import TOLERANCE

from ldl_jax import losses, metrics
from ldl_jax.labels import LabelSpace

pytest.importorskip("dlordinal", reason="dlordinal is not installed; make test-peers does it")

import dlordinal.metrics as theirs


def estimates(space, seed):
    """Labels, every class among them, and estimates up to three classes off."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(space.size), rng.integers(0, space.size, 200)])
    return labels, np.clip(labels + rng.integers(-3, 4, labels.shape), 0, space.size - 1)


def test_ranked_probability_score(space, draws):
    """On a grid of step 1 it is the CRPS, and so the squared EMD from a one-hot."""
    for d in draws.values():
        expected = theirs.ranked_probability_score(d["index"], d["target"])
        found = metrics.crps(d["target"], d["labels"], space)
        np.testing.assert_allclose(found, expected, **TOLERANCE)
        of_logits = losses.crps(np.log(np.maximum(d["target"], 1e-30)), d["labels"], space)
        np.testing.assert_allclose(of_logits.mean(), expected, **TOLERANCE)


def test_one_off_accuracy(space, seeds):
    for seed in seeds:
        labels, pred = estimates(space, seed)
        expected = theirs.accuracy_off1(labels, pred, labels=np.arange(space.size))
        np.testing.assert_allclose(metrics.one_off_accuracy(pred, labels), expected, **TOLERANCE)


def test_their_one_off_accuracy_must_be_told_the_classes():
    """Else it knows the labels' own alone: other estimates vanish, and far ones are neighbours."""
    labels, pred = np.array([0, 0, 3]), np.array([2, 2, 3])
    assert theirs.accuracy_off1(labels, pred) == 1
    np.testing.assert_allclose(theirs.accuracy_off1(labels, pred, labels=np.arange(4)), 1 / 3)
    np.testing.assert_allclose(metrics.one_off_accuracy(pred, labels), 1 / 3, rtol=1e-6)
    assert theirs.accuracy_off1(np.array([0, 3]), np.array([3, 0])) == 1
    assert metrics.one_off_accuracy(np.array([3, 0]), np.array([0, 3])) == 0


def test_errors_by_label(space, seeds):
    """amae is the mean of the labels' own MAE, mmae the greatest."""
    edges = np.arange(space.size + 1) - 0.5
    for seed in seeds:
        labels, pred = estimates(space, seed)
        expected = theirs.amae(labels, pred)
        found = metrics.balanced_mae(pred, labels, edges)
        np.testing.assert_allclose(found, expected, **TOLERANCE)
        by_label = metrics.per_label_mae(pred, labels, space)
        np.testing.assert_allclose(np.mean(by_label), expected, **TOLERANCE)
        np.testing.assert_allclose(np.max(by_label), theirs.mmae(labels, pred), **TOLERANCE)


def test_their_errors_count_classes_that_occur_and_ours_years():
    """dlordinal takes the ages 0 and 9, when only they occur, for neighbours one class apart."""
    labels, pred = np.array([0, 0, 9]), np.array([9, 0, 9])
    np.testing.assert_allclose(theirs.amae(labels, pred), 0.25)
    found = metrics.balanced_mae(pred, labels, np.arange(11) - 0.5)
    np.testing.assert_allclose(found, 9 * 0.25, rtol=1e-6)
    by_label = metrics.per_label_mae(pred, labels, LabelSpace.range(0, 9))
    np.testing.assert_allclose(np.nanmax(by_label), 9 * theirs.mmae(labels, pred), rtol=1e-6)
