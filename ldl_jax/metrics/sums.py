"""Sums that do not depend on the order of their terms: float32 numbers, added as integers.

Float addition rounds, so that a sum in float32 changes with the batches and the devices that its
terms were split over. Here a term is written in base 256, from 2^-64 to 2^63, and each place is
summed on its own in int32. Integer addition is associative: whatever the split, the sum is the same
to the last bit, and it is rounded to float32 once, when it is read.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ldl_jax import arrays

MOST_ROWS = 2**23  # terms in one call: their digits' sum stays below 2^31
_FINEST = -64  # the exponent of a digit's unit in the first place
_PLACES = 16
_LIMIT = 2.0**63
_HEADROOM = 4  # places above the last, for what carries into them
_GRID = 2.0**-32  # of the numbers whose products are summed; products are then multiples of 2^-64
_FRACTION = 8  # places below 1


class Sum(NamedTuple):
    """A sum, or an array [...] of them; two are merged by adding their fields.

    Attributes:
      digits: [..., 16] int32, whose Σ_j digit_j 256^(j-8) is the sum, of magnitude below 2^86.
        Digits may exceed the base.
      unfit: [...] int32, how many terms were no number below 2^63. Any makes the sum NaN.
    """

    digits: Array
    unfit: Array


def zeros(shape: tuple[int, ...] = ()) -> Sum:
    """Sums of no term."""
    return Sum(jnp.zeros((*shape, _PLACES), jnp.int32), jnp.zeros(shape, jnp.int32))


@jax.jit
def over_rows(terms: Array, keep: Array) -> Sum:
    """The sums over the first axis of float32 terms [N, ...], where `keep` [N] is true; [...].

    What of a term is finer than 2^-64 is cut off, whatever the other terms.
    """
    wide = keep.reshape(keep.shape + (1,) * (terms.ndim - 1))
    fit = jnp.abs(terms) < _LIMIT  # False for NaN
    digits = _digits(jnp.where(wide & fit, terms, 0.0))
    unfit = jnp.sum(wide & ~fit, axis=0, dtype=jnp.int32)
    return Sum(_carried(jnp.sum(digits, axis=0, dtype=jnp.int32)), unfit)


@functools.partial(jax.jit, static_argnames="bins")
def by_bin(terms: Array, keep: Array, index: Array, bins: int) -> Sum:
    """The sum of the terms [N] of each bin, [bins]; `index` [N] int32 is the bin of each."""
    fit = jnp.abs(terms) < _LIMIT
    digits = _digits(jnp.where(keep & fit, terms, 0.0))
    return Sum(
        _carried(jax.ops.segment_sum(digits, index, bins)),
        jax.ops.segment_sum((keep & ~fit).astype(jnp.int32), index, bins),
    )


@jax.jit
def value(total: Sum) -> Array:
    """The sums [...] as float32, to within a unit in the last place."""
    sign, digits = _signed(total.digits)
    return jnp.where(total.unfit > 0, jnp.nan, sign.astype(jnp.float32) * _float(digits))


@jax.jit
def mean(total: Sum, rows: Array) -> Array:
    """The sums [...] over one count [] int32; float32. Of no row NaN."""
    count = jnp.broadcast_to(rows.astype(jnp.float32), total.unfit.shape)
    # By one divisor for all, XLA would multiply with its rounded reciprocal: n / n is then not 1.
    return value(total) / jax.lax.optimization_barrier(count)


@jax.jit
def on_grid(x: Array) -> Array:
    """Float32 numbers cut to multiples of 2^-32 (above 2^-9 they are that); NaN from 2^31 on."""
    return jnp.where(jnp.abs(x) < 2.0**31, jnp.trunc(x / _GRID) * _GRID, jnp.nan)


@jax.jit
def of_products(x: Array, y: Array, keep: Array) -> Sum:
    """The exact Σ x y over the first axis of numbers [N, ...] on the grid; [...].

    A product of float32 numbers has up to 48 bits. Of x and y in two halves of 12 bits each, the
    four products have 24, and so are float32 numbers.
    """
    parts = [a * b for a in _halves(x) for b in _halves(y)]
    four = over_rows(jnp.stack(parts, axis=-1), keep)
    axis = four.unfit.ndim - 1
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=axis, dtype=jnp.int32), four)


@jax.jit
def comoment(count: Array, x: Sum, y: Sum, xy: Sum) -> Array:
    """n Σxy - Σx Σy of n pairs of numbers on the grid, rounded once; float32 [].

    It is n² times the covariance, or of y = x the variance: of a constant exactly 0.
    """
    places = jnp.arange(_PLACES + _HEADROOM, dtype=jnp.int32) - _FRACTION
    inside = (places >= 0) & (places < 4)
    n = jnp.where(inside, (count >> (8 * jnp.clip(places, 0, 3))) & 255, 0)
    (sign_x, by_x), (sign_y, by_y) = _signed(x.digits), _signed(y.digits)
    sign_xy, by_xy = _signed(xy.digits)
    whole = sign_xy * _multiplied(n, by_xy) - sign_x * sign_y * _multiplied(by_x, by_y)
    sign, digits = _signed(whole)
    # The products' first place is 2^-128. Below 2^-64 they have nothing, nor above 2^128.
    result = sign.astype(jnp.float32) * _float(digits[_FRACTION : 4 * _FRACTION])
    return jnp.where(x.unfit + y.unfit + xy.unfit > 0, jnp.nan, result)


def _digits(x: Array) -> Array:
    """[..., 16] int32, each of the number's sign: every step here is exact in float32."""
    scales = np.exp2(-_FINEST - 8.0 * np.arange(_PLACES))
    shifted = x[..., None] * arrays.row(scales, x.ndim + 1)
    return (jnp.trunc(shifted) - 256.0 * jnp.trunc(shifted / 256.0)).astype(jnp.int32)


def _carried(digits: Array) -> Array:
    """The same number with all digits but the last in [0, 256); the last takes the sign."""

    def step(carry: Array, digit: Array) -> tuple[Array, Array]:
        whole = digit + carry
        return whole >> 8, whole & 255

    places = jnp.moveaxis(digits, -1, 0)
    first = places[:1]
    carry, done = jax.lax.scan(step, first[0] >> 8, places[1:-1])
    return jnp.moveaxis(jnp.concatenate([first & 255, done, places[-1:] + carry[None]]), 0, -1)


def _signed(digits: Array) -> tuple[Array, Array]:
    """The sign [...] and the digits of the magnitude, all in [0, 256), with places for carries."""
    room = [(0, 0)] * (digits.ndim - 1) + [(0, _HEADROOM)]
    carried = _carried(jnp.pad(digits, room))
    sign = jnp.where(carried[..., -1:] < 0, -1, 1)
    return sign[..., 0], _carried(sign * carried)


def _float(digits: Array) -> Array:
    """Float32 of digits in [0, 256), the first of 2^-64."""

    def step(total: Array, place: tuple[Array, Array]) -> tuple[Array, None]:
        digit, unit = place
        return total + digit.astype(jnp.float32) * unit, None

    places = jnp.moveaxis(digits, -1, 0)
    units = jnp.asarray(np.exp2(_FINEST + 8.0 * np.arange(len(places))), jnp.float32)
    first = places[0].astype(jnp.float32) * units[0]
    # From the finest on, as each step rounds.
    return jax.lax.scan(step, first, (places[1:], units[1:]))[0]


def _halves(x: Array) -> tuple[Array, Array]:
    """Two numbers of at most 12 bits each, whose sum x is."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    upper = jax.lax.bitcast_convert_type(bits & -(2**12), jnp.float32)
    return upper, x - upper


def _multiplied(a: Array, b: Array) -> Array:
    """The digits [2D - 1] of a product, not carried, of digits [D] in [0, 256)."""
    size = a.shape[0]
    places = np.add.outer(np.arange(size), np.arange(size)).ravel()
    products = (a[:, None] * b[None, :]).ravel()
    return jax.ops.segment_sum(products, jnp.asarray(places, jnp.int32), 2 * size - 1)
