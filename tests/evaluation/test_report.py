"""Summaries against float64 NumPy; tables show the summaries' numbers and no more columns."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ldl_jax.evaluation import grid, report
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import ADIENCE, LabelSpace

SCORES = LabelSpace.range(16, 94, unit="score")
OF_DISTRIBUTIONS = ["nll", "crps", "coverage90"]


def made(**changes: Any) -> Predictions:
    rng = np.random.default_rng(0)
    count = 400
    labels = rng.integers(16, 78, count).astype(np.float32)
    fields: dict[str, Any] = {
        "ids": tuple(map(str, range(count))),
        "labels": labels,
        "values": labels + rng.normal(0, 4, count).round(1),
        "probs": rng.dirichlet(np.ones(79), count),
        "space": LabelSpace.range(16, 94),
        "heads": {
            "distribution": labels + rng.normal(0, 4, count),
            "regression": labels + rng.normal(0, 5, count),
        },
        "sigma": np.where(rng.random(count) < 0.3, np.nan, rng.uniform(1, 5, count)),
        "truth_kl": np.where(rng.random(count) < 0.5, np.nan, rng.exponential(1, count)),
    }
    return Predictions(**(fields | changes))


def of_distributions(predictions: Predictions) -> dict[str, float]:
    """NLL, CRPS and the coverage of the 5 and 95 % quantiles, of labels that are label values."""
    values = predictions.space_values.astype(np.float64)
    nll, crps, covered = [], [], []
    for p, label in zip(predictions.probs.astype(np.float64), predictions.labels, strict=True):
        nll.append(-np.log(p[values == label][0]))
        pairs = p @ np.abs(values[:, None] - values) @ p
        crps.append(p @ np.abs(values - label) - pairs / 2)
        low, high = (values[np.argmax(p.cumsum() >= level - 1e-6)] for level in (0.05, 0.95))
        covered.append(low <= label <= high)
    return {"nll": np.mean(nll), "crps": np.mean(crps), "coverage90": np.mean(covered)}


def by_label(predictions: Predictions) -> dict[str, float]:
    """The quadratic kappa of labels one apart, by scikit-learn's tables, and errors by label."""
    step, K = predictions.space_values, predictions.space.size
    pred, labels = (
        np.abs(step - x[:, None].astype(np.float64)).argmin(1)
        for x in (predictions.values, predictions.labels)
    )
    counts = np.zeros((K, K))
    np.add.at(counts, (labels, pred), 1)
    weight = (np.arange(K)[:, None] - np.arange(K)) ** 2
    chance = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    error = np.abs(predictions.values.astype(np.float64) - predictions.labels)
    each = [error[predictions.labels == label].mean() for label in np.unique(predictions.labels)]
    kappa = 1 - (weight * counts).sum() / (weight * chance).sum()
    return {"qwk": kappa, "amae": np.mean(each), "mmae": np.max(each)}


def test_summary_is_the_equations() -> None:
    predictions = made()
    error = np.abs(predictions.values.astype(np.float64) - predictions.labels)
    known = ~np.isnan(predictions.sigma)
    expected = {
        "mae": error.mean(),
        "rmse": np.sqrt((error**2).mean()),
        "mae_distribution": np.abs(predictions.heads["distribution"] - predictions.labels).mean(),
        "mae_regression": np.abs(predictions.heads["regression"] - predictions.labels).mean(),
        "epsilon_error": 1 - np.exp(-((error / predictions.sigma)[known] ** 2) / 2).mean(),
        "ca3": (error < 3).mean(),
        "ca5": (error < 5).mean(),
        "ca7": (error < 7).mean(),
        "pearson": np.corrcoef(predictions.values, predictions.labels)[0, 1],
        "truth_kl": np.nanmean(predictions.truth_kl),
        **of_distributions(predictions),
        **by_label(predictions),
    }
    got = report.summary(predictions)
    assert list(got) == list(expected)
    assert {type(x) for x in got.values()} == {float}
    assert got == pytest.approx(expected, rel=1e-5)


def test_summary_leaves_out_what_is_unknown() -> None:
    nothing = np.full(400, np.nan)
    bare = report.summary(made(heads={}, sigma=None, truth_kl=None, space=SCORES))
    assert list(bare) == ["mae", "rmse", "pearson", *OF_DISTRIBUTIONS, "qwk", "amae", "mmae"]
    empty = report.summary(
        made(heads={}, sigma=nothing, truth_kl=nothing, values=np.full(400, 40.1))
    )
    of_labels = ["qwk", "amae", "mmae"]
    assert list(empty) == ["mae", "rmse", "ca3", "ca5", "ca7", *OF_DISTRIBUTIONS, *of_labels]


def test_summary_of_groups() -> None:
    """Estimates and labels in years; 7.9 lies between 4-6 and 8-13, nearer to 10.5 than to 5."""
    space = ADIENCE
    predictions = made(
        ids=("a", "b", "c", "d"),
        labels=[2.0, 10.0, 70.0, 26.0],
        values=[0.3, 7.9, 20.0, 34.4],
        probs=np.eye(8)[[0, 2, 3, 4]],
        space=space,
        heads={},
        sigma=None,
        truth_kl=None,
    )
    summary = report.summary(predictions)
    assert (summary["accuracy"], summary["one_off_accuracy"]) == (0.75, 0.75)
    assert summary["coverage90"] == 0.75
    text = report.markdown([{"generation": 1, **summary}])
    assert "| accuracy % | 1-off % | Pearson r |" in text
    assert "Accuracy: of the group" in text
    assert "accuracy" not in report.summary(made())


def test_baseline_mae() -> None:
    assert report.baseline_mae(np.array([10, 20, 60]), np.array([30, 40, 20])) == pytest.approx(
        20 / 3
    )


ROWS = [
    {"generation": 1, "test pictures": 400, "mae": 2.4461, "ca3": 0.60521, "mae_regression": 2.578},
    {"generation": 2, "test pictures": 400, "mae": 2.3, "truth_kl": 0.25},
]


def test_markdown() -> None:
    assert report.markdown(ROWS).splitlines() == [
        "| generation | test pictures | MAE | MAE regression | CA(3) % | KL to truth |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        "| 1 | 400 | 2.446 | 2.578 | 60.52 | – |",
        "| 2 | 400 | 2.300 | – | – | 0.250 |",
        "",
        "MAE in years. CA(n): test pictures with an error smaller than n years, in %. "
        "KL(true || learned distribution) in nats.",
    ]


def test_a_table_of_another_part_says_so() -> None:
    for text in (
        report.table(ROWS, pictures="validation pictures").caption,
        report.page(ROWS, "years", [], "validation pictures"),
    ):
        assert "CA(n): validation pictures with an error smaller than n years" in text


def test_table_shows_the_same() -> None:
    console = Console(file=io.StringIO(), width=200)
    grid.show(console, report.table(ROWS))
    text = console.file.getvalue()
    for line in report.markdown(ROWS).splitlines()[2:4]:
        for cell in line.strip("| ").split(" | "):
            assert cell in text
    assert "RMSE" not in text
    assert "MAE in years." in text


def test_every_number_fits_in_80_columns() -> None:
    row = {"generation": 1, "test pictures": 6685, **report.summary(made())}
    console = Console(file=io.StringIO(), width=80)
    grid.show(console, report.table([row]))
    cells = report.markdown([row]).splitlines()[2].strip("| ").split(" | ")
    assert len(cells) == 12
    assert cells in [line.split() for line in console.file.getvalue().splitlines()]


def test_table_of_a_summary_in_another_unit() -> None:
    predictions = made(sigma=None, truth_kl=None, space=SCORES)
    text = report.markdown([{"generation": 1, **report.summary(predictions)}], predictions.unit)
    assert text.splitlines()[0] == (
        "| generation | MAE | MAE distribution | MAE regression | RMSE | Pearson r |"
    )
    assert text.splitlines()[-1] == "MAE and RMSE in score."


def test_tables_of_no_row() -> None:
    assert report.table([]).rows == ()
    assert isinstance(report.markdown([]), str)
