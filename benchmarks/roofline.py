"""Measures the ceilings of this device and computes the least time of a step from them.

The floor of a computation is the larger of its FLOPs over the matrix-product rate and its bytes
over the copy rate. The compiler counts the FLOPs and bytes of what it compiled, so a form that
computes more than necessary also has a higher floor.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Compiled


class Ceilings(NamedTuple):
    """The greatest rates of a device."""

    flops: Mapping[str, float]  # the FLOP/s of a large matrix product, by dtype
    bandwidth: float  # the bytes/s that a large copy reads and writes

    def floor(self, compiled: Compiled, dtype: str) -> float | None:
        """Returns the least seconds of the compiled function; None where it has no FLOP count."""
        cost = compiled.cost_analysis() or {}
        flops, size = cost.get("flops", 0.0), cost.get("bytes accessed", 0.0)
        if flops <= 0:
            return None
        return max(flops / self.flops[dtype], size / self.bandwidth)


def measure(dtypes: Sequence[str]) -> Ceilings:
    """Measures the ceilings of the first device, in JAX's default precision for products."""
    return Ceilings({dtype: _product_rate(dtype) for dtype in dtypes}, _copy_rate())


def side() -> int:
    """Returns the side of the matrices whose product is timed; larger ones are no faster."""
    return 2048 if jax.default_backend() == "cpu" else 8192


def best(function: Callable[[], object]) -> float:
    """Returns the seconds of the fastest of ten calls, which shows the undisturbed device.

    The first call compiles, so it is never the fastest.
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
    """Measures the bytes/s of reading an array and writing it over itself."""
    x = jnp.zeros((2**26 if jax.default_backend() == "cpu" else 2**29,), jnp.float32)
    write = jax.jit(lambda x: x + 1, donate_argnums=0)

    def once() -> None:
        nonlocal x
        x = write(x).block_until_ready()

    return 2 * x.nbytes / best(once)
