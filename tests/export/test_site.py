"""The folder of a page: what is in it, and what is said where something is missing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ldl_jax import calibration, methods
from ldl_jax.calibration import Options
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.detect import networks, weights
from ldl_jax.labels import ADIENCE
from ldl_jax.predict.predictor import Predictor

pytest.importorskip("onnx", reason="pip install 'ldl_jax[export]'")
from ldl_jax.export import site

PAGE = Path(site.__file__).with_name("page")


@pytest.fixture
def make_predictor(draw_weights, make_record, tiny_model, tiny_network):
    """`make_predictor(name)`: one of the tiny network and the method of that name."""

    def make(name="dldl"):
        record = make_record(
            method={"name": name},
            space=ADIENCE,
            preprocessing=Preprocessing(32, 32, crop=0.8),
            alignment=Alignment("quad", 0),
        )
        return Predictor(record, draw_weights(tiny_model, methods.get(name, space=ADIENCE)))

    return make


@pytest.fixture
def predictor(make_predictor):
    return make_predictor()


@pytest.fixture
def runtime(tmp_path):
    """A folder as that of onnxruntime-web."""
    dist = tmp_path / "onnxruntime-web" / "dist"
    dist.mkdir(parents=True)
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (dist / name).write_text(name)
    return dist.parent


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_in_the_folder(predictor, runtime, tmp_path):
    folder = tmp_path / "a" / "site"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("stays")
    site.write(predictor, folder, onnxruntime_web=runtime)
    networks = {f"models/{name}.onnx" for name in ("model", "pnet", "rnet", "onet")}
    own = {path.name for path in PAGE.iterdir()}
    others = {"model.json", "mine.txt", "ort/ort.js", "ort/ort.wasm"}
    assert names(folder) == own | networks | others
    about = json.loads((folder / "model.json").read_text())
    assert (about["size"], about["crop"], about["least"]) == (32, 0.8, 40)
    assert about["alignment"] == {"kind": "quad", "margin": 0}
    assert about["names"][1] == "4-6"
    assert (about["low"], about["high"]) == (0, 100)
    assert [*folder.parent.iterdir()] == [folder]  # nothing else is left
    before = about["model"]
    assert before.startswith("models/model.onnx?v=")
    site.write(predictor, folder, onnxruntime_web=runtime / "dist", detector=None)
    about = json.loads((folder / "model.json").read_text())
    assert about["detector"] is None
    assert about["model"] == before


def test_a_method_of_values_has_no_distribution(make_predictor, runtime, tmp_path):
    site.write(make_predictor("regression_l1"), tmp_path, onnxruntime_web=runtime, detector=None)
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["value_alone"] is True
    assert about["description"].endswith("face and estimates its age, from 0 to 100 years.")
    assert about["stand_in"] is True
    assert "without a distribution" in about["reading"]


def test_the_page_words_the_interval_by_its_guarantee(predictor):
    raw = site._about(
        predictor, {"models/model.onnx": b"", "ort/ort.js": b"", "ort/ort.wasm": b""}, {}
    )
    assert raw["calibrated"] is False
    assert (
        "The interval holds 90% of that distribution. That is the model’s own claim"
        in raw["reading"]
    )
    rng, space = np.random.default_rng(0), predictor.space
    p, y = rng.dirichlet(np.ones(space.size), 99), rng.choice(space.values, 99)
    for options, groups, words in [
        (Options(), (), "it holds the label of 90% or more."),
        (Options(groups=True), ["a", "b", "c"] * 33, "a group of people may have less"),
        (Options(edges=(20.0,)), (), "or more, in each range of labels."),
    ]:
        known = calibration.fit(p, y, space, options, groups)
        calibrated = Predictor(
            dataclasses.replace(predictor.about, calibration=known), predictor.trained
        )
        text = site._reading(calibrated)
        assert words in text
        assert "66 labelled pictures" in text
        assert "own claim" not in text


def test_the_detector_s_networks(predictor):
    runtime = pytest.importorskip("onnxruntime")
    arrays = weights.load()
    rng = np.random.default_rng(0)
    for name, shapes in site._INPUTS.items():
        given = {"images": rng.normal(size=(3, *shapes["images"])).astype(np.float32)}
        if name == "pnet":
            given["sizes"] = np.array([[128, 128], [60, 77], [13, 12]], np.int32)
        expected = getattr(networks, name)(arrays[name], *given.values())
        session = runtime.InferenceSession(site._detector_graph(name, arrays[name]))
        result = session.run(["shifts", "scores", "points"][: len(expected)], given)
        for ours, theirs in zip(result, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_all_that_is_missing_is_said_at_once(predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"npm install onnxruntime-web.*MTCNN, which is not inst"):
        site.write(predictor, "site")
    (tmp_path / "node_modules/onnxruntime-web").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"onnxruntime-web has no ort\.wasm\.bundle\.min\.mjs, "):
        site.write(predictor, "site", detector=None)
    assert not (tmp_path / "site").exists()


def test_a_folder_in_a_file_s_place(predictor, runtime, tmp_path):
    (tmp_path / "site" / "style.css").mkdir(parents=True)
    with pytest.raises(OSError, match=r"style\.css: a file of the page goes here"):
        site.write(predictor, tmp_path / "site", onnxruntime_web=runtime, detector=None)
    assert names(tmp_path / "site") == set()
    assert {path.name for path in tmp_path.iterdir()} == {"site", "onnxruntime-web"}


def test_the_page_s_files_are_of_the_package():
    """The pattern of pyproject.toml's package data takes files alone, in one folder."""
    pattern = (PAGE.parents[2] / "pyproject.toml").read_text()
    assert '"export/page/*"' in pattern
    assert all(path.is_file() for path in PAGE.iterdir())


def test_the_policy_lets_nothing_out():
    policy = (PAGE / "index.html").read_text().split('Content-Security-Policy" content="')[1]
    rules = dict(rule.split(" ", 1) for rule in policy.partition('"')[0].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["form-action"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
