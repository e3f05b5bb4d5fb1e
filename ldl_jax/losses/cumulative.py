"""Losses between cumulative distributions: earth mover's distances and the CRPS."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ldl_jax import arrays
from ldl_jax.labels import LabelSpace
from ldl_jax.losses.distribution import pair


def squared_emd(logits: ArrayLike, target: ArrayLike) -> jax.Array:
    """Squared earth mover's distance: the squared l2 distance of the cumulative distributions.

    L = Σ_k (ĉ_k - c_k)^2,  ĉ_k = Σ_{j<=k} softmax(x)_j,  c_k = Σ_{j<=k} p_j

    With a one-hot target it is the ranked probability score (Epstein 1969).

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.

    Returns: [...] float32, in steps of the grid.

    Source: Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep
    Neural Networks" (2016), the loss for ordered classes, which drops the factor 1/K too.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
      >>> print(losses.squared_emd(logits, target))
      [0.12  1.271]
    """
    x, p = pair(logits, target)
    return _sum_of_cumulative(jnp.square, jax.nn.softmax(x, axis=-1) - p)


def emd(logits: ArrayLike, target: ArrayLike, space: LabelSpace) -> jax.Array:
    """Earth mover's distance: the mean label distance that probability has to be moved.

    L = Σ_{k<K} |ĉ_k - c_k| (l_{k+1} - l_k),  ĉ_k = Σ_{j<=k} softmax(x)_j,  c_k = Σ_{j<=k} p_j

    Args:
      logits: x [..., K].
      target: p [..., K], a distribution.
      space: the K label values.

    Returns: [...] float32, in the space's unit.

    Source: Hou, Yu and Samaras, "Squared Earth Mover's Distance-based Loss for Training Deep
    Neural Networks" (2016), with the absolute difference in the place of the squared one, times
    the steps of the grid.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> target = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
      >>> print(losses.emd(logits, target, LabelSpace.range(20, 22)))
      [0.425 1.575]
    """
    x = arrays.with_last_axis("logits", logits, space.size)
    steps = arrays.row(np.diff(space.values), x.ndim)
    difference = jax.nn.softmax(x, axis=-1) - arrays.with_shape("target", target, x.shape)
    moved = _sum_of_cumulative(
        lambda gap, steps: arrays.absolute(gap) * steps, difference[..., :-1], steps
    )
    return arrays.nan_where(jnp.isnan(difference[..., -1]), moved)


def crps(logits: ArrayLike, labels: ArrayLike, space: LabelSpace) -> jax.Array:
    """Continuous ranked probability score of the softmax of the logits.

    L = ∫ (F(l) - [l >= y])^2 dl = Σ_k p̂_k |l_k - y| - 1/2 Σ_jk p̂_j p̂_k |l_j - l_k|,
    F the step function with F(l_k) = Σ_{j<=k} p̂_j,  p̂ = softmax(x)

    Exact for a fractional label. On the grid it is the ranked probability score times the step.

    Args:
      logits: x [..., K].
      labels: y [...], in the space's unit.
      space: the K label values.

    Returns: [...] float32, in the space's unit: of a one-hot p̂ the absolute error.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation"
    (JASA 2007), Eqs. 20-21, there with the opposite sign: a score to be maximised.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
      >>> print(losses.crps(logits, jnp.array([20, 20]), LabelSpace.range(20, 22)))
      [0.12  1.271]
    """
    x, y = arrays.with_labels(logits, labels, space)
    probs = jax.nn.softmax(x, axis=-1)[..., :-1]
    steps = arrays.row(np.diff(space.values), x.ndim)
    # The part of each interval [l_k, l_{k+1}] that lies below the label.
    below = jnp.clip(y[..., None] - arrays.grid(space, x.ndim)[..., :-1], 0.0, steps)

    inside = _sum_of_cumulative(
        lambda F, below, above: jnp.square(F) * below + jnp.square(1.0 - F) * above,
        probs,
        below,
        steps - below,
    )
    return inside + jax.nn.relu(space.values[0] - y) + jax.nn.relu(y - space.values[-1])


def cumulative_sum(p: jax.Array, *, reverse: bool = False) -> jax.Array:
    """Returns Σ_{j<=k} p_j along the last axis; reversed, Σ_{j>=k} p_j.

    It takes sums of six, then of six such sums, and so on, which is several times as fast on CPUs
    as `jax.lax.cumsum`.
    """
    K, span = p.shape[-1], 1
    while span < K:
        terms = min(6, -(-K // span))
        room = (terms - 1) * span
        widths = [(0, 0)] * (p.ndim - 1) + [(0, room) if reverse else (room, 0)]
        # Fused with the next round, every sum would be computed anew for each use.
        padded = jax.lax.optimization_barrier(jnp.pad(p, widths))
        shifted = (padded[..., i * span : i * span + K] for i in range(terms))
        p = functools.reduce(jnp.add, shifted)
        span *= terms
    return p


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sum_of_cumulative(f: Callable[..., jax.Array], p: jax.Array, *others: jax.Array) -> jax.Array:
    """Returns Σ_k f(c_k, ...) of c_k = Σ_{j<=k} p_j, [..., K] -> [...].

    f acts element by element, and takes arrays as arguments, never by closure.
    """
    return jnp.sum(f(cumulative_sum(p), *others), axis=-1)


@_sum_of_cumulative.defjvp
def _sum_of_cumulative_jvp(
    f: Callable[..., jax.Array], primals: Sequence[jax.Array], tangents: Sequence[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Σ_k f'(c_k) Σ_{j<=k} dp_j is Σ_j dp_j Σ_{k>=j} f'(c_k), so the gradient is one more sum."""
    (p, *others), (dp, *d_others) = primals, tangents
    c = cumulative_sum(p)
    terms, slopes = jax.jvp(lambda c: f(c, *others), (c,), (jnp.ones_like(c),))
    change = cumulative_sum(slopes, reverse=True) * dp
    if others:
        derivative = jax.jvp(lambda *others: f(c, *others), tuple(others), tuple(d_others))[1]
        change = change + derivative
    return jnp.sum(terms, axis=-1), jnp.sum(change, axis=-1)
