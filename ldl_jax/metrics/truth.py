"""Measures between the learned and the true distribution, where a true one is known.

Each plain function gives a number a row, [N, K], [N, K] -> [N], and 0 for the rows that `mask`
leaves out; its accumulator gives the rows' mean. p is learned (`probs`), q is true (`truth`).
Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
Source: Geng, "Label Distribution Learning" (TKDE 2016), whose six measures these are.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ldl_jax import arrays
from ldl_jax.metrics.accumulators import Mask, Rows, Score, averaged, kept, once, together


def kl_to_truth(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """KL(truth || probs) = Σ_k q_k ln(q_k / p_k) of each row, in nats: [N, K], [N, K] -> [N].

    0 ln 0 is 0, ignored rows are 0, and p is held above 1.2e-38, the least normal float32: a
    softmax that underflowed then costs much, but not infinity.
    """
    return _by_row(_kl, probs, truth, mask)


def chebyshev(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """Chebyshev distance max_k |q_k - p_k| of each row, in [0, 1]: [N, K], [N, K] -> [N]."""
    return _by_row(_chebyshev, probs, truth, mask)


def clark(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """Clark distance √(Σ_k (q_k - p_k)² / (q_k + p_k)²) of each row: [N, K], [N, K] -> [N].

    A term 0/0, of a value that neither holds, is 0; one that only one of the two holds is 1, be it
    ever so improbable. In [0, √K].
    """
    return _by_row(_clark, probs, truth, mask)


def canberra(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """Canberra metric Σ_k |q_k - p_k| / (q_k + p_k) of each row: [N, K], [N, K] -> [N].

    Terms 0/0 are 0, as in `clark`. In [0, K].
    """
    return _by_row(_canberra, probs, truth, mask)


def cosine(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """Cosine similarity Σ_k q_k p_k / (|q| |p|) of each row, in [0, 1]: [N, K], [N, K] -> [N].

    1 where they are the same. 0/0, of a row of zeros, is 0.
    """
    return _by_row(_cosine, probs, truth, mask)


def intersection(probs: Rows, truth: Rows, mask: Mask = None) -> Array:
    """Intersection similarity Σ_k min(q_k, p_k) of each row, in [0, 1]: [N, K], [N, K] -> [N].

    1 where they are the same.
    """
    return _by_row(_intersection, probs, truth, mask)


def ldl_measures(probs: Rows, truth: Rows, mask: Mask = None) -> dict[str, Array]:
    """The means over the rows of all six, by the names of their functions; each [].

    The four distances are better when lower, the two similarities when higher.
    """
    return once(LDL_MEASURES, probs, truth, mask=mask)


def _by_row(score: Score, probs: Rows, truth: Rows, mask: Mask) -> Array:
    scores = score(probs, truth)
    return jnp.where(kept(mask, scores.shape[0]), scores, 0.0)


def _both(probs: Rows, truth: Rows) -> tuple[Array, Array]:
    p = arrays.float32(probs)
    if p.ndim != 2:
        raise ValueError(f"probs: expected shape [N, K], got {list(p.shape)}")
    return p, arrays.with_shape("truth", truth, p.shape)


def _kl(probs: Rows, truth: Rows) -> Array:
    p, q = _both(probs, truth)
    ratio = jnp.log(jnp.where(q == 0, 1.0, q))
    ratio = ratio - jnp.log(jnp.maximum(p, jnp.finfo(jnp.float32).tiny))
    return jnp.sum(jnp.where(q == 0, 0.0, q * ratio), axis=1)


def _chebyshev(probs: Rows, truth: Rows) -> Array:
    p, q = _both(probs, truth)
    return jnp.max(jnp.abs(q - p), axis=1)


def _relative(probs: Rows, truth: Rows) -> Array:
    """|q - p| / (q + p) [N, K], 0 where both are."""
    p, q = _both(probs, truth)
    total = q + p
    return jnp.abs(q - p) / jnp.where(total == 0, 1.0, total)


def _clark(probs: Rows, truth: Rows) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(_relative(probs, truth)), axis=1))


def _canberra(probs: Rows, truth: Rows) -> Array:
    return jnp.sum(_relative(probs, truth), axis=1)


def _cosine(probs: Rows, truth: Rows) -> Array:
    p, q = _both(probs, truth)
    lengths = jnp.sqrt(jnp.sum(jnp.square(p), axis=1)) * jnp.sqrt(jnp.sum(jnp.square(q), axis=1))
    alike = jnp.sum(p * q, axis=1) / jnp.where(lengths == 0, 1.0, lengths)
    return jnp.minimum(alike, 1.0)


def _intersection(probs: Rows, truth: Rows) -> Array:
    p, q = _both(probs, truth)
    return jnp.sum(jnp.minimum(p, q), axis=1)


KL_TO_TRUTH = averaged(_kl)
CHEBYSHEV = averaged(_chebyshev)
CLARK = averaged(_clark)
CANBERRA = averaged(_canberra)
COSINE = averaged(_cosine)
INTERSECTION = averaged(_intersection)
LDL_MEASURES = together(
    {
        "kl_to_truth": KL_TO_TRUTH,
        "chebyshev": CHEBYSHEV,
        "clark": CLARK,
        "canberra": CANBERRA,
        "cosine": COSINE,
        "intersection": INTERSECTION,
    }
)
