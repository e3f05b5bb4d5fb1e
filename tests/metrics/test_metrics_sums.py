"""Sums against exact rational arithmetic, in any order and split."""

from fractions import Fraction
from typing import Any

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ldl_jax.metrics import sums as metrics_sums
from ldl_jax.metrics.sums import added, over_rows, value

EVERY = np.ones(64, bool)


def close(got: Any, exact: Fraction) -> None:
    """Equal to within a unit in the last place of float32."""
    nearest = np.float32(float(exact))
    assert abs(np.float32(got) - nearest) <= np.spacing(abs(nearest)), (got, float(exact))


def wide(seed: int) -> np.ndarray:
    """64 numbers of both signs and of different sizes."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=64) * 2.0 ** rng.integers(-9, 9, 64)).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), split=st.integers(0, 64))
def test_the_sum_in_any_order_and_split(seed: int, split: int) -> None:
    terms = np.abs(wide(seed))
    exact = sum(map(Fraction, terms.tolist()), Fraction(0))
    close(value(over_rows(terms, EVERY)), exact)
    close(value(jax.jit(over_rows)(terms, EVERY)), exact)
    shuffled = np.random.default_rng(seed).permutation(terms)
    first = np.arange(64) < split
    close(value(added(over_rows(shuffled, first), over_rows(shuffled, ~first))), exact)


def test_what_cancels_leaves_what_does_not() -> None:
    terms = np.array([1e10, 1.0, 2.0**-10, -1e10], np.float32)
    for total in (over_rows(terms, EVERY[:4]), over_rows(terms[::-1], EVERY[:4])):
        assert value(total) == np.float32(1 + 2.0**-10)
    signed = wide(3)
    exact = sum(map(Fraction, signed.tolist()), Fraction(0))
    total = over_rows(signed, EVERY)
    got = Fraction(float(total.high)) + Fraction(float(total.low))
    assert abs(got - exact) <= 2.0**-40 * np.abs(signed).sum()


def test_a_term_that_is_no_number_makes_the_sum_nan() -> None:
    for term in (np.inf, -np.inf, np.nan):
        terms = np.array([1.0, term, 2.0], np.float32)
        assert np.isnan(value(over_rows(terms, EVERY[:3])))
        assert value(over_rows(terms, np.array([True, False, True]))) == 3.0


def test_merged_a_million_times() -> None:
    """Far above 2^24, where float32 counts stand still."""
    sums = over_rows(np.full(64, 255.0, np.float32), EVERY)
    for _ in range(20):
        sums = added(sums, sums)
    one = over_rows(np.float32([1.0]), EVERY[:1])
    more = sums
    for _ in range(100):
        more = added(more, one)
    assert Fraction(float(more.high)) + Fraction(float(more.low)) == 255 * 64 * 2**20 + 100


def test_a_large_array_in_one_call() -> None:
    """A plain running sum in float32 is off by 1e-3 of it here."""
    terms = np.full(2**20, 0.1, np.float32)
    close(value(jax.jit(over_rows)(terms, np.ones(2**20, bool))), Fraction(float(terms[0])) * 2**20)


def test_cells_of_their_own() -> None:
    terms, bins = wide(1), np.random.default_rng(1).integers(0, 4, 64)
    terms[7], bins[7] = np.nan, 3
    keep = bins[:, None] == np.arange(5)
    sums = over_rows(terms[:, None], keep)
    for i in range(4):
        alone = over_rows(terms, keep[:, i])
        np.testing.assert_allclose(value(sums)[i], value(alone), rtol=1e-6)
    assert np.isnan(value(sums)[3])
    assert value(sums)[4] == 0


def test_n_of_n_is_one() -> None:
    counts = np.arange(1, 200)
    totals = metrics_sums.Sum(*(np.float32(x) for x in (counts, 0 * counts)))
    assert (np.asarray(jax.jit(metrics_sums.mean)(totals, counts)) == 1).all()
