"""Runs after one another: pre-training and fine-tuning, and all folds of a protocol."""

import dataclasses
import importlib
import io
import json

import numpy as np
import pytest
from rich.console import Console

from launch import main
from ldl_jax.run.config import Config, DataConfig, EvaluationConfig, InitConfig, ModelConfig, parse
from ldl_jax.run.smoke import smoke
from ldl_jax.train.checkpoint import read_weights
from ldl_jax.train.job import Chain

pytestmark = pytest.mark.usefixtures("tiny_network")


def small(**fields):
    whole = Config(
        batch_size=8,
        epochs=1,
        data=DataConfig(synthetic_count=24, size=32, space="age"),
        model=ModelConfig("tiny"),
        evaluation=EvaluationConfig(batch_size=8),
        chain=Chain(1),
    )
    return dataclasses.replace(whole, **fields)


def run(config, path):
    """What is printed of all runs of a config."""
    text = io.StringIO()
    main.run(config, path, Console(file=text, width=200))
    return text.getvalue()


def head(folder):
    _, weights = read_weights(folder / "checkpoints" / "generation_1")
    return weights["params"]["head"]["logits"]["kernel"]


@pytest.fixture(scope="module")
def chained():
    """A run after a stage: nothing is learnt in it, so what it starts from is what it ends with."""
    still = dataclasses.replace(Config().optimizer, learning_rate=1e-30)
    init = InitConfig(path="stage:first", head=True)
    return small(init=init, optimizer=still, stages={"first": small(seed=1)})


@pytest.fixture(scope="module")
def done(chained, tmp_path_factory, tiny_network):
    path = tmp_path_factory.mktemp("chain") / "run"
    return path, run(chained, path)


def test_a_stage_comes_first_and_hands_its_weights_on(done):
    path, printed = done
    assert printed.index("--- stages/first") < printed.rindex("protocol: official")
    for folder in (path, path / "stages" / "first"):
        assert (folder / "generation_1.json").exists()
    np.testing.assert_array_equal(head(path), head(path / "stages" / "first"))
    assert json.loads((path / "config.json").read_text())["init"]["path"] == "stage:first"


def test_a_finished_stage_is_not_run_again(chained, done):
    path, _ = done
    before = (path / "stages" / "first" / "metrics.jsonl").stat().st_mtime_ns
    printed = run(chained, path)
    assert "--- stages/first" not in printed
    assert "protocol: official" in printed
    assert (path / "stages" / "first" / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_config_of_a_stage_is_refused_before_anything_runs(chained, done):
    path, _ = done
    changed = dataclasses.replace(chained, stages={"first": small(seed=2)})
    with pytest.raises(ValueError, match=r"stages/first holds another config's run \(seed: 1 -> 2"):
        run(changed, path)


def test_a_mistake_in_the_last_run_is_found_before_the_first_starts(chained, tmp_path):
    wrong = dataclasses.replace(chained, data=dataclasses.replace(chained.data, space="30:1:40"))
    with pytest.raises(ValueError, match="label"):
        run(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_head_of_other_labels_does_not_fit(chained, tmp_path):
    stage = small(data=dataclasses.replace(small().data, space="2:1:80"))
    with pytest.raises(ValueError, match=r"^init\.path: .* another head .* init\.head"):
        run(dataclasses.replace(chained, stages={"first": stage}), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_all_folds_and_their_spread(tmp_path):
    data = dataclasses.replace(small().data, protocol="subject_kfold", test_fraction=0.5)
    config = small(data=data)
    path = tmp_path / "run"
    printed = run(config, path)
    rows = json.loads((path / "folds.json").read_text())
    assert [row["fold"] for row in rows] == ["0", "1", "mean", "std"]
    errors = [row["mae"] for row in rows]
    assert errors[2] == pytest.approx(np.mean(errors[:2]))
    assert errors[3] == pytest.approx(np.std(errors[:2], ddof=1))
    assert f"{errors[2]:.3f}" in printed
    ids = [
        {line.split(",")[0] for line in file.read_text().splitlines()[1:]}
        for file in sorted(path.glob("folds/*/predictions/generation_1.csv"))
    ]
    assert len(ids) == 2
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 24
    assert "each picture is tested in one fold at most" in printed
    # A killed job goes on at its fold: what is there is kept, what is not is made.
    (path / "folds" / "1" / "generation_1.json").unlink()
    before = (path / "folds" / "0" / "metrics.jsonl").stat().st_mtime_ns
    again = run(config, path)
    assert json.loads((path / "folds.json").read_text()) == rows
    assert "--- folds/0" not in again
    assert "--- folds/1" in again
    assert (path / "folds" / "0" / "metrics.jsonl").stat().st_mtime_ns == before
    split, other = (path / "folds" / fold / "split.json" for fold in "01")
    other.write_bytes(split.read_bytes())
    assert "OVERLAP: fold 0 and fold 1 share 12 test pictures, 100%" in run(config, path)
    with pytest.raises(ValueError, match="holds other files and no run"):
        run(small(), path)


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize("name", ["dldlv2_scut_fbp", "ssrnet_morph", "adience_resnet18"])
def test_a_paper_s_run_in_small(name, tmp_path):
    config = smoke(parse(importlib.import_module(f"configs.{name}").get_config()))
    stages = {stage: tiny(one) for stage, one in config.stages.items()}
    run(dataclasses.replace(tiny(config), stages=stages), tmp_path / "run")
    finished = {
        file.parent.relative_to(tmp_path / "run").as_posix()
        for file in (tmp_path / "run").rglob("generation_1.json")
        if file.parent.name != "analysis"
    }
    folds = {"folds/0", "folds/1"} if name.startswith("adience") else {"."}
    assert finished == {f"stages/{stage}" for stage in config.stages} | folds


def tiny(config):
    """With the network that compiles in a moment, on pictures of its size."""
    data = dataclasses.replace(config.data, size=32)
    return dataclasses.replace(config, model=ModelConfig("tiny"), data=data)
