"""Tells the memory of a device that a function needs, as XLA compiles it."""

import os
from collections.abc import Callable

import jax

from ldl_jax.train.state import PyTree


def compiled_bytes(function: Callable[..., PyTree], *arguments: PyTree) -> int:
    """Returns the bytes of a device that a call of a compiled function takes.

    They are those of its arguments, of its results, and of what XLA sets aside in between. The
    first argument is given up to the results, so that the two share what they can.

    Args:
      function: can be traced; it is compiled for the default device, and nothing is computed.
      *arguments: its arrays, or their shapes.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    compiled = jax.jit(function, donate_argnums=0).lower(*shapes).compile()
    sizes = compiled.memory_analysis()
    assert sizes is not None, "XLA tells the memory of programs for CPUs and GPUs"
    results = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return int(sizes.argument_size_in_bytes + results + sizes.temp_size_in_bytes)


def memory_of(device: jax.Device) -> int:
    """Returns the bytes that a program may use on a device; of a CPU its share of the machine's."""
    stats = None if device.platform == "cpu" else device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()
