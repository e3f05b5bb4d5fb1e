"""Methods of binary comparisons with the label values: "is it above l_k?".

The comparisons' probabilities imply a distribution (DLDL-v2's Eqs. 5 and 6). The estimate is the
rank that they count up to, `decode="rank_count"`, or the distribution's "expectation", "median" or
"mode".
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import encodings, losses
from ldl_jax.heads import Outputs, comparisons, dense, shared_ordinal
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, check_flag, check_number
from ldl_jax.methods.forms import CONDITIONAL, RANKS
from ldl_jax.methods.targets import gaussian_encoder, known_or, rank_encoder
from ldl_jax.methods.transfer import Definition, completed, of_logits, of_target

__all__ = ["coral", "corn", "megaage", "ranking"]


@completed(decode="rank_count", given=True)
def ranking(
    space: LabelSpace, importance: bool = False, *, counts: ArrayLike | None = None
) -> Definition:
    """OR-CNN: K-1 independent binary classifiers.

    With `importance` each classifier is weighted by how many training labels have its value:
    `counts` [K] (`encodings.label_counts`), which a run fills in.

    Source: Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation".
    """
    check_flag("importance", importance)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return of_ranks(outputs, encodings.rank(batch["labels"], space))

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        return of_ranks(outputs, encodings.ranks_from_distribution(target))

    def of_ranks(outputs: Outputs, ranks: jax.Array) -> jax.Array:
        weights = _importance(space, counts) if importance else None
        return losses.ordinal_cross_entropy(outputs["rank_logits"], ranks, weights)

    head = dense(rank_logits=space.size - 1)
    return Definition(loss, rank_encoder(space), head, RANKS, given, ranked=True)


@completed(decode="rank_count", given=True)
def coral(space: LabelSpace) -> Definition:
    """CORAL: K-1 binary classifiers that share one score, weighted equally as in the source's runs.

    Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks
    with application to age estimation".
    """

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        return losses.coral(outputs["rank_logits"], encodings.ranks_from_distribution(target))

    loss = of_target(losses.coral, rank_encoder(space), output="rank_logits").loss
    head = shared_ordinal(space.size)
    return Definition(loss, rank_encoder(space), head, RANKS, given, ranked=True)


@completed(decode="rank_count", given=True)
def corn(space: LabelSpace) -> Definition:
    """CORN: K-1 binary classifiers, each given that the label is above the value before.

    Source: Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities".
    """
    loss = of_logits(losses.corn, space, output="rank_logits").loss

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        ranks = encodings.ranks_from_distribution(target)
        return losses.conditional_cross_entropy(outputs["rank_logits"], ranks)

    head = dense(rank_logits=space.size - 1)
    return Definition(loss, rank_encoder(space), head, CONDITIONAL, given, ranked=True)


@completed(decode="expectation")
def megaage(space: LabelSpace, sigma: float = 2.0, truncation: float = 3.0) -> Definition:
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

    return Definition(loss, encode=gaussian_encoder(space, sigma), head=comparisons(space.size))


def _importance(space: LabelSpace, counts: ArrayLike | None) -> jax.Array:
    if counts is None:
        raise ValueError("counts: the importance weights need the training labels' counts")
    return losses.importance_weights(jnp.asarray(counts)[: space.size - 1])
