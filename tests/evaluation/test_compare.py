"""Differences between runs, picture by picture."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from ldl_jax.evaluation.compare import paired_difference
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace

N = 200


def draw(seed, spread, shift=0.0):
    """A run's predictions of the same N pictures, its errors of that spread."""
    labels = np.random.default_rng(0).uniform(20, 60, N)
    errors = np.random.default_rng(seed).normal(shift, spread, N)
    return Predictions(
        ids=tuple(f"{n}.png" for n in range(N)),
        labels=labels,
        values=labels + errors,
        probs=np.full((N, 2), 0.5),
        space=LabelSpace((0.0, 100.0)),
    )


def test_the_difference_and_its_interval():
    ours, theirs = draw(1, 3.0), draw(2, 5.0)
    d = np.abs(ours.values - ours.labels) - np.abs(theirs.values - theirs.labels)
    found = paired_difference(ours, theirs)
    np.testing.assert_allclose(found.mean, d.mean(), rtol=1e-5)
    expected = stats.bootstrap((d,), np.mean, method="percentile", rng=0).confidence_interval
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.06)
    assert found.low < found.mean < found.high < 0, "the first is better"
    other = paired_difference(theirs, ours)
    np.testing.assert_allclose(other.mean, -found.mean)


def test_the_pairs_are_pictures_whatever_their_order():
    ours, theirs = draw(1, 3.0), draw(2, 5.0)
    order = np.random.default_rng(3).permutation(N)
    turned = dataclasses.replace(
        theirs,
        ids=tuple(theirs.ids[n] for n in order),
        labels=theirs.labels[order],
        values=theirs.values[order],
    )
    assert paired_difference(ours, turned) == paired_difference(ours, theirs)


def test_a_common_error_does_not_widen_the_interval():
    """What both runs find hard cancels: that is what pairing is for."""
    ours = draw(1, 10.0)
    theirs = dataclasses.replace(ours, values=ours.values + np.sign(ours.values - ours.labels))
    found = paired_difference(ours, theirs)
    np.testing.assert_allclose(found, [-1, -1, -1], rtol=1e-4)


@pytest.mark.parametrize("other", ["pictures", "labels", "fewer", "twice"])
def test_other_pictures_have_no_difference(other):
    ours = draw(1, 3.0)
    first = ours.ids[0]
    theirs = {
        "pictures": dataclasses.replace(ours, ids=("other.png", *ours.ids[1:])),
        "labels": dataclasses.replace(ours, labels=ours.labels + 1),
        "fewer": dataclasses.replace(
            ours,
            ids=ours.ids[1:],
            labels=ours.labels[1:],
            values=ours.values[1:],
            probs=ours.probs[1:],
        ),
        "twice": dataclasses.replace(
            ours,
            ids=(first, first, *ours.ids[2:]),
            labels=np.concatenate([ours.labels[:1], ours.labels[:1], ours.labels[2:]]),
        ),
    }[other]
    assert paired_difference(ours, theirs) is None


@pytest.mark.parametrize(("given", "says"), [({"level": 1.0}, "level"), ({"resamples": 0}, "res")])
def test_refused(given, says):
    with pytest.raises(ValueError, match=says):
        paired_difference(draw(1, 3.0), draw(2, 3.0), **given)


def test_subjects_are_drawn_with_all_their_pictures():
    """Ten pictures of each person with one error: the interval is that of twenty persons."""
    theirs = draw(2, 5.0)
    people = np.arange(N) // 10
    shift = np.random.default_rng(5).normal(0, 2, 20)[people]
    ours = dataclasses.replace(
        theirs, values=theirs.values + np.sign(theirs.values - theirs.labels) * shift
    )
    plain = paired_difference(ours, theirs)
    known = dataclasses.replace(theirs, subjects=tuple(f"person {n}" for n in people))
    found = paired_difference(ours, known)  # the subjects of either are taken
    d = (np.abs(ours.values - ours.labels) - np.abs(theirs.values - theirs.labels)).reshape(20, 10)
    expected = stats.bootstrap(
        (d.mean(1),), np.mean, method="percentile", rng=0
    ).confidence_interval
    assert found.mean == plain.mean
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.1)
    assert found.high - found.low > 2 * (plain.high - plain.low)
    one = dataclasses.replace(ours, subjects=("anna",) * N)
    assert paired_difference(one, theirs) == (plain.mean,) * 3
