"""Scores and thresholds against NumPy, and the guarantee itself, by many draws."""

import math
from fractions import Fraction

import numpy as np
import pytest

from ldl_jax import calibration, metrics
from ldl_jax.calibration.conformal import SCORES
from ldl_jax.labels import ADIENCE, AGE, LabelSpace
from tests.calibration.test_calibration_maps import SPACE, drawn


@pytest.mark.parametrize("space", [AGE, ADIENCE], ids=["age", "groups"])
def test_the_cdf_score_orders_labels_as_the_distance_from_one_half(space):
    p = np.random.default_rng(0).dirichlet(np.ones(space.size), 7)
    middle = np.cumsum(p, axis=1) - p / 2
    distance = np.abs(middle - 0.5)
    got = calibration.scores(p, space)
    np.testing.assert_allclose(got, -np.log(2 * (0.5 - distance)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", [AGE, ADIENCE], ids=["age", "groups"])
def test_the_rps_score_is_the_crps_of_each_label(space):
    p = np.random.default_rng(1).dirichlet(np.ones(space.size), 1)
    every = np.repeat(p, space.size, axis=0)
    F = np.cumsum(p, axis=1)[:, :-1]
    gaps, above = np.diff(space.values), np.arange(space.size)[:, None] <= np.arange(space.size - 1)
    expected = np.sum(np.square(F - above) * gaps, axis=1)
    np.testing.assert_allclose(calibration.scores(p, space, "rps")[0], expected, rtol=1e-4)
    mean = metrics.crps(every, space.values, space)
    assert expected.mean() == pytest.approx(float(mean), rel=1e-4)


@pytest.mark.parametrize("kind", SCORES)
def test_scores_rise_from_the_median_to_either_side(kind):
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.full(AGE.size, 0.05), 50)  # most labels have next to nothing
    s = np.asarray(calibration.scores(p, AGE, kind))
    best = s.argmin(axis=1)
    for row, index in enumerate(best):
        assert (np.diff(s[row, : index + 1]) <= 1e-5).all()
        assert (np.diff(s[row, index:]) >= -1e-5).all()


def test_labels_beyond_the_sums_of_float32_keep_an_order():
    s = np.asarray(calibration.scores([np.eye(101)[50]], AGE))[0]
    assert (np.diff(s[51:]) > 0).all()
    assert np.isfinite(s).all()


def test_another_score_is_refused():
    with pytest.raises(ValueError, match=r"kind: expected one of cdf, rps, got 'aps'"):
        calibration.scores([[0.5, 0.5]], LabelSpace.range(0, 1), "aps")


def test_ranks_are_those_of_exact_numbers():
    """⌈(N + 1) a⌉ of the decimal a, where products of floating point numbers lie beside it."""
    for percent in range(1, 100):
        for count in range(1, 300):
            exact = math.ceil((count + 1) * Fraction(percent, 100))
            assert calibration.rank(count, percent / 100) == exact
        least = calibration.least_count(percent / 100)
        assert calibration.rank(least, percent / 100) <= least
        assert least == 1 or calibration.rank(least - 1, percent / 100) > least - 1
        if percent > 50:
            assert least == math.ceil(1 / (1 - Fraction(percent, 100))) - 1


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_coverages_lie_between_0_and_1(coverage):
    for function in (calibration.least_count, lambda a: calibration.rank(9, a)):
        with pytest.raises(ValueError, match=r"coverage: expected a number in \(0, 1\)"):
            function(coverage)


def test_thresholds_are_order_statistics_of_those_coverages_that_can_be_had():
    own = np.random.default_rng(0).permutation(19).astype(float)
    assert calibration.thresholds(own, [0.5, 0.9, 0.95, 0.96]).tolist() == [9, 17, 18]
    assert calibration.thresholds([], [0.5]).tolist() == []
    with pytest.raises(ValueError, match="NaN"):
        calibration.thresholds([1.0, np.nan], [0.5])


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_guarantee(kind, coverage):
    """Over draws of 49 that calibrate and one that is new, and wrong distributions of all.

    Where no scores are equal the share is in [a, a + 1/50]: Lei et al. (2018), Theorem 2.2.
    """
    count, redraws = 49, 2000
    p, y = drawn((count + 1) * redraws, power=4.0, seed=3)
    p = np.roll(p, 2, axis=1)
    scores = np.asarray(calibration.own_scores(p, y, SPACE, kind)).reshape(redraws, count + 1)
    limits = np.sort(scores[:, :count], axis=1)[:, calibration.rank(count, coverage) - 1]
    held = np.mean(scores[:, -1] <= limits)
    noise = 4 * np.sqrt(coverage * (1 - coverage) / redraws)
    assert coverage - noise <= held <= coverage + 1 / (count + 1) + noise


@pytest.mark.parametrize("kind", SCORES)
def test_intervals_hold_all_labels_under_the_threshold_and_the_best(kind):
    p = np.random.default_rng(4).dirichlet(np.ones(SPACE.size), 20)
    s = np.asarray(calibration.scores(p, SPACE, kind))
    for threshold in (-1.0, 0.5, 2.0, 1e6):
        low, high = map(np.asarray, calibration.conformal_interval(p, SPACE, threshold, kind))
        for row in range(len(p)):
            inside = np.flatnonzero((s[row] <= threshold) | (s[row] == s[row].min()))
            assert (low[row], high[row]) == (inside[0], inside[-1])


def test_thresholds_by_label_give_all_labels_between():
    p = np.full((1, 10), 0.1)
    limit = np.where(np.arange(10) == 9, 100.0, 0.3)
    low, high = calibration.conformal_interval(p, SPACE, limit)
    assert (float(low[0]), float(high[0])) == (4.0, 9.0)
    with pytest.raises(ValueError, match=r"threshold: expected shape \[10\], got \[3\]"):
        calibration.conformal_interval(p, SPACE, [1.0, 2.0, 3.0])


def test_nan_has_no_interval():
    p = np.float32([[np.nan, 1.0], [0.5, 0.5]])
    low, high = calibration.conformal_interval(p, LabelSpace.range(0, 1), 1.0)
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()
