"""Checks what an estimator is made with, and says everything that is wrong at once."""

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any


def check(parameters: Mapping[str, Any], rows: int) -> None:
    """Checks the parameters that both estimators have.

    Args:
      parameters: of `get_params`.
      rows: how many rows are fitted.

    Raises: ValueError naming each that is wrong.
    """
    faults = [*_wholes(parameters), *_numbers(parameters), *_others(parameters)]
    if not faults:
        validating, calibrating = sizes(parameters, rows)
        if rows - validating - calibrating < 1:
            faults.append(
                "validation_fraction, calibration_fraction: they leave no row to fit of n_samples "
                f"= {rows}"
            )
    if faults:
        raise ValueError("; ".join(faults))


def sizes(parameters: Mapping[str, Any], rows: int) -> tuple[int, int]:
    """Returns how many rows stop the fit early, and how many calibrate it."""
    validation = parameters["validation_fraction"] if parameters["early_stopping"] else 0.0
    calibration = parameters["calibration_fraction"]
    return math.ceil(round(validation * rows, 9)), math.ceil(round(calibration * rows, 9))


def settings(parameters: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """Returns a method's hyper-parameters as hashable pairs, of Python's own numbers."""
    pairs = (parameters["hyper_parameters"] or {}).items()
    return tuple(sorted((name, getattr(x, "item", lambda x=x: x)()) for name, x in pairs))


def hidden(parameters: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the units of the hidden layers; a number alone is one layer."""
    units = parameters["hidden"]
    return tuple(map(int, units if isinstance(units, Iterable) else (units,)))


def _wholes(parameters: Mapping[str, Any]) -> Iterable[str]:
    for name in ("epochs", "batch_size", "patience"):
        x = parameters[name]
        if not (isinstance(x, numbers.Integral) and not isinstance(x, bool) and int(x) >= 1):
            yield f"{name}: expected a whole number of at least 1, got {x!r}"
    units = parameters["hidden"]
    layers = list(units) if isinstance(units, Iterable) and not isinstance(units, str) else [units]
    if not all(isinstance(x, numbers.Integral) and not isinstance(x, bool) for x in layers):
        yield f"hidden: expected whole numbers of units, as (64, 32), got {units!r}"
    elif any(x < 1 for x in layers):
        yield f"hidden: expected at least 1 unit a layer, got {units!r}"


def _numbers(parameters: Mapping[str, Any]) -> Iterable[str]:
    for name, least, most in (
        ("learning_rate", 0.0, math.inf),
        ("weight_decay", 0.0, math.inf),
        ("dropout", 0.0, 1.0),
        ("validation_fraction", 0.0, 1.0),
        ("calibration_fraction", 0.0, 1.0),
    ):
        x = parameters[name]
        positive = name in ("learning_rate", "validation_fraction")
        real = isinstance(x, numbers.Real) and not isinstance(x, bool)
        if not (real and least <= x < most and not (positive and x == 0)):
            above = "above 0" if positive else "of at least 0"
            below = "" if most == math.inf else f" and below {most:g}"
            yield f"{name}: expected a number {above}{below}, got {x!r}"


def _others(parameters: Mapping[str, Any]) -> Iterable[str]:
    for name in ("standardise", "early_stopping"):
        if not (isinstance(parameters[name], bool) or type(parameters[name]).__name__ == "bool_"):
            yield f"{name}: expected True or False, got {parameters[name]!r}"
    if not isinstance(parameters["method"], str):
        method = parameters["method"]
        yield f"method: expected a name or 'package.module:factory', got {method!r}"
    settings = parameters["hyper_parameters"]
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        yield f"hyper_parameters: expected a dict, got {settings!r}"
        return
    for name, x in settings.items():
        if not (isinstance(x, numbers.Number | str) or type(x).__name__ == "bool_"):
            yield f"hyper_parameters: {name}: expected a number, a word, or a flag, got {x!r}"
