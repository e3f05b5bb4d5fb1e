"""A classifier of ordered classes."""

from collections.abc import Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ldl_jax import decoders
from ldl_jax.estimators import parameters
from ldl_jax.estimators.base import DistributionEstimator, checked_weights
from ldl_jax.labels import LabelSpace

DECISIONS = ("mode", "median")


class OrdinalClassifier(ClassifierMixin, DistributionEstimator):
    """Learns ordered classes from features [N, D].

    The classes are learnt as 0, 1, ..., K-1; all else is as `LDLRegressor` has it.

    Args:
      method: a name in `methods.METHODS`, or "package.module:factory".
      hyper_parameters: the method's own; lengths, as sigma, are in classes.
      order: the classes from the lowest to the highest, or None for their sorted order. Scorers of
        scikit-learn that read probabilities expect the sorted one.
      decision: "mode", the most probable class, or "median", with the least expected distance.
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
      calibration_fraction: the share of the rows that probabilities and intervals are calibrated
        with, which nothing else sees; 0 for none.
      random_state: an int, a `RandomState`, or None for other numbers each time.

    Attributes:
      classes_: [K], in their order; the columns of `predict_proba`.
      calibration_, loss_curve_, validation_curve_, best_epoch_, n_features_in_, feature_names_in_:
        as `LDLRegressor` has them.

    Examples:
      >>> X = np.linspace(0, 1, 120)[:, None]
      >>> y = np.array(["low", "middle", "high"])[np.arange(120) // 40]
      >>> model = OrdinalClassifier(order=["low", "middle", "high"], epochs=50, random_state=0)
      >>> print(model.fit(X, y).predict([[0.1], [0.5], [0.9]]))
      ['low' 'middle' 'high']
    """

    def __init__(
        self,
        method: str = "corn",
        *,
        hyper_parameters: dict[str, Any] | None = None,
        order: Sequence[Any] | None = None,
        decision: str = "mode",
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
        self.order = order
        self.decision = decision
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
        """Fits to features [N, D] and classes [N].

        Args:
          X: numbers.
          y: classes, numbers or words; at least 2 of them, each in `order` where that is given.
          sample_weight: [N] factors of the rows' losses. A row of weight 0 is left out. Calibration
            counts every row once.

        Returns: itself.
        Raises: ValueError naming the parameter, X, y or sample_weight.
        """
        rows, classes = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(classes)
        weights, used = checked_weights(sample_weight, rows)
        rows, classes, weights = rows[used], classes[used], weights[used]
        parameters.check(self.get_params(), len(rows))
        if self.decision not in DECISIONS:
            raise ValueError(f"decision: expected mode or median, got {self.decision!r}")
        self.classes_, indices = self._ordered(classes)
        space = LabelSpace.range(0, len(self.classes_) - 1, unit="classes")
        self._fit(rows, indices.astype(np.float64), weights, space)
        return self

    def _ordered(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the classes [K] in their order, and the index [N] of each row's class."""
        known, indices = np.unique(classes, return_inverse=True)
        ordered: np.ndarray = known
        places: np.ndarray = np.arange(len(known))
        if self.order is not None:
            ordered = np.asarray(self.order)
            if ordered.ndim != 1 or len(np.unique(ordered)) != len(ordered):
                raise ValueError(f"order: expected each class once, got {self.order!r}")
            position = {x: index for index, x in enumerate(ordered.tolist())}
            others = [x for x in known.tolist() if x not in position]
            if others:
                raise ValueError(f"y: expected the classes of order, got {others} too")
            places = np.asarray([position[x] for x in known.tolist()])
        if len(ordered) < 2:
            raise ValueError(f"y: expected at least 2 classes, got one class: {ordered.tolist()}")
        return ordered, places[indices]

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Returns the class of each row, [N]."""
        probs = self.predict_proba(X)
        if self.decision == "mode":
            return self.classes_[probs.argmax(axis=1)]
        median = decoders.median(jnp.asarray(probs, jnp.float32), self._spec.space)
        return self.classes_[np.asarray(median).astype(int)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Returns each row's probabilities [N, K] over `classes_`, calibrated if fitted so."""
        return self._predict(X).probs

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> np.ndarray:
        """Returns an interval [N, 2] of each row: its lowest and its highest class.

        With a calibration it holds the class of at least that share of new rows, if these come as
        the calibration's did (split conformal). Without one it is the central interval of the
        distribution, the model's own claim.

        Raises: ValueError where the coverage is not in (0, 1), or the calibration had too few rows.
        """
        ends = np.stack(self._interval(X, coverage), axis=1)
        return self.classes_[np.rint(ends).astype(int)]
