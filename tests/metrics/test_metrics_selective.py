"""Risk and coverage: against a loop, and over all orders of rows that are equally uncertain."""

import itertools

import jax
import numpy as np
import pytest

from ldl_jax import metrics


def test_without_ties_it_is_the_mean_of_the_most_certain():
    rng = np.random.default_rng(0)
    risks, uncertainty = rng.exponential(size=500), rng.permutation(500)
    found = metrics.risk_coverage_curve(risks, uncertainty)
    ordered = risks[np.argsort(uncertainty)]
    expected = [ordered[:count].mean() for count in range(1, 501)]
    np.testing.assert_allclose(found.risk, expected, rtol=1e-5)
    np.testing.assert_allclose(found.coverage, np.arange(1, 501) / 500, rtol=1e-6)
    np.testing.assert_allclose(metrics.aurc(risks, uncertainty), np.mean(expected), rtol=1e-5)
    assert metrics.aurc(risks, risks) < metrics.aurc(risks, uncertainty)
    np.testing.assert_allclose(metrics.aurc(risks, np.zeros(500)), risks.mean(), rtol=1e-5)


def test_ties_are_the_mean_over_their_orders():
    risks, uncertainty = np.array([1.0, 5.0, 2.0, 0.0, 7.0]), np.array([2, 1, 1, 2, 1])
    curves = []
    for order in itertools.permutations(range(5)):
        rows = sorted(order, key=lambda row: uncertainty[row])  # stable: ties stay in this order
        curves.append(np.cumsum(risks[rows]) / np.arange(1, 6))
    found = metrics.risk_coverage_curve(risks, uncertainty).risk
    np.testing.assert_allclose(found, np.mean(curves, axis=0), rtol=1e-6)


def test_jitted_and_unknown():
    risks, uncertainty = np.array([1.0, 2.0]), np.array([0.0, np.nan])
    assert np.isnan(jax.jit(metrics.aurc)(risks, uncertainty))
    assert np.isnan(metrics.risk_coverage_curve(risks * np.nan, [0.0, 1.0]).risk).all()
    assert metrics.aurc([3.0], [1.0]) == 3


@pytest.mark.parametrize(("risks", "uncertainty"), [([], []), ([1.0], [1.0, 2.0]), (1.0, 1.0)])
def test_shapes_that_disagree(risks, uncertainty):
    with pytest.raises(ValueError, match=r"^risks, uncertainty: expected one shape \[N\], N >= 1"):
        metrics.risk_coverage_curve(risks, uncertainty)
