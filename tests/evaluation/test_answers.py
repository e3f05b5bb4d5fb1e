"""Answers as text: what a reader gets back is what was answered."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from ldl_jax.evaluation import answers, grid
from ldl_jax.evaluation.answers import Answer
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP


def make(space=AGE, picture="a/b.jpg", box=(1.25, 2.0, 30.5, 41.0), seed=0, number=1):
    probs = np.random.default_rng(seed).dirichlet(np.ones(space.size)).astype(np.float32)
    value = float(np.float32(probs @ np.asarray(space.values)))
    low, high = space.values[1], space.values[-2]
    return Answer(picture, number, box, None, value, low, high, probs)


def printed(found, space, width=80):
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    grid.show(console, answers.table(found, space, 0.9))
    return text.getvalue()


@pytest.mark.parametrize("space", [AGE, SCUT_FBP, ADIENCE], ids=["age", "scores", "groups"])
def test_json_and_csv_give_the_same_float32_back(space):
    found = [make(space), make(space, "b.jpg", None, seed=1)]
    rows = json.loads(answers.to_json(found, space, 0.8))
    cells = list(csv.DictReader(io.StringIO(answers.to_csv(found, space))))
    for answer, row, cell in zip(found, rows, cells, strict=True):
        assert np.float32(row["value"]) == np.float32(answer.value) == np.float32(cell["value"])
        probs = np.array(list(row["distribution"].values()), np.float32)
        np.testing.assert_array_equal(probs, answer.probs)
        names = answers.label_names(space)
        assert list(row["distribution"]) == names
        probs = np.array([cell[f"p[{name}]"] for name in names], np.float32)
        np.testing.assert_array_equal(probs, answer.probs)
        assert (row["unit"], row["coverage"]) == (space.unit, 0.8)
        assert row["picture"] == cell["picture"] == answer.picture
    assert rows[0]["box"] == [1.2, 2.0, 30.5, 41.0]
    assert rows[1]["box"] is None
    edges = [cells[0][name] for name in ("left", "top", "right", "bottom")]
    assert edges == ["1.2", "2.0", "30.5", "41.0"]
    assert cells[1]["left"] == ""


def test_nothing_is_an_empty_list():
    assert json.loads(answers.to_json([], AGE, 0.9)) == []
    assert answers.to_csv([], AGE).count("\n") == 1


def test_a_threshold_and_a_greatest_width():
    one, two = make(), make(picture="b.jpg", seed=1)
    narrow = dataclasses.replace(one, low=30.0, high=49.0)
    asked = answers.check_asked(18, 20, AGE, value_alone=False)
    found = [asked.of(answer, AGE) for answer in (narrow, two)]
    assert [answer.answered for answer in found] == [True, False]
    rows = json.loads(answers.to_json(found, AGE, 0.9, (), asked))
    cells = list(csv.DictReader(io.StringIO(answers.to_csv(found, AGE, asked))))
    for answer, row, cell in zip(found, rows, cells, strict=True):
        share = answer.probs[18:].sum()
        assert row["prob_at_least"] == float(cell["prob_at_least"]) == pytest.approx(share, 1e-5)
        assert (row["threshold"], row["max_width"]) == (18, 20)
        assert cell["answered"] == str(row["answered"]).lower() == str(answer.answered).lower()
    assert rows[1]["value"] is None
    assert cells[1]["value"] == ""
    assert rows[1]["interval"] == [1.0, 99.0]
    text = io.StringIO()
    console = Console(file=text, width=200, force_terminal=True, color_system=None)
    grid.show(console, answers.table(found, AGE, 0.9, asked))
    assert "No answer for 1 of 2: their intervals are 20 wide or wider." in text.getvalue()
    assert "P(>= 18)" in text.getvalue()
    assert answers.summary(found[1], AGE) == "none [1, 99]"
    exactly = dataclasses.replace(one, low=30.0, high=50.0)
    assert not asked.of(exactly, AGE).answered
    header = answers.to_csv([], AGE, asked).splitlines()[0]
    assert ",threshold,prob_at_least,max_width,answered,p[0]," in header


@pytest.mark.parametrize(
    ("threshold", "width", "value_alone", "message"),
    [
        (
            120,
            None,
            False,
            r"^--threshold: expected within the model's labels, 0 to 100 years",
        ),
        (float("nan"), 0, False, r"^--threshold: .* got nan; --max-width: expected above 0 years"),
        (None, float("inf"), False, "--max-width: expected above 0 years, got inf"),
        (18, 5, True, "--threshold: the model's method gives a value alone.*; --max-width: the"),
    ],
)
def test_what_cannot_be_asked(threshold, width, value_alone, message):
    with pytest.raises(ValueError, match=message):
        answers.check_asked(threshold, width, AGE, value_alone)


def test_labels_are_called_by_their_numbers_and_groups_by_their_ends():
    assert answers.label_names(AGE)[:2] == ["0", "1"]
    assert answers.label_names(SCUT_FBP)[:3] == ["1", "1.1", "1.2"]
    assert answers.label_names(ADIENCE)[:2] == ["0-2", "4-6"]


def test_the_table_keeps_numbers_whole_and_paths_as_they_are():
    names = ["folder [red]/picture [1].jpg", "x" * 150 + ".jpg"]
    found = [make(picture=name, number=i + 1) for i, name in enumerate(names)]
    text = printed(found, AGE)
    assert names[0] in text
    folded = [word for word in text.split() if set(word) <= set("x.jpg")]
    assert "".join(folded) == names[1]
    for word in (f"{found[0].value:.1f}", "[1, 99]", "1 2 30 41", "years", "90%"):
        assert word in text
    narrow = printed(found, AGE, width=56)
    assert f"{found[0].value:.1f}" in narrow
    assert "[1, 99]" in narrow


def test_scores_have_two_digits():
    assert f"{make(SCUT_FBP).value:.2f} [" in answers.summary(make(SCUT_FBP), SCUT_FBP)
