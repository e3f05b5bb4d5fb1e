"""Heads of one method each, made of a dense layer: what they put out keeps the labels' order."""

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.heads import Features, Head, Outputs, Params, Width, dense


def rising_thresholds(size: int) -> Head:
    """A cumulative link model's head: one score, and thresholds that rise.

    x_k = w^T f + c - b_k,  b_k = b_1 + Σ_{1<j<=k} a_j^2,  k = 1, ..., K-1

    w and c are as in `heads.dense`; at first b_k = ln(k / (K-k)), with which a score of 0 gives all
    K values one probability.

    Args:
      size: K, the number of label values.

    Returns: A head of "rank_logits" [B, K-1], which fall.

    Source: Vargas, Gutiérrez and Hervás-Martínez, "Cumulative link models for deep ordinal
    classification" (Neurocomputing 2020), the thresholds as in dlordinal, whose first ones are one
    apart; the first ones here are ours.
    """
    k = np.arange(1, size)
    first = np.log(k / (size - k))
    layer = dense(score=None)

    def init(key: jax.Array, width: Width) -> Params:
        thresholds = {
            "first": jnp.asarray(first[0], jnp.float32),
            "roots": jnp.asarray(np.sqrt(np.diff(first)), jnp.float32),
        }
        return {**layer.init(key, width), "thresholds": thresholds}

    def apply(params: Params, features: Features) -> Outputs:
        rise = jnp.cumsum(jnp.square(params["thresholds"]["roots"]))
        above = jnp.concatenate([jnp.zeros_like(rise[:1]), rise])
        score = layer.apply(params, features)["score"]
        return {"rank_logits": score[:, None] - (params["thresholds"]["first"] + above)[None, :]}

    return Head(init, apply)


def stick_breaking(size: int) -> Head:
    """A stick-breaking head: at each value, whether the label is above it if it is not below.

    x = W^T f + b, [B, K-1], of `heads.dense`, but b_k = ln(K-k) at first, with which features of 0
    give all K values one probability. (With b = 0 each value had half of the last one's.)

    Args:
      size: K, the number of label values.

    Returns: A head of "rank_logits" [B, K-1], read by `decoders.ranks_from_conditional`.

    Source: Liu et al., "Unimodal regularized neuron stick-breaking for ordinal classification"
    (Neurocomputing 2020), whose η is -x; the first biases are ours.
    """
    return _with_bias("rank_logits", np.log(np.arange(size - 1, 0, -1)))


def one_mode(size: int) -> Head:
    """COPOC's head: logits that rise up to one value and fall from there, whatever the features.

    x = `unimodal` of W^T f + b of `heads.dense`, but b_1 = -(K-1)/2 and the others 1 at first, so
    that the mode is in the middle.

    Args:
      size: K, the number of label values.

    Returns: A head of "logits" [B, K].

    Source: Dey, Merugu and Kaveri, "Conformal Prediction Sets for Ordinal Classification" (NeurIPS
    2023); the first biases are ours.
    """
    steps = _with_bias("logits", np.concatenate([[-(size - 1) / 2], np.ones(size - 1)]))

    def apply(params: Params, features: Features) -> Outputs:
        return {"logits": unimodal(steps.apply(params, features)["logits"])}

    return Head(steps.init, apply)


def unimodal(x: jax.Array) -> jax.Array:
    """COPOC's logits -|r_k|,  r_1 = β_1, r_k = r_{k-1} + |β_k|, of numbers β [..., K].

    Source: Dey, Merugu and Kaveri, "Conformal Prediction Sets for Ordinal Classification" (NeurIPS
    2023), Sec. 4, with |.| for both of its functions, as in dlordinal.

    Examples:
      >>> unimodal(jnp.array([-1.5, 1.0, -1.0, 2.0])).tolist()
      [-1.5, -0.5, -0.5, -2.5]
    """
    steps = jnp.concatenate([x[..., :1], jnp.abs(x[..., 1:])], axis=-1)
    return -jnp.abs(jnp.cumsum(steps, axis=-1))


def with_widths(size: int, count: int) -> Head:
    """A dense layer for logits, and numbers θ that no feature moves, 0 at first.

    Args:
      size: K, the number of label values.
      count: how many numbers there are.

    Returns: A head of "logits" [B, K] and "widths" [B, count], θ for each example.
    """
    layer = dense(logits=size)

    def init(key: jax.Array, width: Width) -> Params:
        return {**layer.init(key, width), "widths": {"bias": jnp.zeros(count, jnp.float32)}}

    def apply(params: Params, features: Features) -> Outputs:
        logits = layer.apply(params, features)["logits"]
        ones = jnp.ones_like(logits[:, :1])
        return {"logits": logits, "widths": ones * params["widths"]["bias"][None, :]}

    return Head(init, apply)


def _with_bias(name: str, bias: np.ndarray) -> Head:
    """Returns a dense layer of one output that starts with a bias."""
    layer = dense(**{name: len(bias)})

    def init(key: jax.Array, width: Width) -> Params:
        params = layer.init(key, width)
        return {name: {**params[name], "bias": jnp.asarray(bias, jnp.float32)}}

    return Head(init, layer.apply)
