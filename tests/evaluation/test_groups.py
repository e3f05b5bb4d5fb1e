"""Errors by group of people: against loops, a plain bootstrap, and what must be left out."""

import json

import numpy as np
import pytest

from ldl_jax.evaluation import analysis, groups, predictions, trust_tables
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import AGE


def predictions_of(count=300, seed=0, spread=(4.0, 8.0), subjects=False, **kinds):
    rng = np.random.default_rng(seed)
    labels = np.floor(rng.uniform(10, 60, count))
    noise = np.where(np.arange(count) % 2, *reversed(spread))
    return Predictions(
        ids=tuple(map(str, range(count))),
        labels=labels,
        values=labels + noise * rng.normal(size=count),
        probs=rng.dirichlet(np.ones(AGE.size), count),
        space=AGE,
        subjects=tuple(f"p{n // 3}" for n in range(count)) if subjects else (),
        groups=kinds,
    )


def cycled(names, count=300):
    return tuple(names[n % len(names)] for n in range(count))


def test_groups_and_their_intersection():
    found = groups.members(
        predictions_of(sex=cycled(["male", "female", ""]), skin=cycled(["dark", "light"]))
    )
    assert [grouping.of for grouping in found] == ["sex", "skin", "sex, skin"]
    sex, skin, both = (grouping.rows for grouping in found)
    assert [*sex] == ["sex: female", "sex: male", "sex: not given"]
    assert found[0].unknown == "sex: not given"
    assert (found[1].unknown, [*skin]) == ("", ["skin: dark", "skin: light"])
    assert [*both] == [
        f"sex: {sex}, skin: {skin}" for sex in ("female", "male") for skin in ("dark", "light")
    ]
    assert both["sex: male, skin: dark"].sum() == 50
    np.testing.assert_array_equal(
        both["sex: male, skin: dark"], sex["sex: male"] & skin["skin: dark"]
    )


def test_an_intersection_of_very_many_groups_is_left_out():
    kinds = {
        kind: tuple(f"{n // div % 12}" for n in range(300)) for kind, div in (("a", 1), ("b", 12))
    }
    assert [grouping.of for grouping in groups.members(predictions_of(**kinds))] == ["a", "b"]


def test_numbers_and_intervals_of_each_group():
    answers = predictions_of(sex=cycled(["male", "female"]))
    found = analysis.analyse(answers)
    assert json.loads(json.dumps(found)) == found
    error = answers.values.astype(float) - answers.labels
    rng = np.random.default_rng(5)
    for name, first in (("sex: male", 0), ("sex: female", 1)):
        row, own = found["by_group"][name], error[first::2]
        assert (row["pictures"], row["people"]) == (150, 150)
        assert row["mae"] == pytest.approx(np.abs(own).mean())
        assert row["bias"] == pytest.approx(own.mean())
        low, high = row["mae_interval"]
        drawn = np.abs(own)[rng.integers(150, size=(4000, 150))].mean(1)
        np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), rtol=0.05)
    differences = {row["metric"]: row for row in found["group_differences"]}
    mae = differences["mae"]
    assert (mae["greatest"], mae["least"]) == ("sex: female", "sex: male")
    worse, better = np.abs(error[1::2]).mean(), np.abs(error[::2]).mean()
    assert mae["difference"] == pytest.approx(worse - better)
    assert mae["ratio"] == pytest.approx(better / worse)
    assert 0 < mae["difference_interval"][0] < mae["difference"] < mae["difference_interval"][1]
    assert mae["ratio_interval"][0] < mae["ratio"] < mae["ratio_interval"][1] < 1
    assert "ratio" not in differences["bias"]
    assert found["groups_too_small"] == []
    assert "the MAE of female is greater than that of male by" in trust_tables.lines(found)[0]


def test_pictures_of_one_person_are_drawn_together():
    """Three equal pictures of each person widen the interval by about the root of three."""
    one = predictions_of(100, spread=(6.0, 6.0), sex=("male",) * 100)

    def thrice(known):
        rows = np.repeat(np.arange(100), 3)
        return Predictions(
            tuple(map(str, range(300))),
            one.labels[rows],
            one.values[rows],
            np.zeros((300, 0)),
            AGE,
            subjects=tuple(f"p{row}" for row in rows) if known else (),
            groups={"sex": ("male",) * 300},
        )

    found = {known: groups.compare_groups(thrice(known)) for known in (False, True)}
    rows = {known: numbers["by_group"]["sex: male"] for known, numbers in found.items()}
    assert (rows[False]["people"], rows[True]["people"]) == (300, 100)
    width = {known: np.diff(row["mae_interval"])[0] for known, row in rows.items()}
    assert width[True] / width[False] == pytest.approx(3**0.5, rel=0.15)


def test_small_groups_and_those_not_given_are_in_no_difference():
    names = ("a",) * 150 + ("b",) * 100 + ("c",) * 10 + ("",) * 40
    found = groups.compare_groups(predictions_of(sex=names))
    assert found["groups_too_small"] == ["sex: c"]
    assert {row[end] for row in found["group_differences"] for end in ("greatest", "least")} == {
        "sex: a",
        "sex: b",
    }
    assert found["by_group"]["sex: not given"]["pictures"] == 40
    lines = trust_tables.lines({"unit": "years", **found})
    assert lines[-1] == "fewer than 30 people, too few to compare: sex: c (10)"


def test_a_group_of_one_has_no_interval_and_one_person_alone_is_no_reason_to_stop():
    names = ("a",) * 299 + ("b",)
    found = groups.compare_groups(predictions_of(sex=names))
    assert found["by_group"]["sex: b"]["mae_interval"] is None
    assert found["group_differences"] == []
    (row,) = groups.compare_groups(predictions_of(1, sex=("a",)))["by_group"].values()
    assert row["mae_interval"] == [row["mae"], row["mae"]]


def test_the_same_predictions_give_the_same_intervals():
    answers = predictions_of(sex=cycled(["male", "female"]), skin=cycled("abc"), subjects=True)
    assert groups.compare_groups(answers) == groups.compare_groups(answers)


def test_groups_that_there_are_not():
    known = {"sex": ("a",), "skin": ("b",)}
    assert groups.choose(known, ["skin"]) == {"skin": ("b",)}
    message = r"^no groups of 'race', 'age'; there are: sex, skin$"
    with pytest.raises(ValueError, match=message):
        groups.choose(known, ["race", "sex", "age"])
    with pytest.raises(ValueError, match=r"there are: none$"):
        groups.choose({}, ["sex"])


def test_one_name_for_all_kinds():
    assert groups.joined({"sex": ("a", "")}) == ("a", "")
    assert groups.joined({}) == ()
    found = groups.joined({"sex": ("a", "b", ""), "skin": ("I", "", "II")})
    assert found == ("sex: a, skin: I", "", "")


def test_predictions_keep_their_groups(tmp_path):
    given = {"sex": cycled(["male", "", "=1+1"], 6), "skin, tone": cycled(["a,b", 'c"d'], 6)}
    answers = predictions_of(6, **given)
    path = tmp_path / "answers.csv"
    predictions.write(path, answers)
    header = path.read_text().splitlines()[0]
    assert header.endswith(',group.sex,"group.skin, tone"')
    assert dict(predictions.read(path).groups) == given
    with pytest.raises(ValueError, match=r"^heads: 'group.sex' is the name of another column$"):
        Predictions(("a",), [1.0], [1.0], np.zeros((1, 0)), AGE, heads={"group.sex": [1.0]})
