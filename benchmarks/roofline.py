"""How fast a step could at best be on this device: both ceilings, measured, and the floor they set.

The floor of a computation is the larger of its FLOPs over the matrix-product rate and its bytes
over the copy rate. FLOPs and bytes are the compiler's own count of what it compiled, so a form
that computes more than it must also has a higher floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Ceilings(NamedTuple):
    """What the device can do.

    Attributes:
      flops: FLOP/s of a large matrix product, by dtype.
      bandwidth: bytes/s read and written by a large copy.
    """

    flops: Mapping[str, float]
    bandwidth: float

    def floor(self, compiled: Any, dtype: str) -> float | None:
        """The least seconds that the compiled function takes, None where it has no FLOP count."""
        cost = compiled.cost_analysis() or {}
        flops, size = cost.get("flops", 0.0), cost.get("bytes accessed", 0.0)
        if flops <= 0:
            return None
        return max(flops / self.flops[dtype], size / self.bandwidth)


def measure(dtypes: Sequence[str]) -> Ceilings:
    """The ceilings of the first device; a matrix product's precision is JAX's default."""
    return Ceilings({dtype: _product_rate(dtype) for dtype in dtypes}, _copy_rate())


def side() -> int:
    """Of the matrices whose product shows the ceiling; larger ones are no faster."""
    return 2048 if jax.default_backend() == "cpu" else 8192


def best(function: Callable[[], Any]) -> float:
    """Seconds of the best of ten calls: a ceiling is what the device can do undisturbed.

    The first of them, which compiles, is never the best.
    """
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _product_rate(dtype: str) -> float:
    x = jnp.ones((side(), side()), jnp.dtype(dtype))
    product = jax.jit(lambda x: x @ x)
    return 2 * side() ** 3 / best(lambda: product(x).block_until_ready())


def _copy_rate() -> float:
    """Bytes/s of reading an array and writing it over itself."""
    x = jnp.zeros((2**26 if jax.default_backend() == "cpu" else 2**29,), jnp.float32)
    write = jax.jit(lambda x: x + 1, donate_argnums=0)

    def once() -> None:
        nonlocal x
        x = write(x).block_until_ready()

    return 2 * x.nbytes / best(once)
