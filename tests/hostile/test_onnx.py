"""Damaged and foreign ONNX files get one line, and no code of theirs is run."""

import json
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")

import ldl_jax  # noqa: E402
from ldl_jax import lowering, methods, models  # noqa: E402
from ldl_jax.labels import AGE  # noqa: E402
from ldl_jax.predict import engines  # noqa: E402
from ldl_jax.predict.graph import graph  # noqa: E402
from ldl_jax.predict.predictor import Predictor  # noqa: E402


@pytest.fixture
def model(draw_weights, make_record, tiny_network):
    weights = draw_weights(models.build("tiny"), methods.get("dldl", space=AGE))
    return graph(Predictor(make_record(), weights))


def write(tmp_path, model, **texts):
    """Writes the model with some of its metadata replaced, or left out where None."""
    for key, text in texts.items():
        kept = [p for p in model.metadata_props if p.key != key]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        if text is not None:
            model.metadata_props.add(key=key, value=text)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def refused(path, match):
    with pytest.raises(ValueError, match=match) as error:
        ldl_jax.load(path)
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 1000


@pytest.mark.parametrize(
    "content", [b"", b"no model at all", b"\x08\x08\x12\x07" * 50], ids=["empty", "text", "bytes"]
)
def test_a_file_that_is_no_model(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    refused(tmp_path / "model.onnx", "is no ONNX model that can be run")


def test_a_file_that_is_cut_off_or_changed(tmp_path, model):
    whole = model.SerializeToString()
    path = tmp_path / "model.onnx"
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path, "model.onnx")
    answered, lines = 0, []
    for _ in range(40):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 8):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            predictor = ldl_jax.load(path)
        except ValueError as error:
            lines.append(str(error))
            continue
        answered += 1
        assert predictor.about.space.size == 101
    assert lines
    assert all("model.onnx" in line for line in lines)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        ({"record": None}, "without this package's metadata"),
        ({"record": "{"}, "its metadata record cannot be read"),
        ({"record": "[" * 100_000}, "its metadata record cannot be read"),
        ({"record": '{"version": 99}'}, "its record has version 99"),
        ({"format": "2"}, "its format is 2, and this release reads up to 1"),
        ({"format": None}, "its metadata format cannot be read"),
        ({"outputs": '["value"]'}, "outputs or value_alone are damaged"),
        ({"value_alone": "3"}, "outputs or value_alone are damaged"),
        ({"outputs": '["value", "probs", "low", "high", "x"]'}, "are those of another model"),
    ],
)
def test_damaged_metadata(tmp_path, model, texts, match):
    refused(write(tmp_path, model, **texts), match)


def test_metadata_of_another_model(tmp_path, model):
    about = json.loads(next(p.value for p in model.metadata_props if p.key == "record"))
    about["preprocessing"]["stored_size"] = 64
    refused(write(tmp_path, model, record=json.dumps(about)), "are those of another model")


def test_a_model_of_somebody_else(tmp_path):
    other = lowering.to_onnx(lambda x: x * 2, {"x": ((None, 3), "float32")}, ["y"])
    refused(write(tmp_path, other), "launch.export RUN --to=model.onnx")


def test_a_folder_and_a_name_that_is_not_there(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    refused(tmp_path / "model.onnx", "neither the workdir")
    refused(tmp_path / "other.onnx", "does not exist")


def test_a_record_that_names_an_own_method_runs_nothing(tmp_path, model, monkeypatch):
    """The file holds the whole answer, so the method that made it is never imported."""
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    about = json.loads(next(p.value for p in model.metadata_props if p.key == "record"))
    about["method"] = {"name": "evil:method"}
    path = write(tmp_path, model, record=json.dumps(about))
    predictor = ldl_jax.load(path)
    assert np.isfinite(predictor(np.zeros((2, 8, 8, 3), np.uint8)).value).all()
    assert "evil" not in sys.modules


def test_weights_beside_the_file_are_not_looked_for(tmp_path, model):
    """A tensor may name any file as the place of its numbers."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(write(tmp_path, model), "is no ONNX model that can be run")


def test_a_missing_package_is_named(tmp_path, model, monkeypatch):
    path = write(tmp_path, model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(path, r"needs onnxruntime, which is not installed .*pip install 'ldl_jax\[export\]'")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_an_engine_without_its_package(
    make_record, draw_weights, monkeypatch, missing, tiny_network
):
    weights = draw_weights(models.build("tiny"), methods.get("dldl", space=AGE))
    predictor = Predictor(make_record(), weights)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"onnxruntime needs {missing}.*\[export\]"):
        engines.session(predictor, "onnxruntime")
    assert engines.session(predictor, "auto") is None
    assert engines.session(predictor, "xla") is None
