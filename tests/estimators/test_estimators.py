"""What the estimators learn, answer and refuse."""

import doctest
import importlib
import pickle
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra sklearn")

from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from ldl_jax.estimators import LDLRegressor, OrdinalClassifier, grid
from ldl_jax.labels import ADIENCE, LabelSpace
from tests.blocked import Blocked

pytestmark = pytest.mark.usefixtures("optax_promotes")
WORDS = np.array(["low", "middle", "high"])


def ages(count, seed=0):
    """Features and whole ages of 20 to 60 that they tell but for noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 3))
    return X, np.clip(np.round(40 + 8 * X[:, 0] + 2 * rng.normal(size=count)), 20, 60)


@pytest.fixture(scope="module")
def calibrated():
    with jax.numpy_dtype_promotion("standard"):
        model = LDLRegressor(epochs=30, calibration_fraction=0.4, random_state=0)
        return model.fit(*ages(600))


def test_a_regressor_is_near_ridge_and_repeats_its_numbers():
    X, y = load_diabetes(return_X_y=True)
    settings = {"epochs": 30, "hidden": (32,), "space": "20:1:360", "random_state": 0}
    model = LDLRegressor(**settings, hyper_parameters={"sigma": 30.0}).fit(X[:300], y[:300])
    theirs = mean_absolute_error(y[300:], Ridge(0.1).fit(X[:300], y[:300]).predict(X[300:]))
    assert mean_absolute_error(y[300:], model.predict(X[300:])) < 1.1 * theirs
    again = clone(model).fit(X[:300], y[:300])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    other = clone(model).set_params(random_state=1).fit(X[:300], y[:300])
    assert (other.predict(X) != model.predict(X)).any()


def test_intervals_hold_what_they_promise(calibrated):
    X, y = ages(2000, seed=1)
    for coverage in (0.6, 0.9):
        low, high = calibrated.predict_interval(X, coverage).T
        assert abs(((low <= y) & (y <= high)).mean() - coverage) < 0.09
    assert set(np.unique(low)) <= set(calibrated.space_.values)
    probs = calibrated.predict_distribution(X)
    assert probs.shape == (2000, calibrated.space_.size)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    values = np.asarray(calibrated.space_.values)
    assert np.abs(probs @ values - calibrated.predict(X)).mean() < 1
    with pytest.raises(ValueError, match=r"coverage: 0\.999 needs"):
        calibrated.predict_interval(X, 0.999)
    with pytest.raises(ValueError, match=r"coverage: expected a number in \(0, 1\), got 90"):
        calibrated.predict_interval(X, 90)


def test_a_fitted_one_is_pickled_and_answers_the_same_among_other_rows(calibrated):
    X, _ = ages(700, seed=2)
    copy = pickle.loads(pickle.dumps(calibrated))
    np.testing.assert_array_equal(copy.predict(X), calibrated.predict(X))
    np.testing.assert_array_equal(
        copy.predict_interval(X[5:6]), calibrated.predict_interval(X)[5:6]
    )


def test_a_search_through_a_pipeline():
    X, y = ages(60)
    steps = make_pipeline(MinMaxScaler(), LDLRegressor(epochs=10, random_state=0))
    choices = {"ldlregressor__learning_rate": [1e-6, 1e-2]}
    search = GridSearchCV(steps, choices, cv=2, scoring="neg_mean_absolute_error").fit(X, y)
    assert search.best_params_ == {"ldlregressor__learning_rate": 1e-2}


def test_a_classifier_of_words_in_their_order():
    X, y = ages(300)
    words = WORDS[np.digitize(y, [36, 44])]
    settings = {"order": WORDS, "epochs": 60, "learning_rate": 0.01, "random_state": 0}
    model = OrdinalClassifier(**settings, calibration_fraction=0.3).fit(X, words)
    assert model.score(X, words) > 0.75
    assert model.classes_.tolist() == WORDS.tolist()
    assert (model.predict(X) == WORDS[model.predict_proba(X).argmax(axis=1)]).all()
    low, high = model.predict_interval(X, 0.9).T
    assert set(low) | set(high) <= set(WORDS)
    model.set_params(decision="median")
    assert (model.predict(X) == model.predict_interval(X, 1e-6)[:, 0]).mean() > 0.9


def test_early_stopping_keeps_the_best_epoch():
    X, y = ages(200)
    model = LDLRegressor(epochs=60, early_stopping=True, patience=2, random_state=0)
    model.set_params(learning_rate=0.05, validation_fraction=0.3, dropout=0.2).fit(X, y)
    curve = model.validation_curve_
    assert len(curve) == len(model.loss_curve_) <= 60
    assert model.best_epoch_ == 1 + int(np.argmin(curve))
    assert len(curve) == 60 or len(curve) == model.best_epoch_ + 2


def test_weights_of_0_leave_rows_out_and_others_count():
    X, y = ages(90)
    wrong = np.concatenate([y, 80 - y])
    both = np.concatenate([X, X])
    model = LDLRegressor(epochs=3, hidden=(4,), random_state=0)
    weights = np.repeat([2.0, 0.0], 90)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(model.fit(both, wrong, weights).predict(X), expected)
    weights[90:] = 1e-3
    assert (model.fit(both, wrong, weights).predict(X) != expected).any()


def test_any_method_is_taken():
    X, y = ages(64)
    for method in ("coral", "regression_l2", "balanced_softmax", "tests.methods_of_tests:nothing"):
        model = LDLRegressor(method, epochs=1, hidden=(), random_state=0)
        if ":" in method:
            with pytest.raises(ValueError, match=r"method\.name: cannot import"):
                model.fit(X, y)
        else:
            assert np.isfinite(model.fit(X, y).predict(X)).all()


def test_spaces_of_labels():
    assert grid.of_labels(np.array([3.0, 1.0])).space.values == (1.0, 2.0, 3.0)
    assert grid.of_labels(np.array([0.0, 0.5, 2.0])).space.values == (0.0, 0.5, 1.0, 1.5, 2.0)
    assert grid.of_labels(np.array([7.0])).space.values == (6.0, 7.0, 8.0)
    assert grid.of_labels(np.array([0.0, 1e6])).space.size == 2
    between = grid.of_labels(np.random.default_rng(0).normal(size=50) * 1e9)
    assert between.space.size == 101
    assert between.between
    low, high = between.widened(np.array([0.0, 50.0]), np.array([3.0, 100.0]))
    np.testing.assert_allclose([low, high], [[0, 49.5], [3.5, 100]])
    given = grid.of_space(LabelSpace.range(0, 2), np.array([0.0, 1.5]))
    assert given.between
    assert not grid.of_space(ADIENCE, np.array([0.0, 2.0, 5.0])).between


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epochs": 0, "dropout": 1.0}, r"epochs: .*got 0; dropout: .*below 1, got 1\.0"),
        ({"hidden": (8, 0)}, "hidden: expected at least 1 unit"),
        ({"hidden": "64"}, "hidden: expected whole numbers"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0, got nan"),
        ({"standardise": "no"}, "standardise: expected True or False, got 'no'"),
        ({"method": 3}, "method: expected a name .* got 3"),
        ({"method": "nothing"}, "method.name: unknown method 'nothing'"),
        ({"hyper_parameters": {"sigmas": 2}}, "has no such hyper-parameter; it has: sigma"),
        ({"hyper_parameters": {"sigma": [2]}}, "hyper_parameters: sigma: expected a number"),
        ({"hyper_parameters": {"target": "votes"}}, "method: 'dldl_v2' needs votes"),
        ({"space": "20:60"}, "space: expected low:step:high"),
        ({"space": 5}, "space: expected low:step:high, a LabelSpace or None, got 5"),
        ({"space": "20:1:40"}, "y: expected labels in the space, 20 to 40; "),
        ({"calibration_fraction": 0.1}, "calibration_fraction: coverage: 0.9 needs 9 labels"),
        (
            {"calibration_fraction": 0.9, "early_stopping": True, "validation_fraction": 0.5},
            "validation_fraction, calibration_fraction: they leave no row",
        ),
        ({"learning_rate": 1e30}, r"learning_rate: the loss is (nan|inf) after epoch"),
    ],
)
def test_bad_settings_are_said(settings, says):
    model = LDLRegressor(**{"epochs": 3, "hidden": (4,), "random_state": 0} | settings)
    with pytest.raises(ValueError, match=says):
        model.fit(*ages(60))


def test_bad_data_is_said():
    X, y = ages(20)
    model = LDLRegressor(epochs=1)
    with pytest.raises(ValueError, match="sample_weight: expected no negative one, got -1"):
        model.fit(X, y, -np.ones(20))
    with pytest.raises(ValueError, match="beyond float32"):
        model.set_params(standardise=False).fit(1e300 * X, y)
    classifier = OrdinalClassifier(epochs=1, order=["a", "b"])
    with pytest.raises(ValueError, match=r"y: expected the classes of order, got \['c'\] too"):
        classifier.fit(X, ["a", "c"] * 10)
    with pytest.raises(ValueError, match="order: expected each class once"):
        classifier.set_params(order=["a", "a"]).fit(X, ["a", "a"] * 10)
    with pytest.raises(ValueError, match="decision: expected mode or median, got 'mean'"):
        classifier.set_params(order=None, decision="mean").fit(X, ["a", "b"] * 10)


def test_the_examples_run():
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    names = {"np": np, "LDLRegressor": LDLRegressor, "OrdinalClassifier": OrdinalClassifier}
    for explained in (LDLRegressor, OrdinalClassifier):
        (test,) = finder.find(explained, explained.__name__, globs=names)
        assert test.examples
        assert runner.run(test).failed == 0
    (test,) = finder.find(grid.of_labels, "of_labels", globs={"np": np, **vars(grid)})
    assert runner.run(test).failed == 0


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    for name in [*sys.modules]:
        if name.partition(".")[0] == "sklearn" or name.startswith("ldl_jax.estimators"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocked("sklearn"), *sys.meta_path])
    with pytest.raises(ValueError, match=r"ldl_jax\.estimators needs sklearn.*ldl_jax\[sklearn\]"):
        importlib.import_module("ldl_jax.estimators")
