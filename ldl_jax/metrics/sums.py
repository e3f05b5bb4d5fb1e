"""Compensated sums: pairs of float32 numbers, of which the second holds what the first rounds off.

A float32 sum rounds at every addition, so its last digits depend on the order of the terms. A pair
keeps those errors, with about 48 bits in all: whatever the order and the split of the terms, the
sums agree to the last digit or two of float32, unless the terms cancel each other to 2^-24 of their
size.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Sum(NamedTuple):
    """A sum, or an array [...] of sums, float32."""

    high: Array  # the rounded sum
    low: Array  # the sum of what was rounded off


def of(terms: Array) -> Sum:
    """Returns sums of one float32 term each."""
    return Sum(terms, jnp.zeros_like(terms))


def zeros(shape: tuple[int, ...] = ()) -> Sum:
    """Returns sums of no term."""
    return of(jnp.zeros(shape, jnp.float32))


def added(a: Sum, b: Sum) -> Sum:
    """Adds two sums, or arrays of sums, with Knuth's exact error of a float addition."""
    high = a.high + b.high
    part = high - a.high
    error = (a.high - (high - part)) + (b.high - part)
    low = a.low + b.low + error
    rounded = high + low
    return Sum(rounded, low - (rounded - high))


@jax.custom_jvp
def over_rows(terms: Array, keep: Array) -> Sum:
    """Sums the float32 terms [N, ...] over the first axis, those where `keep` is true; [...].

    `keep` has the shape of the terms, or 1 instead of an axis' length, and so may the terms.
    """
    total: Sum = jax.lax.reduce(of(jnp.where(keep, terms, 0.0)), zeros(), added, (0,))
    return total


@over_rows.defjvp
def _over_rows_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Sum, Sum]:
    """The derivative is the plain sum: JAX has none of a reduction by a function of one's own."""
    keep = primals[1]
    return over_rows(*primals), of(jnp.sum(jnp.where(keep, tangents[0], 0.0), axis=0))


def value(total: Sum) -> Array:
    """Returns the sums [...] as float32."""
    return total.high + total.low


def mean(total: Sum, rows: Array) -> Array:
    """Divides sums [...] by their counts [...] int32; float32, NaN where a count is 0."""
    # XLA may multiply by the rounded reciprocal of a shared divisor, and n / n is then not 1.
    return value(total) / jax.lax.optimization_barrier(rows.astype(jnp.float32))
