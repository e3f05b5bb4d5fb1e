"""Stages, folds and sweeps in two processes: what one process gives, and how they end."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from launch import main
from ldl_jax import processes
from ldl_jax.evaluation import predictions
from ldl_jax.run import config as schema
from ldl_jax.run import jobs, sweeping
from ldl_jax.run.config import Config, ConfigError, DataConfig, EvaluationConfig, InitConfig
from ldl_jax.run.data import read_records
from ldl_jax.train.job import Chain
from ldl_jax.workdir import read_json, read_rows

FOLDS = """
from ldl_jax.run.config import defaults

def small(**changes):
    config = defaults()
    config.update_from_flattened_dict({
        "model.name": "tiny",
        "method.name": "dldl",
        "data.synthetic_count": 64,
        "data.size": 32,
        "data.space": "2:1:80",
        "batch_size": 8,
        "evaluation.batch_size": 8,
        "epochs": 4,
        "log_every": 1,
        "chain.generations": 1,
        "optimizer.name": "sgd",  # optax.adam promotes types
        "optimizer.learning_rate": 1e-2,
        "optimizer.schedule": "constant",
        **changes,
    })
    return config

def get_config():
    config = small(**{
        "data.protocol": "subject_kfold",
        "data.test_fraction": 0.5,
        "data.validation_fraction": 0.25,
        "best": "mae",  # saved while the last checkpoint is
        "use": "best",
        "init.path": "stage:first",
    })
    config.stages = {"first": small(seed=1)}
    return config
"""
# A run that diverges, and the folds again.
SWEEP = (
    FOLDS.replace("get_config", "folds")
    + """
def get_config():
    config = folds()
    config.sweep = (
        {"data.fold": 0, "optimizer.learning_rate": 1e30},
        {"data.fold": 0},
        {"data.fold": 1},
    )
    return config
"""
)
# Sums over the batch are taken in another order.
TOLERANCE = 1e-4


def written(text: str, folder: Path) -> tuple[Path, Config]:
    """A config file, and what is in it."""
    file, found = folder / "config.py", {}
    file.write_text(text)
    exec(text, found)
    return file, schema.parse(found["get_config"]())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_network: str) -> Path:
    """The stage and both folds by this process."""
    folder = tmp_path_factory.mktemp("alone")
    _, config = written(FOLDS, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.gallery, "draw", lambda folder, *_: folder.mkdir())
        main.run(config, folder / "run", Console(quiet=True))
    return folder / "run"


def assert_learnt_the_same(one: Path, other: Path) -> None:
    ours, theirs = (read_rows(path / "metrics.jsonl") for path in (one, other))
    assert [row["kind"] for row in ours] == (["train"] * 3 + ["validation"]) * 4 + ["test"]
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in {"loss", "gradient_norm", "mae"} & a.keys():
            np.testing.assert_allclose(b[name], a[name], rtol=TOLERANCE, err_msg=f"{name} {a}")
    found = [predictions.read(path / "predictions/generation_1.csv") for path in (one, other)]
    assert found[0].ids == found[1].ids
    np.testing.assert_allclose(found[0].values, found[1].values, rtol=1e-3)


def test_folds_go_on_in_two_processes(alone: Path, two_processes: Any, tmp_path: Path) -> None:
    """One process stopped in the second fold, after the stage and the first."""
    path = tmp_path / "run"
    shutil.copytree(alone, path)
    shutil.rmtree(path / "folds/1")
    (path / "folds.json").unlink()
    kept = [path / name / "metrics.jsonl" for name in ("stages/first", "folds/0")]
    before = [file.stat().st_mtime_ns for file in kept]
    file, _ = written(FOLDS, tmp_path)
    cache, trace = tmp_path / "cache", tmp_path / "trace"
    (code, printed, error, _), (other, nothing, nor_here, _) = two_processes(
        path, f"--config={file}", f"--compile_cache={cache}", f"--profile={trace}"
    )
    assert (code, other) == (0, 0), error + nor_here
    assert (error, nothing, nor_here) == ("", "", "")
    assert [line for line in printed.splitlines() if "---" in line] == ["--- folds/1"]
    assert "2 processes with 8 devices" in printed
    assert [file.stat().st_mtime_ns for file in kept] == before
    assert_learnt_the_same(alone / "folds/1", path / "folds/1")
    folds, expected = (read_json(folder / "folds.json") for folder in (path, alone))
    assert [row["fold"] for row in folds] == ["0", "1", "mean", "std"]
    for row, known in zip(folds, expected, strict=True):
        np.testing.assert_allclose(row["mae"], known["mae"], rtol=TOLERANCE)
    assert f"{folds[2]['mae']:.3f}" in printed
    assert not list(cache.glob(".*"))  # no process has left what it was writing in
    assert f"--profile: a trace of step 11 to the last one is in {trace}" in printed
    assert len(list(trace.rglob("*.xplane.pb"))) == 1  # process 0's


def test_a_sweep_in_two_processes(alone: Path, two_processes: Any, tmp_path: Path) -> None:
    """A run that diverges is said once all others are in the table."""
    path = tmp_path / "run"
    shutil.copytree(alone / "stages", path / "stages")
    file, _ = written(SWEEP, tmp_path)
    (code, printed, error, _), (other, nothing, _, _) = two_processes(
        path, f"--config={file}", SLOW_TABLE="2"
    )
    assert (code, other, nothing) == (1, 1, "")
    assert error.startswith("error: 1 of 3 runs diverged: fold=0,learning_rate=1e+30. Delete")
    names = ["fold=0,learning_rate=1e+30", "fold=0", "fold=1"]
    assert [line for line in printed.splitlines() if line.startswith("---")] == [
        f"--- {name}" for name in names
    ]
    assert sorted(file.parent.name for file in path.glob("runs/*/stopped.json")) == names[:1]
    for fold in (0, 1):
        assert_learnt_the_same(alone / f"folds/{fold}", path / f"runs/fold={fold}")
    maes = [read_rows(path / f"runs/fold={fold}/metrics.jsonl")[-1]["mae"] for fold in (0, 1)]
    cell = f"{np.mean(maes):.3f} ± {np.std(maes, ddof=1):.3f}"
    assert cell in (path / "table.md").read_text()
    assert cell in printed


# What is decided before anything is written, with another process that is made up.


def small(**fields: Any) -> Config:
    data = DataConfig(synthetic_count=48, size=32, space="age")
    values = {"batch_size": 8, "epochs": 1, "data": data, "init": InitConfig()}
    values |= {"evaluation": EvaluationConfig(batch_size=8), "chain": Chain(1)}
    return Config(model=schema.ModelConfig("tiny"), **{**values, **fields})


def another(patch: pytest.MonkeyPatch, *answers: Any) -> None:
    """Makes this process 1 of two; process 0 answers so in their exchanges."""
    left = iter(json.loads(json.dumps(answers)))
    patch.setattr(processes, "count", lambda: 2)
    patch.setattr(processes, "index", lambda: 1)
    patch.setattr(processes, "all_gather", lambda value: [next(left), value])


@pytest.mark.usefixtures("tiny_network")
def test_replicas_together_need_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    another(monkeypatch)
    config = small(sweep=({"seed": (0, 1)},), replicas="together")
    with pytest.raises(
        ConfigError, match=r"^replicas: .* one process, and these are 2; take .*auto"
    ):
        sweeping.check(config, tmp_path / "run", read_records)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("tiny_network")
def test_processes_that_see_another_number_of_folds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = DataConfig(
        synthetic_count=48, size=32, space="age", protocol="subject_kfold", test_fraction=0.5
    )
    config = small(data=data)
    another(monkeypatch, dataclasses.asdict(config), None, {"runs": ["folds/0"]})
    with pytest.raises(ValueError, match=r"runs something else than process 0: runs: \['folds/0'"):
        main.run(config, tmp_path / "run", Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_a_sweep_takes_no_trace(tmp_path: Path) -> None:
    config = small(sweep=({"seed": (0, 1)},))
    with pytest.raises(ValueError, match=r"^--profile: a sweep is not traced; "):
        main.run(config, tmp_path / "run", Console(quiet=True), profile=str(tmp_path / "trace"))
    assert list(tmp_path.iterdir()) == []
