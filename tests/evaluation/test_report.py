"""Summaries against float64 NumPy; tables show the summaries' numbers and no more columns."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ldl_jax.evaluation import report
from ldl_jax.evaluation.predictions import Predictions


def made(**changes: Any) -> Predictions:
    rng = np.random.default_rng(0)
    count = 400
    labels = rng.integers(16, 78, count).astype(np.float32)
    fields: dict[str, Any] = {
        "ids": tuple(map(str, range(count))),
        "labels": labels,
        "values": labels + rng.normal(0, 4, count).round(1),
        "probs": rng.dirichlet(np.ones(79), count),
        "space_values": np.arange(16, 95),
        "heads": {
            "distribution": labels + rng.normal(0, 4, count),
            "regression": labels + rng.normal(0, 5, count),
        },
        "sigma": np.where(rng.random(count) < 0.3, np.nan, rng.uniform(1, 5, count)),
        "truth_kl": np.where(rng.random(count) < 0.5, np.nan, rng.exponential(1, count)),
    }
    return Predictions(**(fields | changes))


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
    }
    got = report.summary(predictions)
    assert list(got) == list(expected)
    assert {type(x) for x in got.values()} == {float}
    assert got == pytest.approx(expected, rel=1e-5)


def test_summary_leaves_out_what_is_unknown() -> None:
    nothing = np.full(400, np.nan)
    bare = report.summary(made(heads={}, sigma=None, truth_kl=None, unit="score"))
    assert list(bare) == ["mae", "rmse", "pearson"]
    empty = report.summary(
        made(heads={}, sigma=nothing, truth_kl=nothing, values=np.full(400, 40.1))
    )
    assert list(empty) == ["mae", "rmse", "ca3", "ca5", "ca7"]


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


def test_table_shows_the_same() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table(ROWS))
    text = console.file.getvalue()
    for line in report.markdown(ROWS).splitlines()[2:4]:
        for cell in line.strip("| ").split(" | "):
            assert cell in text
    assert "RMSE" not in text
    assert "MAE in years." in text


def test_every_number_fits_in_80_columns() -> None:
    row = {"generation": 1, "test pictures": 6685, **report.summary(made())}
    console = Console(file=io.StringIO(), width=80)
    console.print(report.table([row]))
    cells = report.markdown([row]).splitlines()[2].strip("| ").split(" | ")
    assert len(cells) == 12
    assert cells in [line.split() for line in console.file.getvalue().splitlines()]


def test_table_of_a_summary_in_another_unit() -> None:
    predictions = made(sigma=None, truth_kl=None, unit="score")
    text = report.markdown([{"generation": 1, **report.summary(predictions)}], predictions.unit)
    assert text.splitlines()[0] == (
        "| generation | MAE | MAE distribution | MAE regression | RMSE | Pearson r |"
    )
    assert text.splitlines()[-1] == "MAE and RMSE in score."


def test_tables_of_no_row() -> None:
    assert report.table([]).row_count == 0
    assert isinstance(report.markdown([]), str)
