"""Sums against exact rational arithmetic, in any order and split."""

import math
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldl_jax.metrics import sums as metrics_sums
from ldl_jax.metrics.accumulators import added

EVERY = np.ones(64, bool)
over_rows, value = metrics_sums.over_rows, metrics_sums.value


def close(got: Any, exact: Fraction) -> None:
    """Equal to within a unit in the last place of float32."""
    nearest = np.float32(float(exact))
    assert abs(np.float32(got) - nearest) <= np.spacing(abs(nearest)), (got, float(exact))


def wide(seed: int, low: int = -30, high: int = 30) -> np.ndarray:
    """64 numbers of both signs and of very different sizes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=64) * 2.0 ** rng.integers(low, high, 64)).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), split=st.integers(0, 64))
def test_the_sum_in_any_order_and_split(seed: int, split: int) -> None:
    terms = wide(seed)
    got = value(over_rows(terms, EVERY))
    close(got, sum(map(Fraction, terms.tolist())))
    shuffled = np.random.default_rng(seed).permutation(terms)
    first = np.arange(64) < split
    parts = over_rows(shuffled, first), over_rows(shuffled, ~first)
    np.testing.assert_array_equal(value(added(*parts)), got)  # to the last bit


def test_what_cancels_leaves_what_does_not() -> None:
    terms = np.array([1e10, 1.0, 2.0**-60, -1e10], np.float32)
    assert value(over_rows(terms, EVERY[:4])) == 1.0
    assert value(over_rows(terms, terms != 1)) == np.float32(2.0**-60)
    assert value(over_rows(-terms, terms != 1)) == -np.float32(2.0**-60)


def test_the_range() -> None:
    ends = np.array([2.0**63 * (1 - 2.0**-24), -(2.0**-64), 2.0**-65, 0.0], np.float32)
    sums = over_rows(np.diag(ends), EVERY[:4])
    np.testing.assert_array_equal(value(sums), [*ends[:2], 0.0, 0.0])
    for term in (2.0**63, np.inf, -np.inf, np.nan):
        terms = np.array([1.0, term], np.float32)
        assert np.isnan(value(over_rows(terms, EVERY[:2])))
        assert value(over_rows(terms, np.array([True, False]))) == 1.0


def test_merged_a_million_times() -> None:
    """Far above 2^24, where float32 counts stand still."""
    sums = over_rows(np.full(64, 255.0, np.float32), EVERY)
    sums = jax.tree.map(lambda leaf: leaf * 2**20, sums)
    one = over_rows(np.float32([1.0]), EVERY[:1])
    close(value(added(sums, one)), Fraction(255 * 64 * 2**20 + 1))
    back = jax.tree.map(lambda a, b: a - b, added(sums, one), sums)
    assert value(back) == 1.0


def test_bins() -> None:
    terms, bins = wide(1), np.random.default_rng(1).integers(0, 4, 64).astype(np.int32)
    terms[7], bins[7] = np.nan, 3
    kept = np.arange(64) != 9
    sums = metrics_sums.by_bin(terms, kept, bins, 5)
    for i in range(5):
        np.testing.assert_array_equal(
            value(sums)[i], value(over_rows(terms, kept & (bins == i))), strict=True
        )
    assert np.isnan(value(sums)[3])


@pytest.mark.parametrize("offset", [0, 4096, -3e8])
@pytest.mark.parametrize("seed", range(4))
def test_comoments_are_exact(seed: int, offset: float) -> None:
    """Also where a sum of squares loses all its digits in float32."""
    x, y = wide(seed, -9, 9) + np.float32(offset), wide(seed + 9, -9, 9)
    x, y = np.asarray(metrics_sums.on_grid(x)), np.asarray(metrics_sums.on_grid(y))
    sums = over_rows(x, EVERY), over_rows(y, EVERY), metrics_sums.of_products(x, y, EVERY)
    a, b = ([Fraction(z) for z in rows.tolist()] for rows in (x, y))
    exact = 64 * sum(map(math.prod, zip(a, b, strict=True))) - sum(a) * sum(b)
    close(metrics_sums.comoment(np.int32(64), *sums), exact)


def test_the_comoment_of_a_constant_is_zero() -> None:
    for constant in (0.1, -7.3, 2e9, 1e-8):
        x, y = metrics_sums.on_grid(np.full(64, constant, np.float32)), wide(2, -9, 9)
        x_sum, y_sum = over_rows(x, EVERY), over_rows(metrics_sums.on_grid(y), EVERY)
        for other, product in ((x, x_sum), (metrics_sums.on_grid(y), y_sum)):
            xy = metrics_sums.of_products(x, other, EVERY)
            assert metrics_sums.comoment(np.int32(64), x_sum, product, xy) == 0


def test_the_grid() -> None:
    x = np.array([0.1, 2.0**-32, 2.0**-33, -3.7 * 2.0**-32, 2.0**31, np.nan], np.float32)
    expected = np.array([0.1, 2.0**-32, 0.0, -3 * 2.0**-32, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(metrics_sums.on_grid(x), expected)
