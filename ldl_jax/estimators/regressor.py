"""A regressor that learns a distribution over label values."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from ldl_jax.estimators import grid, parameters
from ldl_jax.estimators.base import DistributionEstimator, checked_weights
from ldl_jax.estimators.grid import LabelGrid
from ldl_jax.labels import LabelSpace


class LDLRegressor(RegressorMixin, DistributionEstimator):
    """Learns a distribution over label values from features [N, D], and predicts a value from it.

    The head of a method, below hidden layers with ReLU, is fitted by AdamW whose learning rate
    falls to 0 as a cosine. The same `random_state` gives the same numbers.

    Args:
      method: a name in `methods.METHODS`, or "package.module:factory".
      hyper_parameters: the method's own, as {"sigma": 1.5, "decode": "median"}. Lengths, as sigma,
        are in the label's unit where `space` is given, and else in steps of `space_`, which are the
        label's unit where labels are whole numbers.
      space: a `LabelSpace`, its text low:step:high, or None. None takes one from the labels: whole
        numbers, or the finest even grid that they lie on, of at most 1001 values; or 101 values
        from the least label to the greatest.
      hidden: units of the hidden layers; () has none.
      dropout: the share of hidden units that a step leaves out.
      standardise: whether features are taken to mean 0 and deviation 1.
      epochs: passes over the rows.
      batch_size: rows of a step.
      learning_rate: of the first step.
      weight_decay: decoupled from the gradient.
      early_stopping: whether a part of the rows chooses the best epoch, and stops the fit.
      validation_fraction: the share of the rows in that part.
      patience: how many epochs without a better one stop the fit.
      calibration_fraction: the share of the rows that distributions and intervals are calibrated
        with, which nothing else sees; 0 for none.
      random_state: an int, a `RandomState`, or None for other numbers each time.

    Attributes:
      space_: the label space, in the label's unit.
      calibration_: the `calibration.Calibration`, or None. Its labels are in the learnt unit.
      loss_curve_: the mean loss of each epoch.
      validation_curve_: the same of the held-out part; empty where there is none.
      best_epoch_: the epoch whose parameters are kept, from 1.
      n_features_in_: D.
      feature_names_in_: the columns' names, where X had some.

    Examples:
      >>> X = np.linspace(0, 1, 200)[:, None]
      >>> model = LDLRegressor(epochs=50, random_state=0).fit(X, np.round(60 * X[:, 0]))
      >>> bool(abs(model.predict([[0.5]])[0] - 30) < 3)
      True
    """

    def __init__(
        self,
        method: str = "dldl_v2",
        *,
        hyper_parameters: dict[str, Any] | None = None,
        space: str | LabelSpace | None = None,
        hidden: tuple[int, ...] | int = (64,),
        dropout: float = 0.0,
        standardise: bool = True,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        calibration_fraction: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.hyper_parameters = hyper_parameters
        self.space = space
        self.hidden = hidden
        self.dropout = dropout
        self.standardise = standardise
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fits to features [N, D] and labels [N].

        Args:
          X: numbers.
          y: labels, in their own unit, inside `space` where that is given.
          sample_weight: [N] factors of the rows' losses. A row of weight 0 is left out. Calibration
            counts every row once.

        Returns: itself.
        Raises: ValueError naming the parameter, X, y or sample_weight.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weights, used = checked_weights(sample_weight, rows)
        rows, labels, weights = rows[used], labels[used].astype(np.float64), weights[used]
        parameters.check(self.get_params(), len(rows))
        self._grid = self._made_grid(labels)
        self.space_ = self._grid.space
        self._fit(rows, self._grid.to_learnt(labels), weights, self._grid.learnt)
        return self

    def _made_grid(self, labels: np.ndarray) -> LabelGrid:
        if self.space is None:
            return grid.of_labels(labels)
        if not isinstance(self.space, str | LabelSpace):
            raise ValueError(
                f"space: expected low:step:high, a LabelSpace or None, got {self.space!r}"
            )
        space = LabelSpace.parse(self.space) if isinstance(self.space, str) else self.space
        return grid.of_space(space, labels)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Returns the method's estimate of each row, [N], in the label's unit."""
        value = self._predict(X).value
        return self._grid.to_labels(value)

    def predict_distribution(self, X: ArrayLike) -> np.ndarray:
        """Returns each row's probabilities [N, K] over `space_.values`, calibrated if fitted so."""
        return self._predict(X).probs

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> np.ndarray:
        """Returns an interval [N, 2] of each row: its low and its high end, in the label's unit.

        With a calibration it holds the labels of at least that share of new rows, if these come as
        the calibration's did (split conformal). Without one it is the central interval of the
        distribution, the model's own claim.

        Raises: ValueError where the coverage is not in (0, 1), or the calibration had too few rows.
        """
        ends = self._grid.widened(*self._interval(X, coverage))
        return np.stack([self._grid.to_labels(end) for end in ends], axis=1)
