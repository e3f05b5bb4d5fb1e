"""The forms in which a head's outputs stand for a distribution: a softmax, ranks, CORN's ranks."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Outputs

DECODERS = {"expectation": decoders.expectation, "median": decoders.median, "mode": decoders.mode}


class Form(NamedTuple):
    """Functions that read a distribution over the label values from a head's outputs.

    Attributes:
      probs: `probs(outputs, temperature) -> [B, K]`.
      cross_entropy: `cross_entropy(outputs, teacher_probs, temperature) -> [B]`, with zero gradient
        where the teacher's outputs at that temperature are the student's.
      rank_probs: `rank_probs(outputs) -> [B, K-1]` of ordinal heads, for `decoders.rank_count`.
    """

    probs: Callable[[Outputs, float], jax.Array]
    cross_entropy: Callable[[Outputs, jax.Array, float], jax.Array]
    rank_probs: Callable[[Outputs], jax.Array] | None = None

    @property
    def decoders(self) -> tuple[str, ...]:
        """The values of `decode` that the form offers."""
        return (*DECODERS,) if self.rank_probs is None else ("rank_count", *DECODERS)


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
