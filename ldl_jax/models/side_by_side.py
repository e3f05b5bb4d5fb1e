"""Layers that stand side by side in a network, computed as one layer.

A step of a small network on a GPU takes as long as its number of kernels. Two layers that read
different inputs are one layer of both inputs, whose kernel has theirs on its diagonal and zeros
elsewhere: twice the products in half the kernels, and what follows it is one kernel, too.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def block_diagonal(kernels: Sequence[jax.Array]) -> jax.Array:
    """Returns the kernel [..., Σ in, Σ out] of layers side by side, from theirs [..., in, out].

    >>> print(block_diagonal([jnp.ones((1, 2)), jnp.full((2, 1), 3.0)]))
    [[1. 1. 0.]
     [0. 0. 3.]
     [0. 0. 3.]]
    """
    width = sum(kernel.shape[-1] for kernel in kernels)
    rows, left = [], 0
    for kernel in kernels:
        right = width - left - kernel.shape[-1]
        edges = [(0, 0)] * (kernel.ndim - 1) + [(left, right)]
        rows.append(jnp.pad(kernel, edges))
        left += kernel.shape[-1]
    return jnp.concatenate(rows, axis=-2)
