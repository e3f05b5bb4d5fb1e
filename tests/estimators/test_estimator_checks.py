"""The checks of scikit-learn for estimators.

Each of the two has some sixty, most of which fit several times and compile: 40 s of a core.
All run with LDL_JAX_TEST_ESTIMATORS=1, and else those that fit little.
"""

import os

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra sklearn")

from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from ldl_jax.estimators import LDLRegressor, OrdinalClassifier

ALL = os.environ.get("LDL_JAX_TEST_ESTIMATORS") == "1"
# Weights and repeated rows give the same fit but for float32's rounding; the check wants 1e-7.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "sums in float32"}
QUICK = {
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_complex_data",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_estimator_cloneable",
    "check_estimator_sparse_tag",
    "check_estimators_empty_data_messages",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_supervised_y_no_nan",
    "check_valid_tag_types",
}


@pytest.mark.slow
@pytest.mark.skipif(not ALL, reason="LDL_JAX_TEST_ESTIMATORS=1 runs them all")
@pytest.mark.parametrize("estimator", [LDLRegressor(), OrdinalClassifier()], ids=repr)
def test_all_checks(estimator, optax_promotes):
    results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_skip=None)
    status = [result["status"] for result in results]
    assert status.count("passed") > 50
    assert status.count("xfail") <= 1


@pytest.mark.skipif(ALL, reason="all checks run")
@pytest.mark.parametrize("kind", [LDLRegressor, OrdinalClassifier])
def test_checks_that_fit_little(kind, optax_promotes):
    done = set()
    for estimator, check in estimator_checks_generator(kind(epochs=2, hidden=(4,))):
        name = getattr(check, "func", check).__name__
        if name in QUICK:
            check(estimator)
            done.add(name)
    assert len(done) >= 15
