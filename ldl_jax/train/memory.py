"""Estimates the memory of a device that a function needs, by its trace: nothing is compiled."""

import math
import os
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Literal

from ldl_jax.train.state import PyTree


def peak_bytes(function: Callable[..., PyTree], *arguments: PyTree) -> int:
    """Returns the most bytes that a function's arrays take at one time.

    An array lives from the operation that makes it to the last one that reads it, arguments and
    results to the end. A compiler joins operations, and so needs less as a rule.

    Args:
      function: can be traced.
      *arguments: its arrays, or their shapes.
    """
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    last = {id(var): index for index, step in enumerate(traced.eqns) for var in step.invars}
    last |= dict.fromkeys(map(id, (*traced.invars, *traced.outvars)), len(traced.eqns))
    live = peak = sum(map(_bytes, traced.invars))
    for index, step in enumerate(traced.eqns):
        live += sum(map(_bytes, step.outvars))
        peak = max(peak, live)
        touched = {id(var): var for var in (*step.invars, *step.outvars)}
        live -= sum(_bytes(var) for name, var in touched.items() if last.get(name, index) <= index)
    return peak


def memory_of(device: jax.Device) -> int:
    """Returns the bytes that a program may use on a device; of a CPU its share of the machine's."""
    stats = None if device.platform == "cpu" else device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def _bytes(var: Any) -> int:
    if isinstance(var, Literal):
        return 0
    return math.prod(var.aval.shape) * int(var.aval.dtype.itemsize)
