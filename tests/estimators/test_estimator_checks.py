"""The checks of scikit-learn for estimators.

`check_estimator` runs some sixty checks on each, most of which fit several times.
"""

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra sklearn")

from sklearn.utils.estimator_checks import check_estimator

from ldl_jax.estimators import LDLRegressor, OrdinalClassifier

# Weights and repeated rows give the same fit but for float32's rounding; the check wants 1e-7.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "sums in float32"}


@pytest.mark.parametrize("estimator", [LDLRegressor(), OrdinalClassifier()], ids=repr)
def test_scikit_learn_s_checks(estimator, optax_promotes):
    results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_skip=None)
    status = [result["status"] for result in results]
    assert status.count("passed") > 50
    assert status.count("xfail") <= 1
