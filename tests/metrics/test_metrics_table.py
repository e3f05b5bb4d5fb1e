"""The one table of metrics: a metric added to it is seen everywhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch import runs
from ldl_jax import methods, metrics
from ldl_jax.data.feed.feeds import Part
from ldl_jax.evaluation import ablation, predictions, report
from ldl_jax.evaluation.evaluate import metrics_of
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import ADIENCE, AGE, LabelSpace
from ldl_jax.metrics import table
from ldl_jax.metrics.table import TABLE, MetricEntry
from ldl_jax.run import config as schema
from ldl_jax.train.best import Best, read_best
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights

COUNT = 12


@metrics.averaged(metrics.mean_of)
def above(pred: Any, labels: Any) -> jax.Array:
    """The share of estimates above the label."""
    return (jnp.asarray(pred) > jnp.asarray(labels)).astype(jnp.float32)


NEW = MetricEntry(
    "above", "above %", "more", table.PERCENT, lambda space: above,
    form="{:.1%}", note="Above: estimates above the label of so many {unit}.", brief=True,
)  # fmt: skip


def made(space: LabelSpace = AGE, **changes: Any) -> Predictions:
    labels = np.linspace(space.low, space.high, COUNT).astype(np.float32)
    fields: dict[str, Any] = {
        "ids": tuple(map(str, range(COUNT))),
        "labels": labels,
        "values": labels + np.where(np.arange(COUNT) % 4 == 0, 1, -1),
        "probs": np.full((COUNT, space.size), 1 / space.size),
        "space": space,
    }
    return Predictions(**(fields | changes))


def test_a_metric_added_to_the_table_is_seen_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_record: Callable[..., Record]
) -> None:
    monkeypatch.setattr(table, "TABLE", (*TABLE, NEW))
    summary = report.summary(made())
    assert summary["above"] == 0.25
    row = {"generation": 1, **summary}
    lines = report.markdown([row], "years").splitlines()
    assert lines[0].endswith("| Pearson r | above % |")
    assert lines[2].endswith("| 25.0 |")
    assert lines[-1].endswith("Above: estimates above the label of so many years.")
    assert "above" in metrics_of(part_of(), methods.get("cen", space=AGE), 8)

    best = Best(tmp_path, "above")
    best.start(print)
    for step, value in {1: 0.2, 2: 0.4, 3: 0.3}.items():
        weights = Weights({"head": {"kernel": jnp.full(4, step, jnp.float32)}}, {})
        best.offer(step, summary | {"above": value}, weights, make_record())
    best.close()
    found = read_best(tmp_path, print)
    assert found is not None
    assert found[0] == 2, "more of it is better"

    workdir = tmp_path / "runs" / "a"
    predictions.write(workdir / "predictions/generation_1.csv", made())
    (columns,) = ablation.rows([ablation.Tested({"method.name": "cen"}, workdir, 1)], {})
    assert columns["above %"] == "25.0"

    (workdir / "config.json").write_text(json.dumps(schema.to_dict(schema.Config())))
    (workdir / "generation_1.json").write_text(json.dumps(row))
    (listed,), _ = runs.rows_of({"a": workdir})
    assert listed["above"] == 0.25
    assert "above %" in [column.heading for column in runs.table([listed]).columns]
    assert "| `above` | above % | more | % |  |" in table.markdown().splitlines()


def part_of(**changes: Any) -> Part:
    labels = np.linspace(0, 100, COUNT).astype(np.float32)
    fields: dict[str, Any] = {
        "ids": tuple(map(str, range(COUNT))),
        "labels": labels,
        "sigma": np.full(COUNT, np.nan, np.float32),
        "size": 8,
    }
    return Part(**(fields | changes))


SIGMA = np.where(np.arange(COUNT) % 2, 2.0, np.nan).astype(np.float32)
TRUTH = np.full((COUNT, 101), 1 / 101, np.float32)
CASES: dict[str, tuple[dict[str, Any], LabelSpace, str]] = {
    "plain": ({}, AGE, "dldl"),
    "heads": ({}, AGE, "cen"),
    "sigma": ({"sigma": SIGMA}, AGE, "cen"),
    "truth": ({"truth": TRUTH}, AGE, "cen"),
    "groups": ({}, ADIENCE, "dldl"),
    "score": ({}, LabelSpace.range(0, 100, unit="score"), "cen"),
    "identities": ({}, LabelSpace.range(0, 100, unit="identity"), "dldl"),
    "one label": ({"labels": np.full(COUNT, 30, np.float32)}, AGE, "dldl"),
}


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_keys_told_are_those_of_the_summary(name: str, kept: bool) -> None:
    changes, space, method = CASES[name]
    part = part_of(**changes)
    told = metrics_of(part, methods.get(method, space=space), 8, distributions=kept)
    heads = {"distribution": part.labels, "regression": part.labels} if method == "cen" else {}
    answers = made(
        space,
        labels=part.labels,
        values=part.labels + np.arange(COUNT) % 3,
        probs=np.full((COUNT, space.size if kept else 0), 1 / space.size),
        heads=heads,
        sigma=None if np.isnan(part.sigma).all() else part.sigma,
        truth_kl=np.ones(COUNT) if kept and part.truth is not None else None,
        measures=dict.fromkeys(predictions.MEASURES, np.ones(COUNT))
        if kept and part.truth is not None
        else {},
    )
    assert told == tuple(report.summary(answers))


def test_an_entry_of_any_summary_s_key() -> None:
    for entry in TABLE:
        assert table.find(entry.key) is entry
        assert entry.better in ("less", "more", "")
        assert set(entry.needs) <= {value for name, value in vars(table).items() if name.isupper()}
    of_head = table.find("mae_regression")
    assert of_head is not None
    assert (of_head.heading, of_head.better) == ("MAE regression", "less")
    assert table.find("generation") is None
    assert table.find("rmse_regression") is None


@pytest.mark.parametrize("metric", ["coverage90", "speed"])
def test_the_best_by_what_has_no_better_is_refused(tmp_path: Path, metric: str) -> None:
    with pytest.raises(ValueError, match=f"best: expected a metric .* '{metric}'"):
        Best(tmp_path, metric)


def test_every_number_that_a_table_shows_is_of_the_table() -> None:
    """A column beside the metrics is shown as it is."""
    assert report.heading("test pictures") == ("test pictures", "{:.3f}")
    assert report.cell({"run": "a"}, "run") == "a"
    assert report.cell({"ca5": 0.5}, "ca5") == "50.00"
    assert report.cell({}, "ca5") == report.ABSENT
