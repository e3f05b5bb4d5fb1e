"""The list of methods, and how one is made by name.

Reached as `ldl_jax.methods.NAME`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from jax.typing import ArrayLike

from ldl_jax.labels import LabelSpace
from ldl_jax.methods.cen import cen
from ldl_jax.methods.contract import Method
from ldl_jax.methods.distribution import (
    balanced_softmax,
    dex,
    dldl,
    dldl_v2,
    focal,
    hl_gauss,
    soft_labels,
    sord,
)
from ldl_jax.methods.moments import (
    crps,
    emd,
    mean_residue,
    mean_variance,
    unimodal,
    weighted_kappa,
)
from ldl_jax.methods.ordinal import coral, corn, megaage, ranking
from ldl_jax.methods.regression import regression_l1, regression_l2, ssr

METHODS: dict[str, Callable[..., Method]] = {
    "balanced_softmax": balanced_softmax,
    "cen": cen,
    "coral": coral,
    "corn": corn,
    "crps": crps,
    "dex": dex,
    "dldl": dldl,
    "dldl_v2": dldl_v2,
    "emd": emd,
    "focal": focal,
    "hl_gauss": hl_gauss,
    "mean_residue": mean_residue,
    "mean_variance": mean_variance,
    "megaage": megaage,
    "ranking": ranking,
    "regression_l1": regression_l1,
    "regression_l2": regression_l2,
    "soft_labels": soft_labels,
    "sord": sord,
    "ssr": ssr,
    "unimodal": unimodal,
    "weighted_kappa": weighted_kappa,
}
# What a run knows and no config says.
_GIVEN = ("space", "counts")


def get(
    name: str | Method,
    *,
    space: LabelSpace,
    counts: ArrayLike | None = None,
    **hyper_parameters: Any,
) -> Method:
    """A method by name, by "package.module:factory", or itself.

    Args:
      name: a name in `METHODS`, a factory's, or a method, which is returned as it is.
      space: the label space.
      counts: how many training labels each of the K values has (`encodings.label_counts`), for the
        factories that ask for them; only their losses do.
      **hyper_parameters: the factory's own; those left out take its defaults.

    Raises:
      ValueError: the name is unknown, a hyper-parameter is not the method's, or its value is
        out of range; each message lists what is known.
    """
    if isinstance(name, Method):
        return name
    factory = _factory(name)
    parameters = inspect.signature(factory).parameters
    known = [p for p in parameters if p not in _GIVEN]
    for key in hyper_parameters:
        if key not in known:
            raise ValueError(
                f"method.{key}: {name!r} has no such hyper-parameter; it has: {', '.join(known)}"
            )
    for key in known:
        if key not in hyper_parameters and parameters[key].default is inspect.Parameter.empty:
            raise ValueError(f"method.{key}: {name!r} has no default for it, it must be given")
    given = {"counts": counts} if "counts" in parameters else {}
    method = factory(space, **given, **hyper_parameters)
    if not isinstance(method, Method):
        raise ValueError(f"method.name: {name!r} returned {type(method).__name__}, not a Method")
    made_with = {key: hyper_parameters.get(key, parameters[key].default) for key in known}
    return dataclasses.replace(method, hyper_parameters=made_with)


def hyper_parameters(name: str) -> dict[str, Any]:
    """The hyper-parameters of the method of that name, with their defaults."""
    parameters = inspect.signature(_factory(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _GIVEN}


def takes_counts(name: str) -> bool:
    """Whether the method of that name is made with the training labels' counts."""
    return "counts" in inspect.signature(_factory(name)).parameters


def _factory(name: str) -> Callable[..., Method]:
    return METHODS[name] if name in METHODS else _imported(name)


def _imported(name: str) -> Callable[..., Method]:
    known = ", ".join(METHODS)
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"method.name: unknown method {name!r}; known: {known}, or 'package.module:factory'"
        )
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"method.name: cannot import {name!r}: {error}") from error
    if not callable(factory):
        raise ValueError(f"method.name: {name!r} is not callable, expected factory(space, ...)")
    return factory
