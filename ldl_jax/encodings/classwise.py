"""Soft labels that depend on a label's index alone: a label's row of a K x K table.

Labels are taken to their own value as `one_hot` does. The tables are computed once in float64, so
that at any K they agree with dlordinal (Bérchez-Moreno et al., "dlordinal: A Python package for
deep ordinal classification"), which gives them for K classes.
"""

import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.arrays import Scalar
from ldl_jax.labels import LabelSpace

Table = np.ndarray | jax.Array


def label_counts(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Counts the labels of each value, each label taken to its own value as `one_hot` does.

    Args:
      labels: [...], in the space's unit.
      space: the K label values.

    Returns: [K] int32: for the weights in `losses` and for `methods.get`. A NaN is counted nowhere.

    Examples:
      >>> print(encodings.label_counts(jnp.array([20, 21, 21, 24]), LabelSpace.range(20, 24)))
      [1 2 0 0 1]
    """
    own_class = arrays.own(arrays.float32(labels), space)
    return jnp.sum(own_class, axis=tuple(range(own_class.ndim - 1)), dtype=jnp.int32)


def exponential(
    labels: ArrayLike, space: LabelSpace, power: Scalar = 1.0, temperature: Scalar = 1.0
) -> jax.Array:
    """A distribution that falls off exponentially with a power of the distance in steps.

    p_k = exp(-|k - j|^a / τ) / Σ_i exp(-|i - j|^a / τ),  j the label's index

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      power: a, positive.
      temperature: τ, positive, in steps^a.

    Returns: [..., K] float32.
    Raises: ValueError if power or temperature is not positive.

    Source: Vargas et al., "Exponential loss regularisation for encouraging ordinal constraint to
    shotgun stocks quality assessment" (Applied Soft Computing 2023), as in dlordinal.

    Examples:
      >>> print(encodings.exponential(22, LabelSpace.range(20, 24)))
      [0.067 0.183 0.498 0.183 0.067]
    """
    for name, value in (("power", power), ("temperature", temperature)):
        if arrays.is_known(value) and not value > 0:
            raise ValueError(f"{name}: must be positive, got {value}")
    return _rows(labels, space, _tabled(_exponential_table, space.size, power, temperature))


def binomial(labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """A binomial distribution over the K values, whose success probability rises with the label.

    p_k = C(K-1, k) θ_j^k (1 - θ_j)^(K-1-k),  θ_j = 0.1 + 0.8 j/(K-1),  j, k = 0, ..., K-1

    Args:
      labels: [...], in the space's unit.
      space: the K label values.

    Returns: [..., K] float32.

    Source: Liu et al., "Unimodal regularized neuron stick-breaking for ordinal classification"
    (Neurocomputing 2020), as in dlordinal. Towards the ends its mode is not the label: at K = 101
    label 0 peaks at 10.

    Examples:
      >>> print(encodings.binomial(21, LabelSpace.range(20, 24)))
      [0.24  0.412 0.265 0.076 0.008]
    """
    return _rows(labels, space, _binomial_table(space.size))


def poisson(
    labels: ArrayLike, space: LabelSpace, *, normalisation: Literal["softmax", "sum"] = "softmax"
) -> jax.Array:
    """A Poisson distribution over the K values with rate j + 1, made to sum to one.

    f_k = (j+1)^k e^-(j+1) / k!,  p = softmax(f) or f / Σ f,  j, k = 0, ..., K-1

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      normalisation: "softmax" of the masses as dlordinal does, which is close to uniform; "sum"
        divides by their sum, the Poisson distribution cut off at K.

    Returns: [..., K] float32; values j and j+1 share the mode.
    Raises: ValueError if normalisation is neither.

    Source: Liu et al., "Unimodal regularized neuron stick-breaking for ordinal classification"
    (Neurocomputing 2020), as in dlordinal.

    Examples:
      >>> print(encodings.poisson(22, LabelSpace.range(20, 24), normalisation="sum"))
      [0.061 0.183 0.275 0.275 0.206]
    """
    if normalisation not in ("softmax", "sum"):
        raise ValueError(f"normalisation: expected 'softmax' or 'sum', got {normalisation!r}")
    return _rows(labels, space, _poisson_table(space.size, normalisation))


def triangular(labels: ArrayLike, space: LabelSpace, alpha: Scalar = 0.01) -> jax.Array:
    """A triangular distribution that reaches only into the neighbouring values' bins.

    p_{j±1} = α,  p_j = 1 - 2α; at the ends α_1 = (1 - √(1 - 4(1 - 2α)(2α - √(2α))))^2 / 4 goes to
    the first label's neighbour, and α_3, the same with (2α - √(2α)) times ((K-1)/K)^2, to the
    last's.

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      alpha: α in [0, 2/9], the probability of each neighbour.

    Returns: [..., K] float32.
    Raises: ValueError if alpha is outside [0, 2/9], beyond which the triangle leaves the
    neighbours' bins.

    Source: Vargas et al., "Soft labelling based on triangular distributions for ordinal
    classification" (Information Fusion 2023), as in dlordinal.

    Examples:
      >>> print(encodings.triangular(22, LabelSpace.range(20, 24), alpha=0.1))
      [0.  0.1 0.8 0.1 0. ]
    """
    if arrays.is_known(alpha) and not 0 <= alpha <= 2 / 9:
        raise ValueError(f"alpha: must be in [0, 2/9], got {alpha}")
    return _rows(labels, space, _tabled(_triangular_table, space.size, alpha))


def beta(
    labels: ArrayLike,
    space: LabelSpace,
    concentration: Scalar | None = None,
    *,
    shapes: Sequence[tuple[float, float]] | None = None,
) -> jax.Array:
    """The mass of a Beta distribution on each of K equal parts of [0, 1].

    p_k = I_{(k+1)/K}(a_j, b_j) - I_{k/K}(a_j, b_j),  k = 0, ..., K-1, I the regularised incomplete
    beta function; a_j = c (j + 1/2)/K and b_j = c - a_j put the mean amid the label's own part.

    Args:
      labels: [...], in the space's unit.
      space: the K label values.
      concentration: c = a + b, at least 2K; K^2 by default, which is about what the published
        parameters come to amid 3 to 13 classes; towards the ends they are less.
      shapes: (a_j, b_j) of each of the K labels, at least 1, in the place of the concentration;
        the source's published tables for few classes go here.

    Returns: [..., K] float32.
    Raises: ValueError if concentration is below 2K, or shapes are not K pairs of numbers >= 1.

    Source: Vargas et al., "Unimodal regularisation based on beta distribution for deep ordinal
    regression" (Pattern Recognition 2022), as in dlordinal, which has (a_j, b_j) for 3 to 14
    classes only; the rule for any K is ours.

    Examples:
      >>> print(encodings.beta(22, LabelSpace.range(20, 24)))
      [0.    0.158 0.683 0.158 0.   ]
    """
    K = space.size
    if shapes is None:
        c = K * K if concentration is None else concentration
        if arrays.is_known(c) and not c >= 2 * K:
            raise ValueError(f"concentration: must be at least 2K = {2 * K}, got {concentration}")
        return _rows(labels, space, _tabled(_concentrated_table, K, c))
    pairs = tuple((float(a), float(b)) for a, b in shapes)
    if len(pairs) != K or not all(a >= 1 and b >= 1 for a, b in pairs):
        raise ValueError(f"shapes: expected {K} pairs (a, b) with a, b >= 1, got {shapes}")
    return _rows(labels, space, _shaped_table(pairs))


def _rows(labels: ArrayLike, space: LabelSpace, table: Table) -> jax.Array:
    """Returns the table's row of each label, [..., K]: a product with its one-hot, which is exact.

    A gather would not say on an explicit mesh how its result is sharded.
    """
    y = arrays.float32(labels)
    own_class = arrays.own(y, space).astype(jnp.float32)
    highest = jax.lax.Precision.HIGHEST
    rows = jnp.einsum(
        "...j,jk->...k", own_class, jnp.asarray(table, jnp.float32), precision=highest
    )
    return arrays.nan_where(jnp.isnan(y), rows)


def _tabled(make: Callable[..., Table], K: int, *parameters: Scalar) -> Table:
    """Returns the table, once in float64 of known numbers, else in float32 of traced ones."""
    if all(arrays.is_known(x) for x in parameters):
        return _known(make, K, *(float(x) for x in parameters))
    return make(K, *(arrays.with_shape("parameter", x, ()) for x in parameters), numpy=jnp)


@functools.lru_cache(maxsize=64)
def _known(make: Callable[..., Table], K: int, *parameters: float) -> Table:
    return make(K, *parameters, numpy=np)


def _as(numpy: ModuleType, x: np.ndarray) -> Table:
    """Returns the constants of a table in its module's dtype."""
    return jnp.asarray(x, jnp.float32) if numpy is jnp else x


def _softmax(exponent: Table, numpy: ModuleType = np) -> Table:
    weight = numpy.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def _exponential_table(K: int, power: Scalar, temperature: Scalar, *, numpy: ModuleType) -> Table:
    k = np.arange(K, dtype=np.float64)
    distance = np.abs(k[None] - k[:, None])
    # The power of 0 is 0, but its gradient by the exponent has ln 0.
    apart = _as(numpy, np.where(distance > 0, distance, 1.0))
    powers = numpy.where(distance > 0, apart**power, 0.0)
    return _softmax(-powers / temperature, numpy)


@functools.lru_cache(maxsize=32)
def _binomial_table(K: int) -> Table:
    k = np.arange(K, dtype=np.float64)
    theta = np.linspace(0.1, 0.9, K)[:, None]
    log_choose = np.array([-math.lgamma(i + 1) - math.lgamma(K - i) for i in range(K)])
    return _softmax(log_choose + k * np.log(theta) + (K - 1 - k) * np.log1p(-theta))


@functools.lru_cache(maxsize=32)
def _poisson_table(K: int, normalisation: str) -> Table:
    k = np.arange(K, dtype=np.float64)
    rate = k[:, None] + 1
    log_mass = k * np.log(rate) - rate - np.array([math.lgamma(i + 1) for i in range(K)])
    return _softmax(np.exp(log_mass) if normalisation == "softmax" else log_mass)


def _triangular_table(K: int, alpha: Scalar, *, numpy: ModuleType) -> Table:
    excess = (1 - 2 * alpha) * (2 * alpha - numpy.sqrt(2 * alpha))
    first = ((1 - numpy.sqrt(1 - 4 * excess)) / 2) ** 2
    last = ((1 - numpy.sqrt(1 - 4 * excess * ((K - 1) / K) ** 2)) / 2) ** 2
    diagonal, beside, of_first, of_last = np.zeros((4, K, K), np.float32)
    diagonal[range(1, K - 1), range(1, K - 1)] = 1
    beside[range(1, K - 1), range(2, K)] = beside[range(1, K - 1), range(K - 2)] = 1
    of_first[0, :2], of_last[-1, -2:] = (-1, 1), (1, -1)
    ends = np.zeros((K, K), np.float32)
    ends[0, 0] = ends[-1, -1] = 1
    table = (1 - 2 * alpha) * diagonal + alpha * beside
    return table + ends + first * of_first + last * of_last


def _concentrated_table(K: int, concentration: Scalar, *, numpy: ModuleType) -> Table:
    j = _as(numpy, (np.arange(K)[:, None, None] + 0.5) / K)
    return _beta_table(K, concentration * j, concentration * (1 - j), numpy)


@functools.lru_cache(maxsize=32)
def _shaped_table(shapes: tuple[tuple[float, float], ...]) -> Table:
    a, b = np.asarray(shapes, np.float64).T[:, :, None, None]
    return _beta_table(len(shapes), a, b, np)


def _beta_table(K: int, a: Table, b: Table, numpy: ModuleType) -> Table:
    """Computes the masses by Gauss-Legendre quadrature: NumPy has no incomplete beta function.

    a and b are [K, 1, 1]. Densities are taken relative to x = a / (a + b), where float32 keeps the
    logarithms' digits.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = _as(numpy, (np.arange(K)[:, None] + (nodes[None] + 1) / 2)[None] / K)
    mean = a / (a + b)
    away = x - mean
    log_density = (a - 1) * numpy.log1p(away / mean) + (b - 1) * numpy.log1p(-away / (1 - mean))
    density = numpy.exp(log_density - log_density.max(axis=(1, 2), keepdims=True))
    mass = numpy.sum(density * _as(numpy, weights)[None, None], axis=-1)
    return mass / mass.sum(axis=-1, keepdims=True)
