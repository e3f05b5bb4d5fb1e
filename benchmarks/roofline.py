"""Measures the ceilings of this device and computes the least time of a step from them.

The floor of a computation is the larger of its FLOPs over the matrix-product rate and its bytes
over the copy rate, both counted in its compiled program (`benchmarks.hlo`): the FLOPs of products
and convolutions, and the bytes that its kernels read and write. So a form that computes or moves
more than necessary also has a higher floor.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Compiled, Lowered

from benchmarks.hlo import Module


class Work(NamedTuple):
    """The work of a step."""

    flops: int  # of products and convolutions
    nbytes: int  # read and written


class Ceilings(NamedTuple):
    """The greatest rates of a device."""

    flops: Mapping[str, float]  # the FLOP/s of a large matrix product, by dtype
    bandwidth: float  # the bytes/s that a large copy reads and writes

    def floor(self, work: Work, dtype: str) -> float:
        """Returns the least seconds of a step."""
        return max(work.flops / self.flops[dtype], work.nbytes / self.bandwidth)

    def of_memory(self, work: Work) -> float:
        """Returns the seconds that its bytes alone take."""
        return work.nbytes / self.bandwidth


def work_of(lowered: Lowered, compiled: Compiled, steps: int) -> Work:
    """Counts what one step does of a program that takes `steps`.

    Several steps are a loop, and on CPUs inference is one of a few pictures each; what lies around
    the loop is not counted. FLOPs are counted before it is compiled, when all convolutions and
    products are still such: some become calls of libraries.
    """
    before, text = lowered.as_text("hlo"), compiled.as_text()
    assert text is not None, "XLA tells the text of programs for CPUs and GPUs"
    after = Module(text)
    nbytes = sum(kernel.nbytes for kernel in after.step())
    turns = max(1, (after.known_trip_count() or 1) // steps)
    return Work(turns * Module(before).flops(), turns * nbytes)


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
