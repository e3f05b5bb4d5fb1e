"""Where the errors are: against loops over the pictures."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from ldl_jax.evaluation import analysis, analysis_figure
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP


def predictions_of(space, count=200, seed=0, grid=False):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(space.size), count)
    low, high = space.low, space.high
    labels = rng.choice(space.values, count) if grid else rng.uniform(low, high, count)
    return Predictions(
        ids=tuple(str(n) for n in range(count)),
        labels=labels,
        values=np.clip(labels + rng.normal(0, 0.2 * (high - low), count), low, high),
        probs=probs,
        space=space,
    )


def grouped(predictions, names):
    """The predictions with groups of people."""
    return dataclasses.replace(predictions, groups={"group": names})


@pytest.mark.parametrize("space", [AGE, SCUT_FBP])
def test_errors_by_bins_of_labels(space):
    predictions = predictions_of(space)
    found = analysis.analyse(predictions)
    assert json.loads(json.dumps(found)) == found
    rows = found["by_label"]
    width = 10 if space is AGE else 0.5
    assert sum(row["pictures"] for row in rows) == 200
    for row in rows:
        assert row["high"] - row["low"] == width
        error = [
            float(v) - float(y)
            for v, y in zip(predictions.values, predictions.labels, strict=True)
            if row["low"] <= y < row["high"]
        ]
        assert len(error) == row["pictures"] > 0
        assert row["mae"] == pytest.approx(np.mean(np.abs(error)))
        assert row["bias"] == pytest.approx(np.mean(error), abs=1e-9)
    assert found["balanced_mae"] == pytest.approx(np.mean([row["mae"] for row in rows]))
    assert "confusion" not in found
    assert "by_group" not in found


def test_a_grid_s_label_on_an_edge_is_in_the_upper_bin():
    predictions = predictions_of(SCUT_FBP, grid=True)
    rows = analysis.analyse(predictions)["by_label"]
    counts = {row["low"]: row["pictures"] for row in rows}
    tenths = np.rint(predictions.labels.astype(float) * 10).astype(int)
    assert counts == {
        low / 10: n for low, n in zip(*np.unique(tenths // 5 * 5, return_counts=True), strict=True)
    }


@pytest.mark.parametrize("space", [AGE, SCUT_FBP, ADIENCE])
def test_the_bins_errors_are_the_library_s(space):
    """Also where all labels are one, and at both ends of the space."""
    for labels in (np.full(200, space.low), np.full(200, space.high), None):
        predictions = predictions_of(space)
        if labels is not None:
            predictions = dataclasses.replace(predictions, labels=labels)
        found = analysis.analyse(predictions)
        error = np.abs(predictions.values.astype(float) - predictions.labels)
        rows = found["by_label"]
        assert sum(row["pictures"] for row in rows) == 200
        assert sum(row["pictures"] * row["mae"] for row in rows) == pytest.approx(error.sum())
        assert found["balanced_mae"] == pytest.approx(np.mean([row["mae"] for row in rows]))
        assert labels is None or len(rows) == 1


def test_confusions_of_few_labels():
    predictions = predictions_of(ADIENCE)
    found = analysis.analyse(predictions)
    assert found["label_values"] == list(ADIENCE.values)
    assert found["label_bounds"][1] == [4, 6]
    confusion = np.array(found["confusion"])
    assert confusion.shape == (8, 8)
    assert confusion.sum() == 200
    rows = {row["label"]: row["pictures"] for row in found["by_label"]}
    for k, value in enumerate(ADIENCE.values):
        assert rows.get(value, 0) == confusion[k].sum()


def test_errors_by_group():
    predictions = predictions_of(AGE)
    groups = tuple("ab"[n % 2] if n < 150 else "" for n in range(200))
    found = analysis.analyse(grouped(predictions, groups))["by_group"]
    counts = {name: row["pictures"] for name, row in found.items()}
    assert counts == {"a": 75, "b": 75, "not given": 50}
    error = np.abs(predictions.values.astype(float) - predictions.labels)
    assert found["b"]["mae"] == pytest.approx(error[1:150:2].mean())
    with pytest.raises(ValueError, match=r"^groups: group: expected 200, got 3$"):
        grouped(predictions, ("a",) * 3)


def test_calibrated_distributions_give_the_levels():
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(101), 20_000)
    labels = (np.cumsum(probs, 1) < rng.random((20_000, 1))).sum(1)
    ids = tuple(map(str, range(20_000)))
    given = Predictions(ids, labels, labels, probs, AGE)
    found = analysis.analyse(given)
    curve = found["calibration"]
    np.testing.assert_allclose(curve["labels_below"], curve["levels"], atol=0.02)
    assert found["quantile_calibration_error"] < 0.01


def drawn(path, *generations):
    """The width and height of the figure in pixels."""
    analysis_figure.error_analysis(path, generations)
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def test_the_figure_has_a_panel_for_all_that_is_known(tmp_path):
    path = tmp_path / "analysis.png"
    plain = analysis.analyse(predictions_of(AGE))
    one = drawn(path, plain)
    assert drawn(path, plain, plain, plain) == one
    names = ("a$b$^", "b" * 200, "", "c") * 50
    of_groups = analysis.analyse(grouped(predictions_of(AGE), names))
    two = drawn(path, of_groups)
    assert two == (one[0] + 600, one[1])
    wide = analysis.analyse(grouped(predictions_of(ADIENCE), ("a", "b") * 100))
    assert drawn(path, wide)[0] > two[0]
    names = tuple(f"group {n}" for n in range(100)) * 2
    many = analysis.analyse(grouped(predictions_of(AGE), names))
    assert drawn(path, many)[1] < 1100
    assert [file.name for file in tmp_path.iterdir()] == ["analysis.png"]
    with pytest.raises(ValueError, match="at least one"):
        analysis_figure.error_analysis(path, [])


def test_the_figures_groups_are_the_largest_by_name():
    sizes = {f"group {n:02}": {"pictures": n, "mae": 1.0, "bias": 0.0} for n in range(25)}
    assert [*analysis_figure._largest(sizes)] == [f"group {n:02}" for n in range(5, 25)]
