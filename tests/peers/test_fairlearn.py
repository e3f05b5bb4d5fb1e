"""Compares errors by group with Fairlearn's MetricFrame."""

import numpy as np
import pytest

from ldl_jax.evaluation import decisions, groups
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import AGE

pytest.importorskip("fairlearn", reason="fairlearn is not installed; make test-peers does it")

from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate


def drawn(seed, count=2000):
    rng = np.random.default_rng(seed)
    labels = np.floor(rng.uniform(5, 60, count))
    return Predictions(
        ids=tuple(map(str, range(count))),
        labels=labels,
        values=labels + rng.normal(0, 6, count),
        probs=np.zeros((count, 0)),
        space=AGE,
        groups={
            "sex": tuple(rng.choice(["female", "male"], count).tolist()),
            "skin": tuple(rng.choice(["I", "II", "III"], count).tolist()),
        },
    )


def mean_absolute_error(y_true, y_pred):
    return np.abs(np.asarray(y_true, np.float64) - y_pred).mean()


def frame(answers, metric, kinds, labels=None, values=None):
    labels = answers.labels if labels is None else labels
    values = answers.values if values is None else values
    columns = {kind: list(answers.groups[kind]) for kind in kinds}
    return MetricFrame(metrics=metric, y_true=labels, y_pred=values, sensitive_features=columns)


@pytest.mark.parametrize("kinds", [("sex",), ("skin",), ("sex", "skin")])
def test_errors_differences_and_ratios(seeds, kinds):
    for seed in seeds:
        answers = drawn(seed)
        theirs = frame(answers, mean_absolute_error, kinds)
        found = groups.compare_groups(answers)
        for key, value in theirs.by_group.items():
            names = key if isinstance(key, tuple) else (key,)
            title = ", ".join(f"{kind}: {x}" for kind, x in zip(kinds, names, strict=True))
            assert found["by_group"][title]["mae"] == pytest.approx(value, rel=1e-6)
        (row,) = [
            row
            for row in found["group_differences"]
            if (row["of"], row["metric"]) == (", ".join(kinds), "mae")
        ]
        assert row["difference"] == pytest.approx(theirs.difference(), rel=1e-6)
        assert row["ratio"] == pytest.approx(theirs.ratio(), rel=1e-6)


def test_an_interval_of_two_groups(seeds):
    """Theirs is of single pictures too; of two groups that are far apart the two agree."""
    answers = drawn(seeds[0])
    worse = np.where(np.array(answers.groups["sex"]) == "male", 4.0, 0.0)
    answers = Predictions(
        answers.ids,
        answers.labels,
        answers.values + worse,
        answers.probs,
        AGE,
        groups={"sex": answers.groups["sex"]},
    )
    theirs = MetricFrame(
        metrics=mean_absolute_error,
        y_true=answers.labels,
        y_pred=answers.values,
        sensitive_features=list(answers.groups["sex"]),
        n_boot=400,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    row = groups.compare_groups(answers)["group_differences"][0]
    np.testing.assert_allclose(row["difference_interval"], theirs.difference_ci(), atol=0.06)
    np.testing.assert_allclose(row["ratio_interval"], theirs.ratio_ci(), atol=0.02)


def test_false_positive_and_negative_rates(seeds):
    for seed in seeds:
        answers = drawn(seed)
        row = decisions.decide(answers, [18])[0]
        of_age, passes = answers.labels >= 18, answers.values >= 25
        for key, metric in (("fpr", false_positive_rate), ("fnr", false_negative_rate)):
            theirs = frame(answers, metric, ("sex",), of_age, passes)
            point = next(point for point in row["challenge"] if point["at"] == 25)
            assert point[key]["rate"] == pytest.approx(theirs.overall)
            for name, value in theirs.by_group.items():
                of_group = row["by_group"][f"sex: {name}"]["challenge"]
                point = next(point for point in of_group if point["at"] == 25)
                assert point[key]["rate"] == pytest.approx(value)
