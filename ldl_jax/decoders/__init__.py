"""Decoders turn outputs over a label space into a value [...] in the space's unit, float32.

Inputs may have any float dtype. Every function can be jitted and vmapped with the `LabelSpace`
static or closed over, and raises ValueError where K or the shapes disagree. A NaN among the numbers
of a picture makes its result NaN. Results are float32 with `jax_enable_x64` too.

- `probabilities`: probabilities [..., K] into an estimate, its spread, or an interval.
- `outputs`: other outputs (ranks, scores, stages) into an estimate.
- `links`: a cumulative link model's outputs into ranks.
- `pooling`: the distributions of several frames of one face into one.

The examples assume the same imports as those in `ldl_jax.losses`.
"""

from ldl_jax.decoders.links import ranks_from_link
from ldl_jax.decoders.outputs import (
    coupled,
    flip_average,
    from_score,
    rank_count,
    rank_expectation,
    ranks_from_conditional,
    soft_stagewise,
)
from ldl_jax.decoders.pooling import effective_count, mean_pool, product_pool
from ldl_jax.decoders.probabilities import (
    entropy,
    expectation,
    highest_density_interval,
    interval,
    median,
    minimum_cost,
    mode,
    prob_at_least,
    quantile,
    variance,
)

__all__ = [
    "coupled",
    "effective_count",
    "entropy",
    "expectation",
    "flip_average",
    "from_score",
    "highest_density_interval",
    "interval",
    "mean_pool",
    "median",
    "minimum_cost",
    "mode",
    "prob_at_least",
    "product_pool",
    "quantile",
    "rank_count",
    "rank_expectation",
    "ranks_from_conditional",
    "ranks_from_link",
    "soft_stagewise",
    "variance",
]
