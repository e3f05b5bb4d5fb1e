"""Measures between the learned and the true distribution, where a true one is known.

Called on arrays, each gives a number a row, [N, K], [N, K] -> [N], and 0 for the rows that `mask`
leaves out; its accumulator gives the rows' mean. p is learned (`probs`), q is true (`truth`).
Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
Source: Geng, "Label Distribution Learning" (TKDE 2016), whose six measures these are.
"""

import jax.numpy as jnp
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics.metric import Mean, Rows, Rules, accumulated, averaged, mean_of, together


def _both(probs: Rows, truth: Rows) -> tuple[Array, Array]:
    p = arrays.float32(probs)
    if p.ndim != 2:
        raise ValueError(f"probs: expected shape [N, K], got {list(p.shape)}")
    return p, arrays.with_shape("truth", truth, p.shape)


def _relative(probs: Rows, truth: Rows) -> Array:
    """Returns |q - p| / (q + p) [N, K], 0 where both are."""
    p, q = _both(probs, truth)
    total = q + p
    return jnp.abs(q - p) / jnp.where(total == 0, 1.0, total)


@averaged(mean_of, by_row=True)
def kl_to_truth(probs: Rows, truth: Rows) -> Array:
    """KL(truth || probs) = Σ_k q_k ln(q_k / p_k) of each row, in nats: [N, K], [N, K] -> [N].

    0 ln 0 is 0, ignored rows are 0, and p is held above 1.2e-38, the least normal float32: a
    softmax that underflowed then costs much, but not infinity.

    >>> from ldl_jax import metrics
    >>> [round(x, 3) for x in metrics.kl_to_truth([[0.5, 0.5]], [[1.0, 0.0]]).tolist()]
    [0.693]
    """
    p, q = _both(probs, truth)
    ratio = jnp.log(jnp.where(q == 0, 1.0, q))
    ratio = ratio - jnp.log(jnp.maximum(p, jnp.finfo(jnp.float32).tiny))
    return jnp.sum(q * ratio, axis=1)


@averaged(mean_of, by_row=True)
def chebyshev(probs: Rows, truth: Rows) -> Array:
    """Chebyshev distance max_k |q_k - p_k| of each row, in [0, 1]: [N, K], [N, K] -> [N].

    >>> from ldl_jax import metrics
    >>> metrics.chebyshev([[0.5, 0.5]], [[1.0, 0.0]]).tolist()
    [0.5]
    """
    p, q = _both(probs, truth)
    return jnp.max(jnp.abs(q - p), axis=1)


@averaged(mean_of, by_row=True)
def clark(probs: Rows, truth: Rows) -> Array:
    """Clark distance √(Σ_k (q_k - p_k)² / (q_k + p_k)²) of each row: [N, K], [N, K] -> [N].

    A term 0/0, of a value that neither holds, is 0; one that only one of the two holds is 1, be it
    ever so improbable. In [0, √K].

    >>> from ldl_jax import metrics
    >>> [round(x, 3) for x in metrics.clark([[1.0, 0.0]], [[0.0, 1.0]]).tolist()]
    [1.414]
    """
    return jnp.sqrt(jnp.sum(jnp.square(_relative(probs, truth)), axis=1))


@averaged(mean_of, by_row=True)
def canberra(probs: Rows, truth: Rows) -> Array:
    """Canberra metric Σ_k |q_k - p_k| / (q_k + p_k) of each row: [N, K], [N, K] -> [N].

    Terms 0/0 are 0, as in `clark`. In [0, K].

    >>> from ldl_jax import metrics
    >>> metrics.canberra([[1.0, 0.0]], [[0.0, 1.0]]).tolist()
    [2.0]
    """
    return jnp.sum(_relative(probs, truth), axis=1)


@averaged(mean_of, by_row=True)
def cosine(probs: Rows, truth: Rows) -> Array:
    """Cosine similarity Σ_k q_k p_k / (|q| |p|) of each row, in [0, 1]: [N, K], [N, K] -> [N].

    1 where they are the same. 0/0, of a row of zeros, is 0.

    >>> from ldl_jax import metrics
    >>> [round(x, 3) for x in metrics.cosine([[0.5, 0.5]], [[1.0, 0.0]]).tolist()]
    [0.707]
    """
    p, q = _both(probs, truth)
    lengths = jnp.sqrt(jnp.sum(jnp.square(p), axis=1)) * jnp.sqrt(jnp.sum(jnp.square(q), axis=1))
    alike = jnp.sum(p * q, axis=1) / jnp.where(lengths == 0, 1.0, lengths)
    return jnp.minimum(alike, 1.0)


@averaged(mean_of, by_row=True)
def intersection(probs: Rows, truth: Rows) -> Array:
    """Intersection similarity Σ_k min(q_k, p_k) of each row, in [0, 1]: [N, K], [N, K] -> [N].

    1 where they are the same.

    >>> from ldl_jax import metrics
    >>> metrics.intersection([[0.5, 0.5]], [[1.0, 0.0]]).tolist()
    [0.5]
    """
    p, q = _both(probs, truth)
    return jnp.sum(jnp.minimum(p, q), axis=1)


@accumulated("probs", "truth")
def ldl_measures() -> Rules[dict[str, Mean], dict[str, Array]]:
    """The means over the rows of all six, by the names of their functions; each [].

    The four distances are better when lower, the two similarities when higher.

    >>> from ldl_jax import metrics
    >>> means = metrics.ldl_measures([[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]])
    >>> {name: round(float(means[name]), 3) for name in ("chebyshev", "intersection")}
    {'chebyshev': 0.25, 'intersection': 0.75}
    """
    measures = (kl_to_truth, chebyshev, clark, canberra, cosine, intersection)
    return together({measure.name: measure for measure in measures}).rules
