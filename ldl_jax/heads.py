"""Heads: features [B, D] -> named outputs, as a pair of pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Outputs = dict[str, jax.Array]


class Head(NamedTuple):
    """What stands on a network's pooled features.

    Attributes:
      init: `init(key, width) -> params`, float32.
      apply: `apply(params, features) -> outputs`; features [B, D] in, float32 arrays out.
    """

    init: Callable[[jax.Array, int], Any]
    apply: Callable[[Any, jax.Array], Outputs]


def dense(**units: int | None) -> Head:
    """One dense layer with bias for each named output (CEN Eqs. 2 and 8, DLDL-v2 Eq. 7).

    x = W^T f + b, with W drawn from N(0, 1/D) and b = 0.

    Args:
      **units: the outputs' names; a number of units K gives [B, K], and None gives one unit as [B].
    """

    def init(key: jax.Array, width: int) -> Any:
        scale = jnp.float32(width**-0.5)
        shapes = {name: (width, 1 if count is None else count) for name, count in units.items()}
        keys = jax.random.split(key, len(shapes))
        return {
            name: {
                "kernel": jax.random.normal(k, shape, jnp.float32) * scale,
                "bias": jnp.zeros(shape[1:], jnp.float32),
            }
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def apply(params: Any, features: jax.Array) -> Outputs:
        features = features.astype(jnp.float32)
        outputs = {
            name: features @ layer["kernel"] + layer["bias"][None, :]
            for name, layer in params.items()
        }
        return {name: x[:, 0] if units[name] is None else x for name, x in outputs.items()}

    return Head(init, apply)
