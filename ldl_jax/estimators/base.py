"""The part that both estimators share: fitting, and the distributions of new rows."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ldl_jax import calibration, encodings, methods
from ldl_jax.estimators import network, parameters
from ldl_jax.estimators.network import CHUNK, FitState, NetworkSpec, Programs, RowAnswers, Rows
from ldl_jax.heads import Params
from ldl_jax.labels import LabelSpace


class DistributionEstimator(BaseEstimator):
    """Fits a method's head, below hidden layers, to features and labels of a learnt space."""

    def _fit(
        self, X: np.ndarray, labels: np.ndarray, weights: np.ndarray, space: LabelSpace
    ) -> None:
        """Fits rows [N, D] of positive weight [N] and labels [N] in the unit of `space`."""
        known = self.get_params()
        seed = check_random_state(known["random_state"]).randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        validating, calibrating = parameters.sizes(known, len(X))
        order = rng.permutation(len(X))
        parts = np.split(order, np.cumsum([validating, calibrating]))
        fitting = np.sort(parts[2])
        weights = weights / weights[fitting].mean()
        scaler = StandardScaler(with_mean=known["standardise"], with_std=known["standardise"])
        scaler.fit(X[fitting], sample_weight=weights[fitting])
        self._scaler = scaler
        features = self._features(X)
        self._spec = self._made_spec(space, labels[fitting], X.shape[1])
        programs = network.programs(self._spec)
        size = int(known["batch_size"])
        rows = network.filled(
            features[fitting], labels[fitting], weights[fitting], size, self._spec.space
        )
        held = None
        if validating:
            of = parts[0]
            held = network.filled(features[of], labels[of], weights[of], CHUNK, space)
        params = self._trained(programs, rows, held, len(fitting), seed, rng)
        self._params = jax.tree.map(np.asarray, params)
        self.calibration_: calibration.Calibration | None = None
        if calibrating:
            self._calibrate(features[parts[1]], labels[parts[1]], seed)

    def _made_spec(self, space: LabelSpace, labels: np.ndarray, width: int) -> NetworkSpec:
        known = self.get_params()
        name = known["method"]
        counts: tuple[int, ...] = ()
        if methods.takes_counts(name):
            counted = encodings.label_counts(labels.astype(np.float32), space)
            counts = tuple(int(count) for count in np.asarray(counted))
        dropout, settings = float(known["dropout"]), parameters.settings(known)
        hidden = parameters.hidden(known)
        return NetworkSpec(name, settings, space, counts, hidden, dropout, width)

    def _trained(
        self,
        programs: Programs,
        rows: Rows,
        held: Rows | None,
        count: int,
        seed: int,
        rng: np.random.Generator,
    ) -> Params:
        """Returns the parameters of the last epoch, or of the best one where rows are held out."""
        known = self.get_params()
        epochs, size, total = int(known["epochs"]), int(known["batch_size"]), len(rows.labels)
        steps = total // size
        passed = np.arange(epochs * steps).reshape(epochs, steps) / (epochs * steps)
        rates = float(known["learning_rate"]) * (1 + np.cos(np.pi * passed)) / 2
        rates = rates.astype(np.float32)
        decay = np.float32(known["weight_decay"])
        key = jax.random.key(seed)
        state: FitState = programs.start(key)
        best, params = np.inf, state.params
        self.loss_curve_: list[float] = []
        self.validation_curve_: list[float] = []
        self.best_epoch_ = epochs
        for epoch in range(epochs):
            order = np.concatenate([rng.permutation(count), np.arange(count, total)])
            order = order.reshape(steps, size).astype(np.int32)
            at = jax.random.fold_in(key, epoch + 1)
            state, loss = programs.epoch(state, rows, order, rates[epoch], decay, at)
            self.loss_curve_.append(_finite(float(loss), epoch, known["learning_rate"]))
            if held is None:
                params = state.params
                continue
            validation = _finite(
                float(programs.loss(state.params, held)), epoch, known["learning_rate"]
            )
            self.validation_curve_.append(validation)
            if validation < best:
                best, params, self.best_epoch_ = validation, state.params, epoch + 1
            elif epoch + 1 - self.best_epoch_ >= known["patience"]:
                break
        return params

    def _calibrate(self, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Fits a temperature and the intervals' thresholds to rows that were held out."""
        options = calibration.Options(recalibrate=False, seed=seed, data="rows that were held out")
        try:
            calibration.check_count(len(labels), options)
        except ValueError as error:
            raise ValueError(f"calibration_fraction: {error}") from None
        probs = network.predicted(self._spec, self._params, features).probs
        space = self._spec.space
        self.calibration_ = calibration.fit(probs, labels.astype(np.float32), space, options)

    def _features(self, X: np.ndarray) -> np.ndarray:
        """Returns rows as the network reads them: standardised in float64, then float32."""
        with np.errstate(over="ignore"):
            features = self._scaler.transform(X).astype(np.float32)
        if not np.isfinite(features).all():
            raise ValueError("X: has numbers beyond float32; scale them, or standardise=True")
        return features

    def _predict(self, X: ArrayLike) -> RowAnswers:
        """Returns the answers to new rows, whose probabilities are calibrated if fitted so."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        prediction = network.predicted(self._spec, self._params, self._features(rows))
        probs, known = prediction.probs, self.calibration_
        if known is not None:
            (probs,) = network.by_chunk(lambda p: (calibration.apply(known, p),), probs)
        probs = np.asarray(probs, np.float64)
        return RowAnswers(prediction.value, probs / probs.sum(axis=1, keepdims=True))

    def _interval(self, X: ArrayLike, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ends [N] of each row's interval, in the learnt unit."""
        if not (isinstance(coverage, int | float) and 0 < coverage < 1):
            raise ValueError(f"coverage: expected a number in (0, 1), got {coverage!r}")
        space, known, share = self._spec.space, self.calibration_, float(coverage)
        probs = self._predict(X).probs.astype(np.float32)
        low, high = network.by_chunk(lambda p: calibration.interval(known, p, space, share), probs)
        return low, high


def checked_weights(
    sample_weight: ArrayLike | None, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights [N], and which rows have a positive one: the others say nothing.

    Raises: ValueError if a weight is negative, or none is positive.
    """
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight: expected no negative one, got {weights.min():g}")
    if not (weights > 0).any():
        raise ValueError("sample_weight: expected a positive one, all are 0")
    return weights, weights > 0


def _finite(loss: float, epoch: int, rate: Any) -> float:
    if not np.isfinite(loss):
        raise ValueError(
            f"learning_rate: the loss is {loss} after epoch {epoch + 1} with {rate:g}; take a "
            "smaller one"
        )
    return loss
