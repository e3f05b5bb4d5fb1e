"""Encodings: labels [...] in the space's unit -> what a loss sees, [..., K] (ranks: [..., K-1]).

Labels may be int32 or float32, fractional, and of any leading shape; results are float32.
Every function can be jitted and vmapped with the `LabelSpace` static or closed over. Ranks and
their relation to distributions live in `encodings.ordinal`, the soft labels that know a label only
by its index in `encodings.classwise`; every public one is a name of this module.
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

__all__ = [
    "beta",
    "binomial",
    "cumulative",
    "distribution_from_ranks",
    "exponential",
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
