"""Newer methods of ordered classes: CDW-CE, SLACE, cumulative links, stick-breaking, COPOC.

Each factory defines its own loss and head; `methods.transfer.completed` does the rest.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Outputs
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, check_choice, check_number
from ldl_jax.methods.distribution import SOFT_LABELS
from ldl_jax.methods.forms import CONDITIONAL, Form
from ldl_jax.methods.ordered_heads import (
    one_mode,
    rising_thresholds,
    with_widths,
)
from ldl_jax.methods.ordered_heads import (
    stick_breaking as stick_breaking_head,
)
from ldl_jax.methods.targets import of_labels, one_hot_encoder
from ldl_jax.methods.transfer import (
    Definition,
    completed,
    cross_entropy_to,
    of_logits,
    of_target,
)

__all__ = ["cdw_ce", "clm", "copoc", "slace", "stage_ldl", "stick_breaking"]

LINKS = ("logit", "probit", "cloglog")


@completed(decode="expectation", given=True)
def cdw_ce(space: LabelSpace, power: float = 1.0, margin: float = 0.0) -> Definition:
    """CDW-CE: what other classes than the label's get costs more the farther they are from it.

    `power` is the source's α, 5 for its 4 classes; among 101 the farthest class would then weigh
    10^10. A class with a probability below `margin` costs nothing.

    Source: Polat et al., "Class Distance Weighted Cross-Entropy Loss for Ulcerative Colitis
    Severity Estimation".
    """
    check_number("power", power, low=0.0, strict=True)
    check_number("margin", margin, low=0.0, high=1.0)
    return of_target(losses.cdw_ce, one_hot_encoder(space), power, margin)


@completed(decode="expectation")
def slace(space: LabelSpace, slope: float = 1.0) -> Definition:
    """SLACE: soft labels against probabilities accumulated from the label outwards.

    `slope` is the source's α, by which the soft labels fall a class.

    Source: Nachmani et al., "SLACE: A Monotone and Balance-Sensitive Loss Function for Ordinal
    Regression".
    """
    check_number("slope", slope, low=0.0, strict=True)
    return of_logits(losses.slace, space, slope)


@completed(decode="expectation", given=True)
def clm(space: LabelSpace, link: Literal["logit", "probit", "cloglog"] = "logit") -> Definition:
    """CLM: a cumulative link model, one score that rising thresholds part into the values.

    Source: Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link models for deep ordinal
    classification".
    """
    check_choice("link", link, LINKS)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return given(outputs, batch, encodings.one_hot(batch["labels"], space))

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        return losses.cumulative_link(outputs["rank_logits"], target, link)

    def ranks(outputs: Outputs, temperature: float = 1.0) -> jax.Array:
        return decoders.ranks_from_link(outputs["rank_logits"] / temperature, link)

    form = Form(
        lambda outputs, t: encodings.distribution_from_ranks(ranks(outputs, t), clip=True),
        lambda outputs, probs, t: losses.cumulative_link(outputs["rank_logits"] / t, probs, link),
        ranks,
    )
    return Definition(loss, one_hot_encoder(space), rising_thresholds(space.size), form, given)


@completed(decode="expectation", given=True)
def stick_breaking(space: LabelSpace, encoding: str = "exponential") -> Definition:
    """Stick-breaking: at each value, whether the label is above it if it is not below.

    The distribution is that of CORN's comparisons; it is learnt by its cross-entropy to a unimodal
    `encoding` of the label ("one_hot" is CORN's loss), from a head that starts uniform, and read as
    a distribution.

    Source: Liu et al., "Unimodal regularized neuron stick-breaking for ordinal classification".
    """
    soft: dict[str, Callable[..., jax.Array]] = {"one_hot": encodings.one_hot, **SOFT_LABELS}
    check_choice("encoding", encoding, tuple(soft))
    encode = of_labels(lambda labels: soft[encoding](labels, space))

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return given(outputs, batch, encode(batch["labels"], batch["sigma"]))

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        ranks = encodings.ranks_from_distribution(target)
        return losses.conditional_cross_entropy(outputs["rank_logits"], ranks)

    return Definition(loss, encode, stick_breaking_head(space.size), CONDITIONAL, given)


@completed(decode="expectation", given=True)
def copoc(space: LabelSpace) -> Definition:
    """COPOC: cross-entropy of a distribution that has one mode by its construction.

    Source: Dey, Merugu and Kaveri, "Conformal Prediction Sets for Ordinal Classification".
    """
    return of_logits(losses.dex, space)._replace(head=one_mode(space.size), given=cross_entropy_to)


@completed(decode="expectation")
def stage_ldl(
    space: LabelSpace, sigma: float = 2.0, lam: float = 1.0, knots: int = 5, spread: float = 3.0
) -> Definition:
    """DLDL-v2 whose σ is learnt, another one at each stage of the labels.

    L = KL(N(y, σ(y)) || p̂) + λ |ŷ - y| + ln σ(y) + (ŷ - y)^2 / 2σ(y)^2

    The first two terms move the network alone, the others σ alone: it goes to the root mean square
    of the errors at its stage, which says how ambiguous labels are there. σ(y) = σ_0 s^tanh(θ(y)),
    between σ_0 / s and σ_0 s; θ is linear between knots that lie evenly over the labels.

    Args:
      space: the label space.
      sigma: σ_0, in the label's unit, where the learning starts.
      lam: λ.
      knots: how many there are; at least 2.
      spread: s, more than 1.

    Source: the idea of Wu et al., "Stage-wise Adaptive Label Distribution for Facial Age
    Estimation" (2025), and of Geng, Wang and Xia, "Facial Age Estimation by Adaptive Label
    Distribution Learning" (ICPR 2014): an ambiguity of its own at each stage, learnt. These
    equations are ours.
    """
    check_number("sigma", sigma, low=0.0, strict=True)
    check_number("lam", lam, low=0.0)
    check_number("spread", spread, low=1.0, strict=True)
    if isinstance(knots, bool) or not isinstance(knots, int) or knots < 2:
        raise ValueError(f"method.knots: expected a whole number of at least 2, got {knots!r}")
    stages = LabelSpace(tuple(np.linspace(space.low, space.high, knots).tolist()), space.unit)

    def width(outputs: Outputs, labels: jax.Array) -> jax.Array:
        theta = jnp.sum(outputs["widths"] * encodings.two_hot(labels, stages), axis=-1)
        return sigma * jnp.exp(jnp.tanh(theta) * jnp.log(jnp.float32(spread)))

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        labels, logits = batch["labels"], outputs["logits"]
        sigma_of = width(outputs, labels)
        target = encodings.gaussian(labels, space, jax.lax.stop_gradient(sigma_of))
        value = decoders.expectation(jax.nn.softmax(logits), space)
        ambiguity = losses.gaussian_nll(jax.lax.stop_gradient(value), labels, sigma_of)
        return losses.dldl_v2(logits, target, labels, space, lam) + ambiguity

    head = with_widths(space.size, knots)
    encode = of_labels(lambda labels: encodings.gaussian(labels, space, sigma))
    return Definition(loss, encode, head)
