"""Temperature and recalibration, against float64 and against what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from ldl_jax import calibration, metrics
from ldl_jax.labels import AGE, LabelSpace

SPACE = LabelSpace.range(0, 9)


def drawn(count, power=3.0, seed=0, space=SPACE):
    """Distributions that are too sure by a power, and labels of what they should be."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(space.size, 0.7), count)
    index = (np.cumsum(p, axis=1) < rng.uniform(size=(count, 1))).sum(axis=1)
    sure = p**power
    return np.float32(sure / sure.sum(axis=1, keepdims=True)), np.float32(space.values)[index]


def softmax64(p, temperature):
    x = np.log(np.maximum(np.float64(p), 1e-12)) / temperature
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_temper_is_the_softmax_of_logits(temperature):
    logits = np.random.default_rng(0).normal(0, 4, (5, 101))
    expected = np.exp(logits / temperature - (logits / temperature).max(axis=1, keepdims=True))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered = calibration.temper(probs / probs.sum(axis=1, keepdims=True), temperature)
    np.testing.assert_allclose(
        tempered, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4, atol=2e-7
    )
    assert tempered.dtype == jnp.float32


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_one_of_least_nll(power):
    p, y = drawn(300, power)

    def nll(log):
        return -np.mean(np.log(softmax64(p, np.exp(log))[np.arange(300), y.astype(int)]))

    best = np.exp(minimize_scalar(nll, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    fitted = calibration.fit_temperature(p, y, SPACE)
    assert float(fitted) == pytest.approx(best, rel=1e-3)
    assert fitted.dtype == jnp.float32


def test_a_mask_leaves_rows_out():
    p, y = drawn(200)
    some = np.arange(200) < 120
    masked = calibration.fit_temperature(p, y, SPACE, some)
    assert float(masked) == pytest.approx(
        float(calibration.fit_temperature(p[:120], y[:120], SPACE)), rel=1e-5
    )
    levels = np.linspace(0, 1, 9)
    np.testing.assert_allclose(
        calibration.fit_recalibration(p, y, SPACE, levels, some),
        calibration.fit_recalibration(p[:120], y[:120], SPACE, levels),
        rtol=1e-5,
    )


def test_a_temperature_beyond_the_range_is_its_end():
    sure = np.float32([[1, 0], [1, 0]])
    space = LabelSpace.range(0, 1)
    assert float(calibration.fit_temperature(sure, [1.0, 1.0], space)) == pytest.approx(
        np.exp(3), rel=1e-4
    )
    assert float(calibration.fit_temperature([[0.6, 0.4]], [0.0], space)) == pytest.approx(
        np.exp(-3), rel=1e-4
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match=r"temperature: must be positive"):
        calibration.temper([0.5, 0.5], temperature)


def test_recalibration_is_the_map_of_the_cumulative_probabilities():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(AGE.size), 6)
    levels = np.linspace(0, 1, 21)
    curve = np.concatenate([[0], np.sort(rng.uniform(size=19)), [1]])
    mapped = np.interp(np.cumsum(p, axis=1), levels, curve)
    expected = np.diff(mapped, prepend=0, axis=1)
    got = calibration.recalibrate(p, levels, curve)
    np.testing.assert_allclose(got, expected, atol=3e-6)
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(calibration.recalibrate(p, levels, levels), p, atol=1e-6)


def test_the_curve_is_the_share_of_labels_with_one_calibrated_label_more():
    p, y = drawn(50)
    levels = np.linspace(0, 1, 11)
    share = metrics.calibration_curve(p, y, SPACE, levels)
    curve = calibration.fit_recalibration(p, y, SPACE, levels)
    np.testing.assert_allclose(curve, (50 * share + levels) / 51, rtol=1e-5)
    assert (np.diff(curve) > 0).all()


def test_new_labels_are_calibrated_afterwards():
    """Biased and too sure: a label's quantiles are right after the map, on labels not fitted to."""
    p, y = drawn(4000, 2.0)
    p = np.roll(p, 1, axis=1)
    levels = np.linspace(0, 1, 31)
    curve = calibration.fit_recalibration(p[:3000], y[:3000], SPACE, levels)
    before = metrics.quantile_calibration_error(p[3000:], y[3000:], SPACE)
    mapped = calibration.recalibrate(p[3000:], levels, curve)
    after = metrics.quantile_calibration_error(mapped, y[3000:], SPACE)
    assert after < 0.15 * before


def test_a_curve_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"curve: expected shape \[3\], got \[2\]"):
        calibration.recalibrate([0.5, 0.5], [0.0, 0.5, 1.0], [0.0, 1.0])


def test_nan_stays_nan_and_shards_are_jitted():
    p = np.float32([[0.5, np.nan, 0.5], [0.2, 0.3, 0.5]])
    levels = np.float32([0, 0.5, 1])
    both = jax.jit(lambda x: calibration.recalibrate(calibration.temper(x, 2.0), levels, levels))(p)
    assert np.isnan(both[0]).all()
    assert np.isfinite(both[1]).all()
    assert calibration.temper(jnp.bfloat16(p), 2.0).dtype == jnp.float32
