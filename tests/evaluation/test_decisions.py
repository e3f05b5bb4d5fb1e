"""Decisions at an age: against loops over the pictures, SciPy, and draws of a known rate."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from ldl_jax.evaluation import analysis, decision_figures, decisions, rates, trust_tables
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP, LabelSpace


def predictions_of(count=400, seed=0, space=AGE, low=0, high=60, noise=5.0, **fields):
    rng = np.random.default_rng(seed)
    labels = np.floor(rng.uniform(low, high, count))
    return Predictions(
        ids=tuple(map(str, range(count))),
        labels=labels,
        values=np.clip(labels + rng.normal(0, noise, count), space.low, space.high),
        probs=rng.dirichlet(np.ones(space.size), count),
        space=space,
        **fields,
    )


def counted(predictions, t, challenge):
    """(under who pass, under, over who are asked, over), picture by picture."""
    pairs = [*zip(predictions.labels.tolist(), predictions.values.tolist(), strict=True)]
    under, over = [v for y, v in pairs if y < t], [v for y, v in pairs if y >= t]
    return (
        sum(v >= challenge for v in under),
        len(under),
        sum(v < challenge for v in over),
        len(over),
    )


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 40), (3, 40), (40, 40), (1, 1), (500, 1234)])
def test_intervals_are_exact(count, of):
    ends = stats.binomtest(count, of).proportion_ci(0.9, method="exact")
    np.testing.assert_allclose(rates.clopper_pearson(count, of, 0.9), (ends.low, ends.high))


def test_of_nobody_there_is_no_rate():
    (rate,) = rates.rates(np.array([0]), 0)
    assert rate == {"hits": 0, "of": 0, "rate": None, "low": 0.0, "high": 1.0}
    assert rates.text(rate, "–") == "–"


@pytest.mark.parametrize(("share", "confidence"), [(0.05, 0.95), (0.01, 0.95), (0.5, 0.9)])
def test_how_many_are_needed(share, confidence):
    n = rates.needed(share, confidence)
    assert rates.are_below(0, n, share, confidence)
    assert not rates.are_below(0, n - 1, share, confidence)
    assert not rates.are_below(0, 0, share, confidence)


def test_rates_are_those_of_the_pictures_one_by_one():
    names = tuple("ab"[n % 2] if n % 5 else "" for n in range(400))
    predictions = predictions_of(groups={"sex": names})
    found = decisions.decide(predictions)
    assert [row["at"] for row in found] == [18, 21, 25]
    assert json.loads(json.dumps(found)) == found
    row = found[0]
    assert [point["at"] for point in row["challenge"]] == list(range(18, 29))
    for point in row["challenge"]:
        passed, under, asked, over = counted(predictions, 18, point["at"])
        assert (point["fpr"]["hits"], point["fpr"]["of"]) == (passed, under)
        assert (point["fnr"]["hits"], point["fnr"]["of"]) == (asked, over)
        assert point["fpr"]["low"] <= passed / under <= point["fpr"]["high"]
    assert row["fpr"] == row["challenge"][0]["fpr"]
    assert {*row["by_group"]} == {"sex: a", "sex: b", "sex: not given"}
    assert sum(group["fpr"]["of"] for group in row["by_group"].values()) == row["fpr"]["of"]
    by_label = {of["label"]: of for of in row["by_label"]}
    assert {*by_label} <= {*range(8, 29)}
    inside = predictions.values[predictions.labels == 17]
    assert by_label[17]["pictures"] == len(inside)
    assert by_label[17]["passes"][7] == pytest.approx(np.mean(inside >= 25))


def test_somebody_of_exactly_that_age_is_of_age():
    ids, labels = ("a", "b", "c"), np.array([18.0, 17.5, 18.0])
    values, nothing = np.array([18.0, 18.0, 17.99]), np.zeros((3, 0))
    row = decisions.decide(Predictions(ids, labels, values, nothing, AGE), [18])[0]
    assert (row["fpr"]["hits"], row["fpr"]["of"]) == (1, 1)
    assert (row["fnr"]["hits"], row["fnr"]["of"]) == (1, 2)


def test_thresholds_that_a_space_has_by_itself():
    assert decisions.usual(AGE) == (18, 21, 25)
    assert decisions.usual(LabelSpace.range(20, 60)) == (21, 25)
    assert decisions.usual(SCUT_FBP) == ()
    # The group 15 to 20 does not say who is of age.
    assert decisions.usual(ADIENCE) == (21, 25)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([120], r"^120 is outside the labels: expected above 0 and up to 100 years$"),
        ([0], r"^0 is outside"),
        ([float("nan")], "outside"),
        ([21, 18], r"^expected thresholds that rise, got 21, 18$"),
        ([18, 18], "rise, got 18, 18"),
        ([200, 18], r"^200 is outside .*; expected thresholds that rise"),
    ],
)
def test_thresholds_that_cannot_be(thresholds, message):
    with pytest.raises(ValueError, match=message):
        decisions.decide(predictions_of(20), thresholds)


def test_a_threshold_within_a_group():
    with pytest.raises(ValueError, match=r"^18 is within the group 15 to 20"):
        decisions.check([18], ADIENCE)
    decisions.check([15, 25], ADIENCE)


def test_an_operating_point_keeps_its_word():
    """Of 300 draws of 200 people, no more than 10 % choose an age whose own rate is too high."""
    everybody = predictions_of(40_000, seed=1, low=5, high=40)
    rng, wrong, chosen = np.random.default_rng(2), 0, []
    for _ in range(300):
        rows = rng.choice(len(everybody), 200, replace=False)
        some = Predictions(
            tuple(map(str, rows)),
            everybody.labels[rows],
            everybody.values[rows],
            np.zeros((200, 0)),
            AGE,
        )
        point = decisions.operating_point(some, 18, 0.1, 0.9)
        assert point.challenge is not None
        chosen.append(point.challenge)
        wrong += decisions.rates_at(everybody, 18, point.challenge)["fpr"]["rate"] > 0.1
    assert stats.binomtest(int(wrong), 300, 0.1, alternative="greater").pvalue > 1e-4
    assert wrong > 3  # it is no more careful than it has to be
    assert np.std(chosen) > 0


def test_an_operating_point_is_the_least_that_can_be_shown():
    predictions = predictions_of(600)
    point = decisions.operating_point(predictions, 18, 0.05)
    passed, under, *_ = counted(predictions, 18, point.challenge)
    assert (point.under, point.needed) == (under, 59)
    assert stats.binomtest(passed, under).proportion_ci(0.9, "exact").high <= 0.05
    passed, under, *_ = counted(predictions, 18, point.challenge - decisions.STEP)
    assert stats.binomtest(passed, under).proportion_ci(0.9, "exact").high > 0.05


def test_too_few_people_show_nothing():
    few = predictions_of(60)
    point = decisions.operating_point(few, 18, 0.01)
    assert point.challenge is None
    assert point.under < point.needed == 299
    with pytest.raises(ValueError, match=r"expected between 0 and 1, got 1, 0\.95"):
        decisions.operating_point(few, 18, 1.0)


def test_abstention_is_that_of_the_widths():
    rng = np.random.default_rng(3)
    predictions = predictions_of(500, seed=3)
    probs = np.asarray(predictions.probs)
    found = analysis.analyse(predictions)["abstention"]
    error = np.abs(predictions.values.astype(float) - predictions.labels)
    assert found["mae"] == pytest.approx(error.mean())
    assert found["aurc_best"] == pytest.approx(
        np.mean(np.cumsum(np.sort(error)) / np.arange(1, 501))
    )
    entropy = -(probs * np.log(np.maximum(probs, 1e-30))).sum(1)
    ordered = error[np.argsort(entropy)]
    risks = np.cumsum(ordered) / np.arange(1, 501)
    assert found["by_entropy"]["aurc"] == pytest.approx(risks.mean(), rel=1e-4)
    half = next(row for row in found["by_entropy"]["curve"] if row["coverage"] == 0.5)
    assert half["mae"] == pytest.approx(risks[249], rel=1e-4)
    assert half["at_most"] == pytest.approx(np.sort(entropy)[249], rel=1e-4)
    assert len(found["by_width"]["curve"]) == 20
    assert found["by_width"]["curve"][-1]["mae"] == pytest.approx(error.mean(), rel=1e-5)
    few = dataclasses.replace(predictions_of(3), probs=rng.dirichlet(np.ones(101), 3))
    assert len(analysis.analyse(few)["abstention"]["by_width"]["curve"]) == 3


def test_figures_and_tables(tmp_path):
    names = tuple("ab"[n % 2] for n in range(400))
    found = analysis.analyse(predictions_of(groups={"a|b$": names}))
    decision_figures.draw(tmp_path, [found, found])
    assert {path.name for path in tmp_path.iterdir()} == {"challenge.png", "risk_coverage.png"}
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 400
    nobody = analysis.analyse(predictions_of(50, low=30), [18])  # nobody is under it
    decision_figures.challenge(tmp_path / "challenge.png", nobody)
    text = trust_tables.page({"m": found, "n": nobody})
    assert text.count("| n | 18 | 0 | – |") == 1
    assert r"a\|b$: a" in text
    assert "AURC" in text
    with pytest.raises(ValueError, match="got none"):
        decision_figures.challenge(tmp_path / "x.png", {"unit": "score"})
    with pytest.raises(ValueError, match="got none"):
        decision_figures.risk_coverage(tmp_path / "x.png", [{"unit": "score"}])
