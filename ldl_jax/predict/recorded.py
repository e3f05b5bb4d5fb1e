"""The network, the method and the weights that a record names, checked against each other."""

from pathlib import Path

import jax

from ldl_jax import methods, models
from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.train import calibrated
from ldl_jax.train.predict_step import PredictStep, make_predict_step
from ldl_jax.train.record import Record
from ldl_jax.train.weights import Arrays, Weights, check_finite, differences


def parts(about: Record, source: str) -> tuple[Model, Method]:
    """Makes the network and the method that a record names.

    Raises:
      ValueError: it names no network or method that can be made.
    """
    try:
        method = methods.get(space=about.space, **about.method)
        method = method.deepened(about.hidden, standardised=about.standardised)
        return models.build(**about.model), method
    except (TypeError, ValueError) as error:  # a record's options may have any names and values
        raise ValueError(f"{source}: its record's model or method: {error}") from error


def predict_step(about: Record, model: Model, method: Method) -> PredictStep:
    """Returns the pure predict step of these as the record says that it answers."""
    return make_predict_step(
        model, method, flip=about.flip, crops=about.crops, calibration=about.calibration
    )


def fitting(about: Record, weights: Arrays, path: Path, allow_nonfinite: bool) -> Weights:
    """Returns the weights of a checkpoint, after checking them against the network it names."""
    model, method = parts(about, str(path))
    key = jax.random.key(0)
    wanted = (
        *jax.eval_shape(model.init, key),
        jax.eval_shape(lambda key: method.head.init(key, model.width), key),
    )
    params = weights["params"]
    stored = (params["backbone"], weights["model_state"], params["head"])
    if faults := differences(stored, wanted):
        rest = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(f"{path} does not fit {model.name}: {'; '.join(faults[:5])}{rest}")
    calibrated.check(about, params["head"], path)
    if not allow_nonfinite:
        remedy = " (--allow-nonfinite, or allow_nonfinite=True, takes them)"
        check_finite(weights, path, remedy)
    return Weights(params, weights["model_state"])
