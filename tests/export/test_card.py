"""The model card says what a run's files say, and of the rest that it is not known."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

import ldl_jax
from ldl_jax import calibration, methods
from ldl_jax.calibration import Options
from ldl_jax.evaluation import analysis, predictions, report
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.export import card
from ldl_jax.files import write_json
from ldl_jax.labels import AGE
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.calibrated import network_mark

pytestmark = pytest.mark.usefixtures("tiny_network")
CONFIG = {
    "epochs": 3,
    "batch_size": 16,
    "seed": 1,
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "init": {"path": ""},
    "data": {"name": "agedb", "audit": True, "test": {"name": ""}},
    "resolved": {
        "pictures": {"train": 30, "test": 12},
        "protocol": "official with leaks (2 of 12 test pictures also in train)",
        "space": {"unit": "years"},
    },
}
SPLIT = {"notes": ["a <b>note</b>"], "removed": [{"id": "1", "part": "train", "reason": "copy"}]}
STARTS = [{"command": "python -m launch.main --workdir=x", "versions": {"jax": "0.12.0"}}]


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    labels = rng.uniform(20, 60, 12).astype(np.float32)
    probs = rng.dirichlet(np.ones(AGE.size), 12).astype(np.float32)
    ids = tuple(str(i) for i in range(12))
    return Predictions(ids, labels, labels + rng.normal(0, 5, 12).astype("f4"), probs, AGE)


@pytest.fixture
def run(tmp_path, write_checkpoint, draw_weights, tiny_model, answers):
    """A run's folder, as training leaves it."""
    folder = tmp_path / "run"
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    write_checkpoint(folder / "checkpoints/generation_1", weights, generation=1, step=6)
    grouped = dataclasses.replace(answers, groups={"group": ("women", "men", "") * 4})
    for name, content in {
        "config.json": CONFIG,
        "split.json": SPLIT,
        "started.json": STARTS,
        "generation_1.json": {"generation": 1, "test pictures": 12, **report.summary(answers)},
        "analysis/generation_1.json": analysis.analyse(grouped),
    }.items():
        write_json(folder / name, content)
    predictions.write(folder / "predictions/generation_1.csv", answers)
    return folder


def section(text, heading):
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("place", ["", "checkpoints/generation_1", "checkpoints/generation_1/1"])
def test_what_a_run_knows_is_in_it(run, place, answers):
    notes = card.notes_of(ldl_jax.load(run / place), run / place)
    text = notes.card
    mae = float(np.abs(answers.values - answers.labels).mean())
    results = section(text, "Results")
    (row,) = [line for line in results.splitlines() if line.startswith("| MAE |")]
    low, high = map(float, row.partition("[")[2].partition("]")[0].split(","))
    assert f" {mae:.3f} " in row
    assert low < mae < high
    assert "Of 12 test pictures" in results
    groups = section(text, "By group of people")
    of_women = np.abs(answers.values - answers.labels)[::3].mean()
    assert f"| women | 4 | {of_women:.3f} |" in groups
    assert "| men | 4 |" in groups
    assert "| 20 to below 30 |" in section(text, "By label")
    assert "quantile calibration error" in section(text, "Calibration")
    data = section(text, "Data")
    assert "non-commercial research only" in data
    assert "30 train, 12 test" in data
    assert "leaks between its parts: found" in data
    assert "2 of 12 test pictures also in train" in data
    assert "&lt;b&gt;note" in data
    assert "left out of training as copies of test pictures or people: 1" in data
    assert "python -m launch.main --workdir=x" in section(text, "Training")
    assert "jax 0.12.0" in section(text, "Software")
    assert "Decisions about people" in section(text, "Intended use")
    assert notes.licence == "non-commercial research only"
    assert "split: official with leaks" in "\n".join(notes.data)


def test_what_nobody_knows_is_said(tmp_path, write_checkpoint, draw_weights, tiny_model):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    path = write_checkpoint(tmp_path / "c", weights)
    notes = card.notes_of(ldl_jax.load(path), path)
    assert notes.licence == "not known"
    for heading in ("Results", "By group of people", "By label", "Calibration", "Training"):
        assert "not known" in section(notes.card, heading), heading
    for line in ("data", "licence", "split"):
        assert f"- {line}: not known" in section(notes.card, "Data")


def test_a_file_keeps_the_card_that_it_has(run, tmp_path):
    predictor = ldl_jax.load(run)
    predictor.save(tmp_path / "m", notes=Notes("mine", "free"))
    assert card.notes_of(ldl_jax.load(tmp_path / "m"), tmp_path / "m") == Notes("mine", "free")


def calibrated(predictor):
    rng, space = np.random.default_rng(0), predictor.space
    p, y = rng.dirichlet(np.ones(space.size), 99), rng.integers(0, 100, 99)
    mark = network_mark(predictor.trained.params["head"])
    known = calibration.fit(p, y, space, Options(network=mark, data="faces | held out"))
    return Predictor(dataclasses.replace(predictor.about, calibration=known), predictor.trained)


def test_the_card_says_what_intervals_promise(run, tmp_path):
    raw = ldl_jax.load(run)
    text = card.notes_of(raw, run).card
    assert "Not calibrated: an interval holds a share of the model's" in section(text, "Intervals")
    known = calibrated(raw)
    said = section(card.notes_of(known, run).card, "Intervals")
    assert "fitted on: faces \\| held out; 66 labels for the intervals" in said
    assert "exchangeable: the same cameras, people" in said
    assert "Results above are of before" in said
    # A file that is calibrated, or exported without that, has a card of the model that it is now.
    for first, then, words in [(raw, known, "66 labels"), (known, raw, "Not calibrated")]:
        file = tmp_path / "m.safetensors"
        first.save(file, notes=card.notes_of(first, run))
        then.notes = ldl_jax.load(file).notes
        again = card.notes_of(then, file).card
        assert words in section(again, "Intervals")
        assert again.count("\n## Intervals\n") == 1
        for heading in ("Calibration", "Pictures", "Software"):
            assert section(again, heading) == section(text, heading)
    known.notes = Notes("mine", "free")
    assert card.notes_of(known, run).card.startswith("mine\n\n## Intervals\n\nCalibrated")
    assert "There are none" in card.card_results.intervals(None, value_alone=True)


def test_a_damaged_file_of_the_run_is_one_line(run):
    predictor = ldl_jax.load(run)
    for name in ("split.json", "started.json", "analysis/generation_1.json", "config.json"):
        before = (run / name).read_text()
        for content in ("{", "3", "[" * 100_000):
            (run / name).write_text(content)
            with pytest.raises(ValueError, match=name.replace(".", r"\.")) as failed:
                card.notes_of(predictor, run)
            assert "\n" not in str(failed.value)
        (run / name).write_text(before)


@pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="the extra hub is not installed"
)
def test_the_head_is_what_the_hub_reads(run):
    from huggingface_hub import ModelCard

    data = ModelCard(card.notes_of(ldl_jax.load(run), run).card).data.to_dict()
    assert data["license"] == "other"
    assert data["library_name"] == "ldl_jax"
    assert {"jax", "tiny", "dldl"} <= {*data["tags"]}
    (results,) = data["model-index"][0]["results"]
    assert results["dataset"]["name"] == "AgeDB"
    mae = json.loads((run / "generation_1.json").read_text())["mae"]
    assert results["metrics"][0] == {"type": "mae", "value": pytest.approx(mae, abs=1e-3)}


@pytest.mark.parametrize(
    ("flip", "crops", "says"),
    [
        (False, (), ""),
        (True, (), ", averaged over the picture and its mirror image"),
        (False, (0.8,), ", from the middle 80% of it"),
        (False, (1.0, 0.8), ", averaged over the picture and the middle 80% of it"),
        (
            True,
            (1.0, 0.8, 0.65),
            ", averaged over the picture, the middle 80% of it, the middle 65% of it and their "
            "mirror images",
        ),
    ],
)
def test_it_says_what_an_answer_is_the_mean_over(flip, crops, says):
    assert card.looks(flip, crops) == says
