"""Methods: how a label is encoded, learnt, decoded and taught on, bundled as pure functions.

A method is a value: `get("cen", space=AGE, lam=2.0)` makes one, and so does any function
`factory(space, **hyper_parameters) -> Method`, which a config names as "package.module:factory".
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Head, Outputs, dense
from ldl_jax.labels import LabelSpace

Batch = Mapping[str, jax.Array]


class Knowledge(NamedTuple):
    """What a generation hands to the next one about a batch.

    Attributes:
      probs: [B, K] the ancestor's distribution, already softened by its temperature.
      slack: [B] |its normalised estimate - the normalised label| (CEN Eq. 10).
    """

    probs: jax.Array
    slack: jax.Array


class Prediction(NamedTuple):
    """What a method answers for a batch.

    Attributes:
      value: [B] the estimate, in the label's unit.
      probs: [B, K] the distribution over the label space.
      heads: the single heads' estimates [B] by name, where there are several.
    """

    value: jax.Array
    probs: jax.Array
    heads: Mapping[str, jax.Array] = {}


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of learning an ordered label; every function is pure and takes a whole batch.

    Attributes:
      name: for tables and messages.
      space: the label space.
      head: the layers on the network's features.
      encode: `encode(labels [B], sigma [B]) -> target`; sigma is NaN where unknown.
      loss: `loss(outputs, batch, knowledge=None) -> [B]`, with batch["labels"] and
        batch["sigma"], each [B]; `knowledge` is the previous generation's.
      predict: `predict(outputs) -> Prediction`.
      teach: `teach(outputs, batch) -> Knowledge`.
      hyper_parameters: what the factory was called with, its defaults included.
    """

    name: str
    space: LabelSpace
    head: Head
    encode: Callable[[jax.Array, jax.Array], jax.Array]
    loss: Callable[..., jax.Array]
    predict: Callable[[Outputs], Prediction]
    teach: Callable[[Outputs, Batch], Knowledge]
    hyper_parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def cen(
    space: LabelSpace,
    lam: float = 4.0,
    alpha: float = 0.5,
    temperature: float = 2.0,
    hard_temperature: float = 1.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """CEN: a distribution and a regressed value, each refined over generations.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation": Eq. 14 for the first
    generation, Eq. 15 for the later ones, Eqs. 16-18 for the estimate. The last two options settle
    what the paper leaves open, see `losses.cen_evolution`.
    """
    _check("lam", lam, low=0.0)
    _check("alpha", alpha, low=0.0, high=1.0)
    _check("temperature", temperature, low=0.0, strict=True)
    _check("hard_temperature", hard_temperature, low=0.0, strict=True)
    if not isinstance(scale_by_temperature_squared, bool):
        raise ValueError(
            "method.scale_by_temperature_squared: expected True or False, "
            f"got {scale_by_temperature_squared!r}"
        )

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        logits, score, labels = outputs["logits"], outputs["score"], batch["labels"]
        if knowledge is None:
            return losses.cen_initial(logits, score, labels, space, lam)
        return losses.cen_evolution(
            logits,
            score,
            labels,
            space,
            knowledge.probs,
            knowledge.slack,
            alpha,
            lam,
            temperature,
            hard_temperature=hard_temperature,
            scale_by_temperature_squared=scale_by_temperature_squared,
        )

    def predict(outputs: Outputs) -> Prediction:
        probs = jax.nn.softmax(outputs["logits"])
        distribution = decoders.expectation(probs, space)
        regression = (space.high - space.low) * outputs["score"] + space.low
        value = (distribution + regression) / 2
        return Prediction(value, probs, {"distribution": distribution, "regression": regression})

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        target = encodings.normalised(batch["labels"], space)
        probs = jax.nn.softmax(outputs["logits"] / temperature)
        return Knowledge(probs, jnp.abs(outputs["score"] - target))

    def encode(labels: jax.Array, sigma: jax.Array) -> jax.Array:
        del sigma  # CEN makes no assumption on the distribution's form
        return encodings.one_hot(labels, space)

    head = dense(logits=space.size, score=None)
    options = {
        "lam": lam,
        "alpha": alpha,
        "temperature": temperature,
        "hard_temperature": hard_temperature,
        "scale_by_temperature_squared": scale_by_temperature_squared,
    }
    return Method("cen", space, head, encode, loss, predict, teach, options)


def dex(space: LabelSpace, alpha: float = 0.5, temperature: float = 2.0) -> Method:
    """DEX: cross-entropy to the label's own value, the expectation as the estimate.

    Source: Rothe et al., "Deep Expectation of Real and Apparent Age from a Single Image".
    Taught by an ancestor, its loss is CEN's Eq. 7: α KL + (1 - α) CE.
    """

    def encode(labels: jax.Array, sigma: jax.Array) -> jax.Array:
        del sigma
        return encodings.one_hot(labels, space)

    def own_loss(logits: jax.Array, batch: Batch) -> jax.Array:
        return losses.cross_entropy(logits, encode(batch["labels"], batch["sigma"]))

    options = {"alpha": alpha, "temperature": temperature}
    return _distribution_method("dex", space, encode, own_loss, options)


def dldl(
    space: LabelSpace, sigma: float = 2.0, alpha: float = 0.5, temperature: float = 2.0
) -> Method:
    """DLDL: the divergence from a Gaussian around the label, the expectation as the estimate.

    Source: Gao et al., "Deep Label Distribution Learning with Label Ambiguity". `sigma`, in the
    label's unit, serves where the dataset gives none for a picture.
    """
    encode = _gaussian_encoder(space, sigma)

    def own_loss(logits: jax.Array, batch: Batch) -> jax.Array:
        return losses.kl_divergence(logits, encode(batch["labels"], batch["sigma"]))

    options = {"sigma": sigma, "alpha": alpha, "temperature": temperature}
    return _distribution_method("dldl", space, encode, own_loss, options)


def dldl_v2(
    space: LabelSpace,
    sigma: float = 2.0,
    lam: float = 1.0,
    kl_reduction: Literal["sum", "mean"] = "sum",
    alpha: float = 0.5,
    temperature: float = 2.0,
) -> Method:
    """DLDL-v2: DLDL and the l1 error of the expectation, learnt together.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 12.
    `kl_reduction` "mean" is the authors' code, see `losses.dldl_v2`.
    """
    _check("lam", lam, low=0.0)
    if kl_reduction not in ("sum", "mean"):
        raise ValueError(f"method.kl_reduction: expected 'sum' or 'mean', got {kl_reduction!r}")
    encode = _gaussian_encoder(space, sigma)

    def own_loss(logits: jax.Array, batch: Batch) -> jax.Array:
        target = encode(batch["labels"], batch["sigma"])
        return losses.dldl_v2(
            logits, target, batch["labels"], space, lam, kl_reduction=kl_reduction
        )

    options = {
        "sigma": sigma,
        "lam": lam,
        "kl_reduction": kl_reduction,
        "alpha": alpha,
        "temperature": temperature,
    }
    return _distribution_method("dldl_v2", space, encode, own_loss, options)


METHODS: dict[str, Callable[..., Method]] = {
    "cen": cen,
    "dex": dex,
    "dldl": dldl,
    "dldl_v2": dldl_v2,
}


def get(name: str | Method, *, space: LabelSpace, **hyper_parameters: Any) -> Method:
    """A method by name, by "package.module:factory", or itself.

    Raises:
      ValueError: the name is unknown, a hyper-parameter is not the method's, or its value is
        out of range; each message lists what is known.
    """
    if isinstance(name, Method):
        return name
    factory = METHODS[name] if name in METHODS else _imported(name)
    parameters = inspect.signature(factory).parameters
    known = [p for p in parameters if p != "space"]
    for key in hyper_parameters:
        if key not in known:
            raise ValueError(
                f"method.{key}: {name!r} has no such hyper-parameter; it has: {', '.join(known)}"
            )
    for key in known:
        if key not in hyper_parameters and parameters[key].default is inspect.Parameter.empty:
            raise ValueError(f"method.{key}: {name!r} has no default for it, it must be given")
    method = factory(space, **hyper_parameters)
    if not isinstance(method, Method):
        raise ValueError(f"method.name: {name!r} returned {type(method).__name__}, not a Method")
    return method


def hyper_parameters(name: str) -> dict[str, Any]:
    """The hyper-parameters of the method of that name, with their defaults."""
    factory = METHODS[name] if name in METHODS else _imported(name)
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "space"}


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


def _distribution_method(
    name: str,
    space: LabelSpace,
    encode: Callable[[jax.Array, jax.Array], jax.Array],
    own_loss: Callable[[jax.Array, Batch], jax.Array],
    options: dict[str, Any],
) -> Method:
    """A method of one softmax head; `own_loss(logits, batch) -> [B]` is its first generation's."""
    alpha, temperature = options["alpha"], options["temperature"]
    _check("alpha", alpha, low=0.0, high=1.0)
    _check("temperature", temperature, low=0.0, strict=True)

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        own = own_loss(outputs["logits"], batch)
        if knowledge is None:
            return own
        taught = losses.cross_entropy(outputs["logits"] / temperature, knowledge.probs)
        return alpha * taught + (1 - alpha) * own

    def predict(outputs: Outputs) -> Prediction:
        probs = jax.nn.softmax(outputs["logits"])
        return Prediction(decoders.expectation(probs, space), probs)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        value = encodings.normalised(predict(outputs).value, space)
        target = encodings.normalised(batch["labels"], space)
        return Knowledge(jax.nn.softmax(outputs["logits"] / temperature), jnp.abs(value - target))

    head = dense(logits=space.size)
    return Method(name, space, head, encode, loss, predict, teach, options)


def _gaussian_encoder(
    space: LabelSpace, sigma: float
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    _check("sigma", sigma, low=0.0)

    def encode(labels: jax.Array, known: jax.Array) -> jax.Array:
        return encodings.gaussian(labels, space, jnp.where(jnp.isnan(known), sigma, known))

    return encode


def _check(
    name: str, value: float, low: float, high: float = float("inf"), *, strict: bool = False
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    outside = not number or not low <= value <= high or math.isinf(value)
    if outside or (strict and value == low):
        least = f"more than {low:g}" if strict else f"at least {low:g}"
        most = "" if high == float("inf") else f" and at most {high:g}"
        raise ValueError(f"method.{name}: expected a number of {least}{most}, got {value!r}")
