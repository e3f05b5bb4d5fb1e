"""Selective answers: the error of those that remain where the least certain are not given.

Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics. These two sort
all rows, so they take them at once, and do not add up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics.metric import Rows


class RiskCoverage(NamedTuple):
    """The shares of rows that are answered [N], rising to 1, and the mean risk [N] of these."""

    coverage: Array
    risk: Array


def risk_coverage_curve(risks: Rows, uncertainty: Rows) -> RiskCoverage:
    """The mean risk of the i most certain rows, for each i from 1 to N.

    r(i) = (1/i) Σ_{n of the i least u_n} e_n, at the coverage i/N

    Rows of equal uncertainty are in random order: r(i) is then its expectation over these orders,
    so that the curve does not depend on the rows' own.

    Args:
      risks: e [N], as |ŷ - y| of each row.
      uncertainty: u [N], greater where less is known, as an interval's width or an entropy.

    Returns: two arrays [N], float32. A NaN among the numbers makes all risks NaN.
    Raises: ValueError if the shapes differ, or there is no row.

    Source: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks" (2017).

    Examples:
      >>> curve = metrics.risk_coverage_curve([1.0, 4.0, 1.0], [2.0, 9.0, 2.0])
      >>> print(curve.coverage, curve.risk)
      [0.333 0.667 1.   ] [1. 1. 2.]
    """
    e, u = arrays.float32(risks), arrays.float32(uncertainty)
    if e.ndim != 1 or e.shape != u.shape or not e.size:
        raise ValueError(
            f"risks, uncertainty: expected one shape [N], N >= 1, got {list(e.shape)} and "
            f"{list(u.shape)}"
        )
    count = e.shape[0]
    order = jnp.argsort(u)
    ordered = u[order]
    after = (ordered[1:] > ordered[:-1]).astype(jnp.int32)
    tie = jnp.cumsum(jnp.pad(after, (1, 0)), dtype=jnp.int32)
    ones = jnp.ones(count, jnp.float32)
    total = jax.ops.segment_sum(e[order], tie, num_segments=count)
    rows = jax.ops.segment_sum(ones, tie, num_segments=count)
    rank = jnp.arange(1, count + 1, dtype=jnp.int32).astype(jnp.float32)
    risk = jnp.cumsum((total / jnp.maximum(rows, 1.0))[tie]) / rank
    unknown = jnp.any(jnp.isnan(e) | jnp.isnan(u))
    return RiskCoverage(rank / count, arrays.nan_where(unknown, risk))


def aurc(risks: Rows, uncertainty: Rows) -> Array:
    """The area under the risk-coverage curve: (1/N) Σ_i r(i), the mean of its N risks.

    It is the mean risk where the uncertainty says nothing, and least where it sorts the rows by
    their risk: `aurc(risks, risks)`.

    Args:
      risks: e [N], as of `risk_coverage_curve`.
      uncertainty: u [N].

    Returns: a scalar, float32, in the risks' unit.
    Raises: ValueError if the shapes differ, or there is no row.

    Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers" (ICLR 2019).

    Examples:
      >>> print(metrics.aurc([1.0, 4.0, 1.0], [2.0, 9.0, 2.0]).round(3))
      1.333
    """
    return jnp.mean(risk_coverage_curve(risks, uncertainty).risk)
