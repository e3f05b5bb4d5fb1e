"""The runs of one config: stages in their order, folds, and the same in small."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from ldl_jax.run import identity, jobs, plan
from ldl_jax.run.config import (
    Config,
    ConfigError,
    DataConfig,
    EvaluationConfig,
    InitConfig,
)
from ldl_jax.run.data import read_records
from ldl_jax.run.resolved import fold_count, resolve
from ldl_jax.run.smoke import smoke
from ldl_jax.train.job import Chain
from ldl_jax.workdir import Workdir, WorkdirError

CONFIGS = sorted(p.stem for p in (Path(__file__).parents[2] / "configs").glob("[!_]*.py"))


def after(name, **fields):
    return dataclasses.replace(Config(), init=InitConfig(path=f"stage:{name}"), **fields)


def test_stages_come_in_the_order_in_which_they_start_from_one_another():
    stages = {"a": after("c", epochs=2), "b": dataclasses.replace(Config(), epochs=1)}
    stages["c"] = after("b", epochs=3)
    runs = plan.runs(after("a", stages=stages, epochs=9))
    assert [run.folder for run in runs] == ["stages/b", "stages/c", "stages/a", ""]
    assert [run.config.epochs for run in runs] == [1, 3, 2, 9]
    assert runs[-1].config.stages == {}


def test_folds_follow_the_stages():
    stages = {"first": Config()}
    runs = plan.runs(after("first", stages=stages), folds=3)
    assert [run.folder for run in runs] == ["stages/first", "folds/0", "folds/1", "folds/2"]
    assert [run.config.data.fold for run in runs[1:]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (after("imdb"), r"^init\.path: names the stage 'imdb'; stages: there are none$"),
        (after("imdb", stages={"wiki": Config()}), "stages: wiki$"),
        (
            after("a", stages={"a": after("b")}),
            r"^stages\.a\.init\.path: names the stage 'b'; stages: a$",
        ),
        (after("a", stages={"a": after("b"), "b": after("a")}), "start from one another"),
        (Config(stages={"a": Config()}), r"^stages\.a: no run starts from it"),
    ],
)
def test_stages_that_lead_nowhere(config, says):
    with pytest.raises(ConfigError, match=says):
        plan.runs(config)


def test_how_many_folds():
    def count(**fields):
        return fold_count(Config(data=DataConfig(synthetic_count=24, size=32, **fields)))

    assert count() == 1
    assert count(protocol="subject_kfold") == 5
    assert count(protocol="kfold", test_fraction=0.5) == 2
    assert count(protocol="kfold", fold=3) == 1
    with pytest.raises(ConfigError, match=r"^data\.test_fraction: .*0\.3"):
        count(protocol="kfold", test_fraction=0.3)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_in_small_is_a_run(name):
    config = parsed(name)
    small = smoke(config)
    runs = plan.runs(small, fold_count(small))
    assert [run.folder.split("/")[0] for run in runs] == [
        *["stages"] * len(config.stages),
        *(["folds"] * 2 if config.data.protocol == "official_folds" else [""]),
    ]
    for run in runs:
        described = resolve(run.config, devices=1).description
        assert described["model"]["name"] == run.config.model.name


@pytest.mark.parametrize(
    ("devices", "accumulate", "batch"),
    [(1, 1, 8), (8, 2, 16), (6, 1, 12), (3, 2, 12), (7, 1, 14)],
)
def test_devices_divide_a_batch_in_small(devices, accumulate, batch):
    config = dataclasses.replace(
        parsed("ssrnet_morph"), batch_size=128 * accumulate, accumulate=accumulate
    )
    small = smoke(config, devices)
    for one in (small, *small.stages.values()):
        assert one.data.synthetic_count == 3 * one.batch_size
        resolve(one, devices=devices)
    assert small.batch_size == batch
    with pytest.raises(ValueError, match="is not a multiple of the 5 devices"):
        resolve(small, devices=5)


def parsed(name):
    from ldl_jax.run.config import parse

    return parse(importlib.import_module(f"configs.{name}").get_config())


def test_the_folder_of_an_older_version_is_gone_on_with(tmp_path):
    small = Config(
        batch_size=8,
        data=DataConfig(synthetic_count=24, size=32),
        evaluation=EvaluationConfig(batch_size=8),
        chain=Chain(student="teacher"),
    )
    (run,) = plan.runs(small)
    old = json.loads(json.dumps(jobs.check(tmp_path, run, read_records).resolved.description))
    del old["steps_per_call"], old["evaluation"]["distributions"]
    old["chain"] |= {"offspring": "ancestor"}
    del old["chain"]["student"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    checked = jobs.check(tmp_path, run, read_records)
    assert not checked.finished
    resolved = checked.resolved
    admit = identity.admission(resolved.records, resolved.parts)
    with Workdir(tmp_path, resolved.description, admit):
        pass
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["chain"]["student"], written["steps_per_call"]) == ("teacher", 0)
    # A key that it lacks is at its default, and nothing else.
    (other,) = plan.runs(dataclasses.replace(small, best="mae"))
    del old["best"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(WorkdirError, match=r"another config's run \(best: '' -> 'mae'\)"):
        jobs.check(tmp_path, other, read_records)
