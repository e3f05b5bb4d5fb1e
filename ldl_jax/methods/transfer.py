"""Methods that learn a distribution: what they share, whatever their own loss is.

A generation learns from its teacher by CEN's Eq. 7, here for every method: part of the loss is the
cross-entropy from the teacher's distribution, both softened by a temperature, the rest its own.
Reached as `ldl_jax.methods.NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Head, Outputs, dense
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import (
    Batch,
    Knowledge,
    Method,
    Prediction,
    check_choice,
    check_flag,
    check_number,
)

Encoder = Callable[[jax.Array, jax.Array], jax.Array]
OwnLoss = Callable[[Outputs, Batch], jax.Array]
DECODERS = {
    "expectation": decoders.expectation,
    "median": decoders.median,
    "mode": decoders.mode,
}


class Transfer(NamedTuple):
    """How much a later generation learns from its teacher, and how softly.

    L = α c CE(p̂^τ, q) + (1 - α) L_own,  c = τ^2 if scaled, else 1

    with q the teacher's distribution at its temperature, p̂^τ the student's at τ.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 7; the factor τ^2
    is that of Hinton et al., "Distilling the Knowledge in a Neural Network", Sec. 2.
    """

    alpha: float = 0.5
    temperature: float = 2.0
    scale_by_temperature_squared: bool = False

    def checked(self) -> Transfer:
        """This, if every value is within its range.

        Raises:
          ValueError: naming the hyper-parameter.
        """
        check_number("alpha", self.alpha, low=0.0, high=1.0)
        check_number("temperature", self.temperature, low=0.0, strict=True)
        check_flag("scale_by_temperature_squared", self.scale_by_temperature_squared)
        return self


class Form(NamedTuple):
    """How a head's outputs stand for a distribution over the label values.

    Attributes:
      probs: `probs(outputs, temperature) -> [B, K]`.
      cross_entropy: `cross_entropy(outputs, teacher_probs, temperature) -> [B]`, with zero gradient
        where the teacher's outputs at that temperature are the student's.
      rank_probs: `rank_probs(outputs) -> [B, K-1]` of ordinal heads, for `decoders.rank_count`.
    """

    probs: Callable[[Outputs, float], jax.Array]
    cross_entropy: Callable[[Outputs, jax.Array, float], jax.Array]
    rank_probs: Callable[[Outputs], jax.Array] | None = None


SOFTMAX = Form(
    lambda outputs, t: jax.nn.softmax(outputs["logits"] / t),
    lambda outputs, probs, t: losses.cross_entropy(outputs["logits"] / t, probs),
)
# Independent or shared-weight binary classifiers, mapped by DLDL-v2's Eqs. 5 and 6.
RANKS = Form(
    lambda outputs, t: encodings.distribution_from_ranks(
        jax.nn.sigmoid(outputs["rank_logits"] / t), clip=True
    ),
    lambda outputs, probs, t: losses.ordinal_cross_entropy(
        outputs["rank_logits"] / t, encodings.ranks_from_distribution(probs)
    ),
    lambda outputs: jax.nn.sigmoid(outputs["rank_logits"]),
)
# CORN's conditional classifiers.
CONDITIONAL = Form(
    lambda outputs, t: encodings.distribution_from_ranks(
        decoders.ranks_from_conditional(outputs["rank_logits"] / t)
    ),
    lambda outputs, probs, t: losses.conditional_cross_entropy(
        outputs["rank_logits"] / t, encodings.ranks_from_distribution(probs)
    ),
    lambda outputs: decoders.ranks_from_conditional(outputs["rank_logits"]),
)


def distribution_method(
    name: str,
    space: LabelSpace,
    own_loss: OwnLoss,
    *,
    encode: Encoder | None = None,
    head: Head | None = None,
    form: Form = SOFTMAX,
    decode: str = "expectation",
    transfer: Transfer = Transfer(),  # noqa: B008  (immutable)
) -> Method:
    """A method whose outputs stand for a distribution.

    Args:
      name: for tables and messages.
      space: the label space.
      own_loss: `own_loss(outputs, batch) -> [B]`, the loss of a generation without a teacher.
      encode: the target of the method; one-hot by default.
      head: one dense layer to "logits" [B, K] by default.
      form: how the outputs stand for a distribution.
      decode: "expectation", "median" or "mode" of the distribution, or, of ordinal heads,
        "rank_count".
      transfer: how later generations learn.

    Raises:
      ValueError: a hyper-parameter is out of range.
    """
    transfer = transfer.checked()
    counts = () if form.rank_probs is None else ("rank_count",)
    check_choice("decode", decode, (*counts, *DECODERS))
    alpha, temperature, scaled = transfer
    scale = temperature**2 if scaled else 1.0

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        own = own_loss(outputs, batch)
        if knowledge is None:
            return own
        taught = scale * form.cross_entropy(outputs, knowledge.probs, temperature)
        return alpha * taught + (1 - alpha) * own

    def predict(outputs: Outputs) -> Prediction:
        probs = form.probs(outputs, 1.0)
        if decode == "rank_count" and form.rank_probs is not None:
            return Prediction(decoders.rank_count(form.rank_probs(outputs), space), probs)
        return Prediction(DECODERS[decode](probs, space), probs)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        slack = normalised_error(predict(outputs).value, batch["labels"], space)
        return Knowledge(form.probs(outputs, temperature), slack)

    head = dense(logits=space.size) if head is None else head
    encode = one_hot_encoder(space) if encode is None else encode
    return Method(name, space, head, encode, loss, predict, teach)


def from_loss(
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    space: LabelSpace,
    *,
    name: str = "own",
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
) -> Method:
    """A method of one's own loss on the logits of one dense layer.

    Args:
      loss: `loss(logits [B, K], labels [B]) -> [B]`, labels in the space's unit; not reduced.
      space: the label space.
      name: for tables and messages.
      decode: "expectation", "median" or "mode".
      alpha: how much a later generation learns from its teacher (CEN Eq. 7).
      temperature: of both distributions in that.

    Raises:
      ValueError: a hyper-parameter is out of range.
    """

    def own_loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return loss(outputs["logits"], batch["labels"])

    transfer = Transfer(alpha, temperature)
    return distribution_method(name, space, own_loss, decode=decode, transfer=transfer)


def normalised_error(value: jax.Array, labels: jax.Array, space: LabelSpace) -> jax.Array:
    """|ŷ - y| on the normalised scale [..., ] (CEN Eq. 10)."""
    return jnp.abs(encodings.normalised(value, space) - encodings.normalised(labels, space))


def of_labels(encode: Callable[[jax.Array], jax.Array]) -> Encoder:
    """`encode` of methods whose target is `encode(labels)`, whatever a picture's σ."""

    def ignoring_sigma(labels: jax.Array, sigma: jax.Array) -> jax.Array:
        del sigma
        return encode(labels)

    return ignoring_sigma


def one_hot_encoder(space: LabelSpace) -> Encoder:
    """`encode` of methods that take the label as it is."""
    return of_labels(lambda labels: encodings.one_hot(labels, space))


def gaussian_encoder(space: LabelSpace, sigma: float) -> Encoder:
    """`encode` by a Gaussian of the picture's own σ, and of `sigma` where it has none.

    Raises:
      ValueError: sigma is negative.
    """
    check_number("sigma", sigma, low=0.0)

    def encode(labels: jax.Array, known: jax.Array) -> jax.Array:
        return encodings.gaussian(labels, space, known_or(known, sigma))

    return encode


def known_or(sigma: jax.Array, default: float) -> jax.Array:
    """Each picture's own σ [B], and the default where it has none (NaN)."""
    return jnp.where(jnp.isnan(sigma), default, sigma)
