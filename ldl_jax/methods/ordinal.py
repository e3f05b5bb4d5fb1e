"""Methods of binary comparisons with the label values: "is it above l_k?".

Their distribution is what the comparisons' probabilities imply (DLDL-v2's Eqs. 5 and 6), their
estimate the rank that they count up to; `decode` offers the distribution's "expectation", "median"
and "mode" too. Reached as `ldl_jax.methods.get(NAME, ...)`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import encodings, losses
from ldl_jax.heads import Outputs, comparisons, dense, shared_ordinal
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, Method, check_flag, check_number
from ldl_jax.methods.transfer import (
    CONDITIONAL,
    RANKS,
    Encoder,
    Transfer,
    distribution_method,
    gaussian_encoder,
    known_or,
    of_labels,
)


def ranking(
    space: LabelSpace,
    importance: bool = False,
    decode: str = "rank_count",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
    counts: ArrayLike | None = None,
) -> Method:
    """OR-CNN: K-1 independent binary classifiers.

    With `importance` each is weighted by the training labels at its value, `counts` [K]
    (`encodings.label_counts`), which a run fills in.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation".
    """
    check_flag("importance", importance)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        ranks = encodings.rank(batch["labels"], space)
        weights = _importance(space, counts) if importance else None
        return losses.ordinal_cross_entropy(outputs["rank_logits"], ranks, weights)

    return distribution_method(
        "ranking",
        space,
        loss,
        encode=_rank_encoder(space),
        head=dense(rank_logits=space.size - 1),
        form=RANKS,
        decode=decode,
        transfer=Transfer(alpha, temperature, scale_by_temperature_squared),
    )


def coral(
    space: LabelSpace,
    decode: str = "rank_count",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """CORAL: K-1 binary classifiers that share one score, weighted equally as in the source's runs.

    Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks
    with application to age estimation".
    """

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        ranks = encodings.rank(batch["labels"], space)
        return losses.coral(outputs["rank_logits"], ranks)

    return distribution_method(
        "coral",
        space,
        loss,
        encode=_rank_encoder(space),
        head=shared_ordinal(space.size),
        form=RANKS,
        decode=decode,
        transfer=Transfer(alpha, temperature, scale_by_temperature_squared),
    )


def corn(
    space: LabelSpace,
    decode: str = "rank_count",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """CORN: K-1 binary classifiers, each given that the label is above the value before.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities".
    """

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return losses.corn(outputs["rank_logits"], batch["labels"], space)

    return distribution_method(
        "corn",
        space,
        loss,
        encode=_rank_encoder(space),
        head=dense(rank_logits=space.size - 1),
        form=CONDITIONAL,
        decode=decode,
        transfer=Transfer(alpha, temperature, scale_by_temperature_squared),
    )


def megaage(
    space: LabelSpace,
    sigma: float = 2.0,
    truncation: float = 3.0,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """MegaAge: comparisons away from the label, and a posterior over the values from them.

    Source: Zhang et al., "Quantifying Facial Age by Posterior of Age Comparisons".
    """
    check_number("sigma", sigma, low=0.0)
    check_number("truncation", truncation, low=0.0)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        width = known_or(batch["sigma"], sigma)
        return losses.megaage(
            outputs["logits"], outputs["rank_logits"], batch["labels"], space, width, truncation
        )

    return distribution_method(
        "megaage",
        space,
        loss,
        encode=gaussian_encoder(space, sigma),
        head=comparisons(space.size),
        decode=decode,
        transfer=Transfer(alpha, temperature, scale_by_temperature_squared),
    )


def _importance(space: LabelSpace, counts: ArrayLike | None) -> jax.Array:
    if counts is None:
        raise ValueError("counts: the importance weights need the training labels' counts")
    return losses.importance_weights(jnp.asarray(counts)[: space.size - 1])


def _rank_encoder(space: LabelSpace) -> Encoder:
    return of_labels(lambda labels: encodings.rank(labels, space))
