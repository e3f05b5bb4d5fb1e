"""A calibrated model's answers: its distributions and intervals wherever it answers, or raw."""

import dataclasses

import numpy as np
import pytest

import ldl_jax
from ldl_jax import calibration, methods, models
from ldl_jax.calibration import Cell, Options
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.calibrated import network_mark

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def make(make_record, draw_weights):
    """`make(method, options, **changes)`: a predictor with a calibration of drawn labels."""

    def of(method="dldl", options=None, **changes):
        about = make_record(method={"name": method})
        weights = draw_weights(models.build(**about.model), methods.get(method, space=AGE), seed=2)
        options = options or Options()
        mark = network_mark(weights.params["head"])
        rng = np.random.default_rng(0)
        p, y = rng.dirichlet(np.ones(AGE.size), 80), rng.integers(0, 101, 80)
        fitted = calibration.fit(p, y, AGE, dataclasses.replace(options, network=mark))
        fitted = dataclasses.replace(fitted, **changes)
        return Predictor(dataclasses.replace(about, calibration=fitted), weights)

    return of


def raw_of(predictor):
    return Predictor(dataclasses.replace(predictor.about, calibration=None), predictor.trained)


def test_the_distribution_changes_and_the_value_stays(make, images):
    predictor = make(temperature=2.0)
    answer, raw = predictor(images), raw_of(predictor)(images)
    np.testing.assert_array_equal(answer.value, raw.value)
    known = predictor.about.calibration
    np.testing.assert_allclose(answer.probs, calibration.apply(known, raw.probs), atol=1e-6)
    assert np.abs(answer.probs - raw.probs).max() > 1e-3
    pure, weights = predictor.pure
    from ldl_jax.data.augment.augmentation import prepare

    inside = pure(weights, prepare(images, predictor.preprocessing))
    np.testing.assert_allclose(inside.probs, answer.probs, atol=1e-6)


def test_intervals_are_conformal(make, images):
    predictor = make()
    probs = predictor(images).probs
    expected = calibration.interval(predictor.about.calibration, probs, AGE, 0.8)
    np.testing.assert_array_equal(predictor.interval(probs, 0.8), expected)
    with pytest.raises(ValueError, match=r"coverage: 0.99 needs 99 calibrated labels"):
        predictor.interval(probs, 0.99)
    central = raw_of(predictor).interval(probs, 0.99)
    assert np.isfinite(central).all()


def test_a_group_has_its_own_thresholds(make, images):
    predictor = make()
    known = predictor.about.calibration
    none = Cell("women", known.overall.count, (0.0,) * len(known.overall.scores))
    predictor = make(groups=(none,))
    probs = predictor(images).probs
    low, high = predictor.interval(probs, 0.9, "women")
    np.testing.assert_array_equal(low, high)
    np.testing.assert_array_equal(
        predictor.interval(probs, 0.9, "someone else"), predictor.interval(probs, 0.9)
    )


def test_a_value_alone_has_an_interval_then(make, images):
    options = Options(temperature=False, recalibrate=False, score="rps")
    predictor = make("regression_l1", options)
    assert raw_of(predictor).value_alone
    assert not predictor.value_alone
    answer = predictor(images)
    low, high = predictor.interval(answer.probs)
    assert (low <= answer.value + 0.5).all()
    assert (answer.value - 0.5 <= high).all()
    assert (high > low).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_file_carries_it(make, images, tmp_path, dtype):
    predictor = make()
    path = tmp_path / "m.safetensors"
    predictor.save(path, dtype=dtype)
    loaded = ldl_jax.load(path)
    assert loaded.about.calibration == predictor.about.calibration
    if dtype == "float32":
        np.testing.assert_array_equal(loaded(images).probs, predictor(images).probs)
    raw = ldl_jax.load(path, raw=True)
    assert raw.about.calibration is None
    assert np.abs(raw(images).probs - loaded(images).probs).max() > 1e-4


def test_of_another_network_it_is_refused(make, tmp_path):
    path = tmp_path / "m.safetensors"
    make(network="0" * 64).save(path)
    with pytest.raises(ValueError, match=r"m\.safetensors: its calibration is of another network"):
        ldl_jax.load(path)
    assert ldl_jax.load(path, raw=True).about.calibration is None
