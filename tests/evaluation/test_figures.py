"""Figures are written whole, at a sensible size, with and without what is optional."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldl_jax.evaluation import curves, figures
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace

SPACE = np.arange(16, 95)
SCORES = LabelSpace(tuple(SPACE.tolist()), "score")


def made(seed: int, count: int = 60, **changes: Any) -> Predictions:
    labels = np.random.default_rng(0).integers(16, 78, count)
    rng = np.random.default_rng(seed)
    values = labels + rng.normal(0, 3, count)
    probs = np.exp(-(((SPACE - values[:, None]) / 4) ** 2))
    fields: dict[str, Any] = {
        "ids": tuple(map(str, range(count))),
        "labels": labels,
        "values": values,
        "probs": probs / probs.sum(1, keepdims=True),
        "space": LabelSpace(tuple(SPACE.tolist())),
    }
    return Predictions(**(fields | changes))


def size(path: Path) -> tuple[int, int]:
    """Width and height in the PNG's header; the file ends as a whole PNG does."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_pick_spreads_over_the_labels() -> None:
    predictions = made(0, 500)
    rows = figures.pick(predictions, 6)
    labels = predictions.labels[rows]
    assert rows == figures.pick(predictions, 6)
    assert rows == figures.pick(made(1, 500), 6)  # whatever the estimates are
    assert len(set(rows)) == 6
    middles = 16 + (np.arange(6) + 0.5) / 6 * (predictions.labels.max() - 16)
    assert np.abs(labels - middles).max() <= 1
    assert sorted(figures.pick(made(0, 3), 9)) == [0, 1, 2]
    same = made(0, 4, labels=np.full(4, 30))
    assert figures.pick(same, 3) == [0, 1, 2]


def test_evolution(tmp_path: Path) -> None:
    generations = [made(seed) for seed in range(3)]
    rows = figures.pick(generations[0], 4)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 24, 3), dtype=np.uint8)
    truth_values = np.arange(0, 101, 0.5)
    truth = np.exp(-(((truth_values - generations[0].labels[rows, None]) / 3) ** 2))
    truth /= truth.sum(1, keepdims=True)
    path = tmp_path / "evolution.png"
    figures.evolution(path, generations, images, rows, truth, truth_values)
    with_faces = size(path)
    figures.evolution(path, generations, None, rows)
    without = size(path)
    assert with_faces[0] == without[0] == pytest.approx(150 * (4 * 1.9 + 0.9), abs=1)
    assert with_faces[1] > without[1] > 600
    figures.evolution(path, generations[:1], None, rows[:1])
    assert size(path)[0] == 780


def test_truth_is_drawn_at_the_learned_distributions_scale() -> None:
    fine = np.arange(0, 100.5, 0.5)
    truth = np.exp(-(((fine - 40) / 4) ** 2))
    coarse = np.exp(-(((SPACE - 40) / 4) ** 2))
    drawn = figures._same_scale(truth / truth.sum(), fine, SPACE)
    np.testing.assert_allclose(drawn[fine == 40], (coarse / coarse.sum()).max(), rtol=1e-3)


def test_evolution_refuses_what_does_not_match(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    predictions, other = made(0), made(0, 59)
    faces = np.zeros((3, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="images: expected one for each of 2 rows, got 3"):
        figures.evolution(path, [predictions], faces, [0, 1])
    with pytest.raises(ValueError, match="generations: must be of the same pictures"):
        figures.evolution(path, [predictions, other], None, [0])
    with pytest.raises(ValueError, match=r"truth: expected shape \(1, 5\), got \(2, 5\)"):
        figures.evolution(path, [predictions], None, [0], np.ones((2, 5)), np.arange(5))
    with pytest.raises(ValueError, match="truth_values"):
        figures.evolution(path, [predictions], None, [0], np.ones((1, 5)))
    with pytest.raises(ValueError, match="expected some"):
        figures.evolution(path, [predictions], None, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "predictions",
    [
        made(0),
        made(0, 1),
        made(0, 5, labels=np.full(5, 30), values=np.full(5, 30), space=SCORES),
    ],
    ids=["many", "one", "perfect"],
)
def test_errors(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "figure.png"
    figures.predicted_against_true(path, predictions)
    assert size(path) == (840, 810)
    figures.error_by_label(path, predictions)
    assert size(path) == (1050, 780)


def test_bins_hold_every_row_once_and_the_last_is_closed() -> None:
    labels = np.round(np.linspace(1, 5, 41), 1).astype(np.float32)
    centres, groups = figures._bins(labels, labels)
    np.testing.assert_allclose(centres, np.arange(1.25, 5, 0.5))
    assert [len(group) for group in groups] == [5] * 7 + [6]


def log(generations: int, steps: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for g in range(1, generations + 1):
        for step in range(1, steps + 1):
            train = {"kind": "train", "generation": g, "epoch": step // 10, "step": step}
            rows.append(train | {"loss": 3 / step + 1, "learning_rate": 0.01 * 0.1 ** (step // 20)})
        for kind in ("validation", "test"):
            rows.append({"kind": kind, "generation": g, "epoch": 1, "step": steps, "mae": 3.0})
    return rows


def test_training_curves(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    rows = log(3, 300)
    figures.training_curves(path, rows)
    width, height = size(path)
    assert width == 1200
    figures.training_curves(path, [row for row in rows if row["kind"] != "train"])
    assert size(path)[1] < height
    figures.training_curves(path, rows[:1])
    assert size(path)[0] == 1200
    odd = [{"kind": "start"}, {**rows[0], "loss": float("nan")}, {**rows[0], "loss": None}]
    figures.training_curves(path, odd)
    for none in ([], odd[:1]):
        with pytest.raises(ValueError, match="none holds"):
            figures.training_curves(path, none)


def test_a_resumed_steps_later_row_counts() -> None:
    rows = [*log(2, 5), {"kind": "train", "generation": 2, "step": 3, "loss": 9.0}]
    steps, numbers = curves._series(rows, "train", "loss", curves._starts(rows))[2]
    np.testing.assert_array_equal(steps, [6, 7, 8, 9, 10])
    assert numbers[2] == 9
