"""One interval of dependent pictures keeps the coverage, and words say what is promised."""

import dataclasses

import numpy as np
import pytest

from ldl_jax import calibration
from ldl_jax.calibration import Cell, Options
from ldl_jax.labels import LabelSpace

SPACE = LabelSpace.range(0, 40)


def made(options=None, count=300, **changes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 41, count).astype(float)
    middle = np.clip(y + rng.normal(0, 4, count), 0, 40)
    p = np.exp(-0.5 * ((np.arange(41) - middle[:, None]) / 3) ** 2)
    groups = [("women", "men")[i % 2] for i in range(count)]
    options = options or Options(data="faces, validation part")
    fitted = calibration.fit(p / p.sum(1, keepdims=True), y, SPACE, options, groups)
    return dataclasses.replace(fitted, **changes)


@pytest.mark.parametrize("shared", [0.0, 0.6, 1.0])
def test_most_of_a_persons_intervals_hold_the_label(shared):
    """Each of five pictures misses in 5 %; however they miss together, 90 % are held."""
    rng, people, pictures = np.random.default_rng(1), 4000, 5
    y = rng.integers(0, 41, people)
    own = shared**0.5 * rng.normal(size=(people, 1))
    error = own + (1 - shared) ** 0.5 * rng.normal(size=(people, pictures))
    centre = y[:, None] + 3.0 * error
    values = np.asarray(SPACE.values)
    half = 3.0 * 1.959964  # holds 95 % of each picture's labels
    holds = np.abs(values - centre[..., None]) <= half
    low, high = calibration.majority_interval(holds.mean(1, dtype=np.float32), SPACE)
    covered = np.mean((np.asarray(low) <= y) & (y <= np.asarray(high)))
    assert covered >= 0.9 - 3 * (0.09 / people) ** 0.5
    assert calibration.single_coverage(0.9) == 0.95


def test_the_bound_is_sharp_for_the_worst_pictures():
    """Of two pictures of which one misses in turn, half of the intervals are not most of them."""
    share = np.zeros((2, SPACE.size), np.float32)
    share[0, 3:7] = 0.5
    share[1, 3:7], share[1, 20:22] = 0.5, 0.5
    low, high = calibration.majority_interval(share, SPACE)
    np.testing.assert_array_equal(low, [3, 3])  # none is held by most: the likeliest, and between
    np.testing.assert_array_equal(high, [6, 21])


def test_what_was_fitted_is_said():
    lines = "\n".join(calibration.facts(made()))
    assert "fitted on: faces, validation part; 200 labels for the intervals, and about 100" in lines
    assert "tempered by" in lines
    assert "split conformal, with the score cdf, of coverages up to 0.995" in lines
    assert "if these come as the calibration's 200 did" in lines
    plain = Options(temperature=False, recalibrate=False, score="rps")
    lines = "\n".join(calibration.facts(made(plain)))
    assert "; 300 labels for the intervals\n" in lines
    assert "left as the network gives them" in lines
    by_group = calibration.facts(made(Options(groups=True)))
    assert "by group of people: men (90), women (110)" in by_group[2]
    assert "of each group" in by_group[3]
    by_range = calibration.facts(made(Options(edges=(20.0,))))
    assert "by range of labels: below 20 (" in by_range[2]
    assert "in each range" in by_range[3]
    assert "of coverages up to none" in calibration.facts(made(overall=Cell("", 0, ())))[2]


def test_what_intervals_hold_is_said():
    assert calibration.held(None, 0.8) == "80% of the distribution, which is the model's own claim"
    assert calibration.held(None, 0.995).startswith("99.5% of the distribution")
    known = made(Options(groups=True))
    assert "of the group men, of pictures like" in calibration.held(known, 0.9, "men")
    for group in ("", "children"):
        assert "group" not in calibration.held(known, 0.9, group)
    reached = known.overall.scores[: sum(calibration.rank(5, x) <= 5 for x in known.coverages)]
    few = dataclasses.replace(known, groups=(Cell("men", 5, reached),))
    assert "group" not in calibration.held(few, 0.9, "men")
