"""Label spaces: the papers' grids to the last digit, and what is not one is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldl_jax.labels import ADIENCE, AGE, CFD, SCUT_FBP, SPACES, LabelSpace


@pytest.mark.parametrize(
    ("space", "size", "low", "high", "unit"),
    [
        (AGE, 101, 0, 100, "years"),
        (SCUT_FBP, 41, 1, 5, "score"),
        (CFD, 61, 1, 7, "score"),
        (ADIENCE, 8, 0, 100, "years"),
    ],
)
def test_the_papers_spaces(space, size, low, high, unit):
    assert (space.size, space.low, space.high, space.unit) == (size, low, high, unit)
    assert len(space.values) == size


def test_steps_do_not_accumulate_rounding():
    assert SCUT_FBP.values == tuple(round(1 + 0.1 * k, 1) for k in range(41))
    assert CFD.values == tuple(round(1 + 0.1 * k, 1) for k in range(61))


def test_bounds_in_float32_make_no_other_grid():
    """As labels of a dataset come: rounding in float32 would give 30.0000019."""
    assert LabelSpace.range(np.float32(30), np.float32(31)).values == (30, 31)
    assert LabelSpace.range(np.int64(0), np.int64(100)) == AGE


def test_groups_stand_at_their_midpoints():
    assert ADIENCE.values == (1, 5, 10.5, 17.5, 28.5, 40.5, 50.5, 80)
    assert ADIENCE.bounds[0] == (0, 2)
    assert ADIENCE.bounds[-1] == (60, 100)
    assert AGE.bounds == ()


@given(
    low=st.integers(-1000, 1000),
    count=st.integers(1, 300),
    step=st.sampled_from([0.1, 0.25, 0.5, 1, 2, 5]),
)
def test_a_range_ends_where_it_should(low, count, step):
    space = LabelSpace.range(low, round(low + count * step, 6), step)
    assert space.size == count + 1
    np.testing.assert_allclose(space.values, low + step * np.arange(count + 1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:1:100", AGE),
        (" 2:1:80 ", LabelSpace.range(2, 80)),
        ("1:0.5:5", LabelSpace.range(1, 5, 0.5)),
        ("-3:1:3", LabelSpace.range(-3, 3)),
        *SPACES.items(),
    ],
)
def test_parse(text, expected):
    assert LabelSpace.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ages", "low:step:high"),
        ("0:100", "low:step:high"),
        ("0:1:100:2", "low:step:high"),
        ("a:1:b", "low:step:high"),
        ("", "adience"),
        ("0:0:100", "step: must be positive"),
        ("100:1:0", "high: must exceed low"),
        ("0:3:100", "step: 3.0 does not divide 0.0..100.0"),
    ],
)
def test_parse_refuses(text, says):
    with pytest.raises(ValueError, match=says):
        LabelSpace.parse(text)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LabelSpace((1.0,)), "at least 2"),
        (lambda: LabelSpace((1.0, 1.0)), "rise strictly"),
        (lambda: LabelSpace((2.0, 1.0)), "rise strictly"),
        (lambda: LabelSpace((0.0, float("nan"))), "finite"),
        (lambda: LabelSpace((0.0, float("inf"))), "finite"),
        (lambda: LabelSpace.range(0, 1, -1), "step"),
        (lambda: LabelSpace.range(0, float("nan")), "high"),
        (lambda: LabelSpace.groups([(3, 2), (4, 5)]), "low must not exceed"),
        (lambda: LabelSpace.groups([(0, 4), (4, 6)]), "without overlap"),
        (lambda: LabelSpace.groups([(4, 6), (0, 2)]), "without overlap"),
        (lambda: LabelSpace.groups([(0, 2)]), "at least 2"),
    ],
)
def test_refuses(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_contains():
    labels = np.asarray([-0.1, 0, 50.5, 100, 100.1, np.nan], np.float32)
    np.testing.assert_array_equal(AGE.contains(labels), [False, True, True, True, False, False])
    # A label in float32 at a bound that float32 cannot hold is inside.
    assert LabelSpace.range(1.2, 3.4, 0.1).contains(np.asarray([1.2, 3.4], np.float32)).all()
    assert ADIENCE.contains(np.asarray([0, 3, 100])).all()


def test_is_a_static_argument():
    @functools.partial(jax.jit, static_argnums=1)
    def middle(x, space):
        return x + (space.low + space.high) / 2

    assert middle(jnp.float32(0), AGE) == 50
    assert middle(jnp.float32(0), LabelSpace.range(0, 100)) == 50
    assert middle._cache_size() == 1
    assert hash(AGE) == hash(LabelSpace.range(0, 100))
    assert AGE != ADIENCE
