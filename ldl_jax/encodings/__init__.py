"""Encodings turn labels [...] into a loss's target [..., K] (ranks: [..., K-1]), float32.

Labels are in the space's unit, int32 or float32, may be fractional and have any leading shape.
Every function can be jitted and vmapped with the `LabelSpace` static or closed over. A NaN label or
parameter gives NaN, and is in no count. Results are float32 with `jax_enable_x64` too.

- `gaussian`: targets that depend on the label's value: one-hot, Gaussian, Laplace, SORD, two-hot
  and HL-Gauss; and the normalised label.
- `classwise`: targets that depend on the label's index alone, as dlordinal's; and label counts.
- `votes`: people's votes as the target.
- `ordinal`: ranks, the normal c.d.f., and the maps between ranks and distributions.

The examples assume the same imports as those in `ldl_jax.losses`.
"""

from ldl_jax.encodings.classwise import (
    beta,
    binomial,
    exponential,
    label_counts,
    poisson,
    triangular,
)
from ldl_jax.encodings.gaussian import (
    gaussian,
    hl_gauss,
    laplace,
    normalised,
    one_hot,
    sord,
    two_hot,
)
from ldl_jax.encodings.ordinal import (
    cumulative,
    distribution_from_ranks,
    rank,
    ranks_from_distribution,
    transformation_matrix,
)
from ldl_jax.encodings.votes import from_votes

__all__ = [
    "beta",
    "binomial",
    "cumulative",
    "distribution_from_ranks",
    "exponential",
    "from_votes",
    "gaussian",
    "hl_gauss",
    "label_counts",
    "laplace",
    "normalised",
    "one_hot",
    "poisson",
    "rank",
    "ranks_from_distribution",
    "sord",
    "transformation_matrix",
    "triangular",
    "two_hot",
]
