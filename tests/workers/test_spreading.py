"""Sweeps, stages, folds and benchmarks as units of work, which this process does."""

import dataclasses
import importlib
import io
import pickle

import pytest
from rich.console import Console

from ldl_jax.run import benchmark, benchmark_spread, jobs, plan, spreading, sweeping
from ldl_jax.run import config as schema
from ldl_jax.run.data import Reader
from ldl_jax.run.spreading import of_plan, of_sweep
from ldl_jax.run.sweep import program
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workers import UnitEnding, UnitsFailed, spread
from ldl_jax.workers.units import DONE, FAILED

pytestmark = pytest.mark.usefixtures("tiny_network", "optax_promotes")


class Here:
    """A launcher that does each unit in this process, as soon as it starts."""

    def __init__(self, failing=()):
        self.started, self._ended, self._failing = [], [], failing

    def start(self, unit):
        self.started.append(unit)
        if unit.name in self._failing:
            self._ended.append((unit.name, UnitEnding(FAILED, "as it was told to")))
            return
        module, _, name = unit.task.partition(":")
        arguments = pickle.loads(pickle.dumps(unit.arguments))
        getattr(importlib.import_module(module), name)(**arguments)
        self._ended.append((unit.name, UnitEnding(DONE)))

    def wait(self, seconds):
        ended, self._ended = self._ended, []
        return ended

    def stop(self):
        pass

    close = stop


@dataclasses.dataclass
class HereCrew:
    launcher: Here

    def run(self, units, interrupt, ended=lambda unit, ending: None):
        del interrupt
        spread(units, self.launcher, workers=2, retries=1, log=print, ended=ended)


def made(**changes):
    config = schema.defaults()
    config.data.space = "2:1:80"
    config.data.synthetic_count, config.data.size = 40, 32
    config.batch_size = config.evaluation.batch_size = 8
    config.model.name, config.epochs, config.chain.generations = "tiny", 1, 1
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (config[section] if section else config)[name] = value
    return schema.parse(config)


def console():
    return Console(file=io.StringIO(), width=120)


def checked(config, path):
    return sweeping.check(config, path, Reader())


SEEDS = {"method.lam": (0.5, 1.0), "seed": (0, 1)}


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The runs whose figures would be drawn, which takes longer than all the rest."""
    runs = []

    def look(built, opened, *, figures=True):
        runs.extend([opened.path.name] if figures else [])

    monkeypatch.setattr(jobs, "look", look)
    return runs


def test_a_sweeps_runs_and_table_are_those_of_a_sequential_one(tmp_path, drawn):
    config = made(sweep={"seed": (0, 1)})
    sweeping.run(checked(config, tmp_path / "one"), console())
    path, launcher = tmp_path / "two", Here(failing=["seed=1"])
    with pytest.raises(UnitsFailed, match=r"seed=1: as it was told to \(log: .*/seed=1\.log"):
        spreading.train(path, [], checked(config, path), HereCrew(launcher), console())
    assert [unit.name for unit in launcher.started] == ["seed=0", "seed=1"]
    assert not (path / "table.md").exists()
    again = Here()
    spreading.train(path, [], checked(config, path), HereCrew(again), console())
    assert [unit.name for unit in again.started] == ["seed=1"]  # alone
    assert drawn == ["seed=0"] * 2
    runs = [f"runs/seed={seed}" for seed in (0, 1)]
    kept = ("metrics.jsonl", "predictions/generation_1.csv", "config.json")
    for name in ("table.md", *(f"{run}/{name}" for run in runs for name in kept)):
        assert (tmp_path / "one" / name).read_bytes() == (path / name).read_bytes(), name
    nothing = Here()
    spreading.train(path, [], checked(config, path), HereCrew(nothing), console())
    assert not nothing.started


def test_runs_of_one_program_are_one_unit_and_others_are_units_of_their_own(tmp_path):
    def units(**changes):
        swept = checked(made(sweep=SEEDS, **changes), tmp_path)
        return of_sweep(swept, tmp_path, "logs")

    assert len(units()) == len(units(replicas="one_by_one")) == 4
    (whole,) = units(replicas="together")
    assert whole.name == "lam=0.5,seed=0 and 3 more"
    assert len(whole.arguments["config"].sweep) == 4
    assert whole.log == tmp_path / "logs/lam=0.5,seed=0.log"


def test_stages_come_first_and_features_are_computed_once(tmp_path):
    config = made()
    config = dataclasses.replace(
        config,
        stages={
            "first": config,
            "second": dataclasses.replace(config, init=schema.InitConfig("stage:first")),
        },
        init=schema.InitConfig("stage:second", freeze=True, features=True),
        sweep=({"method.name": ("dldl", "dex"), "seed": (0, 1)},),
    )
    read = Reader()
    swept = sweeping.check(config, tmp_path, read)
    stages = jobs.check_all(tmp_path, sweeping.stages(config, swept.points), read)
    before = of_plan(tmp_path, stages)
    assert [(unit.name, unit.needs) for unit in before] == [
        ("stages/first", ()),
        ("stages/second", ("stages/first",)),
    ]
    units = of_sweep(swept, tmp_path, "logs", waiting=[unit.name for unit in before])
    assert [unit.name for unit in units] == [f"name={x},seed=0 and 1 more" for x in ("dldl", "dex")]
    assert [unit.needs for unit in units] == [("stages/first", "stages/second")] * 2
    assert [unit.after for unit in units] == [(), (units[0].name,)]
    settings = [program(point.config) for point in swept.points]
    assert units[0].arguments["drawn"] == []
    assert settings[0] != settings[2]


def test_folds_are_trained_and_shown(tmp_path):
    config = made(data__protocol="kfold", data__test_fraction=0.5)
    runs = plan.runs(config, 2)
    launcher, read = Here(), Reader()
    spreading.train(
        tmp_path, jobs.check_all(tmp_path, runs, read), None, HereCrew(launcher), console()
    )
    assert [unit.name for unit in launcher.started] == ["folds/0", "folds/1"]
    assert (tmp_path / "folds.json").exists()
    assert all(job.finished for job in jobs.check_all(tmp_path, runs, read))


def test_a_benchmarks_rows_choose_first_and_have_the_same_runs(tmp_path):
    config = importlib.import_module("configs.benchmarks.drawn").get_config()
    config.data.synthetic_count = 80
    part = config.parts.scratch
    part.run.model.name, part.run.epochs, part.methods, part.seeds = "tiny", 1, ("dldl_v2",), 1
    part.run.batch_size = part.run.evaluation.batch_size = 8
    bench, launcher = benchmark.parse(config), Here()
    with Interrupt() as interrupt:
        benchmark_spread.train(bench, tmp_path, Reader(), HereCrew(launcher), interrupt)
    rows = [unit.name.rpartition(": ")[0] for unit in launcher.started]
    assert rows == ["scratch: dldl_v2: choice"] * 2 + ["scratch: dldl_v2: seeds"]
    row = tmp_path / "runs/scratch/dldl_v2"
    assert (row / "seconds.json").exists()
    assert len([*(row / "seeds/runs").glob("*/generation_1.json")]) == 1
    logs = [unit.log.relative_to(tmp_path / "logs/scratch/dldl_v2") for unit in launcher.started]
    assert [str(log.parent) for log in logs] == ["choice", "choice", "seeds"]
    again = Here()
    with Interrupt() as interrupt:
        benchmark_spread.train(bench, tmp_path, Reader(), HereCrew(again), interrupt)
    assert not again.started
