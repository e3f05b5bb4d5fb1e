"""Decoders: probabilities [..., K] over a label space -> a value [...] in the space's unit.

Inputs of any float dtype; results are float32. Every function can be jitted and vmapped with the
`LabelSpace` static or closed over. Outputs that are not probabilities over the space (ranks,
scores, stages) decode in `decoders.outputs`; every public one is a name of this module.
"""

from ldl_jax.decoders.outputs import (
    coupled,
    flip_average,
    from_score,
    rank_count,
    rank_expectation,
    ranks_from_conditional,
    soft_stagewise,
)
from ldl_jax.decoders.probabilities import (
    entropy,
    expectation,
    highest_density_interval,
    interval,
    median,
    minimum_cost,
    mode,
    quantile,
    variance,
)

__all__ = [
    "coupled",
    "entropy",
    "expectation",
    "flip_average",
    "from_score",
    "highest_density_interval",
    "interval",
    "median",
    "minimum_cost",
    "mode",
    "quantile",
    "rank_count",
    "rank_expectation",
    "ranks_from_conditional",
    "soft_stagewise",
    "variance",
]
