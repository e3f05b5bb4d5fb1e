"""Decoders of probabilities [..., K] over a label space: estimates, spread and intervals."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace

# Sums of float32 probabilities that differ by less than this are taken as equal.
_TOLERANCE = 1e-6


def expectation(probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The mean label: ŷ = Σ_k p_k l_k. It minimises the expected squared error.

    Args:
      probs: [..., K], summing to one.
      space: the K label values.

    Returns: [...] float32, in the space's unit.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 10;
    Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 16.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.expectation(probs, LabelSpace.range(20, 24)))
      [22.5]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    # A sum of products, not a matrix product: those may run in TF32 or bfloat16 on accelerators.
    return jnp.sum(p * arrays.grid(space, p.ndim), axis=-1)


def variance(probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The variance of the label: v = Σ_k p_k (l_k - ŷ)^2 with ŷ = Σ_k p_k l_k.

    Args:
      probs: [..., K], summing to one.
      space: the K label values.

    Returns: [...] float32, in the space's unit squared.

    Source: Pan et al., "Mean-Variance Loss for Deep Age Estimation from a Face" (CVPR 2018).

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.variance(probs, LabelSpace.range(20, 24)))
      [1.45]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    mean = expectation(p, space)
    return jnp.sum(p * jnp.square(arrays.grid(space, p.ndim) - mean[..., None]), axis=-1)


def entropy(probs: ArrayLike) -> jax.Array:
    """The entropy of the label, in nats: H = -Σ_k p_k ln p_k, with 0 ln 0 = 0.

    Args:
      probs: [..., K], summing to one.

    Returns: [...] float32 in [0, ln K].

    Source: Shannon, "A Mathematical Theory of Communication" (1948), Sec. 6.

    Examples:
      >>> print(decoders.entropy(jnp.array([[0.5, 0.5], [0.2, 0.8]])))
      [0.693 0.5  ]
    """
    p = arrays.float32(probs)
    return -jnp.sum(p * jnp.log(jnp.where(p > 0, p, 1.0)), axis=-1)


def median(probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The least label whose cumulative probability reaches one half.

    ŷ = min {l_k : Σ_{j<=k} p_j >= 1/2}. It minimises the expected absolute error, so it is the
    decoder that matches MAE.

    Args:
      probs: [..., K]; divided by its sum.
      space: the K label values.

    Returns: [...] float32, one of the label values.

    Source: Paplhám and Franc, "A Call to Reflect on Evaluation Practices for Age Estimation"
    (CVPR 2024), the Bayes-optimal decision for MAE.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.median(probs, LabelSpace.range(20, 24)))
      [23.]
    """
    return quantile(probs, space, 0.5)


def mode(probs: ArrayLike, space: LabelSpace) -> jax.Array:
    """The most probable label: ŷ = l_k with k = argmax_k p_k, a tie going to the lower value.

    Args:
      probs: [..., K].
      space: the K label values.

    Returns: [...] float32, one of the label values.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.mode(probs, LabelSpace.range(20, 24)))
      [23.]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    return arrays.nan_of(p, _value_at(jnp.argmax(p, axis=-1), space))


def quantile(probs: ArrayLike, space: LabelSpace, level: ArrayLike) -> jax.Array:
    """The least label whose cumulative probability reaches a level.

    ŷ = min {l_k : Σ_{j<=k} p_j >= q}

    Args:
      probs: [..., K]; divided by its sum.
      space: the K label values.
      level: q in [0, 1], a scalar.

    Returns: [...] float32, one of the label values.
    Raises: ValueError if level is a number outside [0, 1].

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(decoders.quantile(probs, LabelSpace.range(20, 24), 0.25))
      [22.]
    """
    _unit_interval("level", level)
    p = arrays.with_last_axis("probs", probs, space.size)
    mass = jax.lax.cumsum(p, axis=p.ndim - 1)
    needed = (arrays.with_shape("level", level, ()) - _TOLERANCE) * mass[..., -1:]
    least = _value_at(jnp.sum(mass < needed, axis=-1, dtype=jnp.int32), space)
    # The last sum is NaN where a probability is, and so is what is needed where the level is.
    return arrays.nan_where(jnp.isnan(needed[..., 0]), least)


def interval(
    probs: ArrayLike, space: LabelSpace, coverage: ArrayLike = 0.9
) -> tuple[jax.Array, jax.Array]:
    """The central interval: the quantiles that leave half of the rest on either side.

    [min {l_k : c_k >= (1 - a)/2}, min {l_k : c_k >= (1 + a)/2}],  c_k = Σ_{j<=k} p_j

    Args:
      probs: [..., K]; divided by its sum.
      space: the K label values.
      coverage: a in [0, 1], a scalar; the labels of the closed interval hold at least that.

    Returns: low [...] and high [...], float32, of the label values.
    Raises: ValueError if coverage is a number outside [0, 1].

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(*decoders.interval(probs, LabelSpace.range(20, 24), 0.7))
      [21.] [24.]
    """
    _unit_interval("coverage", coverage)
    a = arrays.with_shape("coverage", coverage, ())
    return quantile(probs, space, 0.5 * (1.0 - a)), quantile(probs, space, 0.5 * (1.0 + a))


def highest_density_interval(
    probs: ArrayLike, space: LabelSpace, coverage: ArrayLike = 0.9
) -> tuple[jax.Array, jax.Array]:
    """The shortest interval that holds the coverage, and the most probable among equally short.

    It is the highest-density set of a distribution with one mode.

    Args:
      probs: [..., K]; divided by its sum.
      space: the K label values.
      coverage: a in [0, 1], a scalar; the labels of the closed interval hold at least that.

    Returns: low [...] and high [...], float32, of the label values.
    Raises: ValueError if coverage is a number outside [0, 1].

    Source: Hyndman, "Computing and Graphing Highest Density Regions" (1996), kept in one piece.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> print(*decoders.highest_density_interval(probs, LabelSpace.range(20, 24), 0.7))
      [22.] [24.]
    """
    _unit_interval("coverage", coverage)
    p = arrays.with_last_axis("probs", probs, space.size)
    mass = jax.lax.cumsum(p, axis=p.ndim - 1)
    total = mass[..., -1:]
    before = mass - p
    # The last label that each first one needs: the number of cumulative masses that fall short.
    needed = before + (arrays.with_shape("coverage", coverage, ()) - _TOLERANCE) * total
    short = jnp.sum(mass[..., None, :] < needed[..., :, None], axis=-1, dtype=jnp.int32)
    last = jnp.maximum(short, arrays.row(np.arange(space.size), p.ndim).astype(jnp.int32))
    values = arrays.grid(space, p.ndim)
    width = jnp.where(last < space.size, _value_at(last, space) - values, jnp.inf)
    finest = float(np.diff(space.values).min())
    shortest = width < jnp.min(width, axis=-1, keepdims=True) + 1e-3 * finest
    held = arrays.at(mass[..., None, :], last) - before
    first = jnp.argmax(jnp.where(shortest, held, -1.0), axis=-1)
    unknown = jnp.isnan(needed[..., -1])
    low, high = _value_at(first, space), _value_at(arrays.at(last, first), space)
    return arrays.nan_where(unknown, low), arrays.nan_where(unknown, high)


def prob_at_least(probs: ArrayLike, space: LabelSpace, t: ArrayLike) -> jax.Array:
    """The probability that the label is at least t, as of an age that it is 18 or more.

    P(y >= t) = Σ_k p_k s_k / Σ_k p_k,  s_k = min(1, max(0, (u_k - t) / (u_k - l_k)))

    Value k of a grid stands for [l_k, u_k), u_k = l_(k+1), within which the probability is even: an
    age in whole years is 18 from the 18th birthday to the eve of the 19th. So t = 18 takes the
    whole of p_18 and nothing of p_17, and t = 18.5 one half of p_18: at the label values P is
    Σ_(l_k >= t) p_k, and between them it is linear. The last value is as wide as the one before it.
    Of groups l_k is the low bound, and u_k the high one; in years the year after that, as 15 to 20
    ends with the 21st birthday.

    Args:
      probs: [..., K]; divided by its sum.
      space: the K label values.
      t: the threshold, a scalar in the space's unit, from the least label to the greatest.

    Returns: [...] float32 in [0, 1].
    Raises: ValueError if t is a number outside the labels, where the answer says nothing.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> space = LabelSpace.range(16, 20)
      >>> print(*(decoders.prob_at_least(probs, space, t) for t in (18, 18.5)))
      [0.8] [0.7]
    """
    if isinstance(t, int | float) and not space.low <= t <= space.high:
        raise ValueError(
            f"t: expected a threshold within the labels, {space.low:g} to {space.high:g} "
            f"{space.unit}, got {t:g}"
        )
    p = arrays.with_last_axis("probs", probs, space.size)
    ends = tuple(arrays.row(np.asarray(x, np.float32), p.ndim) for x in _ends(space))
    left = (ends[1] - arrays.with_shape("t", t, ())) / (ends[1] - ends[0])
    # Weights and sum are taken alike, so that a certain answer is 1 to the last bit.
    return jnp.sum(p * jnp.clip(left, 0.0, 1.0), axis=-1) / jnp.sum(p, axis=-1)


def _ends(space: LabelSpace) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends [K] of what each label value stands for, see `prob_at_least`."""
    if not space.bounds:
        values = np.asarray(space.values)
        return values, np.append(values[1:], 2 * values[-1] - values[-2])
    low, high = np.asarray(space.bounds).T
    if space.unit == "years":
        return low, high + 1
    # A group of one value has no width: all of it lies at that value.
    return low, np.maximum(high, np.nextafter(low.astype(np.float32), np.float32(np.inf)))


def minimum_cost(probs: ArrayLike, space: LabelSpace, cost: ArrayLike) -> jax.Array:
    """The label of least expected cost: the Bayes decision.

    ŷ = l_i with i = argmin_i Σ_j C_ij p_j, a tie going to the lower value. C_ij = |l_i - l_j| gives
    the median, [i != j] the mode.

    Args:
      probs: [..., K].
      space: the K label values.
      cost: C [K, K], of deciding l_i (row) where the label is l_j (column).

    Returns: [...] float32, one of the label values.

    Source: Paplhám and Franc, "A Call to Reflect on Evaluation Practices for Age Estimation"
    (CVPR 2024), the plug-in Bayes-optimal decision.

    Examples:
      >>> probs = jnp.array([[0.1, 0.1, 0.2, 0.4, 0.2]])
      >>> cost = jnp.square(jnp.arange(5.0)[:, None] - jnp.arange(5.0)[None])  # squared errors
      >>> print(decoders.minimum_cost(probs, LabelSpace.range(20, 24), cost))
      [22.]
    """
    p = arrays.with_last_axis("probs", probs, space.size)
    matrix = arrays.with_shape("cost", cost, (space.size, space.size))
    risk = jnp.einsum("...j,ij->...i", p, matrix, precision=jax.lax.Precision.HIGHEST)
    return arrays.nan_of(risk, _value_at(jnp.argmin(risk, axis=-1), space))


def _value_at(index: jax.Array, space: LabelSpace) -> jax.Array:
    return arrays.at(arrays.grid(space, index.ndim + 1), index)


def _unit_interval(name: str, x: ArrayLike) -> None:
    if isinstance(x, int | float) and not 0 <= x <= 1:
        raise ValueError(f"{name}: must be in [0, 1], got {x}")
