"""Temperature scaling of probabilities: one number makes them flatter or sharper."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics.metric import Mask, distributions, kept

# Probabilities are held above this, so that one that underflowed can still grow.
_LEAST = 1e-12
_STEPS = 40  # halvings of the range of ln T; 6 / 2^40 is far below float32's steps
_REACH = 3.0  # ln T is searched for in [-3, 3]: T from 0.05 to 20


def temper(probs: ArrayLike, temperature: ArrayLike) -> jax.Array:
    """Flattens probabilities by a temperature above 1, or sharpens them by one below.

    p'_k = p_k^(1/T) / Σ_j p_j^(1/T), the softmax of ln p / T. It is that of logits / T where p is
    a softmax. p is held above 1e-12.

    Args:
      probs: p [..., K].
      temperature: T > 0, a scalar.

    Returns: p' [..., K] float32.
    Raises: ValueError if the temperature is a number that is not positive.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), Eq. 9.

    Examples:
      >>> print(calibration.temper(jnp.array([0.8, 0.2]), 2.0))
      [0.667 0.333]
    """
    T = arrays.positive("temperature", temperature)
    return jax.nn.softmax(_logs(arrays.float32(probs)) / T, axis=-1)


@partial(jax.jit, static_argnames="space")
def fit_temperature(
    probs: ArrayLike, labels: ArrayLike, space: LabelSpace, mask: Mask = None
) -> jax.Array:
    """Finds the temperature of least negative log-likelihood, in [0.05, 20].

    T = argmin_T -Σ_n ln temper(p_n, T)_k(n), with l_k(n) the label's own value. In b = 1/T it is
    convex, and its derivative Σ_n (Σ_k p'_nk ln p_nk - ln p_n,k(n)) rises; so the root is halved
    down to.

    Args:
      probs: p [N, K].
      labels: y [N].
      space: the K label values.
      mask: [N], which rows count; by default all.

    Returns: T [], float32; an end of the range where the best lies beyond it.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), Sec. 4.2.

    Examples:
      >>> space = LabelSpace.range(0, 1)
      >>> probs = jnp.array([[0.9, 0.1]] * 4)  # too sure: right in three of four
      >>> print(calibration.fit_temperature(probs, jnp.array([0.0, 0.0, 0.0, 1.0]), space))
      2.0
    """
    p, y = distributions(probs, labels, space)
    logs, used = _logs(p), kept(mask, p.shape[0])
    label_logs = arrays.of_own(y, logs, space)

    def halved(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        tempered = jax.nn.softmax(logs * jnp.exp(-middle), axis=-1)
        rise = jnp.sum(jnp.where(used, jnp.sum(tempered * logs, axis=-1) - label_logs, 0.0))
        # A derivative above 0 says that 1/T is too large, and so T too small.
        colder = rise < 0
        return jnp.where(colder, low, middle), jnp.where(colder, middle, high)

    ends = jnp.float32(-_REACH), jnp.float32(_REACH)
    low, high = jax.lax.fori_loop(0, _STEPS, halved, ends)
    return jnp.exp(0.5 * (low + high))


def _logs(p: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(p, _LEAST))
