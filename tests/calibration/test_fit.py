"""A whole calibration: what it promises for new labels, by group and by range, and bad input."""

import dataclasses
import json

import numpy as np
import pytest

from ldl_jax import calibration, decoders
from ldl_jax.calibration import Calibration, Cell, Options
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.train.record import _value
from tests.calibration.test_calibration_maps import SPACE, drawn


@pytest.fixture(scope="module")
def many():
    return drawn(6000, power=3.0, seed=5)


def held(known, p, y, coverage=0.9, group=""):
    low, high = calibration.interval(known, calibration.apply(known, p), SPACE, coverage, group)
    return (y >= low) & (y <= high)


def share(*arguments, **named):
    return float(np.mean(held(*arguments, **named)))


@pytest.mark.parametrize("score", ["cdf", "rps"])
def test_new_labels_are_held(many, score):
    p, y = many
    known = calibration.fit(p[:2000], y[:2000], SPACE, Options(score=score))
    low, high = decoders.interval(p[2000:], SPACE, 0.9)
    assert np.mean((y[2000:] >= low) & (y[2000:] <= high)) < 0.85  # as they claim it themselves
    for coverage in (0.8, 0.9, 0.95):
        assert share(known, p[2000:], y[2000:], coverage) == pytest.approx(coverage, abs=0.025)
    assert 2.5 < known.temperature < 3.5


def test_ranges_hold_their_own_labels(many):
    p, y = many
    known = calibration.fit(p[:3000], y[:3000], SPACE, Options(edges=(3.0, 7.0)))
    assert [cell.name for cell in known.ranges] == ["below 3", "3 to 7", "7 and above"]
    later, inside = y[3000:], held(known, p[3000:], y[3000:])
    for rows in (later < 3, (later >= 3) & (later < 7), later >= 7):
        assert inside[rows].mean() > 0.87


def test_groups_hold_their_own_labels(many):
    """The second group's distributions are shifted: with the intervals of all it is not held."""
    p, y = many
    groups = np.where(np.arange(6000) % 5 == 0, "few", "most")
    p = np.where((groups == "few")[:, None], np.roll(p, 3, axis=1), p)
    known = calibration.fit(p[:3000], y[:3000], SPACE, Options(groups=True), groups[:3000].tolist())
    p, y = p[3000:][groups[3000:] == "few"], y[3000:][groups[3000:] == "few"]
    assert share(known, p, y) < 0.87
    assert share(known, p, y, group="few") == pytest.approx(0.9, abs=0.04)
    assert share(known, p, y, group="unknown") == share(known, p, y)


def test_a_group_that_is_too_small_has_the_intervals_of_all(many):
    p, y = many
    groups = ["a"] * 990 + ["b"] * 10
    known = calibration.fit(p[:1000], y[:1000], SPACE, Options(groups=True), groups)
    small = next(cell for cell in known.groups if cell.name == "b")
    assert small.count < 9
    assert calibration.limits(known, 0.9, "b") == calibration.limits(known, 0.9)
    assert calibration.limits(known, 0.05, "b") == small.scores[0]


def test_persons_stay_on_one_side(many):
    p, y = many
    persons = [f"{row // 40}" for row in range(400)]
    known = calibration.fit(p[:400], y[:400], SPACE, Options(), subjects=persons)
    assert known.overall.count == 280
    whole = calibration.fit(p[:400], y[:400], SPACE, Options(temperature=False, recalibrate=False))
    assert whole.overall.count == 400
    assert (whole.temperature, whole.levels) == (1.0, ())
    np.testing.assert_array_equal(calibration.apply(whole, p[:4]), p[:4])


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (12, Options(), r"coverage: 0.9 needs 9 labels .*, so 13 in all, .*; there are 12"),
        (8, Options(temperature=False, recalibrate=False), r"needs 9 labels .*; there are 8"),
        (100, Options(coverage=0.99), r"0.99 needs 99 labels .*, so 148 in all"),
        (0, Options(), r"there are 0"),
        (1, Options(coverage=0.3), r"so 3 in all"),
        (60, Options(edges=(1.0, 2.0)), r"9 labels in each range.* below 1 has \d.*take wider"),
        (60, Options(edges=(50.0,)), r"needs 9 labels in each range.*50 and above has 0"),
        (60, Options(groups=True), r"groups: none is known"),
    ],
)
def test_too_few_labels_are_one_line(count, options, words):
    p, y = drawn(count)
    with pytest.raises(ValueError, match=words):
        calibration.fit(p, y, SPACE, options)


def test_wrong_numbers_are_refused():
    p, y = drawn(40)
    with pytest.raises(ValueError, match=r"probs: expected shape \[..., 10\]"):
        calibration.fit(p[:, :3], y, SPACE, Options())
    with pytest.raises(ValueError, match="finite"):
        calibration.fit(np.where(p > 0.5, np.nan, p), y, SPACE, Options())
    with pytest.raises(ValueError, match=r"subjects: expected 40, got 3"):
        calibration.fit(p, y, SPACE, Options(), subjects=["a"] * 3)
    with pytest.raises(ValueError, match=r"score: .*; coverage: .*got 1.5; groups, edges"):
        Options(score="x", coverage=1.5, groups=True, edges=(1.0,))


def test_a_coverage_beyond_what_was_calibrated_says_what_it_needs():
    p, y = drawn(60)
    known = calibration.fit(p, y, SPACE, Options())
    assert calibration.limits(known, 0.905) == calibration.limits(known, 0.91)
    for coverage, words in (
        (0.99, r"coverage: 0.99 needs 99 calibrated labels, and the calibration has 40; .*0.97"),
        (0.9999, r"calibrations reach 0.999"),
        (1.0, r"expected a number in \(0, 1\)"),
    ):
        with pytest.raises(ValueError, match=words):
            calibration.limits(known, coverage)


def test_without_a_calibration_intervals_are_central():
    p, _ = drawn(5)
    central = decoders.interval(p, SPACE, 0.8)
    np.testing.assert_array_equal(calibration.interval(None, p, SPACE, 0.8), central)


def changed(**fields):
    p, y = drawn(60)
    known = calibration.fit(p, y, SPACE, Options(edges=(5.0,), coverage=0.7))
    return dataclasses.replace(known, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"temperature": float("nan")}, "temperature: expected a positive number"),
        ({"temperature": -1.0}, "temperature"),
        ({"curve": (0.0, 1.0)}, "curve: expected"),
        ({"levels": (0.0, 0.5, 0.4, 1.0), "curve": (0.0, 0.1, 0.2, 1.0)}, "levels: .*rise"),
        ({"levels": (0.0, 0.5, 0.9), "curve": (0.0, 0.1, 1.0)}, "levels"),
        ({"score": "aps"}, "score: expected one of"),
        ({"coverages": ()}, "coverages"),
        ({"coverages": (0.9, 0.5)}, "coverages"),
        ({"overall": Cell("", 9, (1.0,))}, "scores of all: expected"),
        ({"overall": Cell("", -1, ())}, "scores of all"),
        ({"edges": (3.0, 4.0)}, "ranges: expected one more than edges"),
        ({"edges": (99.0,)}, "edges"),
        ({"ranges": ()}, "ranges"),
    ],
)
def test_a_damaged_calibration_names_the_field(fields, words):
    with pytest.raises(ValueError, match=words):
        changed(**fields)


def test_scores_that_fall_are_refused():
    known = changed()
    scores = list(known.overall.scores)
    scores[3] = float("inf")
    with pytest.raises(ValueError, match="scores of all: expected numbers that rise"):
        changed(overall=Cell("", known.overall.count, tuple(scores)))


def test_a_calibration_goes_through_json():
    known = changed(network="abc", data="a set")
    content = json.loads(json.dumps(dataclasses.asdict(known)))
    assert _value(Calibration, content, "calibration") == known
    assert dataclasses.replace(known, space=LabelSpace.range(0, 19)) != known
    assert known.space != AGE
