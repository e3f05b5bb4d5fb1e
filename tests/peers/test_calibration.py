"""Compares intervals with MAPIE's, and errors, temperatures and maps with netcal's."""

import numpy as np
import pytest

from ldl_jax import calibration, metrics
from ldl_jax.evaluation import calibrating
from ldl_jax.labels import AGE, LabelSpace

REASON = "is not installed; make test-peers does it"
FINE = LabelSpace.range(-8, 8, 0.01)  # where a density is as good as continuous


def guesses(count, seed):
    """Whole-numbered estimates of whole-numbered labels, none near the ends of the grid."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(40, 61, count)
    return (labels + rng.normal(2, 5, count).round()).astype(int), labels


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [20, 99, 500])
def test_intervals_around_a_value_are_mapies(level, count, seeds):
    """Of one label the RPS is the distance from it: split conformal with absolute residuals."""
    mapie = pytest.importorskip("mapie.regression", reason=f"MAPIE {REASON}")
    from sklearn.dummy import DummyRegressor

    class Known(DummyRegressor):
        def predict(self, X):
            return X[:, 0]

    for seed in seeds:
        guess, labels = guesses(count + 200, seed)
        X = guess[:, None].astype(float)
        known = Known().fit(X, labels)
        theirs = mapie.SplitConformalRegressor(known, confidence_level=level, prefit=True)
        theirs.conformalize(X[:count], labels[:count])
        bounds = theirs.predict_interval(X[count:])[1][:, :, 0]
        one_hot = np.eye(AGE.size)[guess]
        options = calibration.Options(
            temperature=False, recalibrate=False, score="rps", coverage=level
        )
        ours = calibration.fit(one_hot[:count], labels[:count], AGE, options)
        low, high = calibration.interval(ours, one_hot[count:], AGE, level)
        np.testing.assert_allclose(low, np.maximum(bounds[:, 0], 0))
        np.testing.assert_allclose(high, np.minimum(bounds[:, 1], 100))


def test_coverage_and_width_are_mapies():
    mapie = pytest.importorskip("mapie.metrics.regression", reason=f"MAPIE {REASON}")
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(AGE.size), 300)
    labels = rng.integers(0, 101, 300).astype(np.float32)
    ends = calibrating.intervals(None, probs, AGE)
    found = calibrating.figures(probs, labels, AGE, ends)
    for level, both in ends.items():
        stacked = np.stack(both, axis=1)[:, :, None]
        expected = mapie.regression_coverage_score(labels, stacked)
        assert found.coverage[level] == pytest.approx(float(expected[0]), abs=1e-6)
        width = mapie.regression_mean_width_score(stacked)
        assert found.width[level] == pytest.approx(float(width[0]), rel=1e-5)


def test_ece_is_netcals(draws, space):
    netcal = pytest.importorskip("netcal.metrics", reason=f"netcal {REASON}")
    for d in draws.values():
        for bins in (10, 15):
            expected = netcal.ECE(bins).measure(np.float64(d["target"]), d["index"])
            found = metrics.ece(d["target"], d["labels"], space, bins)
            assert float(found) == pytest.approx(float(expected), abs=1e-5)


def test_temperature_is_netcals(seeds):
    scaling = pytest.importorskip("netcal.scaling", reason=f"netcal {REASON}")
    space = LabelSpace.range(0, 9)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.ones(10), 2000)
        index = (np.cumsum(p, axis=1) < rng.uniform(size=(2000, 1))).sum(axis=1)
        sure = p**2 / np.sum(p**2, axis=1, keepdims=True)
        theirs = scaling.TemperatureScaling()
        theirs.fit(sure, index)
        expected = theirs.transform(sure)
        found = calibration.temper(sure, calibration.fit_temperature(sure, index, space))
        np.testing.assert_allclose(found, expected, atol=3e-3)


def gaussians(seed, count=300):
    """Normal densities that are half as wide as they should be, on the fine grid, and labels."""
    rng = np.random.default_rng(seed)
    mean, labels = rng.normal(0, 1, count), np.zeros(count)
    labels = np.clip(mean + rng.normal(0, 1, count), -7.9, 7.9)
    density = np.exp(-0.5 * ((np.asarray(FINE.values) - mean[:, None]) / 0.5) ** 2)
    return mean, labels, density / density.sum(axis=1, keepdims=True)


def test_recalibration_is_netcals(seeds):
    """Its isotonic regression goes through the labels' own shares, as ours does at the levels."""
    regression = pytest.importorskip("netcal.regression", reason=f"netcal {REASON}")
    levels = np.linspace(0, 1, 201)
    for seed in seeds:
        mean, labels, probs = gaussians(seed)
        theirs = regression.IsotonicRegression()
        theirs.fit((mean, np.full_like(mean, 0.5)), labels)
        points = np.linspace(-6, 6, 200)
        expected = theirs.transform((mean, np.full_like(mean, 0.5)), points)[2][:, :, 0]
        curve = calibration.fit_recalibration(probs, labels, FINE, levels)
        mapped = np.cumsum(calibration.recalibrate(probs, levels, curve), axis=1)
        found = np.array([np.interp(points, FINE.values, row) for row in mapped[:40]])
        before = np.array([np.interp(points, FINE.values, row) for row in probs[:40].cumsum(1)])
        rows = (before > levels[1]) & (before < levels[-2])  # beyond these ours is a line
        np.testing.assert_allclose(found[rows], expected[:, :40].T[rows], atol=0.03)


def test_the_quantiles_errors_are_netcals_coverages(seeds):
    """PICP holds what central intervals do: the difference of two points of our curve."""
    netcal = pytest.importorskip("netcal.metrics.regression", reason=f"netcal {REASON}")
    levels = np.array([0.5, 0.8, 0.9])
    for seed in seeds:
        mean, labels, probs = gaussians(seed)
        theirs = netcal.PICP().measure(
            (mean, np.full_like(mean, 0.5)), labels, q=levels, kind="meanstd", reduction="none"
        )
        shares = np.ravel(theirs[0] if isinstance(theirs, tuple) else theirs)
        ends = np.concatenate([(1 - levels) / 2, (1 + levels) / 2])
        curve = np.asarray(metrics.calibration_curve(probs, labels, FINE, ends))
        np.testing.assert_allclose(curve[3:] - curve[:3], shares, atol=0.015)
