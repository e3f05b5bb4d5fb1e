"""Heads turn a network's features into named outputs; a head is a pair of pure functions.

Features are an array [B, D], or a dict of such arrays where a network gives them in parts. The
heads here read the parts side by side, in the order of their names, except `stagewise`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeGuard, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import arrays

Outputs = dict[str, jax.Array]
Features = jax.Array | Mapping[str, jax.Array]
Width = int | Mapping[str, int]
Params = dict[str, dict[str, jax.Array]]
_Part = TypeVar("_Part")


class Head(NamedTuple):
    """The layers on a network's pooled features.

    Attributes:
      init: `init(key, width) -> params`, float32; `width` is one a part where features have parts.
      apply: `apply(params, features) -> outputs`; features [B, D] in, float32 arrays out.
      train: `train(params, features, key) -> outputs`, the same in training, for heads that draw
        random numbers or take another form then; None where `apply` is for training too.
    """

    init: Callable[[jax.Array, Width], Params]
    apply: Callable[[Params, Features], Outputs]
    train: Callable[[Params, Features, jax.Array], Outputs] | None = None


def dense(**units: int | None) -> Head:
    """A dense layer with bias for each named output (CEN Eqs. 2 and 8, DLDL-v2 Eq. 7).

    x = W^T f + b, with W drawn from N(0, 1/D) and b = 0.

    Args:
      **units: the outputs' names; a number of units K gives [B, K], and None gives one unit as [B].

    Examples:
      >>> head = heads.dense(logits=5, score=None)
      >>> outputs = head.apply(head.init(jax.random.key(0), 8), jnp.ones((2, 8)))
      >>> {name: x.shape for name, x in outputs.items()}
      {'logits': (2, 5), 'score': (2,)}
    """

    def init(key: jax.Array, width: Width) -> Params:
        D = total(width)
        keys = jax.random.split(key, len(units))
        return {
            name: fresh_layer(k, D, 1 if count is None else count)
            for k, (name, count) in zip(keys, units.items(), strict=True)
        }

    def apply(params: Params, features: Features) -> Outputs:
        x = joined(features)
        outputs = {name: affine(params[name], x) for name in units}
        return {name: x[:, 0] if units[name] is None else x for name, x in outputs.items()}

    return Head(init, apply)


def shared_ordinal(size: int) -> Head:
    """CORAL's head: K-1 logits that share one score and differ in their biases alone.

    x_k = w^T f + b_k,  k = 1, ..., K-1, with w drawn from N(0, 1/D) and b_k = (K-k)/(K-1) at first:
    while the biases fall, so do the ranks' probabilities.

    Args:
      size: K, the number of label values.

    Returns: A head of "rank_logits" [B, K-1].

    Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks
    with application to age estimation" (2020); the first biases are those of coral-pytorch.

    Examples:
      >>> head = heads.shared_ordinal(5)
      >>> params = head.init(jax.random.key(0), 8)
      >>> print(head.apply(params, jnp.zeros((1, 8)))["rank_logits"])
      [[1.   0.75 0.5  0.25]]
    """

    def init(key: jax.Array, width: Width) -> Params:
        kernel = fresh_layer(key, total(width), 1)["kernel"]
        bias = np.arange(size - 1, 0, -1, dtype=np.float32) / (size - 1)
        return {"rank_logits": {"kernel": kernel, "bias": jnp.asarray(bias)}}

    def apply(params: Params, features: Features) -> Outputs:
        return {"rank_logits": affine(params["rank_logits"], joined(features))}

    return Head(init, apply)


def comparisons(size: int) -> Head:
    """MegaAge's head: K-1 comparisons with the label values, and a distribution from them.

    h = W^T f + b,  x = V^T σ(h) + c

    Args:
      size: K, the number of label values.

    Returns: A head of "rank_logits" h [B, K-1] and "logits" x [B, K].

    Source: Zhang et al., "Quantifying Facial Age by Posterior of Age Comparisons" (BMVC 2017).

    Examples:
      >>> head = heads.comparisons(5)
      >>> outputs = head.apply(head.init(jax.random.key(0), 8), jnp.ones((2, 8)))
      >>> {name: x.shape for name, x in outputs.items()}
      {'rank_logits': (2, 4), 'logits': (2, 5)}
    """

    def init(key: jax.Array, width: Width) -> Params:
        first, second = jax.random.split(key)
        return {
            "rank_logits": fresh_layer(first, total(width), size - 1),
            "logits": fresh_layer(second, size - 1, size),
        }

    def apply(params: Params, features: Features) -> Outputs:
        h = affine(params["rank_logits"], joined(features))
        return {"rank_logits": h, "logits": affine(params["logits"], jax.nn.sigmoid(h))}

    return Head(init, apply)


def stagewise(stages: Sequence[int]) -> Head:
    """SSR-Net's head: the bins' probabilities and offsets and the range of each stage.

    Each is one dense layer, before any activation. Where a network gives the parts "stage1",
    "range1", "stage2", ... (SSR-Net), a stage's probabilities and offsets read its "stage" part
    and its range the "range" part; elsewhere all read all features. The ranges start at 0: if they
    were drawn at random, some 1 + Δ would be near 0, and the first gradients divided by it.

    Args:
      stages: s_k, the number of bins of each stage.

    Returns: A head of "probs{k}" [B, s_k], "offsets{k}" [B, s_k], "range{k}" [B] for k = 1, 2, ...
    Raises: ValueError in `init`, if the network has parts for another number of stages.

    Source: Yang et al., "SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation"
    (IJCAI 2018), Fig. 1.

    Examples:
      >>> head = heads.stagewise([3, 2])
      >>> outputs = head.apply(head.init(jax.random.key(0), 8), jnp.ones((2, 8)))
      >>> {name: x.shape[1:] for name, x in outputs.items() if name.endswith("2")}
      {'probs2': (2,), 'offsets2': (2,), 'range2': ()}
    """
    units: dict[str, int] = {}
    reads: dict[str, str] = {}  # the part that each output reads
    for k, s in enumerate(stages, start=1):
        units |= {f"probs{k}": s, f"offsets{k}": s, f"range{k}": 1}
        reads |= {f"probs{k}": f"stage{k}", f"offsets{k}": f"stage{k}", f"range{k}": f"range{k}"}

    def init(key: jax.Array, width: Width) -> Params:
        keys = jax.random.split(key, len(units))
        if _staged(width):
            theirs = sum(name.startswith("stage") for name in width)
            if theirs != len(stages):
                raise ValueError(
                    f"method.stages: the network has {theirs} stages, got {tuple(stages)}"
                )
            widths = {name: width[reads[name]] for name in units}
        else:
            widths = dict.fromkeys(units, total(width))
        params = {n: fresh_layer(k, widths[n], units[n]) for k, n in zip(keys, units, strict=True)}
        for name in units:
            if name.startswith("range"):
                params[name]["kernel"] = jnp.zeros_like(params[name]["kernel"])
        return params

    def apply(params: Params, features: Features) -> Outputs:
        parts = features if _staged(features) else dict.fromkeys(reads.values(), joined(features))
        x = {n: affine(params[n], parts[reads[n]].astype(jnp.float32)) for n in units}
        return {n: y[:, 0] if n.startswith("range") else y for n, y in x.items()}

    def train(params: Params, features: Features, key: jax.Array) -> Outputs:
        """Takes all stages' bins by one product on accelerators, whose steps it makes shorter."""
        del key
        if jax.default_backend() == "cpu" or not _staged(features):
            return apply(params, features)
        bins = [name for name in units if not name.startswith("range")]
        of_stages = [
            jnp.concatenate([params[f"{name}{k}"]["kernel"] for name in ("probs", "offsets")], -1)
            for k in range(1, len(stages) + 1)
        ]
        read = [features[f"stage{k}"] for k in range(1, len(stages) + 1)]
        joint = {
            "kernel": arrays.block_diagonal(of_stages),
            "bias": jnp.concatenate([params[name]["bias"] for name in bins]),
        }
        y = affine(joint, jnp.concatenate(read, axis=-1).astype(jnp.float32))
        ends = np.cumsum([units[name] for name in bins])[:-1].tolist()
        outputs = dict(zip(bins, jnp.split(y, ends, axis=-1), strict=True))
        for name in units:
            if name.startswith("range"):
                part = features[reads[name]].astype(jnp.float32)
                outputs[name] = affine(params[name], part)[:, 0]
        return outputs

    return Head(init, apply, train)


def standardise(features: Features, mean: jax.Array, deviation: jax.Array) -> Features:
    """Returns (features - mean) / deviation, parts side by side in the order of their names.

    `mean` and `deviation` are [D], of all parts.

    Examples:
      >>> print(heads.standardise(jnp.ones((1, 2)), jnp.asarray([1.0, 0.0]), jnp.full(2, 2.0)))
      [[0.  0.5]]
    """
    x = (joined(features) - mean[None, :]) / deviation[None, :]
    if not isinstance(features, Mapping):
        return x
    return parts_of(x, {name: part.shape[-1] for name, part in features.items()})


def parts_of(features: jax.Array, width: Width) -> Features:
    """Returns features [B, D] as the parts of a network's width, which `joined` put side by side.

    Examples:
      >>> parts = heads.parts_of(jnp.zeros((2, 5)), {"b": 3, "a": 2})
      >>> {name: x.shape for name, x in parts.items()}
      {'a': (2, 2), 'b': (2, 3)}
    """
    if not isinstance(width, Mapping):
        return features
    names = sorted(width)
    ends = np.cumsum([width[name] for name in names])[:-1].tolist()
    return dict(zip(names, jnp.split(features, ends, axis=-1), strict=True))


def _staged(parts: jax.Array | int | Mapping[str, _Part]) -> TypeGuard[Mapping[str, _Part]]:
    return isinstance(parts, Mapping) and "stage1" in parts


def total(width: Width) -> int:
    """Returns the number of features D of a network's width, over all of its parts.

    Examples:
      >>> heads.total({"b": 3, "a": 2})
      5
    """
    return sum(width.values()) if isinstance(width, Mapping) else width


def joined(features: Features) -> jax.Array:
    """Returns features [B, D] as float32, the parts side by side in the order of their names.

    Examples:
      >>> heads.joined({"b": jnp.ones((2, 3)), "a": jnp.zeros((2, 2))}).shape
      (2, 5)
    """
    if isinstance(features, Mapping):
        features = jnp.concatenate(
            [features[name].astype(jnp.float32) for name in sorted(features)], axis=-1
        )
    return features.astype(jnp.float32)


def fresh_layer(key: jax.Array, inputs: int, outputs: int) -> dict[str, jax.Array]:
    """Returns a dense layer with its kernel [inputs, outputs] drawn from N(0, 1 / inputs).

    Examples:
      >>> {name: x.shape for name, x in heads.fresh_layer(jax.random.key(0), 3, 2).items()}
      {'kernel': (3, 2), 'bias': (2,)}
    """
    kernel = jax.random.normal(key, (inputs, outputs), jnp.float32) * jnp.float32(inputs**-0.5)
    return {"kernel": kernel, "bias": jnp.zeros(outputs, jnp.float32)}


def affine(layer: Mapping[str, jax.Array], features: jax.Array) -> jax.Array:
    """Returns W^T f + b; a kernel of one unit spreads over all biases.

    Examples:
      >>> print(heads.affine({"kernel": jnp.ones((3, 1)), "bias": jnp.zeros(2)}, jnp.ones((1, 3))))
      [[3. 3.]]
    """
    return features @ layer["kernel"] + layer["bias"][None, :]
