"""The loss of cumulative link models: one score, and rising thresholds that part it into values."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jax.typing import ArrayLike

from ldl_jax import arrays

Link = Literal["logit", "probit", "cloglog"]
LINKS = ("logit", "probit", "cloglog")
_LEAST = 1e-6  # two thresholds are at least so far apart, so that each value has a probability
# Below about ln 2 either form of ln(1 - e^-x) loses as little; the series there has 1e-9 left.
_SPLIT, _TERMS = 0.7, 11
# Of cloglog's exponents, whose exponentials are logarithms of probabilities.
_LOW, _HIGH = -80.0, 40.0


def cumulative_link(logits: ArrayLike, target: ArrayLike, link: Link = "logit") -> jax.Array:
    """Cross-entropy of the target and the distribution of a cumulative link model.

    L = -Σ_k p_k ln p̂_k,  p̂_k = g(b_k - f) - g(b_{k-1} - f),  g(b_0 - f) = 0, g(b_K - f) = 1

    g is the link's inverse: logit 1 / (1 + e^-z), probit the normal distribution function, cloglog
    1 - exp(-e^z). The logits are f - b_k, so that 1 - g(b_k - f) is the probability of a label
    above l_k, as in `coral`; `decoders.ranks_from_link` gives it.

    Args:
      logits: f - b_k [..., K-1], which fall: the thresholds b rise. Where they rise, or fall by
        less than 1e-6, they are taken to fall by that.
      target: p [..., K], one-hot or any distribution.
      link: g's inverse.

    Returns: [...] float32, in nats.
    Raises: ValueError if link is none of these, or the target has not one value more.

    Source: McCullagh, "Regression Models for Ordinal Data" (JRSS B 1980); as a network's last layer
    in Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link models for deep ordinal
    classification" (Neurocomputing 2020). The probabilities are dlordinal's; their logarithms are
    computed without a difference of near numbers.

    Examples:
      >>> logits = jnp.array([[2.0, -2.0], [-2.0, -4.0]])
      >>> target = jnp.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
      >>> print(losses.cumulative_link(logits, target))
      [0.272 2.29 ]
    """
    if link not in LINKS:
        raise ValueError(f"link: expected one of {', '.join(LINKS)}, got {link!r}")
    x = arrays.float32(logits)
    if x.ndim < 1:
        raise ValueError(f"logits: expected shape [..., K-1], got {list(x.shape)}")
    p = arrays.with_shape("target", target, (*x.shape[:-1], x.shape[-1] + 1))
    first, between, last = _LOG_PROBS[link](-x)
    log_probs = jnp.concatenate([first, between, last], axis=-1)
    return -jnp.sum(p * arrays.finite_cost(p, log_probs), axis=-1)


# The logarithms of the first, the inner and the last probabilities.
_Logs = tuple[jax.Array, jax.Array, jax.Array]


def _gap(z: jax.Array) -> jax.Array:
    """Returns how much rising numbers [..., n] rise from each to the next, [..., n - 1]."""
    return jnp.maximum(z[..., 1:] - z[..., :-1], _LEAST)


@jax.custom_jvp
def _log_complement(x: jax.Array) -> jax.Array:
    """Returns ln(1 - e^-x) of x > 0, precise for small and great x."""
    return _log_of(x, *_power_and_complement(x))


@_log_complement.defjvp
def _log_complement_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # Without the barrier XLA for CPUs would compute both anew for each of their readers.
    power, complement = jax.lax.optimization_barrier(_power_and_complement(primals[0]))
    return _log_of(primals[0], power, complement), tangents[0] * (power / complement)


def _log_of(x: jax.Array, power: jax.Array, complement: jax.Array) -> jax.Array:
    return jnp.where(x < _SPLIT, jnp.log(complement), jnp.log1p(-power))


def _power_and_complement(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns e^-x and 1 - e^-x, the latter of small x by its series: `expm1` takes far longer."""
    power, series = jnp.exp(-x), jnp.ones_like(x)
    small = jnp.minimum(x, _SPLIT)
    for k in range(_TERMS, 1, -1):
        series = 1 - small / k * series
    return power, jnp.where(x < _SPLIT, small * series, 1 - power)


def _logit(z: jax.Array) -> _Logs:
    """σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a))."""
    positive = z > 0
    power = jax.lax.optimization_barrier(jnp.exp(jnp.where(positive, -z, z)))
    softened = jnp.log1p(power)  # of both logarithms
    below = jnp.where(positive, 0.0, z) - softened
    above = jnp.where(positive, -z, 0.0) - softened
    between = below[..., 1:] + above[..., :-1] + _log_complement(_gap(z))
    return below[..., :1], between, above[..., -1:]


def _probit(z: jax.Array) -> _Logs:
    """Φ(a) - Φ(b) is taken in the tail that it lies in, where neither is near 1."""
    low, high = z[..., :-1], z[..., :-1] + _gap(z)
    upper = low + high > 0
    near, far = jnp.where(upper, -low, high), jnp.where(upper, -high, low)
    log_near = log_ndtr(near)
    # Far out a step of the float is more than the gap.
    ratio = jnp.maximum(log_near - log_ndtr(far), 1e-7)
    return log_ndtr(z[..., :1]), log_near + _log_complement(ratio), log_ndtr(-z[..., -1:])


def _cloglog(z: jax.Array) -> _Logs:
    """exp(-e^b) - exp(-e^a) = exp(-e^b) (1 - exp(-(e^a - e^b)))."""
    clipped = jnp.clip(z, _LOW, _HIGH)
    low, high, gap = clipped[..., :-1], clipped[..., 1:], _gap(clipped)
    near = jnp.exp(low) * jnp.expm1(jnp.minimum(gap, 1.0))
    rise = jnp.where(gap < 1, near, jnp.exp(high) - jnp.exp(low))
    between = -jnp.exp(low) + _log_complement(jnp.maximum(rise, jnp.finfo(jnp.float32).tiny))
    return _log_complement(jnp.exp(clipped[..., :1])), between, -jnp.exp(clipped[..., -1:])


_LOG_PROBS: dict[str, Callable[[jax.Array], _Logs]] = {
    "logit": _logit,
    "probit": _probit,
    "cloglog": _cloglog,
}
