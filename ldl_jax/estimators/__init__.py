"""Estimators of scikit-learn for ordered labels of arrays: tables, or the features of a network.

- `LDLRegressor` learns a distribution over label values, and `OrdinalClassifier` one over ordered
  classes; both by any method, with hidden layers between the features and the method's head.
- `network` has the jitted programs that fit and answer, `grid` makes a label space of labels,
  `parameters` checks what an estimator is made with, and `base` is what both share.

They need scikit-learn, the extra `sklearn`; nothing else in `ldl_jax` imports it.
"""

from ldl_jax import extras

extras.check("sklearn", "ldl_jax.estimators", "sklearn")

from ldl_jax.estimators.classifier import OrdinalClassifier  # noqa: E402  (after the check)
from ldl_jax.estimators.regressor import LDLRegressor  # noqa: E402

__all__ = ["LDLRegressor", "OrdinalClassifier"]
