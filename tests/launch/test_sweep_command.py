"""The command on a sweep: all runs, their table, what a second call does, and bad input."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ldl_jax import models
from ldl_jax.evaluation import ablation, predictions
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.run import config as schema
from ldl_jax.run import sweep, sweeping
from ldl_jax.run.config import ConfigError
from ldl_jax.run.data import read_records
from ldl_jax.run.smoke import smoke
from ldl_jax.train import memory
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.train.together import group, replicas
from ldl_jax.workdir import WorkdirError

pytestmark = pytest.mark.usefixtures("tiny_network", "optax_promotes")
TABLES = {  # and what their rows are
    "dldlv2_table4": 8,
    "cen_table6": 11,
    "cen_table1": 5,
    "cen_table5": 8,
    "ssrnet_dynamic_range": 4,
    "five_seeds": 2,
}


def tiny(config: Any) -> Any:
    config.data.synthetic_count = 40
    config.data.size = 32
    config.batch_size = config.evaluation.batch_size = 8
    config.model.name = "tiny"
    return config


def make(sweep: Any, **changes: Any) -> Any:
    config = tiny(schema.defaults())
    config.data.space = "2:1:80"
    config.epochs = 1
    config.chain.generations = 1
    config.sweep = sweep
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (config[section] if section else config)[name] = value
    return config


def run(config: Any, path: Path) -> str:
    out = io.StringIO()
    config = config if isinstance(config, schema.Config) else schema.parse(config)
    sweeping.run(sweeping.check(config, path, read_records), Console(file=out, width=120))
    return out.getvalue()


@pytest.mark.parametrize("name", TABLES)
def test_the_papers_tables_in_small(
    name: str, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sweep's structure on tiny faces: a run a row and seed, a table of the paper's rows."""
    module = importlib.import_module(f"configs.sweeps.{name}")
    whole = schema.parse(module.get_config())
    config = smoke(whole)
    # Two seeds, to have a spread, of as few as shows the table.
    grids = tuple({**grid, "seed": (0, 1)} for grid in whole.sweep)
    for network in getattr(module, "NETWORKS", ()):
        monkeypatch.setitem(models.MODELS, network, lambda dtype="float32": tiny_model)
    config = dataclasses.replace(config, sweep=grids, model=schema.ModelConfig("tiny"))
    points = sweep.points(config)
    assert sorted(run.folder for run in sweeping.stages(config, points)) == sorted(
        f"stages/{stage}" for stage in config.stages
    )
    groups = sweep.groups(points)
    assert len(groups) == {"dldlv2_table4": 5, "cen_table5": 4, "cen_table1": 3}.get(name, 1)
    monkeypatch.setattr(sweeping.jobs, "look", lambda *rest, **named: None)
    if name == "ssrnet_dynamic_range":  # one program
        config = dataclasses.replace(
            config, replicas="together", stages={}, init=schema.InitConfig()
        )
    else:  # results without training
        monkeypatch.setattr(sweeping._Training, "train", lambda self, some: pretend(tmp_path, some))
    text = run(config, tmp_path)
    rows = [line for line in text.splitlines() if "±" in line and "Mean" not in line]
    assert len(rows) == TABLES[name]
    assert "Mean ± standard deviation" in text


def pretend(path: Path, points: Any) -> None:
    """Writes results as if the runs were trained."""
    for point in points:
        folder = path / "runs" / point.name
        rng = np.random.default_rng(point.config.seed)
        labels = np.linspace(20, 60, 12, dtype=np.float32)
        values = (labels + rng.normal(0, 3, 12)).astype(np.float32)
        heads = {}
        if point.config.method.name == "cen":
            heads = {"distribution": values + 1, "regression": values - 1}
        found = Predictions(
            ids=tuple(map(str, range(12))),
            labels=labels,
            values=values,
            probs=np.full((12, 2), 0.5, np.float32),
            space=LabelSpace((0.0, 100.0)),
            heads=heads,
            sigma=np.full(12, 2, np.float32),
        )
        for generation in range(1, point.config.chain.generations + 1):
            predictions.write(folder / "predictions" / f"generation_{generation}.csv", found)
            (folder / f"generation_{generation}.json").write_text("{}")
        (folder / "config.json").write_text('{"resolved": {"space": {"unit": "years"}}}')


SEEDS = {"seed": (0, 1)}


@pytest.fixture(scope="module")
def seeds(tiny_network: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of two seeds, trained: its workdir and what was printed."""
    path = tmp_path_factory.mktemp("sweep") / "new"
    return path, run(make(SEEDS), path)


def test_all_runs_are_trained_and_put_into_a_table(seeds: tuple[Path, str]) -> None:
    path, text = seeds
    assert text.count("synthetic: ") == 1  # of the data, once
    for name in ("seed=0", "seed=1"):
        assert f"--- {name}" in text
        assert (path / "runs" / name / "generation_1.json").exists()
        config = json.loads((path / "runs" / name / "config.json").read_text())
        assert config["seed"] == int(name[-1])
        drawn = (path / "runs" / name / "figures/evolution.png").exists()
        assert drawn == (name == "seed=0")  # those of one seed a setting
        assert (path / "runs" / name / "split.json").exists()
    maes = [
        json.loads((path / "runs" / name / "generation_1.json").read_text())["mae"]
        for name in ("seed=0", "seed=1")
    ]
    cell = f"{np.mean(maes):.3f} ± {np.std(maes, ddof=1):.3f}"
    assert cell in text
    assert cell in (path / "table.md").read_text()


@pytest.mark.parametrize("brief", [False, True])
def test_each_setting_has_figures_or_in_brief_the_first_run_alone(
    brief: bool, tiny_network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bool] = []
    monkeypatch.setattr(sweeping.jobs, "look", lambda *rest, figures: drawn.append(figures))

    def train(self: Any, points: Any) -> None:
        pretend(tmp_path, points)
        for point in points:
            self._look(point, None, None)

    monkeypatch.setattr(sweeping._Training, "train", train)
    config = schema.parse(make({"method.name": ("dex", "dldl_v2"), **SEEDS}))
    checked = sweeping.check(config, tmp_path, read_records)
    sweeping.run(checked, Console(file=io.StringIO()), brief=brief)
    assert sorted(drawn) == [False] * (3 if brief else 2) + [True] * (1 if brief else 2)


def test_a_second_call_trains_what_is_new_alone(seeds: tuple[Path, str]) -> None:
    path, text = seeds
    files = {file: file.stat().st_mtime_ns for file in path.glob("runs/*/*.json")}
    again = run(make(SEEDS), path)
    assert "---" not in again
    assert again.splitlines()[:3] == text.splitlines()[3:6]
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert "--- seed=2" in (more := run(make({"seed": (0, 1, 2)}), path))
    assert "--- seed=1" not in more


def test_another_sweeps_workdir_is_refused(seeds: tuple[Path, str], tmp_path: Path) -> None:
    path, _ = seeds
    with pytest.raises(WorkdirError, match=r"seed=0 holds another config's run \(epochs: 1 -> 2\)"):
        run(make(SEEDS, epochs=2), path)
    with pytest.raises(WorkdirError, match="holds other files and no sweep"):
        run(make(SEEDS), path / "runs" / "seed=0")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="is a file"):
        run(make(SEEDS), tmp_path / "file")


def test_bad_sweeps_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new"
    with pytest.raises(ConfigError, match=r"method\.lamb"):
        run(make({"method.lamb": (1.0,)}), path)
    with pytest.raises(ConfigError, match="differ in batch_size cannot be one program"):
        run(make({"batch_size": (8, 16)}, replicas="together"), path)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "memory_of", lambda device: 10_000)
        with pytest.raises(ValueError, match=r"2 runs together need about .* GB") as caught:
            run(make(SEEDS, replicas="together"), path)
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_a_column_of_no_run_is_said_before_one_is_trained(tmp_path: Path) -> None:
    path = tmp_path / "new"
    methods = {"method.name": ("dldl", "cen")}

    def check(columns: str, sweep: Any = SEEDS, **changes: Any) -> None:
        config = schema.parse(make(sweep, table__columns=columns, **changes))
        sweeping.check(config, path, read_records)

    says = r"^table\.columns: no run has 'rsme'; take some of mae, rmse, .*coverage90.*empty[^\n]*$"
    with pytest.raises(ConfigError, match=says):
        run(make(SEEDS, table__columns="mae rsme"), path)
    assert not path.exists()
    check("mae nll pearson truth_kl")
    with pytest.raises(ConfigError, match="no run has 'nll'"):
        check("mae nll", evaluation__distributions=False)
    with pytest.raises(ConfigError, match="no run has 'mae_regression'"):
        check("mae_regression", {"method.name": "dldl"})
    check("mae_regression", methods)  # a run of two has it
    scores = {"kind": "attractiveness"}
    with pytest.raises(ConfigError, match="no run has 'ca3'"):
        check("mae ca3", data__options=scores, data__space="train")


def test_runs_that_diverge_are_said_and_not_tried_again(tmp_path: Path) -> None:
    config = make({"optimizer.learning_rate": (1e30, 0.01)})
    with pytest.raises(NotFiniteError, match=r"1 of 2 runs diverged: learning_rate=1e\+30\."):
        run(config, tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| 0.01 |" in table
    assert "1e+30" not in table
    with pytest.raises(NotFiniteError, match="1 of 2"):
        run(config, tmp_path)
    assert not (tmp_path / "runs/learning_rate=1e+30/generation_1.json").exists()


def test_every_fold_is_a_run_where_the_sweep_names_none(tmp_path: Path) -> None:
    folded = {"data__protocol": "kfold", "data__test_fraction": 0.5}
    points = sweeping.check(
        schema.parse(make({"method.lam": (1.0, 2.0)}, **folded)), tmp_path, read_records
    ).points
    assert [point.name for point in points] == [
        f"lam={lam},fold={fold}" for lam in (1, 2) for fold in (0, 1)
    ]
    assert len(sweep.groups(points)) == 1
    one = schema.parse(make({"data.fold": 1}, **folded))
    points = sweeping.check(one, tmp_path, read_records).points
    assert [point.name for point in points] == ["fold=1"]


def test_stages_are_those_that_runs_start_from() -> None:
    stage = make({"seed": 0})
    stage.sweep = None
    config = make({"init.path": ("stage:a", "stage:b"), "seed": (0, 1)})
    config.stages = {"a": stage, "b": stage}
    parsed = schema.parse(config)
    runs = sweeping.stages(parsed, sweep.points(parsed))
    assert [run.folder for run in runs] == ["stages/a", "stages/b"]
    config.stages = {"a": stage, "b": stage, "c": stage}
    parsed = schema.parse(config)
    with pytest.raises(ConfigError, match=r"stages\.c: no run of the sweep starts from it"):
        sweeping.stages(parsed, sweep.points(parsed))
    config.stages = {"a": stage}
    parsed = schema.parse(config)
    with pytest.raises(ConfigError, match="names the stage 'b'"):
        sweeping.stages(parsed, sweep.points(parsed))


def test_a_signal_ends_the_sweep_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sweeping.ProgressBar.step

    def step(self: Any, epoch: int) -> None:
        signal.raise_signal(signal.SIGTERM)
        real(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(sweeping.ProgressBar, "step", step)
        with pytest.raises(Interrupted, match="SIGTERM in generation 1 after step 1"):
            run(make(SEEDS), tmp_path)
    assert not (tmp_path / "runs/seed=1").exists()
    assert "generation 1 goes on after step 1" in run(make(SEEDS), tmp_path)
    assert (tmp_path / "runs/seed=1/generation_1.json").exists()


@pytest.mark.parametrize(("together", "word"), [(1.0, "runs together"), (3.0, "--- seed=0")])
def test_elsewhere_than_on_a_cpu_a_trial_chooses_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: float, word: str
) -> None:
    trials = []

    def measure(whole: group.Replicas) -> replicas.Seconds:
        trials.append(len(whole.replicas))
        return replicas.Seconds(together, 2.0)

    monkeypatch.setattr(sweeping.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(sweeping.replicas, "measure", measure)
    trained = []
    monkeypatch.setattr(
        sweeping.replicas, "run", lambda whole, *rest: trained.append(len(whole.replicas)) or {}
    )
    monkeypatch.setattr(sweeping.generations, "run", lambda *rest: trained.append(1))
    monkeypatch.setattr(sweeping, "finish", lambda *rest, **named: None)
    monkeypatch.setattr(sweeping.jobs, "look", lambda *rest, **named: None)
    text = run(make(SEEDS), tmp_path)
    assert word in text
    assert f"{together * 1000:.1f} ms together, 2000.0 ms one by one" in text
    assert trained == ([2] if together < 2 else [1, 1])
    run(make(SEEDS), tmp_path)  # goes on in the same way, without another trial
    assert trials == [2]


def test_the_difference_is_of_errors_averaged_over_runs(tmp_path: Path) -> None:
    """By hand: two runs of each of two settings on three pictures."""
    errors = {"a": [(1, 2, 3), (3, 2, 1)], "b": [(0, 1, 1), (2, 1, 3)]}
    runs = []
    for name, of_runs in errors.items():
        for number, of_run in enumerate(of_runs):
            folder = tmp_path / f"{name}{number}"
            found = Predictions(
                ids=("x", "y", "z"),
                labels=np.full(3, 30, np.float32),
                values=30 + np.asarray(of_run, np.float32),
                probs=np.full((3, 2), 0.5, np.float32),
                space=LabelSpace((0.0, 100.0)),
            )
            predictions.write(folder / "predictions/generation_1.csv", found)
            runs.append(ablation.Tested({"method.name": name}, folder, 1))
    first, second = ablation.rows(runs, {"method.name": "b"}, columns=("mae",))
    assert (first["name"], second["name"]) == ("a", "b *")
    assert first["MAE"] == "2.000 ± 0.000"
    assert second["MAE"] == f"1.333 ± {np.std([2 / 3, 2], ddof=1):.3f}"
    # Each picture's difference is (2, 2, 2) - (1, 1, 2).
    assert first["MAE - *'s [95 %]"] == "+0.667 [+0.000, +1.000]"
    assert "MAE - *'s [95 %]" not in second
    # Asked for, they are there in that order, whether a table has them by itself or not.
    first, _ = ablation.rows(runs, {}, columns=("nll", "epsilon_error", "mae"))
    assert [*first][2:] == ["nll", "ε-error", "MAE"]
    assert float(first["nll"].split(" ± ")[0]) > 0
    assert first["ε-error"] == "–"
