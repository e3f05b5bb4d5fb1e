"""Hidden layers between a network's features and a method's head."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ldl_jax import heads
from ldl_jax.heads import Features, Head, Outputs, Params, Width

_MOST_LAYERS, _MOST_UNITS = 100, 2**20


def deepened(
    head: Head, units: Sequence[int] = (), dropout: float = 0.0, *, standardised: bool = False
) -> Head:
    """Puts hidden layers between a network's features and a head.

    h_0 = f,  h_i = ReLU(W_i^T h_{i-1} + b_i), and the head reads h_n. W_i is drawn from
    N(0, 2 / inputs) and b_i = 0. Without all of this it returns the head itself.

    Args:
      head: reads the last hidden layer.
      units: the numbers of units of the hidden layers, the first one first.
      dropout: the share of the hidden units, or of the features where no layer is hidden, that a
        training step sets to 0; the rest is scaled up.
      standardised: whether f = (features - mean) / deviation, with the two in the parameters as
        "input". They are statistics, which training is not to move (`models.stored`).

    Returns: A head of the same outputs; its parameters are the head's, "hidden1", "hidden2", ...,
    and "input".
    Raises: ValueError where a layer has no unit, or the dropout is no rate.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), Eq. 10, for W; Srivastava et al.,
    "Dropout" (JMLR 2014).

    Examples:
      >>> head = deepened(heads.dense(logits=5), (16,))
      >>> params = head.init(jax.random.key(0), 8)
      >>> {name: layer["kernel"].shape for name, layer in params.items()}
      {'hidden1': (8, 16), 'logits': (16, 5)}
    """
    if any(count < 1 for count in units):
        raise ValueError(f"model.hidden: expected 1 unit or more a layer, got {tuple(units)}")
    if len(units) > _MOST_LAYERS or any(count > _MOST_UNITS for count in units):
        raise ValueError(
            f"model.hidden: expected at most {_MOST_LAYERS} layers of {_MOST_UNITS:,} units, got "
            f"{len(units)} of up to {max(units)}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"model.hidden_dropout: expected a rate in [0, 1), got {dropout!r}")
    if not units and not dropout and not standardised:
        return head
    names = [f"hidden{index}" for index in range(1, len(units) + 1)]

    def init(key: jax.Array, width: Width) -> Params:
        params: Params = {}
        if standardised:
            D = heads.total(width)
            params["input"] = {"mean": jnp.zeros(D), "deviation": jnp.ones(D)}
        for index, (name, count) in enumerate(zip(names, units, strict=True), start=1):
            layer = heads.fresh_layer(jax.random.fold_in(key, index), heads.total(width), count)
            params[name] = {**layer, "kernel": layer["kernel"] * jnp.float32(2**0.5)}
            width = count
        return {**params, **head.init(key, width)}

    def outputs(params: Params, features: Features, key: jax.Array | None) -> Outputs:
        return _outputs(head, names, dropout, params, features, key)

    def apply(params: Params, features: Features) -> Outputs:
        return outputs(params, features, None)

    return Head(init, apply, outputs if dropout or head.train is not None else None)


def _outputs(
    head: Head,
    names: Sequence[str],
    dropout: float,
    params: Params,
    features: Features,
    key: jax.Array | None,
) -> Outputs:
    """Returns the head's outputs through the hidden layers; without a key nothing is dropped."""
    if "input" in params:
        features = heads.standardise(features, **params["input"])
    if not names and key is not None:
        features = jax.tree.map(lambda x: _dropped(x, dropout, key), features)
    for index, name in enumerate(names):
        features = jax.nn.relu(heads.affine(params[name], heads.joined(features)))
        if key is not None:
            features = _dropped(features, dropout, jax.random.fold_in(key, index))
    rest = {name: layer for name, layer in params.items() if name not in (*names, "input")}
    if head.train is None or key is None:
        return head.apply(rest, features)
    return head.train(rest, features, jax.random.fold_in(key, len(names)))


def without_input(params: Params | None) -> Params | None:
    """Returns a head's parameters without the statistics of its input."""
    if params is None:
        return None
    return {name: layer for name, layer in params.items() if name != "input"}


def folded(params: Params) -> Params:
    """Returns a head's parameters with the statistics of its input in its first hidden layer.

    W' = W / deviation and b' = b - (mean / deviation)^T W give the same outputs.

    Raises:
      ValueError: it has statistics and no hidden layer.
    """
    if "input" not in params:
        return params
    if "hidden1" not in params:
        raise ValueError("standardises features, and has no hidden layer to do that in")
    mean, deviation = params["input"]["mean"], params["input"]["deviation"]
    layer = params["hidden1"]
    kernel = layer["kernel"] / deviation[:, None]
    first = {"kernel": kernel, "bias": layer["bias"] - mean @ kernel}
    return {**{name: x for name, x in params.items() if name != "input"}, "hidden1": first}


def _dropped(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))
