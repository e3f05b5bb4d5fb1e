"""Runs with a network of a user's own, from the config to the file that answers elsewhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import ldl_jax
from ldl_jax.features.cache import Cache
from ldl_jax.run import config as schema
from ldl_jax.run import experiment, smoke, sweep
from ldl_jax.run.config import ConfigError
from ldl_jax.run.features import FOLDER, about
from ldl_jax.run.resolved import resolve
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir import Workdir
from tests.models.test_own_network import block

NAME = "my_network_of_the_page"


class Unwatched:
    """A watcher that does nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The first network of docs/own_network.md as a module that can be imported."""
    folder = tmp_path_factory.mktemp("code")
    (folder / f"{NAME}.py").write_text(block("nnx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder / f"{NAME}.py"
    sys.modules.pop(NAME, None)


def make_config(**changes):
    """A small run of that network on drawn faces; dots are written as two underscores."""
    config = schema.defaults()
    config.data.synthetic_count, config.data.size = 24, 32
    config.model.name, config.model.width = f"{NAME}:network", 4
    config.method.name = "dldl_v2"
    config.batch_size = config.evaluation.batch_size = 8
    config.epochs, config.chain.generations = 1, 2
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return schema.parse(config)


def run(config, path):
    made = experiment.build(config, lambda text: None, devices=1, workdir=path)
    with Workdir(path, made.description) as workdir:
        for name, content in made.files.items():
            (path / name).write_bytes(content)
        generations.run(made.job, workdir, Interrupt(), Unwatched())
    return made


@pytest.fixture(scope="module")
def trained(module, tmp_path_factory):
    """The workdir of two generations."""
    path = tmp_path_factory.mktemp("runs") / "mine"
    run(make_config(), path)
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), np.uint8)


def test_a_run_s_network_is_found_again_where_it_is_trusted(trained, tmp_path, images, monkeypatch):
    with pytest.raises(ValueError, match=rf"--trust={NAME}"):
        ldl_jax.load(trained)
    monkeypatch.chdir(tmp_path)
    predictor = ldl_jax.load(trained, trust=(NAME,))
    assert predictor.about.generation == 2
    assert predictor.about.model == {"name": f"{NAME}:network", "width": 4, "rate": 0.1}
    predictor.save("mine.safetensors")
    with pytest.raises(ValueError, match=rf"--trust={NAME}"):
        ldl_jax.load("mine.safetensors")
    again = ldl_jax.load("mine.safetensors", trust=(NAME,))
    np.testing.assert_array_equal(again(images).probs, predictor(images).probs)


def test_it_becomes_an_onnx_file_that_needs_none_of_its_code(trained, tmp_path, images):
    pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")
    from ldl_jax.export import onnx_file

    predictor = ldl_jax.load(trained, trust=(NAME,))
    onnx_file.write(predictor, tmp_path / "mine.onnx")
    answer = ldl_jax.load(tmp_path / "mine.onnx")(images)
    np.testing.assert_allclose(answer.value, predictor(images).value, atol=1e-2)


def test_it_begins_with_its_own_weights_and_teaches(trained, tmp_path):
    again = {"init__path": str(trained), "chain__generations": 1}
    made = experiment.build(make_config(**again), print, devices=1)
    expected = ldl_jax.load(trained, trust=(NAME,)).trained.params["backbone"]
    jax.tree.map(np.testing.assert_array_equal, made.job.init.backbone[0], expected)
    with pytest.raises(ConfigError, match=r"init\.path: .* does not fit .*is \[3, 3, 3, 4\]"):
        experiment.build(make_config(**again, model__width=5), print, devices=1)
    taught = make_config(init__teachers=(str(trained),), chain__generations=1)
    assert experiment.build(taught, print, devices=1).job.init.ensemble is not None
    frozen = make_config(**again, init__freeze=True, init__features=True)
    features = run(frozen, tmp_path / "features")
    assert features.frozen is not None
    predictor = ldl_jax.load(tmp_path / "features", trust=(NAME,))
    jax.tree.map(np.testing.assert_array_equal, predictor.trained.params["backbone"], expected)
    kept = experiment.build(frozen, print, devices=1, workdir=tmp_path / "kept").frozen
    assert kept is not None  # its checkpoint says enough to find the features again
    of = about(
        f"{NAME}:network", predictor.about.model, kept.backbone, predictor.about.preprocessing
    )
    assert Cache.existing(tmp_path / "kept" / FOLDER, of, 8, print) is not None


def test_layers_may_have_rates_of_their_own(module):
    decayed = make_config(init__layer_decay=0.5, chain__generations=1)
    made = experiment.build(decayed, print, devices=1)
    assert made.job.model.name == f"{NAME}:network"


def test_a_network_that_has_changed_since_says_in_what(module, trained, tmp_path, monkeypatch):
    text = module.read_text()
    try:
        module.write_text(text.replace("2 * width, (3, 3)", "2 * width, (1, 1)"))
        del sys.modules[NAME]
        importlib.invalidate_caches()
        with pytest.raises(ValueError, match=r"does not fit .*\['second'\]\['kernel'\] is \[3, 3"):
            ldl_jax.load(trained, trust=(NAME,))
    finally:
        module.write_text(text)
        del sys.modules[NAME]
        importlib.invalidate_caches()


def test_keys_of_the_config(module):
    made = resolve(make_config(model__rate=0.25), devices=1)
    assert made.options == {"name": f"{NAME}:network", "width": 4, "rate": 0.25}
    assert made.description["model"]["rate"] == 0.25
    assert made.model is resolve(make_config(model__rate=0.25), devices=1).model  # checked once
    assert resolve(make_config(), devices=1).description["model"]["rate"] == 0.1  # the default
    for key, value, says in (
        ("model__depth", 3, r"model\.depth: .* has no such option; it has: width, rate"),
        ("model__size", 32, r"model\.size: .* is given data\.size, got 32"),
        ("model__dtype", "bfloat16", r"model\.dtype: .* takes no dtype, got 'bfloat16'"),
        ("model__hidden", 8, r"model\.hidden: .* has no such option"),
    ):
        with pytest.raises(ValueError, match=says):
            resolve(make_config(**{key: value}), devices=1)
    assert resolve(make_config(model__hidden=(8,)), devices=1).config.model.hidden == (8,)


def test_sweeps_folds_and_smoke_take_it(module):
    swept = make_config(sweep={"model.width": (4, 8), "seed": (0, 1)})
    points = sweep.points(swept)
    assert [len(group) for group in sweep.groups(points)] == [2, 2]
    assert points[-1].config.model.options == {"width": 8}
    folded = make_config(data__protocol="subject_kfold", data__fold=1, data__test_fraction=0.5)
    assert resolve(folded, devices=1).model.name == f"{NAME}:network"
    small = smoke.smoke(make_config(data__size=96))
    assert (small.model.name, small.data.size) == (f"{NAME}:network", 64)


def test_launch_models_has_its_row(module, capsys):
    from launch.models import table

    row = table([f"{NAME}:network"], 32, memory=False)[2]
    assert row.startswith(f"| {NAME}:network | My network, with 10,000 parameters. | 32x32 |")
    assert Path(module).name == f"{NAME}.py"
