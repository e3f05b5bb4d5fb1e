"""A run that is started again: what may change, what may not, and what is said of it."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from launch import main
from ldl_jax.run import config as schema
from ldl_jax.run import identity, jobs
from ldl_jax.run.config import Config, to_dict
from ldl_jax.run.data import read_records
from ldl_jax.run.plan import Run
from ldl_jax.run.sweep import _flat
from ldl_jax.workdir import WorkdirError

pytestmark = pytest.mark.usefixtures("tiny_network")


def config_of(root, **changes):
    """A small run on the pictures in a folder; changes by dotted key, dots as two underscores."""
    config = schema.defaults()
    config.data.name, config.data.root, config.data.csv = "csv_folder", str(root), "labels.csv"
    config.data.size = 32
    config.model.name = "tiny"
    config.batch_size = config.evaluation.batch_size = 8
    config.epochs = config.chain.generations = 1
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return schema.parse(config)


def write_pictures(root, labels):
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(len(labels)):
        array = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(array).save(root / f"p{index}.png")
    write_labels(root, labels)


def write_labels(root, labels):
    lines = [f"p{i}.png,{x},{'test' if i % 4 == 0 else 'train'}" for i, x in enumerate(labels)]
    (root / "labels.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")


LABELS = list(range(20, 52))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_network):
    """A folder with a finished run, and beside it one with its pictures."""
    folder = tmp_path_factory.mktemp("finished")
    write_pictures(folder / "pictures", LABELS)
    start(config_of(folder / "pictures"), folder / "run")
    return folder


@pytest.fixture
def done(finished, tmp_path):
    """A copy of them, pictures with their times."""
    shutil.copytree(finished, tmp_path / "x")
    shutil.move(tmp_path / "x" / "pictures", tmp_path / "moved")
    return tmp_path / "x" / "run", tmp_path / "moved"


def start(config, path):
    text = io.StringIO()
    main.run(config, path, Console(file=text, width=200))
    return text.getvalue()


# Point 10.


def test_every_key_of_a_config_says_whether_it_changes_the_numbers():
    for key in _flat(to_dict(Config())):
        named = [
            any(key == name or key.startswith(f"{name}.") for name in listed)
            for listed in (identity.CHANGES, identity.UNCHANGED)
        ]
        assert sum(named) == 1, key
        assert identity.changes_numbers(key) == named[0], key
    content = to_dict(Config())
    for name in (*identity.CHANGES, *identity.UNCHANGED):  # and none that no config has
        section = content
        for part in name.split("."):
            section = section[part]


def test_a_run_goes_on_with_what_changes_no_number_and_says_so(done, monkeypatch):
    path, pictures = done
    before = (path / "metrics.jsonl").read_bytes()
    monkeypatch.chdir(pictures.parent)
    changes = {"evaluation__batch_size": 16, "data__feed": "stream", "data__memory_gb": 1.0}
    changes |= {"log_every": 1, "steps_per_call": 2, "checkpoint_every": 3.0, "data__audit": False}
    printed = start(config_of("moved/", **changes), path)
    for key, value in changes.items():
        assert f"{key.replace('__', '.')}: " in printed, key
        assert f"-> {value!r}" in printed
    assert "data.root: " in printed
    assert (path / "metrics.jsonl").read_bytes() == before
    kept = json.loads((path / "config.json").read_text())
    assert (kept["data"]["feed"], kept["log_every"]) == ("stream", 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 3}, "epochs: 1 -> 3"),
        ({"optimizer__learning_rate": 0.5}, "optimizer.learning_rate: 0.001 -> 0.5"),
    ],
)
def test_more_training_of_a_finished_run_gets_the_line_that_says_how(done, changes, says):
    path, pictures = done
    config = config_of(pictures, **changes)
    with pytest.raises(WorkdirError) as caught:
        start(config, path)
    assert says in str(caught.value)
    assert f"--config.init.path={path} and --config.init.head=true" in str(caught.value)
    init = dataclasses.replace(config.init, path=str(path), head=True)
    again = Run("", dataclasses.replace(config, init=init))
    assert not jobs.check(path.with_name("next"), again, read_records).finished


def test_another_seed_is_another_run_and_gets_no_such_line(done):
    path, pictures = done
    with pytest.raises(WorkdirError, match=r"another config's run \(seed: 0 -> 7\)") as caught:
        start(config_of(pictures, seed=7), path)
    assert "init.path" not in str(caught.value)


def test_first_weights_count_by_what_they_are(done, tmp_path):
    path, pictures = done
    shutil.copytree(path, tmp_path / "copy")
    started = tmp_path / "started"
    start(config_of(pictures, init__path=str(path)), started)
    printed = start(config_of(pictures, init__path=f"{tmp_path}/copy"), started)
    assert "init.path: " in printed
    with pytest.raises(WorkdirError, match=r"init\.path: holds other weights than before"):
        start(config_of(pictures, init__path=str(started)), started)
    with pytest.raises(WorkdirError, match=r"init\.path: .* -> ''"):
        start(config_of(pictures), started)


# Point 11.


def test_labels_that_changed_since_are_named(done):
    path, pictures = done
    write_labels(pictures, [*LABELS[:5], 33, *LABELS[6:]])
    with pytest.raises(WorkdirError) as caught:
        start(config_of(pictures), path)
    text = str(caught.value)
    assert "the config is that of the run" in text
    assert "1 picture with another label: p5.png (25.0 -> 33.0)" in text
    assert "that config again" not in text


def test_pictures_that_went_or_came_since_are_named(done):
    path, pictures = done
    lines = (pictures / "labels.csv").read_text().splitlines()
    shutil.copy(pictures / "p1.png", pictures / "new.png")
    lines[6], lines[9] = "new.png,25,train", lines[9].replace("test", "train")
    (pictures / "labels.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(WorkdirError) as caught:
        start(config_of(pictures), path)
    text = str(caught.value)
    assert "1 picture missing: p5.png; 1 picture new: new.png" in text
    assert "1 picture with another part: p8.png (test -> train)" in text


def test_pictures_with_other_content_are_named(done):
    path, pictures = done
    before = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
    for name in ("p3.png", "p7.png"):
        Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(pictures / name)
    with pytest.raises(WorkdirError, match=r"2 pictures with other content: p3.png, p7.png"):
        start(config_of(pictures), path)
    assert {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()} == before


# Point 12.


def test_a_stage_and_the_run_without_data_are_told_both_keys_that_work(tmp_path):
    last = dataclasses.replace(
        config_of("", data__name="morph", data__csv=""), init=schema.InitConfig(path="stage:first")
    )
    stage = config_of("", data__name="imdb_wiki", data__csv="")
    whole = dataclasses.replace(last, stages={"first": stage})
    with pytest.raises(ValueError, match="root is given") as caught:
        start(whole, tmp_path / "run")
    assert "--config.stages.first.data.root=DIR" in str(caught.value)
    assert " --config.data.root=DIR --config.data.csv=FILE" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_test_set_without_data_is_told_the_key_that_works(finished):
    test = {"data__test__name": "fg_net", "data__protocol": "cross_dataset"}
    with pytest.raises(ValueError, match=r"Point at it with --config\.data\.test\.root=DIR"):
        jobs.check(
            finished / "other", Run("", config_of(finished / "pictures", **test)), read_records
        )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 4096}, "stages.first.batch_size: 4096 is more than"),
        ({"chain__early_end": True}, "stages.first.chain.early_end: .* stages.first.data.valid"),
        ({"method__alpha": 1.5}, "stages.first.method.alpha: "),
        ({"data__name": "morf"}, "stages.first.data.name: expected one of"),
    ],
)
def test_a_stage_s_keys_are_named_as_the_whole_config_has_them(finished, changes, says):
    run = Run("stages/first", config_of(finished / "pictures", **changes))
    with pytest.raises(ValueError, match=f"^{says}"):
        jobs.check(finished / "other", run, read_records)
