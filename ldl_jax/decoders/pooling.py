"""Pools the distributions of several frames of one face into one.

`product_pool`, `mean_pool` and `effective_count` take all frames at once; `Running` and `add` take
one after another in memory that stays the same, and give the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays

_LEAST = 1e-6  # of a probability in a product: a frame that says 0 does not decide alone


def effective_count(
    seconds: ArrayLike, shared: ArrayLike = 0.5, memory: ArrayLike = 1.0
) -> jax.Array:
    """The number of independent frames that dependent frames are worth.

    m = 1 / (ρ + (1 - ρ) s),  s = N^-2 Σ_ij exp(-|t_i - t_j| / T)

    The errors of two frames are taken to correlate by r_ij = ρ + (1 - ρ) exp(-|t_i - t_j| / T):
    part of an error is the person's and stays, the rest changes as the face and the light do. The
    mean of N such errors has 1 / m of the variance of one.

    Args:
      seconds: t [..., N], when the frames were taken.
      shared: ρ in [0, 1], a scalar; m stays below 1 / ρ.
      memory: T, positive, a scalar, in seconds.

    Returns: [...] float32, from 1 to N.
    Raises: ValueError if shared or memory is a number out of range.

    Source: Kish, "Survey Sampling" (1965), the design effect, with an exponential correlogram.

    Examples:
      >>> seconds = jnp.array([[0.0, 0.04, 0.08], [0.0, 60.0, 120.0]])
      >>> print(decoders.effective_count(seconds))  # almost one picture, and three that are apart
      [1.018 1.5  ]
    """
    rho, T = _shared(shared), arrays.positive("memory", memory)
    t = arrays.float32(seconds)
    apart = arrays.absolute(t[..., :, None] - t[..., None, :])
    return 1.0 / (rho + (1.0 - rho) * jnp.mean(jnp.exp(-apart / T), axis=(-2, -1)))


def product_pool(
    probs: ArrayLike, seconds: ArrayLike, shared: ArrayLike = 0.5, memory: ArrayLike = 1.0
) -> jax.Array:
    """The product of the frames' distributions, tempered to what the frames are worth.

    P_k ∝ exp(m/N Σ_t ln p_tk), with m of `effective_count`

    With m = N it would be Bayes' rule for independent frames and a flat prior. Frames of one face
    are not independent, and N of them would give far too narrow a distribution. For normal p_t of
    one width, P is normal, with their mean and 1 / m of their variance.

    Args:
      probs: p [..., N, K], summing to one; a probability counts as a millionth at least.
      seconds: t [..., N].
      shared, memory: as for `effective_count`.

    Returns: [..., K] float32, summing to one.

    Source: Genest and Zidek, "Combining Probability Distributions: A Critique and an Annotated
    Bibliography" (1986), the logarithmic opinion pool.

    Examples:
      >>> probs = jnp.array([[0.2, 0.6, 0.2], [0.1, 0.6, 0.3]])
      >>> print(decoders.product_pool(probs, jnp.array([0.0, 100.0]), shared=0.0))
      [0.045 0.818 0.136]
    """
    count = effective_count(seconds, shared, memory)
    p = arrays.float32(probs)
    if p.ndim < 2 or p.shape[:-1] != jnp.shape(seconds):
        raise ValueError(
            f"probs, seconds: expected [..., N, K] and [..., N], got {list(p.shape)} and "
            f"{list(jnp.shape(seconds))}"
        )
    return _tempered(jnp.mean(_log(p), axis=-2), count)


def mean_pool(probs: ArrayLike) -> jax.Array:
    """The mean of the frames' distributions: P_k = 1/N Σ_t p_tk.

    It is as wide as a frame's and wider where frames disagree, so more frames make it steadier, not
    narrower.

    Args:
      probs: p [..., N, K], summing to one.

    Returns: [..., K] float32, summing to one.

    Source: Stone, "The Opinion Pool" (1961), the linear opinion pool.

    Examples:
      >>> print(decoders.mean_pool(jnp.array([[0.2, 0.6, 0.2], [0.1, 0.6, 0.3]])))
      [0.15 0.6  0.25]
    """
    return jnp.mean(arrays.float32(probs), axis=-2)


class Running(NamedTuple):
    """Holds what is kept of the frames so far; `Running.empty` begins it.

    Attributes:
      frames: [...], how many, n.
      recent: [...], Σ_i<n exp(-(t_n - t_i) / T).
      alike: [...], s of `effective_count`.
      log_mean: [..., K], the mean of ln p.
      mean: [..., K], the mean of p.
    """

    frames: jax.Array
    recent: jax.Array
    alike: jax.Array
    log_mean: jax.Array
    mean: jax.Array

    @classmethod
    def empty(cls, *shape: int) -> "Running":
        """Returns a pool of no frame; `shape` is that of the probabilities, [..., K]."""
        scalar, row = jnp.zeros(shape[:-1], jnp.float32), jnp.zeros(shape, jnp.float32)
        return cls(scalar, scalar, scalar, row, row)

    def effective_count(self, shared: ArrayLike = 0.5) -> jax.Array:
        """Returns [...] as the function `effective_count`; NaN where there is no frame."""
        rho = _shared(shared)
        worth = 1.0 / (rho + (1.0 - rho) * self.alike)
        return jnp.where(self.frames > 0, worth, jnp.nan)

    def product(self, shared: ArrayLike = 0.5) -> jax.Array:
        """Returns [..., K] as `product_pool`."""
        return _tempered(self.log_mean, self.effective_count(shared))


def add(pool: Running, probs: ArrayLike, gap: ArrayLike, memory: ArrayLike = 1.0) -> Running:
    """Returns the pool with one more frame.

    Sums are kept as means, so that a million frames lose no digits of float32:
    c_n = (1 + c_{n-1}) exp(-Δ/T),  s_n = ((n-1)/n)^2 s_{n-1} + (1 + 2 c_n) / n^2.

    Args:
      pool: the frames before.
      probs: p [..., K] of the new frame.
      gap: Δ [...], the seconds since the frame before; not looked at for the first one.
      memory: T, as for `effective_count`.
    """
    n = pool.frames + 1.0
    decay = jnp.exp(-arrays.float32(gap) / arrays.positive("memory", memory))
    recent = jnp.where(pool.frames > 0, (1.0 + pool.recent) * decay, 0.0)
    alike = jnp.square(pool.frames / n) * pool.alike + (1.0 + 2.0 * recent) / jnp.square(n)
    p, part = arrays.float32(probs), (1.0 / n)[..., None]
    log_mean = pool.log_mean + part * (_log(p) - pool.log_mean)
    return Running(n, recent, alike, log_mean, pool.mean + part * (p - pool.mean))


def _log(p: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(p, _LEAST))


def _tempered(log_mean: jax.Array, count: jax.Array) -> jax.Array:
    return jax.nn.softmax(count[..., None] * log_mean, axis=-1)


def _shared(shared: ArrayLike) -> jax.Array:
    if isinstance(shared, int | float) and not 0 <= shared <= 1:
        raise ValueError(f"shared: must be in [0, 1], got {shared}")
    return arrays.with_shape("shared", shared, ())
