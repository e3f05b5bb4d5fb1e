"""Measures between the learned and the true distribution, where a true one is known.

Called on arrays, each gives a number a row, [N, K], [N, K] -> [N], and 0 for the rows that `mask`
leaves out; its accumulator gives the rows' mean. p is learned (`probs`), q is true (`truth`).
Reached as `ldl_jax.metrics.NAME`, whose docstring says what holds of all metrics.
Source: Geng, "Label Distribution Learning" (TKDE 2016), whose six measures are those of
`ldl_measures`; the others name their own.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
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


@averaged(mean_of, by_row=True)
def euclidean(probs: Rows, truth: Rows) -> Array:
    """Euclidean distance √(Σ_k (q_k - p_k)²) of each row, in [0, √2]: [N, K], [N, K] -> [N].

    Source: Cha, "Comprehensive Survey on Distance/Similarity Measures between Probability Density
    Functions" (2007), Table 1.

    >>> from ldl_jax import metrics
    >>> [round(x, 3) for x in metrics.euclidean([[1.0, 0.0]], [[0.0, 1.0]]).tolist()]
    [1.414]
    """
    p, q = _both(probs, truth)
    return jnp.sqrt(jnp.sum(jnp.square(q - p), axis=1))


@averaged(mean_of, by_row=True)
def jensen_shannon(probs: Rows, truth: Rows) -> Array:
    """Jensen-Shannon divergence of each row, in nats and [0, ln 2]: [N, K], [N, K] -> [N].

    (KL(p || m) + KL(q || m)) / 2,  m = (p + q) / 2. Unlike the KL divergence it is finite whatever
    has the probability 0. The same of logits is `losses.jensen_shannon`.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy" (1991).

    >>> from ldl_jax import metrics
    >>> [round(x, 3) for x in metrics.jensen_shannon([[1.0, 0.0]], [[0.0, 1.0]]).tolist()]
    [0.693]
    """
    p, q = _both(probs, truth)
    middle = (p + q) / 2

    def relative_entropy(x: Array) -> Array:
        ratio = jnp.where(x == 0, 1.0, x / jnp.where(middle == 0, 1.0, middle))
        return jnp.sum(x * jnp.log(ratio), axis=1)

    return (relative_entropy(p) + relative_entropy(q)) / 2


@averaged(mean_of, by_row=True)
def earth_mover(probs: Rows, truth: Rows, space: LabelSpace) -> Array:
    """Earth mover's distance of each row, in the label's unit: [N, K], [N, K] -> [N].

    Σ_{k<K} |Σ_{j<=k} (p_j - q_j)| (l_{k+1} - l_k), the mean distance that probability is moved; of
    two certain answers their difference. The same of logits is `losses.emd`.

    Source: Rubner, Tomasi and Guibas, "A Metric for Distributions with Applications to Image
    Databases" (ICCV 1998), on a line.

    >>> from ldl_jax import labels, metrics
    >>> space = labels.LabelSpace.range(20, 22)
    >>> metrics.earth_mover([[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5]], space).tolist()
    [1.5]
    """
    p, q = _both(probs, truth)
    gap = jax.lax.cumsum(p - arrays.with_last_axis("truth", q, space.size), axis=1)
    moved = jnp.sum(jnp.abs(gap[:, :-1]) * arrays.row(np.diff(space.values), 2), axis=1)
    return arrays.nan_where(jnp.isnan(gap[:, -1]), moved)


def measures(probs: Rows, truth: Rows, space: LabelSpace) -> dict[str, Array]:
    """Returns every measure [N] of each row, by the keys of `metrics.table`.

    Where the truth of a row is not known, NaN, so is its measure.
    """
    named: dict[str, Callable[[Rows, Rows], Array]] = {
        "truth_kl": kl_to_truth,
        "truth_emd": earth_mover.over(space),
        "truth_js": jensen_shannon,
        "truth_euclidean": euclidean,
        "truth_chebyshev": chebyshev,
        "truth_clark": clark,
        "truth_canberra": canberra,
        "truth_cosine": cosine,
        "truth_intersection": intersection,
    }
    unknown = jnp.any(jnp.isnan(arrays.float32(truth)), axis=1)
    return {key: arrays.nan_where(unknown, of_rows(probs, truth)) for key, of_rows in named.items()}


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
