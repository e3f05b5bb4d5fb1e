"""GridMask against its definition, a square at a time; its draws statistically."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.data.augment import gridmask
from ldl_jax.data.augment.gridmask import GridMask

masks = jax.jit(gridmask.masks, static_argnums=(2, 3))
random_masks = jax.jit(gridmask.random_masks, static_argnums=(1, 2, 3))


def squares(unit, top, left, size, keep):
    """The mask by the paper's words: units that begin anywhere, a square hidden in each."""
    kept = int(keep * unit + 0.5)
    mask = np.ones((size, size), bool)
    for row in range(top - unit, size, unit):
        for column in range(left - unit, size, unit):
            y, x = max(row + kept, 0), max(column + kept, 0)
            mask[y : max(row + unit, 0), x : max(column + unit, 0)] = False
    return mask


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.6, 1.0])
def test_masks_are_squares_of_a_grid(keep):
    units = np.asarray([1, 7, 24, 37, 56, 90], np.int32)
    starts = np.asarray([[0, 0], [3, 6], [23, 0], [10, 30], [5, 55], [80, 2]], np.int32)
    got = masks(units, starts, 56, keep)
    assert got.dtype == bool
    for unit, (top, left), ours in zip(units, starts, np.asarray(got), strict=True):
        np.testing.assert_array_equal(ours, squares(unit, top, left, 56, keep))


def test_the_paper_s_share_of_a_picture_is_kept():
    recipe = GridMask(keep=0.6, probability=(1.0, 1.0))
    got = random_masks(jax.random.key(0), 2000, 100, recipe, jnp.float32(0))
    np.testing.assert_allclose(got.mean(), 1 - 0.4**2, atol=0.01)
    # Every pixel is as likely to be hidden: the grid begins anywhere.
    np.testing.assert_allclose(got.mean(0), 0.84, atol=0.04)


def test_units_and_starts_are_uniform():
    recipe = GridMask(spacing=(0.25, 0.5), keep=0.5, probability=(1.0, 1.0))
    got = np.asarray(random_masks(jax.random.key(1), 6000, 64, recipe, jnp.float32(0)))
    hidden = ~got.all(2)  # the rows that squares hide
    # Two grids have the same unit where their rows repeat so; the least repeat is the unit.
    units = np.asarray([next(d for d in range(16, 33) if (h[d:] == h[:-d]).all()) for h in hidden])
    numbers, counts = np.unique(units, return_counts=True)
    np.testing.assert_array_equal(numbers, np.arange(16, 33))
    np.testing.assert_allclose(counts / len(units), 1 / 17, atol=0.012)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.6), (0.5, 0.7), (1.0, 0.8)])
def test_the_probability_rises_over_training(progress, expected):
    recipe = GridMask(probability=(0.6, 0.8))
    got = random_masks(jax.random.key(2), 6000, 32, recipe, jnp.float32(progress))
    # A few grids hide nothing, since a unit as large as the picture may begin in its middle.
    masked = np.asarray(~got.all((1, 2))).mean()
    always = random_masks(
        jax.random.key(3), 6000, 32, GridMask(probability=(1.0, 1.0)), jnp.float32(0)
    )
    visible = np.asarray(~always.all((1, 2))).mean()
    assert visible > 0.9
    np.testing.assert_allclose(masked, expected * visible, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": (0.0, 1.0)}, r"augment\.gridmask\.spacing: expected 0 < low <= high"),
        ({"spacing": (1.0, 0.5)}, r"augment\.gridmask\.spacing: .*got \(1\.0, 0\.5\)"),
        ({"keep": 1.5}, r"augment\.gridmask\.keep: expected 0 to 1, got 1\.5"),
        ({"probability": (0.6, 1.8)}, r"augment\.gridmask\.probability: .*got \(0\.6, 1\.8\)"),
        ({"probability": (float("nan"), 0.0)}, r"augment\.gridmask\.probability"),
    ],
)
def test_a_grid_that_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        GridMask(**options)
